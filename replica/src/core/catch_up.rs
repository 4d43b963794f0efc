//! A member that has fallen behind is caught up by records.
//!
//! A leader whose window does not reach back to what a member lacks sends a snapshot: the place of
//! a record and the log index that led to it. raft-rs replaces log and configuration the moment
//! that it steps such a message, so it is held back until the records are there. They are written
//! as they come; from the first of them on, what the log up to that index says must not be applied
//! again, which a row beside them says as well ([`Ahead`]).

use std::collections::VecDeque;

use ledger::rows::raft::{Ahead, RecordPointer};
use raft::eraftpb::{Entry, Message};

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// The leader's snapshot, and where it leads.
    held: Option<(Message, Ahead)>,
    /// How far records are, or are about to be, ahead of the log.
    ahead: Option<Ahead>,
    /// Whether they are all there.
    complete: bool,
    /// Somebody has to be asked for them, and nobody is yet.
    to_ask: bool,
    /// Committed entries behind the index that the records are ahead to.
    stash: VecDeque<Entry>,
}

/// What to do with a committed entry.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Apply it.
    Apply(Entry),
    /// Only count it: what it did is on record.
    Recorded(Entry),
}

impl CatchUp {
    /// As the disk remembers it; `record` is the last one there.
    pub(super) fn new(ahead: Option<Ahead>, record: Option<RecordPointer>) -> Self {
        let complete = ahead
            .is_some_and(|ahead| record.is_some_and(|record| record.record >= ahead.record.record));
        let to_ask = ahead.is_some() && !complete;
        CatchUp { ahead, complete, to_ask, ..CatchUp::default() }
    }

    /// Whether what the leader sends now has no place to go.
    pub(super) fn is_busy(&self) -> bool {
        self.held.is_some() || (self.ahead.is_some() && !self.complete)
    }

    /// Holds a snapshot back; says what is to be fetched, unless it is being fetched. One that leads
    /// less far than the records that are being fetched comes too late.
    pub(super) fn hold(&mut self, message: Message, target: Ahead) -> Option<Ahead> {
        let fetching = self.ahead.filter(|_| !self.complete);
        if fetching.is_some_and(|ahead| target.index < ahead.index) {
            return None;
        }
        let asked = self.held.as_ref().map(|(_, target)| *target);
        self.held = Some((message, target));
        if asked == Some(target) {
            return None;
        }
        // Records never go back, so neither does the index that they stand for.
        if self.ahead.is_none_or(|ahead| ahead.index < target.index) {
            self.ahead = Some(target);
            self.complete = false;
        }
        self.to_ask = false;
        Some(target)
    }

    /// What was to be fetched since the start, once.
    pub(super) fn unasked(&mut self) -> Option<Ahead> {
        std::mem::take(&mut self.to_ask).then_some(self.ahead).flatten()
    }

    /// All records up to `record` are there: gives the snapshot that may be stepped now.
    pub(super) fn reached(&mut self, record: RecordPointer) -> Option<Message> {
        if let Some(ahead) = &self.ahead {
            self.complete |= record.record >= ahead.record.record;
        }
        let (message, target) = self.held.take()?;
        if target.record == record {
            return Some(message);
        }
        self.held = Some((message, target));
        None
    }

    /// They cannot be had, and are forgotten, but for what was written: that stays ahead of the log.
    pub(super) fn failed(&mut self, written: Option<(Ahead, bool)>) {
        self.held = None;
        self.ahead = written.map(|(ahead, _)| ahead);
        self.complete = written.is_some_and(|(_, complete)| complete);
        self.to_ask = self.is_busy();
    }

    /// The log has been replaced up to this index, or applied.
    pub(super) fn passed(&mut self, index: u64) {
        if self.complete && self.ahead.is_some_and(|ahead| ahead.index <= index) {
            (self.ahead, self.complete) = (None, false);
        }
    }

    /// Whether the records are ahead of the log at that index, so that they are not its result.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Puts committed entries in their turn; those that must wait are kept.
    pub(super) fn turns(&mut self, committed: Vec<Entry>) -> Vec<Turn> {
        self.stash.extend(committed);
        let mut turns = Vec::with_capacity(self.stash.len());
        while let Some(entry) = self.stash.pop_front() {
            match &self.ahead {
                Some(ahead) if entry.index <= ahead.index => turns.push(Turn::Recorded(entry)),
                Some(_) if !self.complete => {
                    self.stash.push_front(entry);
                    break;
                }
                _ => turns.push(Turn::Apply(entry)),
            }
        }
        turns
    }
}

