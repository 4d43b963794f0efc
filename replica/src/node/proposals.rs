//! Proposals on their way: those of this replica, until their askers are answered, and those that
//! peers have forwarded to it.
//!
//! A proposal is signed once, and may be handed to one leader after the other: by its request ID it
//! is recorded at most once, whoever appends it however often. That it is refused needs more care:
//! another copy of it may be judged later, when what stood against it is gone. So each copy has a
//! number and is for one leader's term only. Entries of a later term stand behind all those of the
//! terms before, so a copy that is applied settles the fate of all that were for an earlier term;
//! an asker hears of a refusal when no copy is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::history::ReplicaId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Outcome;
use crate::core::{ProposalId, Rejection};

/// How long an asker waits for an outcome. Afterwards it is unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader may be silent about a proposal before it is sent again.
const RESEND: Duration = Duration::from_secs(2);
/// Numbers of copies for each millisecond at which a replica may start.
pub(super) const COPIES_PER_MS: u64 = 1 << 20;
/// Copies of each peer that are remembered: connections keep their order, so that one that comes
/// twice comes soon.
const COPIES_SEEN: usize = 4096;

/// Somebody at this replica who waits for what becomes of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker(u64);

/// Where a proposal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With nobody: there is no leader, or it cannot be reached.
    Here,
    /// With nobody until the next tick: it has just been refused.
    Later,
    /// In this replica's own log.
    Appended,
    /// With that leader, since then.
    With(ReplicaId, Instant),
}

/// A proposal whose asker waits.
struct Asked {
    data: Arc<[u8]>,
    reply: oneshot::Sender<Outcome>,
    /// Its place in the queue, free again when it is answered.
    _permit: OwnedSemaphorePermit,
    /// Who has asked for the very same, in the same millisecond.
    others: Vec<(oneshot::Sender<Outcome>, OwnedSemaphorePermit)>,
    until: Instant,
    place: Place,
    /// Its copies that may be in somebody's log, or come there: the term that each was for.
    copies: BTreeMap<ProposalId, u64>,
    /// A copy was refused while others were left.
    refused: bool,
}

impl Asked {
    /// Whether another copy in that term can help: one whose copies of that term are known to be
    /// appended twice gains nothing by a third.
    fn wants(&self, term: u64) -> bool {
        self.place == Place::Here && !(self.refused && self.copies.values().any(|of| *of >= term))
    }
}

/// All of them.
pub(super) struct Proposals {
    asked: BTreeMap<Asker, Asked>,
    by_bytes: BTreeMap<Arc<[u8]>, Asker>,
    by_copy: BTreeMap<ProposalId, Asker>,
    /// Who has forwarded what was appended here, and how that peer calls it.
    forwarded: BTreeMap<ProposalId, (ReplicaId, u64)>,
    /// The copies that each peer has forwarded lately, and for which term.
    seen: BTreeMap<ReplicaId, (u64, BTreeSet<u64>)>,
    next: u64,
}

impl Proposals {
    /// None yet. Copies are numbered from `first`, which is another one in each run: a leader takes
    /// none with a number that it has seen from this replica.
    pub(super) fn numbered_from(first: u64) -> Self {
        Proposals {
            asked: BTreeMap::new(),
            by_bytes: BTreeMap::new(),
            by_copy: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            seen: BTreeMap::new(),
            next: first,
        }
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }

    /// Somebody here waits for what becomes of this proposal.
    pub(super) fn ask(
        &mut self,
        data: Vec<u8>,
        reply: oneshot::Sender<Outcome>,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) {
        let until = now + PATIENCE;
        let same = self.by_bytes.get(&*data).and_then(|asker| self.asked.get_mut(asker));
        if let Some(asked) = same {
            asked.others.push((reply, permit));
            asked.until = until;
            return;
        }
        let asker = Asker(self.number());
        let data = Arc::<[u8]>::from(data);
        self.by_bytes.insert(data.clone(), asker);
        let asked = Asked {
            data,
            reply,
            _permit: permit,
            others: Vec::new(),
            until,
            place: Place::Here,
            copies: BTreeMap::new(),
            refused: false,
        };
        self.asked.insert(asker, asked);
    }

    /// A peer wants a copy appended in that term: names it. None if it came before, or is for an
    /// earlier term than others that came: then it must not be appended.
    pub(super) fn forward(
        &mut self,
        from: ReplicaId,
        request: u64,
        term: u64,
    ) -> Option<ProposalId> {
        let (of, seen) = self.seen.entry(from).or_default();
        if term > *of {
            (*of, *seen) = (term, BTreeSet::new());
        }
        if term < *of || !seen.insert(request) {
            return None;
        }
        if seen.len() > COPIES_SEEN {
            seen.pop_first();
        }
        let id = ProposalId(self.number());
        self.forwarded.insert(id, (from, request));
        Some(id)
    }

