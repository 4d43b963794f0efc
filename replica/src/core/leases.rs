//! What keeps a leader that is there from being deposed at any member's pleasure.
//!
//! raft-rs gives way to every message of a higher term but an ordinary candidate's. That is how a
//! member which was cut off gets back in; and how a single hostile one could end every leadership,
//! again and again. So while there is a leader:
//!
//! - only the leader of the term asks this member to stand for election;
//! - nobody is taken for the leader of a higher term: one that was elected without this member is
//!   heard as soon as the present one is silent, which is at once if it knows of the other;
//! - anything else may raise this member's term, but each peer only once in a while;
//! - whom the leader itself lets lead next does as it likes in the term after.
//!
//! What is dropped here could as well have been lost on the way.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};
use raft::{CAMPAIGN_TRANSFER, INVALID_ID, Raft, Storage};

/// Ticks between two times that one peer may raise the term while there is a leader, and between two
/// times that anybody raises it by more than [`USUAL_TERMS`].
const RAISE_TICKS: u64 = 100;
/// Terms that a member may be behind by elections that it has missed, in a short time.
const USUAL_TERMS: u64 = 256;
/// Terms that a member climbs at most in one go, and more than others can have climbed by usual steps
/// since the last time. So whatever term one was brought to, the others are soon there too; and the
/// last term that there is stays centuries away.
const CLIMB_TERMS: u64 = 1 << 32;
/// Ticks for which an honest member may at most be dropped here, generously.
const HONEST_TICKS: u64 = 40;
/// Messages of one peer that are dropped here before it is named.
const HONEST_MESSAGES: u32 = 16;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is stepped.
    Passes,
    /// It is of a later term than this member goes to at once: it goes as far as this one.
    Climbs(u64),
    /// It is dropped; honest members may send it.
    Dropped,
    /// It is dropped, and so were more than honest members send.
    Hostile,
}

/// What one peer has done lately.
#[derive(Debug, Default)]
struct Peer {
    raised: Option<u64>,
    /// When messages began to be dropped, when one was last, and how many were.
    dropped: Option<(u64, u64, u32)>,
}

/// Guards the leaderships that this member sees.
#[derive(Debug, Default)]
pub(super) struct Leases {
    ticks: u64,
    peers: BTreeMap<u64, Peer>,
    /// When somebody has raised the term by more than usual.
    climbed: Option<u64>,
    /// Whom the leader of that term lets lead next.
    next: Option<(u64, u64)>,
}

