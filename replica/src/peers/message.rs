//! What members say to each other besides hello and goodbye.

use std::collections::BTreeMap;

use ledger::history::{FoldHash, RecordHash, ReplicaId};

use super::membership::Peer;
use crate::core::{PeerMessage, Rejection};

/// A message from one member to another. It may be lost; what is delivered on one connection
/// keeps its order, Raft messages among themselves and the others among themselves.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A Raft message. Its `from` and `to` are not sent: the receiving end fills them in. A
    /// snapshot is a [`RecordPointer`](crate::core::RecordPointer) only.
    Raft(PeerMessage),
    /// Please append this copy of a proposal: a follower to the leader.
    Propose {
        /// Names the request among those of its sender, to match the answer: there is no other with
        /// this number, in this run or an earlier one.
        request: u64,
        /// The term of the leader that it is for.
        term: u64,
        /// The signed proposal's bytes.
        proposal: Vec<u8>,
    },
    /// What became of it.
    Proposed {
        /// The request's name.
        request: u64,
        /// The answer.
        answer: Answer,
    },
    /// Please let that member lead, or whichever is closest: to the leader, for an operator.
    HandOver(Option<ReplicaId>),
    /// The sender leads in that term, and lets that member lead next.
    Yields {
        /// The term.
        term: u64,
        /// The member.
        to: ReplicaId,
    },
    /// How far the sender has come, and what it has reached.
    Head(Head),
    /// Who the active members are, for one that is so far behind that it may not know them all.
    Members {
        /// The record behind which they are.
        record: u64,
        /// The members, at most `MEMBERS_AT_ONCE`.
        members: BTreeMap<ReplicaId, Peer>,
    },
    /// Please send the records from one index up to another, which is the last one wanted.
    RecordsWanted {
        /// Names the request among those of its sender.
        request: u64,
        /// The first record wanted.
        from: u64,
        /// The last record wanted; not before `from`.
        upto: u64,
    },
    /// Some of these records, in their order and without a gap.
    Records {
        /// The request's name.
        request: u64,
        /// The index of the first record here.
        first: u64,
        /// Records as canonical bytes: 1 MiB together, or a single one; at most 4,096.
        records: Vec<Vec<u8>>,
    },
    /// No more records come for this request.
    RecordsEnd {
        /// The request's name.
        request: u64,
        /// The index behind the last record sent; below the wanted one's if the sender has no
        /// more, or is too busy.
        next: u64,
    },
}

/// A leader's answer to a forwarded proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was not appended.
    Rejected(Rejection),
    /// The proposer's clock is too far from the leader's.
    ClockApart,
    /// It is not a signed proposal of the member that forwards it, or too old to be admitted.
    NotAProposal,
}

/// What a replica has reached, under its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last record's index.
    pub record: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// The fold hash behind it.
    pub fold: FoldHash,
    /// How many writes the sender's log has synced, in all its life. Whoever comes back with fewer has
    /// an older log.
    pub writes: u64,
    /// The sender's signature. This room does not check it, or know over what it is.
    pub signature: [u8; 64],
}

impl Message {
    /// Bytes that this message takes, about and at least.
    pub(super) fn size(&self) -> usize {
        const REST: usize = 64;
        let sum = |sizes: &mut dyn Iterator<Item = usize>| -> usize {
            sizes.fold(REST, |sum, size| sum.saturating_add(size).saturating_add(REST))
        };
        match self {
            Message::Raft(PeerMessage(message)) => sum(&mut message
                .entries
                .iter()
                .map(|entry| entry.data.len().saturating_add(entry.context.len()))),
            Message::Propose { proposal, .. } => proposal.len().saturating_add(REST),
            Message::Members { members, .. } => {
                sum(&mut members.values().map(|peer| peer.address.as_ref().map_or(0, String::len)))
            }
            Message::Records { records, .. } => sum(&mut records.iter().map(Vec::len)),
            Message::Proposed { .. }
            | Message::HandOver(_)
            | Message::Yields { .. }
            | Message::Head(_)
            | Message::RecordsWanted { .. }
            | Message::RecordsEnd { .. } => 2 * REST,
        }
    }
}

/// The leader that a rejection names.
pub(super) fn leader_of(rejection: Rejection) -> Option<ReplicaId> {
    match rejection {
        Rejection::NotLeader(leader) => leader,
        Rejection::Busy | Rejection::Displaced => None,
    }
}
