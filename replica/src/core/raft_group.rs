//! The one driver of raft-rs.
//!
//! A Ready's entries are in the window before raft-rs is told to go on, its messages wait for the
//! sync of everything they promise, and its committed entries come out after the write that they
//! depend on.

use std::collections::VecDeque;

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::{HardState, Position};
use raft::eraftpb::{Entry, Message};
use raft::{Config, RawNode, Ready, StateRole, Storage};

use super::peers::Receiver;
use super::proposals::{Fate, Proposals};
use super::reads::Reads;
use super::window::{Window, from_raft};
use super::{
    Committed, Input, LogWrite, Output, PeerMessage, ProposalId, ReadId, Rejection, Saved, Ticket,
};

/// Ticks between a leader's heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// Ticks without a leader before an election, at least; at most twice as many.
const ELECTION_TICKS: usize = 10;
/// Bytes of entries that one message carries, unless one entry alone has more.
const MESSAGE_BYTES: u64 = 256 << 10;
/// Messages under way to one peer.
const INFLIGHT_MESSAGES: usize = 64;
/// Bytes of entries that wait for their commitment; proposals beyond are rejected as busy.
const UNCOMMITTED_BYTES: u64 = 64 << 20;
/// Bytes of committed entries that are applied in one go.
const APPLY_BYTES: u64 = 4 << 20;

/// Whether a member leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It follows, or looks for a leader.
    Follower,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<ReplicaId>,
    /// The last log index that it knows to be committed.
    pub committed: u64,
}

/// A write that is under way, and what waits for it.
struct Pending {
    ticket: Ticket,
    /// The last of raft-rs's Readys that this write completes.
    ready: u64,
    messages: Vec<Message>,
}

/// A member of a Raft group, without I/O.
pub struct Core {
    id: ReplicaId,
    raft: RawNode<Window>,
    proposals: Proposals,
    reads: Reads,
    pending: VecDeque<Pending>,
    next_ticket: u64,
    /// The last index handed out for writing.
    written: u64,
    applied: u64,
    /// The log was cut from this index to that position, and no write has said so yet.
    cut: Option<(u64, Position)>,
    halted: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("id", &self.id).field("status", &self.status()).finish()
    }
}