/// Where a snapshot message leads; none if it is no pointer to a record.
pub(super) fn target(message: &Message) -> Option<Ahead> {
    let snapshot = message.get_snapshot();
    let record = RecordPointer::from_bytes(&snapshot.data).ok()?;
    Some(Ahead { index: snapshot.get_metadata().index, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64, record: u64) -> Ahead {
        let byte = record as u8;
        Ahead { index, record: RecordPointer { record, hash: [byte; 32], fold: [byte; 32] } }
    }

    fn entry(index: u64) -> Entry {
        Entry { index, term: 1, ..Entry::default() }
    }

    fn message(index: u64) -> Message {
        Message { index, ..Message::default() }
    }

    #[test]
    fn a_snapshot_waits_for_its_records() {
        let mut catch_up = CatchUp::new(None, None);
        assert!(!catch_up.is_busy());
        assert_eq!(catch_up.hold(message(1), at(50, 20)), Some(at(50, 20)));
        assert!(catch_up.is_busy());
        assert_eq!(catch_up.hold(message(2), at(50, 20)), None, "it is being fetched");
        assert_eq!(catch_up.reached(at(9, 10).record), None, "not all of them");
        assert_eq!(catch_up.hold(message(3), at(60, 25)), Some(at(60, 25)), "a newer one");
        assert_eq!(catch_up.reached(at(50, 20).record), None);
        assert_eq!(catch_up.reached(at(60, 25).record), Some(message(3)));
        assert!(!catch_up.is_busy());
        assert!(catch_up.is_ahead());
        catch_up.passed(60);
        assert!(!catch_up.is_ahead());
    }

    #[test]
    fn what_is_on_record_is_not_applied_again() {
        let mut catch_up = CatchUp::new(Some(at(5, 9)), Some(at(0, 3).record));
        assert!(catch_up.is_busy());
        assert_eq!(catch_up.unasked(), Some(at(5, 9)));
        assert_eq!(catch_up.unasked(), None);
        let turns = catch_up.turns(vec![entry(4), entry(5), entry(6)]);
        assert_eq!(turns, [Turn::Recorded(entry(4)), Turn::Recorded(entry(5))]);
        assert_eq!(catch_up.turns(vec![entry(7)]), []);
        catch_up.passed(5);
        assert!(catch_up.is_ahead(), "records are missing");
        assert_eq!(catch_up.reached(at(5, 9).record), None);
        assert_eq!(catch_up.turns(Vec::new()), [Turn::Apply(entry(6)), Turn::Apply(entry(7))]);
        catch_up.passed(7);
        assert!(!catch_up.is_ahead());
    }

    #[test]
    fn a_snapshot_that_leads_back_does_not_take_records_back() {
        let mut catch_up = CatchUp::new(Some(at(50, 20)), Some(at(50, 20).record));
        assert_eq!(catch_up.hold(message(1), at(40, 15)), Some(at(40, 15)));
        assert_eq!(catch_up.reached(at(40, 15).record), Some(message(1)));
        catch_up.passed(40);
        assert_eq!(catch_up.turns(vec![entry(41)]), [Turn::Recorded(entry(41))]);
    }

    /// A snapshot was delivered twice, the second time after a newer one: the replica gave up
    /// fetching what the newer one had promised, and took in nothing any more.
    #[test]
    fn an_older_snapshot_that_comes_late_does_not_end_the_fetching_of_newer_records() {
        let mut catch_up = CatchUp::new(None, None);
        assert_eq!(catch_up.hold(message(1), at(40, 15)), Some(at(40, 15)));
        assert_eq!(catch_up.hold(message(2), at(50, 20)), Some(at(50, 20)));
        assert_eq!(catch_up.hold(message(1), at(40, 15)), None);
        assert_eq!(catch_up.reached(at(50, 20).record), Some(message(2)));
        assert!(!catch_up.is_busy());
        // One that leads as far as records have been written, which are not complete, is fetched on.
        let mut catch_up = CatchUp::new(Some(at(50, 20)), Some(at(0, 16).record));
        assert_eq!(catch_up.hold(message(1), at(40, 15)), None);
        assert_eq!(catch_up.unasked(), Some(at(50, 20)));
    }

    #[test]
    fn records_that_cannot_be_had_are_asked_for_again() {
        let mut catch_up = CatchUp::new(None, None);
        catch_up.hold(message(1), at(50, 20));
        catch_up.failed(Some((at(50, 20), false)));
        assert!(catch_up.is_busy(), "some are there");
        assert_eq!(catch_up.unasked(), Some(at(50, 20)));
        catch_up.failed(Some((at(50, 20), true)));
        assert!(!catch_up.is_busy() && catch_up.is_ahead());
    }

    /// A leader named another record than the last one here. What came of it was that the member
    /// waited for records of which none was missing, and took no entries meanwhile.
    #[test]
    fn a_lie_of_which_nothing_was_written_leaves_nothing_to_wait_for() {
        let mut catch_up = CatchUp::new(None, Some(at(0, 20).record));
        catch_up.hold(message(1), at(50, 20));
        catch_up.failed(None);
        assert!(!catch_up.is_busy() && !catch_up.is_ahead());
        assert_eq!(catch_up.unasked(), None);
        assert_eq!(catch_up.turns(vec![entry(41)]), [Turn::Apply(entry(41))]);
    }
}
