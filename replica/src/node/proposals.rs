//! Proposals on their way: those of this replica, until their askers are answered, and those that
//! peers have forwarded to it.
//!
//! A proposal is signed once, and may be handed to one leader after the other: by its request ID it
//! is recorded at most once, whoever appends it however often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::history::ReplicaId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Outcome;
use crate::core::ProposalId;

/// How long an asker waits for an outcome. Afterwards it is unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader may be silent about a proposal before it is sent again.
const RESEND: Duration = Duration::from_secs(2);

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
    until: Instant,
    place: Place,
}

/// All of them.
#[derive(Default)]
pub(super) struct Proposals {
    own: BTreeMap<ProposalId, Asked>,
    by_bytes: BTreeMap<Arc<[u8]>, ProposalId>,
    /// Who has forwarded what was appended here, and how that peer calls it.
    forwarded: BTreeMap<ProposalId, (ReplicaId, u64)>,
    next: u64,
}

impl Proposals {
    fn name(&mut self) -> ProposalId {
        self.next += 1;
        ProposalId(self.next)
    }

    /// Somebody here waits for what becomes of this proposal.
    pub(super) fn ask(
        &mut self,
        data: Vec<u8>,
        reply: oneshot::Sender<Outcome>,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) {
        let id = self.name();
        let data = Arc::<[u8]>::from(data);
        self.by_bytes.insert(data.clone(), id);
        let (until, place) = (now + PATIENCE, Place::Here);
        self.own.insert(id, Asked { data, reply, _permit: permit, until, place });
    }

    /// A peer wants this proposal appended: names it.
    pub(super) fn forward(&mut self, from: ReplicaId, request: u64) -> ProposalId {
        let id = self.name();
        self.forwarded.insert(id, (from, request));
        id
    }

    /// Takes what is to be handed to the leader now (none: to this replica itself): so many
    /// proposals and so many bytes, about, at most.
    pub(super) fn hand_over(
        &mut self,
        leader: Option<ReplicaId>,
        now: Instant,
        most: (usize, usize),
    ) -> Vec<(ProposalId, Vec<u8>)> {
        let mut bytes = 0;
        let mut out = Vec::new();
        for (id, asked) in &mut self.own {
            if asked.place != Place::Here {
                continue;
            }
            if out.len() >= most.0 || bytes >= most.1 {
                break;
            }
            bytes += asked.data.len();
            out.push((*id, asked.data.to_vec()));
            asked.place = leader.map_or(Place::Appended, |leader| Place::With(leader, now));
        }
        out
    }

    /// Whether something waits to be handed to a leader.
    pub(super) fn any_here(&self) -> bool {
        self.own.values().any(|asked| asked.place == Place::Here)
    }

    /// It is not, or no longer, with whomever it was handed to. Says who has forwarded it, if it is
    /// a peer's.
    pub(super) fn returned(&mut self, id: ProposalId) -> Option<(ReplicaId, u64)> {
        if let Some(asked) = self.own.get_mut(&id) {
            asked.place = Place::Later;
        }
        self.forwarded.remove(&id)
    }

    /// The leader is another one, or cannot be reached: nobody knows what it still has.
    pub(super) fn all_returned(&mut self) {
        for asked in self.own.values_mut() {
            asked.place = Place::Here;
        }
    }

    /// Nobody is answered any more: what becomes of all of them is unknown.
    pub(super) fn forget_all(&mut self) {
        self.own.clear();
        self.by_bytes.clear();
        self.forwarded.clear();
    }

    /// Time passes: what a leader is silent about is to be sent again, and who has waited too long
    /// hears so.
    pub(super) fn tick(&mut self, now: Instant) {
        for asked in self.own.values_mut() {
            asked.place = match asked.place {
                Place::With(_, since) if now.saturating_duration_since(since) >= RESEND => {
                    Place::Here
                }
                Place::Later => Place::Here,
                place => place,
            };
        }
        let late: Vec<_> =
            self.own.iter().filter(|(_, asked)| asked.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.answer(id, Outcome::Unknown);
        }
    }