    /// Takes copies that are to be handed to the leader of that term now (none: to this replica
    /// itself): so many and so many bytes, about, at most.
    pub(super) fn hand_over(
        &mut self,
        (term, leader): (u64, Option<ReplicaId>),
        now: Instant,
        most: (usize, usize),
    ) -> Vec<(ProposalId, Vec<u8>)> {
        let mut bytes = 0;
        let mut out = Vec::new();
        for (asker, asked) in &mut self.asked {
            if !asked.wants(term) {
                continue;
            }
            if out.len() >= most.0 || bytes >= most.1 {
                break;
            }
            bytes += asked.data.len();
            self.next = self.next.saturating_add(1);
            let copy = ProposalId(self.next);
            asked.copies.insert(copy, term);
            self.by_copy.insert(copy, *asker);
            out.push((copy, asked.data.to_vec()));
            asked.place = leader.map_or(Place::Appended, |leader| Place::With(leader, now));
        }
        out
    }

    /// Whether something waits to be handed to the leader of that term.
    pub(super) fn any_here(&self, term: u64) -> bool {
        self.asked.values().any(|asked| asked.wants(term))
    }

    /// A copy is not, or no longer, with whomever it was handed to. Says who has forwarded it, if
    /// it is a peer's.
    pub(super) fn returned(
        &mut self,
        copy: ProposalId,
        reason: Rejection,
    ) -> Option<(ReplicaId, u64)> {
        if let Some(asked) = self.by_copy.get(&copy).and_then(|asker| self.asked.get_mut(asker)) {
            asked.place = Place::Later;
            match reason {
                Rejection::NotLeader(_) | Rejection::Busy => {
                    asked.copies.remove(&copy);
                    self.by_copy.remove(&copy);
                }
                // Another replica may have it yet, and lead.
                Rejection::Displaced => {}
            }
        }
        self.forwarded.remove(&copy)
    }

    /// The leader has not appended a copy and never will: its asker's clock is wrong.
    pub(super) fn clock_apart(&mut self, copy: ProposalId) {
        let Some(asker) = self.by_copy.remove(&copy) else { return };
        let Some(asked) = self.asked.get_mut(&asker) else { return };
        asked.copies.remove(&copy);
        let outcome = if asked.copies.is_empty() { Outcome::ClockApart } else { Outcome::Unknown };
        self.answer(asker, outcome);
    }

    /// Who waits for what becomes of a copy.
    pub(super) fn asker(&self, copy: ProposalId) -> Option<Asker> {
        self.by_copy.get(&copy).copied()
    }

    /// The leader is another one, or cannot be reached: nobody knows what it still has.
    pub(super) fn all_returned(&mut self) {
        for asked in self.asked.values_mut() {
            asked.place = Place::Here;
        }
    }

    /// Nobody is answered any more: what becomes of all of them is unknown.
    pub(super) fn forget_all(&mut self) {
        self.asked.clear();
        self.by_bytes.clear();
        self.by_copy.clear();
        self.forwarded.clear();
    }

    /// Time passes: what a leader is silent about is to be sent again, and who has waited too long
    /// hears so.
    pub(super) fn tick(&mut self, now: Instant) {
        for asked in self.asked.values_mut() {
            asked.place = match asked.place {
                Place::With(_, since) if now.saturating_duration_since(since) >= RESEND => {
                    Place::Here
                }
                Place::Later => Place::Here,
                place => place,
            };
        }
        let late: Vec<_> =
            self.asked.iter().filter(|(_, asked)| asked.until <= now).map(|(id, _)| *id).collect();
        for asker in late {
            self.answer(asker, Outcome::Unknown);
        }
    }

    /// An entry of that term is applied, and this came of it: whose proposal it is hears so, unless
    /// it is refused and a copy is left that may fare better.
    pub(super) fn applied(
        &mut self,
        named: Option<ProposalId>,
        data: &[u8],
        term: u64,
        outcome: Outcome,
    ) {
        if let Some(copy) = named {
            self.forwarded.remove(&copy);
        }
        if self.asked.is_empty() || data.is_empty() {
            return;
        }
        let Some(asker) = self.by_bytes.get(data).copied() else { return };
        let Some(asked) = self.asked.get_mut(&asker) else { return };
        let own = asked.copies.iter().find(|(_, of)| **of == term).map(|(copy, _)| *copy);
        let settled = named.filter(|copy| asked.copies.contains_key(copy)).or(own);
        let by_copy = &mut self.by_copy;
        asked.copies.retain(|copy, of| {
            let left = *of >= term && Some(*copy) != settled;
            if !left {
                by_copy.remove(copy);
            }
            left
        });
        asked.refused = matches!(outcome, Outcome::Refused(_));
        if asked.refused && !asked.copies.is_empty() {
            return;
        }
        self.answer(asker, outcome);
    }

