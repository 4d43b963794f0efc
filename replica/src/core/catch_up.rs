//! A member that has fallen behind is caught up by records.
//!
//! A leader whose window does not reach back to what a member lacks sends a snapshot: the place of
//! a record and the log index that led to it. raft-rs replaces log and configuration the moment
//! that it steps such a message, so it is held back until the records are there. Its index is one
//! member's word, which counts for nothing before it is stepped: records are written as they come,
//! and which entries of the log they came from is seen by comparing them. Whatever is held back, this
//! member goes on by the log that it has.

use std::collections::VecDeque;

use ledger::history::ReplicaId;
use ledger::rows::raft::{Ahead, RecordPointer};
use raft::eraftpb::{Entry, Message};

/// A record up to which a member needs them, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its index.
    pub record: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The fold hash behind it, as a leader says; none of a record that was lost here.
    pub fold: Option<[u8; 32]>,
}

impl From<RecordPointer> for Target {
    fn from(RecordPointer { record, hash, fold }: RecordPointer) -> Self {
        Target { record, hash, fold: Some(fold) }
    }
}

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// A leader's snapshot, and where it leads.
    held: Option<(Message, Target)>,
    /// What the log has led to, while it is not here: damaged records could not be read.
    missing: Option<Target>,
    /// Somebody has to be asked for records, and nobody is yet.
    to_ask: bool,
    /// Committed entries that wait for what is missing.
    stash: VecDeque<Entry>,
}

impl CatchUp {
    /// As the disk remembers it; `record` is the last one there.
    pub(super) fn new(ahead: Option<Ahead>, record: Option<RecordPointer>) -> Self {
        let is_here = |ahead: &Ahead| record.is_some_and(|last| last.record >= ahead.record);
        let missing = ahead
            .filter(|ahead| !is_here(ahead))
            .map(|Ahead { record, hash, .. }| Target { record, hash, fold: None });
        CatchUp { missing, to_ask: missing.is_some(), ..CatchUp::default() }
    }

    /// Whether the records are less than what the log has led to: nothing can be applied to them, or
    /// read from them.
    pub(super) fn is_incomplete(&self) -> bool {
        self.missing.is_some()
    }

    /// Up to where records are needed.
    pub(super) fn awaited(&self) -> Option<Target> {
        self.missing.or(self.held.as_ref().map(|(_, target)| *target))
    }

    /// Holds a snapshot back in the place of one before, wherever that one leads.
    pub(super) fn hold(&mut self, message: Message, target: Target) {
        let before = self.awaited();
        self.held = Some((message, target));
        self.to_ask |= self.awaited() != before;
    }

    /// That member leads: what another one has sent is of no use.
    pub(super) fn follow(&mut self, leader: u64) {
        self.held.take_if(|(message, _)| message.from != leader);
    }

    /// What is to be fetched, once, and whoever offers to go on from there.
    pub(super) fn unasked(&mut self) -> Option<(Option<ReplicaId>, Target)> {
        let asked = std::mem::take(&mut self.to_ask);
        let target = self.awaited().filter(|_| asked)?;
        let held = self.held.as_ref().filter(|(_, held)| *held == target);
        Some((held.map(|(message, _)| ReplicaId(message.from)), target))
    }

    /// All records up to that one are there: gives the snapshot that may be stepped now.
    pub(super) fn reached(&mut self, target: Target) -> Option<Message> {
        if self.missing.take_if(|missing| *missing == target).is_some() {
            self.to_ask = self.held.is_some();
            return None;
        }
        self.failed(target)
    }

    /// They cannot be had, or are not what they should be: whoever said so is not heard.
    pub(super) fn failed(&mut self, target: Target) -> Option<Message> {
        if self.is_incomplete() {
            return None;
        }
        self.held.take_if(|(_, held)| *held == target).map(|(message, _)| message)
    }

    /// The committed entries whose turn it is; those that must wait are kept.
    pub(super) fn turns(&mut self, committed: Vec<Entry>) -> Vec<Entry> {
        self.stash.extend(committed);
        if self.is_incomplete() { Vec::new() } else { self.stash.drain(..).collect() }
    }
}