impl Core {
    /// The member `id`, as its disk remembers it.
    pub fn new(id: ReplicaId, saved: Saved) -> Result<Self, Fault> {
        saved.check(id)?;
        let (applied, written) = (saved.applied, saved.last().index);
        let config = Config {
            id: id.0,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: INFLIGHT_MESSAGES,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            max_committed_size_per_ready: APPLY_BYTES,
            ..Config::default()
        };
        let quiet = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&config, Window::new(saved), &quiet)
            .map_err(|e| Fault::from_error("start Raft", e))?;
        Ok(Core {
            id,
            raft,
            proposals: Proposals::default(),
            reads: Reads::default(),
            pending: VecDeque::new(),
            next_ticket: 1,
            written,
            applied,
            cut: None,
            halted: false,
        })
    }

    /// Where this member stands.
    pub fn status(&self) -> Status {
        let raft = &self.raft.raft;
        Status {
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Follower => Role::Follower,
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            },
            term: raft.term,
            leader: (raft.leader_id != 0).then_some(ReplicaId(raft.leader_id)),
            committed: raft.raft_log.committed,
        }
    }

    /// Takes an input and appends what follows from it to `out`.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        if self.halted {
            return;
        }
        match self.take(input, out).and_then(|()| self.drain(out)) {
            Ok(()) => {}
            Err(fault) => {
                self.halted = true;
                out.push(Output::Halt(fault));
            }
        }
    }

    fn take(&mut self, input: Input, out: &mut Vec<Output>) -> Result<(), Fault> {
        match input {
            Input::Tick => self.tick()?,
            Input::FromPeer(from, message) => self.receive(from, message, out)?,
            Input::Propose(proposals) => {
                for (id, data) in proposals {
                    self.propose(id, data, out)?;
                }
            }
            Input::Read(read) => self.reads.add(read),
            Input::Persisted(ticket) => self.persisted(ticket, out)?,
            Input::Applied(index) => self.applied(index, out)?,
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), Fault> {
        self.reads.tick();
        // Nobody else can vote or lead: there is nothing to wait for.
        let alone = self.raft.raft.prs().is_singleton() && self.raft.raft.promotable();
        if alone && self.raft.raft.state == StateRole::Follower {
            self.raft.campaign().map_err(|e| Fault::from_error("stand for election", e))?;
        } else {
            self.raft.tick();
        }
        Ok(())
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        PeerMessage(message): PeerMessage,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let raft = &self.raft.raft;
        let receiver = Receiver {
            id: self.id,
            term: raft.term,
            committed: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            log: &raft.raft_log,
        };
        if let Err(misbehaviour) = receiver.check(from, &message) {
            out.push(Output::Misbehaved(from, misbehaviour));
            return Ok(());
        }
        match self.raft.step(message) {
            // A response of a peer that has left; a proposal is never stepped here.
            Ok(()) | Err(raft::Error::StepPeerNotFound | raft::Error::ProposalDropped) => Ok(()),
            Err(error) => Err(Fault::from_error("step a Raft message", error)),
        }
    }

    fn propose(
        &mut self,
        id: ProposalId,
        data: Vec<u8>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        // raft-rs would forward a follower's proposal; ours are forwarded before they get here.
        if self.raft.raft.state != StateRole::Leader {
            let leader = self.status().leader;
            out.push(Output::Rejected(id, Rejection::NotLeader(leader)));
            return Ok(());
        }
        match self.raft.propose(Vec::new(), data) {
            Ok(()) => {
                let raft = &self.raft.raft;
                let position = Position { index: raft.raft_log.last_index(), term: raft.term };
                if let Some(displaced) = self.proposals.appended(position, id) {
                    out.push(Output::Rejected(displaced, Rejection::Displaced));
                }
                Ok(())
            }
            Err(raft::Error::ProposalDropped) => {
                out.push(Output::Rejected(id, Rejection::Busy));
                Ok(())
            }
            Err(error) => Err(Fault::from_error("propose", error)),
        }
    }

    fn persisted(&mut self, ticket: Ticket, out: &mut Vec<Output>) -> Result<(), Fault> {
        match self.pending.pop_front() {
            Some(pending) if pending.ticket == ticket => {
                send(pending.messages, out);
                self.raft.on_persist_ready(pending.ready);
                Ok(())
            }
            _ => Err(Fault::new(format!("write {} was reported out of order", ticket.0))),
        }
    }

    fn applied(&mut self, index: u64, out: &mut Vec<Output>) -> Result<(), Fault> {
        if index < self.applied || index > self.raft.raft.raft_log.committed {
            return Err(Fault::new(format!("log index {index} was reported as applied")));
        }
        self.applied = index;
        self.raft.advance_apply_to(index);
        let first = self.raft.store().first_index().map_err(|e| Fault::from_error("log", e))?;
        if let Some(base) = self.raft.mut_store().cut(index) {
            let from = self.cut.map_or(first, |(from, _)| from);
            self.cut = Some((from, base));
        }
        self.release_reads(out);
        Ok(())
    }

    /// Takes everything out of raft-rs that is ready.
    fn drain(&mut self, out: &mut Vec<Output>) -> Result<(), Fault> {
        // A leader that has committed nothing in its term would drop the question.
        let can_ask = match self.raft.raft.state {
            StateRole::Leader => self.raft.raft.commit_to_current_term(),
            StateRole::Follower => self.raft.raft.leader_id != 0,
            _ => false,
        };
        if can_ask && let Some(context) = self.reads.ask() {
            self.raft.read_index(context);
        }
        while self.raft.has_ready() {
            let ready = self.raft.ready();
            self.handle(ready, out)?;
        }
        self.release_reads(out);
        Ok(())
    }

    fn handle(&mut self, mut ready: Ready, out: &mut Vec<Output>) -> Result<(), Fault> {
        if !ready.snapshot().is_empty() {
            return Err(Fault::new("Raft took a snapshot that nobody let in"));
        }
        // A leader's messages may overtake its own sync (Raft thesis 10.2.1).
        send(ready.take_messages(), out);
        for state in ready.take_read_states() {
            self.reads.answer(&state.request_ctx, state.index);
        }
        let entries = ready.take_entries();
        self.raft.mut_store().append(&entries);
        let write = self.write(&entries, &ready);
        let messages = ready.take_persisted_messages();
        let committed = ready.take_committed_entries();
        let number = ready.number();
        self.raft.advance_append_async(ready);

        let idle = write.entries.is_empty() && write.hard.is_none() && write.base.is_none();
        if !idle {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.pending.push_back(Pending { ticket, ready: number, messages });
            out.push(Output::Persist(ticket, write));
        } else if let Some(last) = self.pending.back_mut() {
            // Nothing to write, but it must not overtake what is being written.
            last.ready = number;
            last.messages.extend(messages);
        } else {
            self.raft.on_persist_ready(number);
            send(messages, out);
        }
        self.commit(committed, out);
        Ok(())
    }

    fn write(&mut self, entries: &[Entry], ready: &Ready) -> LogWrite {
        let previous_last = self.written;
        if let Some(last) = entries.last() {
            self.written = last.index;
        }
        LogWrite {
            entries: entries.iter().map(from_raft).collect(),
            previous_last,
            hard: ready.hs().map(|hard| HardState {
                term: hard.term,
                vote: hard.vote,
                commit: hard.commit,
            }),
            base: self.cut.take(),
            must_sync: ready.must_sync(),
        }
    }

    fn commit(&mut self, entries: Vec<Entry>, out: &mut Vec<Output>) {
        let mut batch = Vec::with_capacity(entries.len());
        for entry in &entries {
            let entry = from_raft(entry);
            let proposal = match self.proposals.committed(entry.position) {
                Fate::Committed(id) => Some(id),
                Fate::Nobodys => None,
                Fate::Displaced(id) => {
                    out.push(Output::Rejected(id, Rejection::Displaced));
                    None
                }
            };
            batch.push(Committed { entry, proposal });
        }
        if !batch.is_empty() {
            out.push(Output::Apply(batch));
        }
    }

    fn release_reads(&mut self, out: &mut Vec<Output>) {
        let readable: Vec<ReadId> = self.reads.applied(self.applied);
        out.extend(readable.into_iter().map(Output::Readable));
    }
}

fn send(messages: Vec<Message>, out: &mut Vec<Output>) {
    out.extend(messages.into_iter().map(|m| Output::Send(ReplicaId(m.to), PeerMessage(m))));
}
