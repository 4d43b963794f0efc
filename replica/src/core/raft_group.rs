//! The one driver of raft-rs: what goes in. What comes out of it is in `ready`.

use std::collections::VecDeque;

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::{Group, Position};
use raft::eraftpb::{ConfChangeV2, Message, MessageType};
use raft::{Config, ProgressState, RawNode, SnapshotStatus, StateRole};

use super::catch_up::{self, CatchUp};
use super::leases::{Leases, Passage};
use super::members::{self, Missing};
use super::peers::Receiver;
use super::proposals::Proposals;
use super::reads::Reads;
use super::window::{Window, WindowLimits};
use super::{
    Input, Misbehaviour, Output, PeerMessage, ProposalId, ReadId, Rejection, Saved, Target, Ticket,
    Wanted,
};

/// Ticks between a leader's heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// Ticks without a leader before an election, at least; less than twice as many.
const ELECTION_TICKS: usize = 8;
/// Ticks after which a snapshot is sent again to a member that has not answered it: it may be lost,
/// and a newer one leads further.
const SNAPSHOT_TICKS: u32 = 60;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<ReplicaId>,
    /// The last log index that it knows to be committed.
    pub committed: u64,
    /// Voters and learners as this member has applied them, and whether a change is under way.
    pub group: Group,
    /// To a leader: who has lately been heard of. Empty to others.
    pub active: Vec<ReplicaId>,
}

/// A write that is under way, and what waits for it.
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    /// The last of raft-rs's Readys that this write completes.
    pub(super) ready: u64,
    pub(super) messages: Vec<Message>,
    /// The index that it puts the log at.
    pub(super) installed: Option<u64>,
}

/// A member of a Raft group, without I/O.
pub struct Core {
    pub(super) id: ReplicaId,
    pub(super) raft: RawNode<Window>,
    pub(super) proposals: Proposals,
    pub(super) reads: Reads,
    pub(super) pending: VecDeque<Pending>,
    pub(super) next_ticket: u64,
    /// The last index handed out for writing.
    pub(super) written: u64,
    pub(super) applied: u64,
    /// The log was cut from this index to that position, and no write has said so yet.
    pub(super) cut: Option<(u64, Position)>,
    pub(super) catch_up: CatchUp,
    /// Groups that committed entries lead to, by their index, until that is applied.
    pub(super) groups: VecDeque<(u64, Group)>,
    pub(super) wanted: Wanted,
    pub(super) leases: Leases,
    /// The member that everybody was told of as the next leader.
    pub(super) yields: Option<u64>,
    /// The term and leader for which reads were asked last.
    pub(super) led: (u64, u64),
    /// Ticks since snapshots were last given up.
    pub(super) snapshot_ticks: u32,
    /// Election timeouts are drawn from it.
    pub(super) seed: u64,
    pub(super) halted: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("id", &self.id).field("status", &self.status()).finish()
    }
}

impl Core {
    /// The member `id`, as its disk remembers it. Every run of every member needs a seed of its own:
    /// election timeouts are drawn from it, and reads are named by it.
    pub fn new(id: ReplicaId, saved: Saved, seed: u64) -> Result<Self, Fault> {
        Self::with_window(id, saved, seed, WindowLimits::default())
    }