/// Where a snapshot message leads; none if it is no pointer to a record.
pub(super) fn target(message: &Message) -> Option<Target> {
    RecordPointer::from_bytes(&message.get_snapshot().data).ok().map(Target::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(record: u64) -> RecordPointer {
        RecordPointer { record, hash: [record as u8; 32], fold: [record as u8; 32] }
    }

    fn at(number: u64) -> Target {
        record(number).into()
    }

    fn entry(index: u64) -> Entry {
        Entry { index, term: 1, ..Entry::default() }
    }

    fn snapshot(from: u64, index: u64) -> Message {
        let mut message = Message { from, term: 1, ..Message::default() };
        message.mut_snapshot().mut_metadata().index = index;
        message
    }

    const FROM_1: Option<ReplicaId> = Some(ReplicaId(1));

    #[test]
    fn a_snapshot_waits_for_its_records() {
        let mut catch_up = CatchUp::new(None, None);
        assert_eq!((catch_up.awaited(), catch_up.unasked()), (None, None));
        catch_up.hold(snapshot(1, 50), at(20));
        assert_eq!(catch_up.unasked(), Some((FROM_1, at(20))));
        catch_up.hold(snapshot(1, 50), at(20));
        assert_eq!(catch_up.unasked(), None, "it is being fetched");
        assert_eq!(catch_up.reached(at(10)), None, "not all of them");
        catch_up.hold(snapshot(1, 60), at(25));
        assert_eq!(catch_up.unasked(), Some((FROM_1, at(25))), "a newer one");
        assert_eq!(catch_up.reached(at(20)), None);
        assert_eq!(catch_up.turns(vec![entry(41)]), [entry(41)], "the log goes on meanwhile");
        assert_eq!(catch_up.reached(at(25)), Some(snapshot(1, 60)));
        assert_eq!(catch_up.awaited(), None);
    }

    #[test]
    fn nothing_is_applied_before_records_that_were_lost_are_back() {
        let ahead = Ahead { index: 5, record: 9, hash: [9; 32] };
        let lost = Target { fold: None, ..at(9) };
        assert!(!CatchUp::new(Some(ahead), Some(record(9))).is_incomplete());
        assert!(!CatchUp::new(Some(ahead), Some(record(12))).is_incomplete(), "ahead of the log");
        assert!(CatchUp::new(Some(ahead), None).is_incomplete());
        let mut catch_up = CatchUp::new(Some(ahead), Some(record(3)));
        assert!(catch_up.is_incomplete());
        assert_eq!(catch_up.unasked(), Some((None, lost)));
        assert_eq!(catch_up.unasked(), None);
        assert_eq!(catch_up.turns(vec![entry(6)]), []);
        // A leader offers to go on meanwhile.
        catch_up.hold(snapshot(1, 50), at(20));
        assert_eq!((catch_up.awaited(), catch_up.unasked()), (Some(lost), None));
        assert_eq!(catch_up.reached(at(20)), None);
        assert_eq!(catch_up.reached(lost), None);
        assert!(!catch_up.is_incomplete());
        assert_eq!(catch_up.turns(vec![entry(7)]), [entry(6), entry(7)]);
        assert_eq!(catch_up.unasked(), Some((FROM_1, at(20))));
        assert_eq!(catch_up.reached(at(20)), Some(snapshot(1, 50)));
    }

    /// A snapshot was delivered twice, the second time after a newer one: the replica gave up
    /// fetching what the newer one had promised, and took in nothing any more.
    #[test]
    fn a_snapshot_that_comes_late_is_as_good_as_any() {
        let mut catch_up = CatchUp::new(None, None);
        catch_up.hold(snapshot(1, 40), at(15));
        catch_up.hold(snapshot(1, 50), at(20));
        catch_up.hold(snapshot(1, 40), at(15));
        assert_eq!(catch_up.unasked(), Some((FROM_1, at(15))));
        assert_eq!(catch_up.reached(at(15)), Some(snapshot(1, 40)));
        catch_up.hold(snapshot(1, 50), at(20));
        assert_eq!(catch_up.unasked(), Some((FROM_1, at(20))));
        assert_eq!(catch_up.reached(at(20)), Some(snapshot(1, 50)));
    }

    /// A member that did not lead had pointed far beyond all records: what the leader offered
    /// afterwards was taken for older, and not heard.
    #[test]
    fn a_lie_ends_with_the_next_leader() {
        for lie in [at(15), at(1 << 60)] {
            let mut catch_up = CatchUp::new(None, None);
            catch_up.hold(snapshot(3, 1 << 60), lie);
            catch_up.hold(snapshot(1, 40), at(15));
            assert_eq!(catch_up.reached(at(15)), Some(snapshot(1, 40)));
            catch_up.hold(snapshot(3, 1 << 60), lie);
            catch_up.follow(1);
            assert_eq!((catch_up.awaited(), catch_up.unasked()), (None, None));
            catch_up.hold(snapshot(1, 40), at(15));
            catch_up.follow(1);
            assert_eq!(catch_up.failed(at(14)), None);
            assert_eq!(catch_up.failed(at(15)), Some(snapshot(1, 40)));
        }
    }
}