impl Leases {
    /// A tick has passed.
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
    }

    /// Members that are none any more are forgotten.
    pub(super) fn keep(&mut self, is_member: impl Fn(u64) -> bool) {
        self.peers.retain(|id, _| is_member(*id));
    }

    /// The leader of that term lets that member lead next.
    pub(super) fn yields(&mut self, term: u64, to: u64) {
        self.next = Some((term, to));
    }

    /// Whether this member steps that message.
    pub(super) fn passes<S: Storage>(&mut self, raft: &Raft<S>, message: &Message) -> Passage {
        let kind = message.get_msg_type();
        let has_leader =
            raft.leader_id != INVALID_ID && raft.election_elapsed < raft.election_timeout();
        let raises = message.term > raft.term && has_leader;
        let passes = match kind {
            MessageType::MsgTimeoutNow => {
                message.term == raft.term && raft.leader_id == message.from
            }
            _ if !raises => true,
            _ if self.next == Some((raft.term, message.from)) && message.term == raft.term + 1 => {
                true
            }
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => false,
            // They raise no term.
            MessageType::MsgRequestPreVote => true,
            MessageType::MsgRequestPreVoteResponse if !message.reject => true,
            // raft-rs itself ignores an ordinary candidate while there is a leader.
            MessageType::MsgRequestVote if message.context != CAMPAIGN_TRANSFER => true,
            _ => raft.lead_transferee == Some(message.from) || self.may_raise(message.from),
        };
        if !passes {
            return self.drop(message.from);
        }
        let raises_none = match kind {
            MessageType::MsgRequestPreVote => true,
            MessageType::MsgRequestPreVoteResponse => !message.reject,
            MessageType::MsgRequestVote => has_leader && message.context != CAMPAIGN_TRANSFER,
            _ => false,
        };
        if raises_none { Passage::Passes } else { self.climb(raft.term, message.term) }
    }

    /// Whether a message of that term raises this member's own, and how far.
    fn climb(&mut self, own: u64, term: u64) -> Passage {
        if term <= own.saturating_add(USUAL_TERMS) {
            return Passage::Passes;
        }
        if self.climbed.is_some_and(|at| at + RAISE_TICKS > self.ticks) {
            return Passage::Dropped;
        }
        self.climbed = Some(self.ticks);
        let most = own.saturating_add(CLIMB_TERMS);
        if term <= most { Passage::Passes } else { Passage::Climbs(most) }
    }

    fn may_raise(&mut self, from: u64) -> bool {
        let peer = self.peers.entry(from).or_default();
        let may = peer.raised.is_none_or(|at| at + RAISE_TICKS <= self.ticks);
        if may {
            peer.raised = Some(self.ticks);
        }
        may
    }

    fn drop(&mut self, from: u64) -> Passage {
        let now = self.ticks;
        let peer = self.peers.entry(from).or_default();
        let (since, count) = match peer.dropped {
            Some((since, last, count)) if last + HONEST_TICKS > now => (since, count),
            _ => (now, 0),
        };
        let count = count.saturating_add(1);
        peer.dropped = Some((since, now, count));
        if count > HONEST_MESSAGES && now - since > HONEST_TICKS {
            Passage::Hostile
        } else {
            Passage::Dropped
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::ReplicaId;
    use ledger::rows::raft::Group;
    use raft::eraftpb::Entry;

    use super::*;
    use crate::core::{Core, Input, Misbehaviour, Output, PeerMessage, Saved};

    /// Replica 2 of three, which follows replica 1 in term 1.
    fn follower() -> Core {
        let group = Group { voters: vec![1, 2, 3], ..Group::default() };
        let mut core =
            Core::new(ReplicaId(2), Saved { group, ..Saved::founded(ReplicaId(1)) }, 7).unwrap();
        assert_eq!(says(&mut core, 1, message(MessageType::MsgHeartbeat, 1)), None);
        assert_eq!(core.leads(), (1, Some(ReplicaId(1))));
        core
    }

    #[test]
    fn whom_the_leader_lets_lead_is_heard_however_often() {
        let mut core = follower();
        let yields = |core: &mut Core, from, term, to| {
            core.step([Input::Yields(ReplicaId(from), term, ReplicaId(to))], &mut Vec::new());
        };
        // Nobody else can say so, nor the leader of another term.
        yields(&mut core, 3, 1, 3);
        yields(&mut core, 1, 7, 3);
        says(&mut core, 3, message(MessageType::MsgAppend, 2));
        assert_eq!(core.leads(), (1, Some(ReplicaId(1))));
        for term in 1..9 {
            let [now, next] = if term % 2 == 1 { [1, 3] } else { [3, 1] };
            yields(&mut core, now, term, next);
            says(&mut core, next, message(MessageType::MsgAppend, term + 2));
            assert_eq!(core.leads(), (term, Some(ReplicaId(now))), "not a later term");
            says(&mut core, next, message(MessageType::MsgAppend, term + 1));
            assert_eq!(core.leads(), (term + 1, Some(ReplicaId(next))));
        }
    }

    fn message(kind: MessageType, term: u64) -> Message {
        let mut message = Message { term, ..Message::default() };
        message.set_msg_type(kind);
        message
    }

    /// What replica `from` is found to have done.
    fn says(core: &mut Core, from: u64, mut message: Message) -> Option<Misbehaviour> {
        (message.from, message.to) = (from, 2);
        let mut inputs = vec![Input::FromPeer(ReplicaId(from), PeerMessage(message))];
        let mut found = None;
        while !inputs.is_empty() {
            let mut out = Vec::new();
            core.step(std::mem::take(&mut inputs), &mut out);
            for output in out {
                match output {
                    Output::Persist(ticket, _) => inputs.push(Input::Persisted(ticket)),
                    Output::Misbehaved(who, what) => {
                        assert_eq!(who, ReplicaId(from));
                        found = Some(what);
                    }
                    Output::Send(..) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        found
    }

    fn tick(core: &mut Core) {
        core.step([Input::Tick], &mut Vec::new());
    }

    /// What this member had told the leader that it keeps was void afterwards: if the leader had
    /// taken it for committed and died, it was lost.
    #[test]
    fn nobody_but_the_leader_of_the_term_appends() {
        let mut core = follower();
        let entry = Entry { index: 2, term: 1, ..Entry::default() };
        let append = |entry: Entry| Message {
            index: 1,
            log_term: 1,
            entries: vec![entry].into(),
            ..message(MessageType::MsgAppend, 1)
        };
        assert_eq!(says(&mut core, 1, append(entry.clone())), None);
        let other = append(Entry { data: b"another one".to_vec().into(), ..entry });
        assert_eq!(says(&mut core, 3, other), Some(Misbehaviour::Leader));
        let beat = message(MessageType::MsgHeartbeat, 1);
        assert_eq!(says(&mut core, 3, beat), Some(Misbehaviour::Leader));
        assert_eq!(core.leads(), (1, Some(ReplicaId(1))));
    }

    #[test]
    fn a_leader_that_is_there_stays() {
        let mut core = follower();
        let transfer = |term| Message {
            context: CAMPAIGN_TRANSFER.to_vec().into(),
            ..message(MessageType::MsgRequestVote, term)
        };
        for hostile in [
            message(MessageType::MsgTimeoutNow, 1),
            message(MessageType::MsgTimeoutNow, 9),
            message(MessageType::MsgHeartbeat, 9),
            message(MessageType::MsgAppend, 9),
            message(MessageType::MsgRequestVote, 9),
            message(MessageType::MsgRequestPreVote, 9),
        ] {
            assert_eq!(says(&mut core, 3, hostile), None);
            assert_eq!(core.leads(), (1, Some(ReplicaId(1))));
        }
        // One may be right once: it was cut off, or the leader hands over to it.
        assert_eq!(says(&mut core, 3, transfer(2)), None);
        assert_eq!(core.leads(), (2, None));
        assert_eq!(says(&mut core, 1, message(MessageType::MsgHeartbeat, 3)), None);
        assert_eq!(says(&mut core, 3, transfer(4)), None);
        let rejection = Message { reject: true, ..message(MessageType::MsgAppendResponse, 4) };
        assert_eq!(says(&mut core, 3, rejection), None);
        assert_eq!(core.leads(), (3, Some(ReplicaId(1))));
        // Another one has its own turn.
        let response = message(MessageType::MsgHeartbeatResponse, 4);
        assert_eq!(says(&mut core, 1, response), None);
        assert_eq!(core.leads(), (4, None));
    }

    #[test]
    fn whoever_keeps_trying_is_named() {
        let mut core = follower();
        let mut named = None;
        for round in 0..2 * HONEST_TICKS {
            assert_eq!(says(&mut core, 1, message(MessageType::MsgHeartbeat, 1)), None);
            let found = says(&mut core, 3, message(MessageType::MsgHeartbeat, 2));
            if found.is_some() && named.is_none() {
                assert_eq!(found, Some(Misbehaviour::Lease));
                named = Some(round);
            }
            tick(&mut core);
        }
        assert!(named.is_some_and(|round| round > HONEST_TICKS), "{named:?}");
        // Without a leader anybody may be one.
        for _ in 0..16 {
            tick(&mut core);
        }
        let term = core.leads().0.max(2);
        assert_eq!(says(&mut core, 3, message(MessageType::MsgHeartbeat, term)), None);
        assert_eq!(core.leads(), (term, Some(ReplicaId(3))));
    }

    /// A member brought another one to a term so far ahead that the rest refused all that it said:
    /// it and the rest could not hear each other any more.
    #[test]
    fn no_member_is_brought_where_others_do_not_hear_it() {
        let mut core = follower();
        for far in [1 << 40, 1 << 41, u64::MAX] {
            says(&mut core, 3, message(MessageType::MsgAppendResponse, far));
        }
        let (term, leader) = core.leads();
        assert!(term > 1 && leader.is_none(), "{term}");
        // Replica 1 has not moved, and hears it at once.
        let group = Group { voters: vec![1, 2, 3], ..Group::default() };
        let saved = Saved { group, ..Saved::founded(ReplicaId(1)) };
        let mut other = Core::new(ReplicaId(2), saved, 9).unwrap();
        assert_eq!(says(&mut other, 1, message(MessageType::MsgHeartbeat, 1)), None);
        let response = message(MessageType::MsgAppendResponse, term);
        assert_eq!(says(&mut other, 3, response), None);
        assert_eq!(other.leads().0, term);
        // However long it goes on, no term comes near the end of all numbers.
        for _ in 0..10 * RAISE_TICKS {
            tick(&mut core);
            says(&mut core, 3, message(MessageType::MsgAppendResponse, u64::MAX));
        }
        assert!(core.leads().0 < 1 << 40, "{:?}", core.leads());
    }
}
