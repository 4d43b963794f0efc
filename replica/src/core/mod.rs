//! The Raft member without I/O: inputs go in, outputs come out, in order.
//!
//! Two shells run it: the daemon's loop and a simulator. A shell feeds every [`Input`] to
//! [`Core::step`] and carries out what comes back, in the order in which it comes back. The core
//! itself withholds the messages that must follow a sync, so a shell cannot send one too early.

pub mod applier;
mod catch_up;
mod conf_change;
mod configuration;
#[cfg(test)]
mod hostile;
mod leases;
mod members;
mod peers;
mod proposals;
mod raft_group;
mod reads;
mod ready;
mod window;

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::{Ahead, EntryKind, Group, HardState, Position};
use ledger::rows::watermark::Watermark;

pub use catch_up::Target;
pub(crate) use conf_change::ConfChange;
pub use ledger::rows::raft::RecordPointer;
pub use members::{Wanted, WantedRole};
pub use peers::{Misbehaviour, PeerMessage};
pub use raft_group::{Core, Role, Status};
pub use window::WindowLimits;

/// Names a proposal between the shell and the core, as long as both run. The shell chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// Names a read between the shell and the core, as long as both run. The shell chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// Names a write to the log. Tickets rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What happens to a member.
#[derive(Debug)]
pub enum Input {
    /// A tick of the clock has passed. A member that is alone in its group elects itself on the
    /// first one.
    Tick,
    /// A message from the peer that the transport authenticated as this replica.
    FromPeer(ReplicaId, PeerMessage),
    /// Proposals to append if this member leads in that term, each a signed proposal's bytes:
    /// together under one sync.
    Propose(u64, Vec<(ProposalId, Vec<u8>)>),
    /// Somebody wants to read what is committed by now.
    Read(ReadId),
    /// The write of this ticket is done, and synced if it asked for that.
    Persisted(Ticket),
    /// Everything up to this log index has been applied, and what it changed is written: the
    /// records now end there. None before record 0, and where records are ahead of the log.
    Applied(u64, Option<RecordPointer>),
    /// Who is to be a member, as the records say by now.
    Members(Wanted),
    /// All records up to this one, which [`Output::CatchUp`] named, are on disk.
    CaughtUp(Target),
    /// The records up to this one, which [`Output::CatchUp`] named, are not what it said.
    CatchUpFailed(Target),
    /// What was sent to this peer lately is perhaps lost.
    Unreachable(ReplicaId),
    /// That member, or whichever is closest, is to lead in this one's place.
    HandOver(Option<ReplicaId>),
    /// The first says that it leads in that term and lets the second lead next.
    Yields(ReplicaId, u64, ReplicaId),
}

/// What a member wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this. It may be lost.
    Send(ReplicaId, PeerMessage),
    /// Write this to the log and answer with [`Input::Persisted`]. Writes keep their order.
    Persist(Ticket, LogWrite),
    /// Apply these, which are committed, in their order and after the writes before, but for those
    /// from which records came that are here already; and answer with [`Input::Applied`].
    Apply(Vec<Committed>),
    /// This peer offers to go on from that record, or it was lost here: get the records up to it,
    /// from anybody, and answer with [`Input::CaughtUp`] or [`Input::CatchUpFailed`]. A later one
    /// takes an earlier one's place; whether it still counts says [`Core::awaited`].
    CatchUp(Option<ReplicaId>, Target),
    /// What was committed when this read was asked for has been applied.
    Readable(ReadId),
    /// This proposal was not appended, or lost its place to another one: it will not be applied.
    Rejected(ProposalId, Rejection),
    /// Tell everybody that this member, which leads in that term, lets that one lead next.
    Yields(u64, ReplicaId),
    /// A peer sent what no honest member sends. The message was dropped.
    Misbehaved(ReplicaId, Misbehaviour),
    /// Stop: acknowledge nothing more.
    Halt(Fault),
}

/// Why a proposal will not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// This member does not lead; perhaps that one does.
    NotLeader(Option<ReplicaId>),
    /// Too much is under way, or the leadership is being handed over.
    Busy,
    /// Another leader's entry took its place in the log.
    Displaced,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: Position,
    /// What its data is.
    pub kind: EntryKind,
    /// A signed proposal's bytes, empty for a leader's first entry; or a change of the Raft
    /// group, as raft-rs writes it.
    pub data: Vec<u8>,
}

