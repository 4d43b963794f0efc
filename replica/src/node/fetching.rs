//! Fetching the records that this replica lacks, from whichever peer has them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ledger::history::ReplicaId;

use crate::core::Target;

/// How long a peer may take to send the next records.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to answer one request, however it goes on: 8 MiB at most.
const TURN: Duration = Duration::from_secs(120);

/// Records to be fetched, and from whom.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) target: Target,
    /// Whoever offered to lead further.
    offered: Option<ReplicaId>,
    /// Whom the request under way is with, and until when it may be silent.
    with: Option<(ReplicaId, Instant)>,
    /// When its turn is over.
    over: Option<Instant>,
    /// The request's name.
    request: u64,
    /// The first record that it asked for.
    asked: u64,
    /// Who has not answered, or not well, since somebody last did.
    failed: BTreeSet<ReplicaId>,
}

/// A request to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) peer: ReplicaId,
    pub(super) request: u64,
    pub(super) from: u64,
    pub(super) upto: u64,
}

impl Fetching {
    /// Records up to a target. `request` is a name that was never used before.
    pub(super) fn new(target: Target, offered: Option<ReplicaId>, request: u64) -> Self {
        let failed = BTreeSet::new();
        Fetching { target, offered, with: None, over: None, request, asked: 0, failed }
    }

    /// Records up to another target, by whoever offers that. A request under way goes on, however slow
    /// its answer: a leader offers a newer target every few seconds.
    pub(super) fn aim(&mut self, target: Target, offered: Option<ReplicaId>) {
        (self.target, self.offered) = (target, offered);
    }

    /// The next request, if none is under way and somebody can be asked: whoever made the offer
    /// first, then the others in turn.
    pub(super) fn next(
        &mut self,
        next_record: u64,
        up: &BTreeSet<ReplicaId>,
        now: Instant,
    ) -> Option<Ask> {
        if let Some((peer, until)) = self.with {
            if now < until && self.over.is_none_or(|over| now < over) && up.contains(&peer) {
                return None;
            }
            self.give_up(peer);
        }
        if up.iter().all(|peer| self.failed.contains(peer)) {
            self.failed.clear();
        }
        let fit = |peer: &ReplicaId| up.contains(peer) && !self.failed.contains(peer);
        let peer = self.offered.filter(fit).or_else(|| up.iter().copied().find(fit))?;
        (self.with, self.over) = (Some((peer, now + PATIENCE)), Some(now + TURN));
        self.request = self.request.wrapping_add(1);
        self.asked = next_record;
        let (request, upto) = (self.request, self.target.record);
        Some(Ask { peer, request, from: next_record, upto })
    }

    /// Whether records under that name are the ones that were asked for.
    pub(super) fn expects(&self, from: ReplicaId, request: u64) -> bool {
        self.request == request && self.with.is_some_and(|(peer, _)| peer == from)
    }

    /// The peer has brought some: it has more time. One that brings none is as good as silent.
    pub(super) fn brought(&mut self, now: Instant) {
        if let Some((_, until)) = &mut self.with {
            *until = now + PATIENCE;
            self.failed.clear();
        }
    }

    /// The peer has no more for this request; `next_record` is the next one wanted now. Whoever has
    /// brought none is not asked again before the others.
    pub(super) fn ended(&mut self, from: ReplicaId, request: u64, next_record: u64) {
        if self.expects(from, request) {
            self.with = None;
            if next_record <= self.asked {
                self.failed.insert(from);
            }
        }
    }

    /// What that peer sends is of no use.
    pub(super) fn give_up(&mut self, peer: ReplicaId) {
        self.failed.insert(peer);
        self.with = None;
    }

    /// The last name that was used.
    pub(super) fn last_request(&self) -> u64 {
        self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_silent_gives_way_to_the_next() {
        let target = Target { record: 99, hash: [1; 32], fold: None };
        let (two, three) = (ReplicaId(2), ReplicaId(3));
        let up = BTreeSet::from([two, three]);
        let mut now = Instant::now();
        let mut fetching = Fetching::new(target, Some(three), 40);
        let ask = fetching.next(10, &up, now).unwrap();
        assert_eq!(ask, Ask { peer: three, request: 41, from: 10, upto: 99 });
        assert_eq!(fetching.next(10, &up, now), None, "one at a time");
        assert!(!fetching.expects(two, 41), "another peer's");
        assert!(!fetching.expects(three, 40), "an old request's");
        now += PATIENCE / 2;
        assert!(fetching.expects(three, 41));
        fetching.brought(now);
        now += PATIENCE / 2;
        assert!(fetching.expects(three, 41), "but it brings nothing");
        assert_eq!(fetching.next(20, &up, now), None, "it has brought something since");
        now += PATIENCE / 2;
        assert_eq!(fetching.next(20, &up, now).unwrap().peer, two);
        // It has nothing either: the first is asked again.
        fetching.ended(two, 42, 20);
        assert_eq!(fetching.next(20, &up, now).unwrap().peer, three);
        assert_eq!(fetching.next(20, &BTreeSet::new(), now), None, "nobody is up");
    }

    /// One record now and then would keep the turn for ever.
    #[test]
    fn whoever_drips_gives_way_too() {
        let target = Target { record: 99, hash: [1; 32], fold: None };
        let (two, three) = (ReplicaId(2), ReplicaId(3));
        let up = BTreeSet::from([two, three]);
        let mut now = Instant::now();
        let mut fetching = Fetching::new(target, None, 40);
        assert_eq!(fetching.next(10, &up, now).unwrap().peer, two);
        let end = now + TURN;
        while now + PATIENCE / 2 < end {
            now += PATIENCE / 2;
            fetching.brought(now);
            assert_eq!(fetching.next(11, &up, now), None);
        }
        assert_eq!(fetching.next(12, &up, end).unwrap().peer, three);
    }

    /// A leader offered to go on from a newer record every three seconds: on a link that needed
    /// longer for an answer nothing of one was ever taken.
    #[test]
    fn an_answer_on_its_way_is_taken_though_the_target_moves() {
        let target = |record| Target { record, hash: [1; 32], fold: None };
        let (two, three) = (ReplicaId(2), ReplicaId(3));
        let up = BTreeSet::from([two, three]);
        let now = Instant::now();
        let mut fetching = Fetching::new(target(99), Some(two), 40);
        assert_eq!(fetching.next(10, &up, now).unwrap().request, 41);
        fetching.aim(target(120), Some(three));
        assert_eq!(fetching.next(10, &up, now), None, "one at a time");
        assert!(fetching.expects(two, 41));
        fetching.ended(two, 41, 100);
        let ask = fetching.next(100, &up, now).unwrap();
        assert_eq!(ask, Ask { peer: three, request: 42, from: 100, upto: 120 });
    }
}
