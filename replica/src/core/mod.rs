//! The Raft member without I/O: inputs go in, outputs come out, in order.
//!
//! Two shells run it: the daemon's loop and a simulator. A shell feeds every [`Input`] to
//! [`Core::step`] and carries out what comes back, in the order in which it comes back. The core
//! itself withholds the messages that must follow a sync, so a shell cannot send one too early.

pub mod applier;
mod peers;
mod pointer;
mod proposals;
mod raft_group;
mod reads;
mod window;

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::{Group, HardState, Position};
use ledger::rows::watermark::Watermark;

pub use peers::{Misbehaviour, PeerMessage};
pub use pointer::RecordPointer;
pub use raft_group::{Core, Role, Status};

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
    /// Proposals to append, each a signed proposal's bytes: together under one sync.
    Propose(Vec<(ProposalId, Vec<u8>)>),
    /// Somebody wants to read what is committed by now.
    Read(ReadId),
    /// The write of this ticket is done, and synced if it asked for that.
    Persisted(Ticket),
    /// Everything up to this log index has been applied; what it changed is written.
    Applied(u64),
}

/// What a member wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this. It may be lost.
    Send(ReplicaId, PeerMessage),
    /// Write this to the log and answer with [`Input::Persisted`]. Writes keep their order.
    Persist(Ticket, LogWrite),
    /// Apply these, which are committed, in their order and after the writes before, and answer
    /// with [`Input::Applied`].
    Apply(Vec<Committed>),
    /// What was committed when this read was asked for has been applied.
    Readable(ReadId),
    /// This proposal was not appended, or lost its place to another one: it will not be applied.
    Rejected(ProposalId, Rejection),
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
    /// A signed proposal's bytes; empty for a leader's first entry.
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
    /// Whether it must be synced before it is reported as persisted.
    pub must_sync: bool,
}

/// A committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The entry.
    pub entry: LogEntry,
    /// The proposal that this member's shell made of it, if it was made here and in this run.
    pub proposal: Option<ProposalId>,
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
        }
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
    pub fn check(&self, replica: ReplicaId) -> Result<(), Fault> {
        let fault = |what: String| Err(Fault::new(format!("the Raft log is damaged: {what}")));
        let mut before = self.base;
        if before.index == 0 || before.term == 0 {
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
        let group = &self.group;
        if !group.voters.contains(&replica.0) && !group.learners.contains(&replica.0) {
            return fault(format!("replica {replica} is not a member of its own group"));
        }
        Ok(())
    }
}