    /// The proposals whose askers wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Asker, &[u8])> {
        self.asked.iter().map(|(asker, asked)| (*asker, &*asked.data))
    }

    /// Answers whoever asked.
    pub(super) fn answer(&mut self, asker: Asker, outcome: Outcome) {
        if let Some(asked) = self.asked.remove(&asker) {
            self.by_bytes.remove(&asked.data);
            for copy in asked.copies.keys() {
                self.by_copy.remove(copy);
            }
            for (other, _permit) in asked.others {
                let _ = other.send(match &outcome {
                    Outcome::Applied { index, hash } => {
                        Outcome::Repeated { index: *index, hash: *hash }
                    }
                    outcome => outcome.clone(),
                });
            }
            let _ = asked.reply.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::{EventRefusal, RecordHash};
    use tokio::sync::Semaphore;

    use super::*;

    const SECOND: Option<ReplicaId> = Some(ReplicaId(2));
    const ALL: (usize, usize) = (9, 9);

    fn none() -> Proposals {
        Proposals::numbered_from(0)
    }

    fn asked(proposals: &mut Proposals, data: &[u8], now: Instant) -> oneshot::Receiver<Outcome> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (reply, answer) = oneshot::channel();
        proposals.ask(data.to_vec(), reply, permit, now);
        answer
    }

    fn refused() -> Outcome {
        Outcome::Refused(EventRefusal::NoGroup.into())
    }

    /// Hands over the only proposal.
    fn copy(proposals: &mut Proposals, term: u64, now: Instant) -> ProposalId {
        let handed = proposals.hand_over((term, SECOND), now, ALL);
        assert_eq!(handed.len(), 1);
        handed[0].0
    }

    #[test]
    fn a_proposal_goes_from_leader_to_leader_until_it_is_applied() {
        let now = Instant::now();
        let mut proposals = none();
        let mut answer = asked(&mut proposals, b"one", now);
        let first = copy(&mut proposals, 3, now);
        assert!(!proposals.any_here(3));
        // It has no room; another one leads; that one is silent.
        assert_eq!(proposals.returned(first, Rejection::Busy), None);
        assert!(!proposals.any_here(3), "not at once");
        proposals.tick(now);
        assert!(copy(&mut proposals, 3, now) > first);
        proposals.all_returned();
        assert_eq!(proposals.hand_over((4, None), now, ALL).len(), 1);
        proposals.all_returned();
        assert_eq!(proposals.hand_over((5, Some(ReplicaId(3))), now, ALL).len(), 1);
        proposals.tick(now + RESEND);
        assert!(proposals.any_here(5));
        // Whoever appended it: its bytes are known when it is applied.
        proposals.applied(None, b"another", 5, Outcome::Unknown);
        answer.try_recv().unwrap_err();
        proposals.applied(None, b"one", 4, Outcome::ClockApart);
        assert_eq!(answer.try_recv(), Ok(Outcome::ClockApart));
        assert!(proposals.by_copy.is_empty() && proposals.by_bytes.is_empty());
        proposals.applied(None, b"one", 5, Outcome::Unknown);
    }

    /// The same request within one millisecond is the same proposal. The first asker waited in vain.
    #[test]
    fn whoever_asks_for_the_very_same_is_answered_too() {
        let now = Instant::now();
        let mut proposals = none();
        let mut first = asked(&mut proposals, b"one", now);
        let mut second = asked(&mut proposals, b"one", now);
        copy(&mut proposals, 3, now);
        let (index, hash) = (7, RecordHash([7; 32]));
        proposals.applied(None, b"one", 3, Outcome::Applied { index, hash });
        assert_eq!(first.try_recv(), Ok(Outcome::Applied { index, hash }));
        assert_eq!(second.try_recv(), Ok(Outcome::Repeated { index, hash }));
        assert!(proposals.asked.is_empty() && proposals.by_bytes.is_empty());
    }

    #[test]
    fn a_refusal_is_told_when_no_copy_is_left() {
        let now = Instant::now();
        let mut proposals = none();
        // The only copy.
        let mut answer = asked(&mut proposals, b"one", now);
        copy(&mut proposals, 3, now);
        proposals.applied(None, b"one", 3, refused());
        assert_eq!(answer.try_recv(), Ok(refused()));
        // Of two in one term, each is judged.
        let mut answer = asked(&mut proposals, b"two", now);
        copy(&mut proposals, 3, now);
        proposals.tick(now + RESEND);
        copy(&mut proposals, 3, now + RESEND);
        proposals.applied(None, b"two", 3, refused());
        answer.try_recv().unwrap_err();
        // Nor does a third help, in that term.
        proposals.tick(now + 2 * RESEND);
        assert!(!proposals.any_here(3));
        assert!(proposals.any_here(4));
        proposals.applied(None, b"two", 3, refused());
        assert_eq!(answer.try_recv(), Ok(refused()));
        // One that was turned away never comes to be judged.
        let mut answer = asked(&mut proposals, b"three", now);
        let away = copy(&mut proposals, 3, now);
        proposals.returned(away, Rejection::Busy);
        proposals.tick(now);
        copy(&mut proposals, 3, now);
        proposals.applied(None, b"three", 3, refused());
        assert_eq!(answer.try_recv(), Ok(refused()));
    }

    #[test]
    fn a_later_terms_copy_settles_the_earlier_ones() {
        let now = Instant::now();
        let mut proposals = none();
        let mut answer = asked(&mut proposals, b"one", now);
        let lost = copy(&mut proposals, 3, now);
        // Others may have it still.
        proposals.returned(lost, Rejection::Displaced);
        proposals.all_returned();
        copy(&mut proposals, 4, now);
        proposals.applied(None, b"one", 3, refused());
        answer.try_recv().unwrap_err();
        proposals.applied(None, b"one", 4, Outcome::Unknown);
        assert_eq!(answer.try_recv(), Ok(Outcome::Unknown));

        let mut answer = asked(&mut proposals, b"two", now);
        let lost = copy(&mut proposals, 3, now);
        proposals.returned(lost, Rejection::Displaced);
        proposals.all_returned();
        copy(&mut proposals, 5, now);
        proposals.applied(None, b"two", 5, refused());
        assert_eq!(answer.try_recv(), Ok(refused()));
    }

    #[test]
    fn whose_clock_is_wrong_hears_so_unless_a_copy_is_left() {
        let now = Instant::now();
        let mut proposals = none();
        let mut answer = asked(&mut proposals, b"one", now);
        let only = copy(&mut proposals, 3, now);
        proposals.clock_apart(only);
        assert_eq!(answer.try_recv(), Ok(Outcome::ClockApart));
        let mut answer = asked(&mut proposals, b"two", now);
        copy(&mut proposals, 3, now);
        proposals.all_returned();
        let second = copy(&mut proposals, 4, now);
        proposals.clock_apart(second);
        assert_eq!(answer.try_recv(), Ok(Outcome::Unknown));
    }

    #[test]
    fn askers_are_not_kept_for_ever() {
        let now = Instant::now();
        let mut proposals = none();
        let mut answer = asked(&mut proposals, b"one", now);
        proposals.tick(now + PATIENCE - Duration::from_millis(1));
        assert!(answer.try_recv().is_err());
        proposals.tick(now + PATIENCE);
        assert_eq!(answer.try_recv(), Ok(Outcome::Unknown));
    }

    #[test]
    fn what_a_peer_forwarded_is_its_own_and_is_taken_once() {
        let mut proposals = none();
        let peer = ReplicaId(3);
        let id = proposals.forward(peer, 17, 2).unwrap();
        assert_eq!(proposals.returned(id, Rejection::Busy), Some((peer, 17)));
        let id = proposals.forward(peer, 18, 2).unwrap();
        proposals.applied(Some(id), b"theirs", 2, refused());
        assert_eq!(proposals.returned(id, Rejection::Displaced), None);
        // It came twice; numbers are a term's and a peer's.
        assert_eq!(proposals.forward(peer, 18, 2), None);
        assert_eq!(proposals.forward(peer, 17, 2), None);
        assert!(proposals.forward(peer, 16, 2).is_some(), "of a run whose clock was behind");
        assert!(proposals.forward(ReplicaId(1), 17, 2).is_some());
        assert!(proposals.forward(peer, 17, 3).is_some());
        assert_eq!(proposals.forward(peer, 19, 2), None, "too late");
        for request in 100..100 + 2 * COPIES_SEEN as u64 {
            assert!(proposals.forward(peer, request, 3).is_some());
        }
        assert_eq!(proposals.seen[&peer].1.len(), COPIES_SEEN);
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_turn() {
        let now = Instant::now();
        let mut proposals = none();
        let _answers = [b"aaaa", b"bbbb", b"cccc"].map(|data| asked(&mut proposals, data, now));
        assert_eq!(proposals.hand_over((2, None), now, (9, 5)).len(), 2);
        assert!(proposals.hand_over((2, None), now, (0, 5)).is_empty());
        assert_eq!(proposals.hand_over((2, None), now, (9, 5)).len(), 1);
    }
}
