//! What keeps a leader that is there from being deposed at any member's pleasure.
//!
//! raft-rs gives way to every message of a higher term but an ordinary candidate's. That is how a
//! member which was cut off gets back in; and how a single hostile one could end every leadership,
//! again and again. So while there is a leader:
//!
//! - only the leader of the term asks this member to stand for election;
//! - nobody is taken for the leader of a higher term: one that was elected without this member is
//!   heard as soon as the present one is silent, which is at once if it knows of the other;
//! - anything else may raise this member's term, but each peer only once in a while.
//!
//! What is dropped here could as well have been lost on the way.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};
use raft::{CAMPAIGN_TRANSFER, INVALID_ID, Raft, Storage};

/// Ticks between two times that one peer may raise the term while there is a leader.
const RAISE_TICKS: u64 = 100;
/// Ticks for which an honest member may at most be dropped here, generously.
const HONEST_TICKS: u64 = 40;
/// Messages of one peer that are dropped here before it is named.
const HONEST_MESSAGES: u32 = 16;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is stepped.
    Passes,
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
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => false,
            // They raise no term.
            MessageType::MsgRequestPreVote => true,
            MessageType::MsgRequestPreVoteResponse if !message.reject => true,
            // raft-rs itself ignores an ordinary candidate while there is a leader.
            MessageType::MsgRequestVote if message.context != CAMPAIGN_TRANSFER => true,
            _ => raft.lead_transferee == Some(message.from) || self.may_raise(message.from),
        };
        if passes { Passage::Passes } else { self.drop(message.from) }
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
