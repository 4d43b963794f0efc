//! The loop: the only place where the core meets the disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Fault;
use ledger::history::Verdict;
use ledger::rows::Rows;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::foresight::Foresight;
use super::handle::Command;
use super::keeper::Keeper;
use super::{Outcome, View};
use crate::core::applier::Applied;
use crate::core::{Committed, Core, Input, LogWrite, Output, ProposalId, ReadId};
use crate::disk::{Batch, Disk, Durable, log};

/// Time between two ticks of the core.
const TICK: Duration = Duration::from_millis(100);
/// How long the loop stays awake for whoever asks on at once: being woken takes a good part of a
/// sync's time. Others may have its core meanwhile.
const AWAKE: Duration = Duration::from_micros(100);
/// Proposals that share a sync, at most.
const BATCH_PROPOSALS: usize = 1024;
/// Bytes of proposals from which no more join a sync.
const BATCH_BYTES: usize = 1 << 20;

/// A proposal whose asker waits.
struct Waiting {
    reply: oneshot::Sender<Outcome>,
    /// Its place in the queue, free again when it is answered.
    _permit: OwnedSemaphorePermit,
}

/// Everything that the loop owns.
pub(super) struct Loop<D: Disk> {
    core: Core,
    disk: D,
    /// What nobody relies on yet: it goes with whatever is written next.
    later: Batch,
    keeper: Keeper,
    foresight: Foresight,
    commands: Receiver<Command>,
    views: watch::Sender<Arc<View>>,
    waiting: BTreeMap<ProposalId, Waiting>,
    reading: BTreeMap<ReadId, oneshot::Sender<()>>,
    next_id: u64,
}

impl<D: Disk> Loop<D> {
    pub(super) fn new(
        core: Core,
        disk: D,
        keeper: Keeper,
        commands: Receiver<Command>,
        views: watch::Sender<Arc<View>>,
    ) -> Result<Self, Fault> {
        Ok(Loop {
            core,
            disk,
            later: Batch::new(),
            keeper,
            foresight: Foresight::start()?,
            commands,
            views,
            waiting: BTreeMap::new(),
            reading: BTreeMap::new(),
            next_id: 0,
        })
    }