    /// The same, with a window of other limits.
    pub fn with_window(
        id: ReplicaId,
        saved: Saved,
        seed: u64,
        limits: WindowLimits,
    ) -> Result<Self, Fault> {
        saved.check()?;
        let (applied, written) = (saved.applied, saved.last().index);
        let catch_up = CatchUp::new(saved.ahead, saved.record);
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
        let raft = RawNode::new(&config, Window::new(saved, limits), &quiet)
            .map_err(|e| Fault::from_error("start Raft", e))?;
        let mut core = Core {
            id,
            raft,
            proposals: Proposals::default(),
            reads: Reads::new(mix(seed ^ mix(id.0))),
            pending: VecDeque::new(),
            next_ticket: 1,
            written,
            applied,
            cut: None,
            catch_up,
            groups: VecDeque::new(),
            wanted: Wanted::new(),
            leases: Leases::default(),
            yields: None,
            led: (0, 0),
            snapshot_ticks: 0,
            seed,
            halted: false,
        };
        core.pin_election();
        Ok(core)
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
            group: self.raft.store().group().clone(),
            active: match raft.state {
                StateRole::Leader => {
                    let lately = raft
                        .prs()
                        .iter()
                        .filter(|(id, progress)| **id == self.id.0 || progress.recent_active);
                    let mut active: Vec<_> = lately.map(|(id, _)| ReplicaId(*id)).collect();
                    active.sort_unstable();
                    active
                }
                _ => Vec::new(),
            },
        }
    }

    /// Up to where this member needs records that it lacks.
    pub fn awaited(&self) -> Option<Target> {
        self.catch_up.awaited()
    }

    /// The term, and whom this member takes for the leader.
    pub fn leads(&self) -> (u64, Option<ReplicaId>) {
        let raft = &self.raft.raft;
        (raft.term, (raft.leader_id != 0).then_some(ReplicaId(raft.leader_id)))
    }

    /// Takes inputs in their order and appends what follows from all of them to `out`: what they
    /// lead to be written shares a write.
    pub fn step(&mut self, inputs: impl IntoIterator<Item = Input>, out: &mut Vec<Output>) {
        if self.halted {
            return;
        }
        let mut inputs = inputs.into_iter();
        let taken = inputs.try_for_each(|input| {
            let taken = self.take(input, out);
            self.pin_election();
            taken
        });
        self.yields(out);
        let done = taken.and_then(|()| self.drain(out));
        self.pin_election();
        match done {
            Ok(()) => {}
            Err(fault) => {
                self.halted = true;
                out.push(Output::Halt(fault));
            }
        }
    }

    /// Forgets the reads that nobody waits for any more.
    pub fn keep_reads(&mut self, is_awaited: impl Fn(ReadId) -> bool) {
        self.reads.keep(is_awaited);
    }

    /// Says whom this member lets lead, before that one asks for votes.
    fn yields(&mut self, out: &mut Vec<Output>) {
        let next = self.raft.raft.lead_transferee;
        if next != self.yields {
            self.yields = next;
            out.extend(next.map(|to| Output::Yields(self.raft.raft.term, ReplicaId(to))));
        }
    }

    fn take(&mut self, input: Input, out: &mut Vec<Output>) -> Result<(), Fault> {
        match input {
            Input::Tick => self.tick(out)?,
            Input::FromPeer(from, message) => self.receive(from, message, out)?,
            Input::Propose(term, proposals) => {
                for (id, data) in proposals {
                    self.propose(term, id, data, out)?;
                }
            }
            Input::Read(read) => self.reads.add(read),
            Input::Persisted(ticket) => self.persisted(ticket, out)?,
            Input::Applied(index, record) => self.applied(index, record, out)?,
            Input::Members(wanted) => {
                self.leases.keep(|id| wanted.contains_key(&ReplicaId(id)));
                self.wanted = wanted;
                self.follow_records()?;
            }
            Input::CaughtUp(target) => {
                if let Some(message) = self.catch_up.reached(target) {
                    let meta = message.get_snapshot().get_metadata();
                    let log = &self.raft.raft.raft_log;
                    // The log may have got there meanwhile. raft-rs would begin it anew.
                    if meta.index != log.committed || log.match_term(meta.index, meta.term) {
                        self.step_raft(message)?;
                    }
                }
                let turns = self.catch_up.turns(Vec::new());
                self.hand_out(turns, out)?;
                self.ask_for_records(out);
            }
            Input::CatchUpFailed(target) => drop(self.catch_up.failed(target)),
            Input::Unreachable(peer) => {
                self.raft.report_unreachable(peer.0);
                self.raft.report_snapshot(peer.0, SnapshotStatus::Failure);
            }
            Input::HandOver(to) => self.hand_over(to.map(|to| to.0)),
            Input::Yields(from, term, to) => {
                let raft = &self.raft.raft;
                if (raft.leader_id, raft.term) == (from.0, term) {
                    self.leases.yields(term, to.0);
                }
            }
        }
        Ok(())
    }

    /// raft-rs draws election timeouts from a source of its own, anew in many places. They are set
    /// here instead, so that the same inputs lead to the same outputs.
    fn pin_election(&mut self) {
        let raft = &mut self.raft.raft;
        let drawn = mix(self.seed ^ mix(self.id.0 ^ mix(raft.term)));
        let ticks = ELECTION_TICKS + (drawn % ELECTION_TICKS as u64) as usize;
        raft.set_randomized_election_timeout(ticks);
    }

    fn hand_over(&mut self, to: Option<u64>) {
        if self.raft.raft.state != StateRole::Leader {
            return;
        }
        if let Some(to) = to.or_else(|| members::successor(self.id, &self.raft, &self.wanted)) {
            self.raft.transfer_leader(to);
        }
    }

    /// Brings Raft's configuration closer to what the records want.
    pub(super) fn follow_records(&mut self) -> Result<(), Fault> {
        // Records that are not complete do not say who the members are.
        if self.catch_up.is_incomplete() {
            return Ok(());
        }
        match members::missing(self.id, &self.raft, &self.wanted) {
            Missing::Nothing => Ok(()),
            Missing::Change(change) => self.change_group(change),
            Missing::Successor => {
                if self.raft.raft.lead_transferee.is_none() {
                    self.hand_over(None);
                }
                Ok(())
            }
        }
    }

    fn change_group(&mut self, change: ConfChangeV2) -> Result<(), Fault> {
        match self.raft.propose_conf_change(Vec::new(), change) {
            // Dropped: the leadership is being handed over, or too much is under way.
            Ok(()) | Err(raft::Error::ProposalDropped) => Ok(()),
            Err(error) => Err(Fault::from_error("propose a change of the group", error)),
        }
    }

    fn tick(&mut self, out: &mut Vec<Output>) -> Result<(), Fault> {
        self.reads.tick();
        self.leases.tick();
        // Nobody else can vote or lead: there is nothing to wait for.
        let alone = self.raft.raft.prs().is_singleton() && self.raft.raft.promotable();
        if alone && self.raft.raft.state == StateRole::Follower {
            if self.is_unwritten() {
                return Ok(());
            }
            self.raft.campaign().map_err(|e| Fault::from_error("stand for election", e))?;
        } else {
            self.raft.tick();
        }
        self.snapshot_ticks += 1;
        if self.snapshot_ticks >= SNAPSHOT_TICKS {
            self.snapshot_ticks = 0;
            self.give_up_snapshots();
        }
        self.ask_for_records(out);
        self.follow_records()
    }

    fn ask_for_records(&mut self, out: &mut Vec<Output>) {
        if let Some((from, target)) = self.catch_up.unasked() {
            out.push(Output::CatchUp(from, target));
        }
    }

    /// Whether entries of this member's log are not written yet. raft-rs stops with a panic if it is
    /// elected meanwhile: it asks for votes only behind that write.
    fn is_unwritten(&self) -> bool {
        let log = &self.raft.raft.raft_log;
        log.persisted < log.last_index()
    }

    fn give_up_snapshots(&mut self) {
        let waiting: Vec<u64> = self
            .raft
            .raft
            .prs()
            .iter()
            .filter(|(_, progress)| progress.state == ProgressState::Snapshot)
            .map(|(id, _)| *id)
            .collect();
        for member in waiting {
            self.raft.report_snapshot(member, SnapshotStatus::Failure);
        }
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
            leader: raft.leader_id,
            committed: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            log: &raft.raft_log,
        };
        if let Err(misbehaviour) = receiver.check(from, &message) {
            out.push(Output::Misbehaved(from, misbehaviour));
            return Ok(());
        }
        let raft = &self.raft.raft;
        match self.leases.passes(raft, &message) {
            Passage::Passes => {}
            Passage::Climbs(term) => {
                self.raft.raft.become_follower(term, raft::INVALID_ID);
                return Ok(());
            }
            Passage::Dropped => return Ok(()),
            Passage::Hostile => {
                out.push(Output::Misbehaved(from, Misbehaviour::Lease));
                return Ok(());
            }
        }
        match message.get_msg_type() {
            // Nobody has been asked for a vote yet.
            MessageType::MsgTimeoutNow
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVoteResponse
                if self.is_unwritten() =>
            {
                return Ok(());
            }
            // Whoever sends it follows an older leader than we do.
            MessageType::MsgReadIndexResp if raft.leader_id != from.0 => return Ok(()),
            // Its entries would have to be applied before the records are complete.
            MessageType::MsgAppend if self.catch_up.is_incomplete() => return Ok(()),
            MessageType::MsgSnapshot => {
                let Some(target) = catch_up::target(&message) else { return Ok(()) };
                let meta = message.get_snapshot().get_metadata();
                let needed = message.term >= raft.term
                    && meta.index > raft.raft_log.committed
                    && !raft.raft_log.match_term(meta.index, meta.term)
                    && !planted!(SnapshotEarly);
                if needed {
                    self.catch_up.hold(message, target);
                    self.ask_for_records(out);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.step_raft(message)
    }

    fn step_raft(&mut self, message: Message) -> Result<(), Fault> {
        match self.raft.step(message) {
            // A response of a peer that has left; a proposal is never stepped here.
            Ok(()) | Err(raft::Error::StepPeerNotFound | raft::Error::ProposalDropped) => Ok(()),
            Err(error) => Err(Fault::from_error("step a Raft message", error)),
        }
    }

    fn propose(
        &mut self,
        term: u64,
        id: ProposalId,
        data: Vec<u8>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        // raft-rs would forward a follower's proposal; ours are forwarded before they get here.
        if self.raft.raft.state != StateRole::Leader || self.raft.raft.term != term {
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
}

/// Spreads a number over all bits (the finalizer of MurmurHash3).
fn mix(mut n: u64) -> u64 {
    n ^= n >> 33;
    n = n.wrapping_mul(0xff51_afd7_ed55_8ccd);
    n ^= n >> 33;
    n = n.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ (n >> 33)
}

#[cfg(test)]
mod tests;