    /// Whose proposal an applied entry is.
    pub(super) fn applied(&mut self, named: Option<ProposalId>, data: &[u8]) -> Option<ProposalId> {
        if let Some(id) = named {
            self.forwarded.remove(&id);
            if self.own.contains_key(&id) {
                return Some(id);
            }
        }
        if self.own.is_empty() || data.is_empty() {
            return None;
        }
        self.by_bytes.get(data).copied()
    }

    /// The proposals whose askers wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (ProposalId, &[u8])> {
        self.own.iter().map(|(id, asked)| (*id, &*asked.data))
    }

    /// Answers whoever asked.
    pub(super) fn answer(&mut self, id: ProposalId, outcome: Outcome) {
        if let Some(asked) = self.own.remove(&id) {
            self.by_bytes.remove(&asked.data);
            let _ = asked.reply.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn asked(proposals: &mut Proposals, data: &[u8], now: Instant) -> oneshot::Receiver<Outcome> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (reply, answer) = oneshot::channel();
        proposals.ask(data.to_vec(), reply, permit, now);
        answer
    }

    #[test]
    fn a_proposal_goes_from_leader_to_leader_until_it_is_applied() {
        let now = Instant::now();
        let mut proposals = Proposals::default();
        let mut answer = asked(&mut proposals, b"one", now);
        let second = Some(ReplicaId(2));
        let handed = proposals.hand_over(second, now, (9, 9));
        assert_eq!(handed, [(ProposalId(1), b"one".to_vec())]);
        assert!(!proposals.any_here());
        // It has no room; another one leads; that one is silent.
        assert_eq!(proposals.returned(ProposalId(1)), None);
        assert!(!proposals.any_here(), "not at once");
        proposals.tick(now);
        assert_eq!(proposals.hand_over(second, now, (9, 9)).len(), 1);
        proposals.all_returned();
        assert_eq!(proposals.hand_over(None, now, (9, 9)).len(), 1);
        proposals.all_returned();
        assert_eq!(proposals.hand_over(Some(ReplicaId(3)), now, (9, 9)).len(), 1);
        proposals.tick(now + RESEND);
        assert!(proposals.any_here());
        // Whoever appended it: its bytes are known when it is applied.
        assert_eq!(proposals.applied(None, b"another"), None);
        let id = proposals.applied(None, b"one").unwrap();
        proposals.answer(id, Outcome::Unknown);
        assert_eq!(answer.try_recv(), Ok(Outcome::Unknown));
        assert_eq!(proposals.applied(None, b"one"), None);
    }

    #[test]
    fn askers_are_not_kept_for_ever() {
        let now = Instant::now();
        let mut proposals = Proposals::default();
        let mut answer = asked(&mut proposals, b"one", now);
        proposals.tick(now + PATIENCE - Duration::from_millis(1));
        assert!(answer.try_recv().is_err());
        proposals.tick(now + PATIENCE);
        assert_eq!(answer.try_recv(), Ok(Outcome::Unknown));
    }

    #[test]
    fn what_a_peer_forwarded_is_its_own() {
        let mut proposals = Proposals::default();
        let id = proposals.forward(ReplicaId(3), 17);
        assert_eq!(proposals.returned(id), Some((ReplicaId(3), 17)));
        let id = proposals.forward(ReplicaId(3), 18);
        assert_eq!(proposals.applied(Some(id), b"theirs"), None);
        assert_eq!(proposals.returned(id), None);
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_turn() {
        let now = Instant::now();
        let mut proposals = Proposals::default();
        let _answers = [b"aaaa", b"bbbb", b"cccc"].map(|data| asked(&mut proposals, data, now));
        assert_eq!(proposals.hand_over(None, now, (9, 5)).len(), 2);
        assert!(proposals.hand_over(None, now, (0, 5)).is_empty());
        assert_eq!(proposals.hand_over(None, now, (9, 5)).len(), 1);
    }
}