    /// Runs until it is stopped, or until it must not acknowledge anything any more. What was
    /// under way then has an unknown outcome.
    pub(super) fn run(mut self) -> Result<(), Fault> {
        // The first tick comes at once: a member that is alone elects itself.
        let mut next_tick = Instant::now();
        let mut awake = next_tick;
        loop {
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.step(Input::Tick)?;
                // Nothing may follow for a long time that would make the mark durable.
                self.keeper.write(Durable::Now)?;
            }
            match self.next(awake.min(next_tick), next_tick) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(first) => {
                    if self.gather(first)? {
                        break;
                    }
                    awake = Instant::now() + AWAKE;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        // What was applied since the last sync could be applied again; spare the next start that.
        self.disk.commit(Batch::new(), Durable::Now)?;
        self.keeper.write(Durable::Now)
    }

    /// The next command: looks for one until `awake`, and then sleeps until `end`.
    fn next(&self, awake: Instant, end: Instant) -> Result<Command, RecvTimeoutError> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => return Ok(command),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let now = Instant::now();
            if now >= awake {
                return self.commands.recv_timeout(end.saturating_duration_since(now));
            }
            thread::yield_now();
        }
    }

    /// Takes what has queued up, so that it shares a sync. Says whether it is time to stop.
    fn gather(&mut self, first: Command) -> Result<bool, Fault> {
        let mut proposals = Vec::new();
        let mut reads = Vec::new();
        let mut bytes = 0;
        let mut stop = false;
        let mut next = Some(first);
        while let Some(command) = next {
            self.next_id += 1;
            match command {
                Command::Submit { data, reply, permit } => {
                    bytes += data.len();
                    let id = ProposalId(self.next_id);
                    self.waiting.insert(id, Waiting { reply, _permit: permit });
                    proposals.push((id, data));
                }
                Command::Read { reply } => {
                    let id = ReadId(self.next_id);
                    self.reading.insert(id, reply);
                    reads.push(id);
                }
                Command::Stop => stop = true,
            }
            let full = proposals.len() >= BATCH_PROPOSALS || bytes >= BATCH_BYTES;
            next = if full || stop { None } else { self.commands.try_recv().ok() };
        }
        for read in reads {
            self.step(Input::Read(read))?;
        }
        if !proposals.is_empty() {
            self.step(Input::Propose(proposals))?;
        }
        Ok(stop)
    }

    /// Feeds the core and carries out what it wants, in order, until it wants no more.
    fn step(&mut self, input: Input) -> Result<(), Fault> {
        let mut out = Vec::new();
        self.core.step(input, &mut out);
        let mut queue = VecDeque::from(out);
        while let Some(output) = queue.pop_front() {
            let answer = match output {
                Output::Persist(ticket, write) => {
                    self.persist(&write)?;
                    Input::Persisted(ticket)
                }
                Output::Apply(entries) => Input::Applied(self.apply(entries)?),
                Output::Readable(read) => {
                    if let Some(reply) = self.reading.remove(&read) {
                        let _ = reply.send(());
                    }
                    continue;
                }
                Output::Rejected(proposal, reason) => {
                    tracing::warn!(?reason, "a proposal was not appended");
                    self.answer(proposal, Outcome::Unknown);
                    continue;
                }
                Output::Send(to, _) => {
                    tracing::debug!(%to, "no link to this peer");
                    continue;
                }
                Output::Misbehaved(peer, misbehaviour) => {
                    tracing::warn!(%peer, %misbehaviour, "dropped a peer's message");
                    continue;
                }
                Output::Halt(fault) => return Err(fault),
            };
            let mut out = Vec::new();
            self.core.step(answer, &mut out);
            queue.extend(out);
        }
        // Everybody is answered: now what they need not wait for.
        if !self.later.steps.is_empty() {
            self.disk.commit(std::mem::take(&mut self.later), Durable::Later)?;
        }
        self.keeper.write(Durable::Later)
    }

    fn persist(&mut self, write: &LogWrite) -> Result<(), Fault> {
        self.foresight.ahead(&write.entries, &self.views.borrow().clone())?;
        self.later.append(log::write(write));
        if !write.must_sync {
            return Ok(());
        }
        // The mark of the sync before is written by now, and becomes durable with this one.
        self.keeper.write(Durable::Later)?;
        self.disk.commit(std::mem::take(&mut self.later), Durable::Now)?;
        self.keeper.synced(write)
    }

    fn apply(&mut self, entries: Vec<Committed>) -> Result<u64, Fault> {
        let newest = self.views.borrow().clone();
        let index = entries.last().map_or(newest.applied(), |last| last.entry.position.index);
        let committed: Vec<_> = entries.iter().map(|committed| &committed.entry).collect();
        let Applied { fold, changes, verdicts } = self.foresight.apply(&newest, &committed)?;
        self.foresight.forget(index);
        let mut batch = std::mem::take(&mut self.later);
        batch.absorb(changes);
        log::applied(&mut batch, index);
        // The log that says the same is synced already.
        self.disk.commit(batch, Durable::Later)?;
        let rows: Box<dyn Rows + Send + Sync> = Box::new(self.disk.view());
        self.views.send_replace(Arc::new(View::new(index, fold, rows)));
        let mut asked = entries.iter();
        for (position, verdict) in verdicts {
            let entry = asked.find(|committed| committed.entry.position == position);
            let Some(proposal) = entry.and_then(|committed| committed.proposal) else { continue };
            let outcome = match verdict {
                Verdict::Sealed(record) => {
                    Outcome::Applied { index: record.index(), hash: record.hash() }
                }
                Verdict::Repeated { index, hash } => Outcome::Repeated { index, hash },
                Verdict::Refused(refusal) => Outcome::Refused(refusal),
            };
            self.answer(proposal, outcome);
        }
        Ok(index)
    }

    fn answer(&mut self, proposal: ProposalId, outcome: Outcome) {
        if let Some(waiting) = self.waiting.remove(&proposal) {
            let _ = waiting.reply.send(outcome);
        }
    }
}
