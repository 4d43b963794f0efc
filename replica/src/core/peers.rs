//! What a peer's message must satisfy before raft-rs sees it.
//!
//! raft-rs trusts its peers: one heartbeat with a high commit index stops a follower with a
//! panic. Whatever it takes for granted is checked here first, so that the worst a member can do
//! to another one is to be ignored.

use ledger::history::ReplicaId;
use raft::Storage;
use raft::eraftpb::{EntryType, Message, MessageType};

use super::conf_change::ConfChange;
use super::{catch_up, configuration};

/// A Raft message between two members of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerMessage(pub Message);

/// What an honest member does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// The message names another sender or receiver than its connection has.
    #[error("a message that names another sender or receiver")]
    Address,
    /// A kind of message that members do not send each other.
    #[error("a message of a kind that members do not send")]
    Kind,
    /// No term where there must be one, or one where there is none.
    #[error("a message without its term")]
    Term,
    /// Entries that do not follow each other, or are of a kind that nobody proposes.
    #[error("entries that do not follow each other")]
    Entries,
    /// Entries in the place of others that are committed.
    #[error("entries that contradict what is committed")]
    Contradiction,
    /// A snapshot that leads to no record, or to no possible group.
    #[error("a snapshot that cannot be")]
    Snapshot,
    /// An index that this member's log does not reach although it must.
    #[error("an index beyond the log")]
    Index,
    /// What only a leader sends, in a term that another member leads.
    #[error("a leader's message, in a term that another member leads")]
    Leader,
    /// It goes on trying to end the leadership of a member that leads.
    #[error("it keeps trying to depose a leader that is there")]
    Lease,
}

/// The highest index of a snapshot. No log gets there by entries, and none behind it to the end of all
/// numbers.
const SNAPSHOT_INDEX: u64 = 1 << 60;
/// Bytes of a read's name.
const NAME_BYTES: usize = 16;

/// What the checks ask of the member that receives.
pub(super) struct Receiver<'a, S: Storage> {
    pub(super) id: ReplicaId,
    pub(super) term: u64,
    /// The leader of that term, if this member knows it; otherwise 0.
    pub(super) leader: u64,
    pub(super) committed: u64,
    /// The last index, synced or not.
    pub(super) last: u64,
    pub(super) log: &'a raft::RaftLog<S>,
}

impl<S: Storage> Receiver<'_, S> {
    /// Checks a message that came over the connection of `from`.
    pub(super) fn check(&self, from: ReplicaId, message: &Message) -> Result<(), Misbehaviour> {
        if message.from != from.0 || message.to != self.id.0 || from == self.id || from.0 == 0 {
            return Err(Misbehaviour::Address);
        }
        // raft-rs leaves the term out of a question for a read index, and of nothing else.
        let termless = message.get_msg_type() == MessageType::MsgReadIndex;
        if (message.term == 0) != termless {
            return Err(Misbehaviour::Term);
        }
        let kind = message.get_msg_type();
        let leads = matches!(
            kind,
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
        );
        // A term has one leader. raft-rs would let another one void entries that this member has
        // already told the leader that it keeps.
        let leader = self.leader;
        if leads && message.term == self.term && leader != 0 && leader != from.0 {
            return Err(Misbehaviour::Leader);
        }
        match kind {
            MessageType::MsgAppend => self.check_entries(message),
            MessageType::MsgSnapshot => {
                check_snapshot(message)?;
                let meta = message.get_snapshot().get_metadata();
                // raft-rs would begin the log anew there.
                let other = self.log.term(meta.index).is_ok_and(|ours| ours != meta.term);
                if meta.index == self.committed && other {
                    return Err(Misbehaviour::Contradiction);
                }
                Ok(())
            }
            MessageType::MsgHeartbeat if message.commit > self.last => Err(Misbehaviour::Index),
            MessageType::MsgAppendResponse if message.request_snapshot != 0 => {
                Err(Misbehaviour::Kind)
            }
            MessageType::MsgAppendResponse
                if message.term == self.term
                    && (message.index > self.last || message.reject_hint > self.last) =>
            {
                Err(Misbehaviour::Index)
            }
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp
                if message.entries.len() != 1 || message.entries[0].data.len() > NAME_BYTES =>
            {
                Err(Misbehaviour::Entries)
            }
            MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgReadIndex
            | MessageType::MsgReadIndexResp
            | MessageType::MsgTimeoutNow => Ok(()),
            _ => Err(Misbehaviour::Kind),
        }
    }

    fn check_entries(&self, message: &Message) -> Result<(), Misbehaviour> {
        // Every group starts behind a first position; nothing stands there or before it.
        if message.index == 0 && !message.entries.is_empty() {
            return Err(Misbehaviour::Entries);
        }
        // Every position behind the first has a term. To raft-rs one behind the log's end has none.
        if message.index != 0 && message.log_term == 0 {
            return Err(Misbehaviour::Entries);
        }
        let (mut index, mut term) = (message.index, message.log_term);
        for entry in &message.entries {
            let follows = index.checked_add(1) == Some(entry.index)
                && (term..=message.term).contains(&entry.term)
                && match entry.get_entry_type() {
                    EntryType::EntryNormal => true,
                    EntryType::EntryConfChangeV2 => {
                        ConfChange::from_protobuf(&entry.data).is_some()
                    }
                    EntryType::EntryConfChange => false,
                }
                && entry.context.is_empty();
            if !follows {
                return Err(Misbehaviour::Entries);
            }
            if entry.index <= self.committed
                && self.log.term(entry.index).is_ok_and(|ours| ours != entry.term && ours != 0)
            {
                return Err(Misbehaviour::Contradiction);
            }
            (index, term) = (entry.index, entry.term);
        }
        Ok(())
    }
}

/// A snapshot leads to a record, under a configuration that raft-rs takes.
fn check_snapshot(message: &Message) -> Result<(), Misbehaviour> {
    let meta = message.get_snapshot().get_metadata();
    let group = configuration::group_of(meta.get_conf_state());
    let sound = (1..=SNAPSHOT_INDEX).contains(&meta.index)
        && (1..=message.term).contains(&meta.term)
        && catch_up::target(message).is_some()
        && configuration::check(&group).is_ok();
    if sound { Ok(()) } else { Err(Misbehaviour::Snapshot) }
}