/// One write to the log: all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogWrite {
    /// Entries to set, with consecutive indexes.
    pub entries: Vec<LogEntry>,
    /// The last index in use before this write. Entries behind the new ones up to here are void.
    pub previous_last: u64,
    /// The hard state, if it changed.
    pub hard: Option<HardState>,
    /// The log starts behind this position from now on; it moved on from the first index.
    pub base: Option<(u64, Position)>,
    /// The log begins anew. Comes before the entries.
    pub installed: Option<Installed>,
    /// Whether it must be synced before it is reported as persisted.
    pub must_sync: bool,
}

/// A log that is empty, and everything in it applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Up to there.
    pub at: Position,
    /// The group there.
    pub group: Group,
    /// The last record that came of it, which is on disk, as are all before it.
    pub record: RecordPointer,
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The entry.
    pub entry: LogEntry,
    /// The proposal that this member's shell made of it, if it was made here and in this run.
    pub proposal: Option<ProposalId>,
    /// The group from here on, if the entry changes it.
    pub group: Option<Group>,
}

/// What a member finds on its disk when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The position before the first entry.
    pub base: Position,
    /// The entries, without gaps.
    pub entries: Vec<LogEntry>,
    /// The hard state.
    pub hard: HardState,
    /// The index applied last.
    pub applied: u64,
    /// The group as of that index.
    pub group: Group,
    /// The last record.
    pub record: Option<RecordPointer>,
    /// What that index has led to, where that is not the last record.
    pub ahead: Option<Ahead>,
}

impl Saved {
    /// A group of one voter that has done nothing yet. It starts behind a first position, so
    /// that members without a log can be added later.
    pub fn founded(replica: ReplicaId) -> Self {
        let base = Position { index: 1, term: 1 };
        Saved {
            base,
            entries: Vec::new(),
            hard: HardState { term: base.term, vote: 0, commit: base.index },
            applied: base.index,
            group: Group { voters: vec![replica.0], ..Group::default() },
            record: None,
            ahead: None,
        }
    }

    /// A member that has joined a group and knows nothing yet.
    pub fn joined() -> Self {
        Saved {
            base: Position::default(),
            entries: Vec::new(),
            hard: HardState::default(),
            applied: 0,
            group: Group::default(),
            record: None,
            ahead: None,
        }
    }

    /// Whether nothing has come from the group yet.
    fn is_blank(&self) -> bool {
        self.group == Group::default()
    }

    /// The last position in the log.
    pub fn last(&self) -> Position {
        self.entries.last().map_or(self.base, |entry| entry.position)
    }

    /// The promises that this log keeps.
    pub fn promise(&self) -> Watermark {
        let last = self.last();
        Watermark {
            term: self.hard.term,
            vote: self.hard.vote,
            last_term: last.term,
            last_index: last.index,
        }
    }

    /// Checks what Raft takes for granted: a core made of anything else would stop with a panic.
    pub fn check(&self) -> Result<(), Fault> {
        let fault = |what: String| Err(Fault::new(format!("the Raft log is damaged: {what}")));
        let mut before = self.base;
        // Whoever has just joined has an empty log that starts nowhere.
        let fresh = before == Position::default() && self.is_blank();
        if !fresh && (before.index == 0 || before.term == 0) {
            return fault("it starts nowhere".into());
        }
        for entry in &self.entries {
            let at = entry.position;
            if Some(at.index) != before.index.checked_add(1) || at.term < before.term {
                return fault(format!(
                    "entry {} of term {} follows entry {} of term {}",
                    at.index, at.term, before.index, before.term
                ));
            }
            before = at;
        }
        let HardState { term, commit, .. } = self.hard;
        if before.term > term {
            return fault(format!("its last term {} is above the term {term}", before.term));
        }
        if !(self.base.index <= self.applied && self.applied <= commit && commit <= before.index) {
            return fault(format!(
                "it starts at {}, is applied to {}, committed to {commit}, and ends at {}",
                self.base.index, self.applied, before.index
            ));
        }
        if self.ahead.is_some_and(|ahead| ahead.index != self.applied) {
            return fault("it is not applied to where records are said to be ahead of it".into());
        }
        if fresh {
            return if self.entries.is_empty() {
                Ok(())
            } else {
                fault("it has entries, but no group".into())
            };
        }
        if let Err(what) = configuration::check(&self.group) {
            return fault(format!("the group's row: {what}"));
        }
        Ok(())
    }
}
