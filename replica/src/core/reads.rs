//! Linearizable reads: which index must be applied before a read may see it.

use std::collections::BTreeMap;

use super::ReadId;

/// Ticks after which a question that nobody answered is asked again: raft-rs drops a read index
/// silently when the leader changes.
const PATIENCE: u32 = 10;

/// Reads on their way through the core.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// What makes a question's name nobody else's: neither another member's, nor one of an earlier
    /// run of this one, whose answer could still be under way.
    run: u64,
    waiting: Vec<ReadId>,
    asked: BTreeMap<u64, Asked>,
    /// Index to wait for → reads.
    confirmed: BTreeMap<u64, Vec<ReadId>>,
    next: u64,
}

#[derive(Debug)]
struct Asked {
    reads: Vec<ReadId>,
    ticks: u32,
}

impl Reads {
    /// In a run of that name, which no other run of any member has.
    pub(super) fn new(run: u64) -> Self {
        Reads { run, ..Reads::default() }
    }

    /// A read wants to know the index.
    pub(super) fn add(&mut self, read: ReadId) {
        self.waiting.push(read);
    }

    /// Only these are waited for any more.
    pub(super) fn keep(&mut self, is_awaited: impl Fn(ReadId) -> bool) {
        let awaited = |reads: &mut Vec<ReadId>| {
            reads.retain(|read| is_awaited(*read));
            !reads.is_empty()
        };
        awaited(&mut self.waiting);
        self.asked.retain(|_, question| awaited(&mut question.reads));
        self.confirmed.retain(|_, reads| awaited(reads));
    }

    /// Takes one question for all reads that wait: its context for raft-rs.
    pub(super) fn ask(&mut self) -> Option<Vec<u8>> {
        if self.waiting.is_empty() {
            return None;
        }
        self.next += 1;
        let reads = std::mem::take(&mut self.waiting);
        self.asked.insert(self.next, Asked { reads, ticks: 0 });
        Some([self.run.to_be_bytes(), self.next.to_be_bytes()].concat())
    }

    /// The leader is another one: what was asked is asked anew.
    pub(super) fn restart(&mut self) {
        for (_, mut question) in std::mem::take(&mut self.asked) {
            self.waiting.append(&mut question.reads);
        }
    }

    /// raft-rs has answered a question.
    pub(super) fn answer(&mut self, context: &[u8], index: u64) {
        let question = context
            .strip_prefix(&self.run.to_be_bytes())
            .and_then(|name| name.try_into().ok())
            .map(u64::from_be_bytes);
        if let Some(asked) = question.and_then(|question| self.asked.remove(&question)) {
            self.confirmed.entry(index).or_default().extend(asked.reads);
        }
    }

    /// Everything up to `applied` can be seen: takes the reads that waited for no more.
    pub(super) fn applied(&mut self, applied: u64) -> Vec<ReadId> {
        let later = match applied.checked_add(1) {
            Some(next) => self.confirmed.split_off(&next),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.confirmed, later).into_values().flatten().collect()
    }

    /// Time passes: questions without an answer are to be asked again.
    pub(super) fn tick(&mut self) {
        let Reads { waiting, asked, .. } = self;
        asked.retain(|_, question| {
            question.ticks += 1;
            let patient = question.ticks < PATIENCE;
            if !patient {
                waiting.append(&mut question.reads);
            }
            patient
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Reads {
        fn ask_for(&mut self, read: ReadId) -> Vec<u8> {
            self.add(read);
            self.ask().unwrap()
        }
    }

    #[test]
    fn reads_share_a_question_and_wait_for_its_index() {
        let mut reads = Reads::default();
        assert_eq!(reads.ask(), None);
        reads.add(ReadId(1));
        reads.add(ReadId(2));
        let first = reads.ask().unwrap();
        assert_eq!(reads.ask(), None);
        reads.add(ReadId(3));
        let second = reads.ask().unwrap();
        reads.answer(&second, 9);
        reads.answer(&first, 7);
        reads.answer(&first, 99);
        reads.answer(b"not ours", 1);
        // Another run's question of the same number.
        let foreign = Reads::new(7).ask_for(ReadId(9));
        assert_ne!(foreign, first);
        reads.answer(&foreign, 1);
        assert_eq!(reads.applied(6), []);
        assert_eq!(reads.applied(8), [ReadId(1), ReadId(2)]);
        assert_eq!(reads.applied(u64::MAX), [ReadId(3)]);
    }

    /// Without a leader they were kept for ever, however many gave up.
    #[test]
    fn reads_that_nobody_waits_for_are_forgotten() {
        let mut reads = Reads::default();
        let question = reads.ask_for(ReadId(1));
        reads.answer(&question, u64::MAX);
        reads.ask_for(ReadId(2));
        reads.add(ReadId(3));
        reads.add(ReadId(4));
        reads.keep(|read| read == ReadId(4));
        assert!(reads.confirmed.is_empty() && reads.asked.is_empty());
        assert_eq!(reads.waiting, [ReadId(4)]);
    }

    #[test]
    fn a_lost_question_is_asked_again() {
        let mut reads = Reads::default();
        reads.add(ReadId(1));
        let lost = reads.ask().unwrap();
        for _ in 0..PATIENCE {
            assert_eq!(reads.ask(), None);
            reads.tick();
        }
        let again = reads.ask().unwrap();
        reads.answer(&lost, 3);
        assert_eq!(reads.applied(5), []);
        reads.answer(&again, 4);
        assert_eq!(reads.applied(5), [ReadId(1)]);
    }
}
