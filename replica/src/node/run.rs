//! The loop: the only place where the core meets the disk and the links.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Fault;
use ledger::history::{ReplicaId, Verdict};
use ledger::rows::raft::{Ahead, Group};
use ledger::rows::{Rows, tables};

use super::fetching::Fetching;
use super::foresight::Foresight;
use super::handle::Command;
use super::keeper::Keeper;
use super::kept::Kept;
use super::librarian::Librarian;
use super::scrub::Scrub;
use super::{Outcome, View, group};
use crate::core::applier::{Applied, pointer};
use crate::core::{Committed, Core, Input, Installed, LogWrite, Output, ReadId, Role};
use crate::disk::from_log::FromLog;
use crate::disk::{Batch, Disk, Durable, log};
use crate::peers::Message;
use crate::security_log::Denial;

/// Time between two ticks of the core.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// How long the loop stays awake for whoever asks on at once: being woken takes a good part of a
/// sync's time. Others may have its core meanwhile.
const AWAKE: Duration = Duration::from_micros(100);
/// Commands that are taken together, at most.
const BATCH_COMMANDS: usize = 4096;
/// Proposals that share a sync, at most.
pub(super) const BATCH_PROPOSALS: usize = 1024;
/// Bytes of proposals from which no more join a sync.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// How long a leader that is to stop waits for another one to lead.
pub(super) const HAND_OVER: Duration = Duration::from_secs(1);

/// Everything that the loop owns.
pub(super) struct Loop<D: Disk> {
    /// What outlives the database.
    pub(super) kept: Kept,
    pub(super) core: Core,
    pub(super) disk: D,
    /// What nobody relies on yet: it goes with whatever is written next.
    pub(super) later: Batch,
    pub(super) keeper: Keeper,
    /// How often the log was synced, in all the replica's life.
    pub(super) writes: u64,
    pub(super) foresight: Foresight,
    pub(super) fetching: Option<Fetching>,
    /// Looks for damage, where the disk is a real one.
    pub(super) scrub: Option<Scrub>,
    /// The Raft group, as it is applied here.
    pub(super) group: Group,
    /// Which records are not ahead of the log.
    pub(super) from_log: FromLog,
    /// Term and leader that proposals were handed to last.
    pub(super) led: (u64, Option<ReplicaId>),
    /// Whether the core's outputs are being carried out.
    pub(super) stepping: bool,
}

impl<D: Disk> Loop<D> {
    /// Puts it together from what outlives a database and what belongs to one.
    pub(super) fn new(
        kept: Kept,
        core: Core,
        disk: D,
        keeper: Keeper,
        foresight: Foresight,
        ahead: Option<Ahead>,
    ) -> Self {
        let from_log = {
            let view = kept.tells.views.borrow();
            FromLog::new(view.applied(), ahead, view.fold().next_index())
        };
        Loop {
            group: core.status().group,
            kept,
            core,
            disk,
            later: Batch::new(),
            keeper,
            writes: 0,
            foresight,
            fetching: None,
            scrub: None,
            from_log,
            led: (0, None),
            stepping: false,
        }
    }

    /// What outlives the loop, its core, and its database.
    pub(super) fn set_down(self) -> (Kept, Core, D) {
        (self.kept, self.core, self.disk)
    }

    /// Runs until it is stopped, or until it must not acknowledge anything any more. What was
    /// under way then has an unknown outcome. Must not run again after a fault.
    pub(super) fn run(&mut self) -> Result<(), Fault> {
        self.begin()?;
        // The first tick comes at once: a member that is alone elects itself.
        let mut next_tick = Instant::now();
        let mut awake = next_tick;
        loop {
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now)?;
                // Nothing may follow for a long time that would make the mark durable.
                self.keeper.write(Durable::Now)?;
            }
            match self.next(awake.min(next_tick), next_tick) {
                Err(RecvTimeoutError::Disconnected) => break,
                Ok(first) => {
                    self.gather(first)?;
                    awake = Instant::now() + AWAKE;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.may_stop() {
                break;
            }
        }
        // What was applied since the last sync could be applied again; spare the next start that.
        self.disk.commit(Batch::new(), Durable::Now)?;
        self.keeper.write(Durable::Now)
    }

    /// Tells the core who is to be a member.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        // It may have been shown something while it took no part.
        self.look_at_what_is_shown()?;
        self.tell_membership()?;
        let members = group::wanted(self.view().rows())?;
        // Reads may wait since before the database was opened again.
        let reads = self.kept.reading.keys().copied().map(Input::Read).collect::<Vec<_>>();
        self.step(std::iter::once(Input::Members(members)).chain(reads))
    }

    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        self.kept.ticks += 1;
        if let Some(damage) = self.disk.damage() {
            return Err(damage);
        }
        self.step([Input::Tick])?;
        self.kept.proposals.tick(now);
        // Without a majority nobody answers a read; whoever has given up waits for none.
        self.kept.reading.retain(|_, reply| !reply.is_closed());
        self.core.keep_reads(|read| self.kept.reading.contains_key(&read));
        self.hand_proposals_over(now)?;
        self.fetch_on(now)?;
        self.compare_heads()?;
        let view = self.view();
        if self.kept.reach.look_for_company(self.kept.ticks, view.rows())? {
            self.tell_membership()?;
        }
        self.forget_told()?;
        self.tell_group();
        Ok(())
    }

    /// Whether it was asked to stop, and nobody has to be told to lead in its place any more.
    fn may_stop(&self) -> bool {
        let Some(since) = self.kept.stopping else { return false };
        let status = self.core.status();
        status.role != Role::Leader || status.group.voters.len() < 2 || since.elapsed() >= HAND_OVER
    }

    /// The next command: looks for one until `awake`, and then sleeps until `end`.
    fn next(&self, awake: Instant, end: Instant) -> Result<Command, RecvTimeoutError> {
        loop {
            match self.kept.commands.try_recv() {
                Ok(command) => return Ok(command),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let now = Instant::now();
            if now >= awake {
                return self.kept.commands.recv_timeout(end.saturating_duration_since(now));
            }
            thread::yield_now();
        }
    }

    /// Takes what has queued up, so that it shares a sync.
    pub(super) fn gather(&mut self, first: Command) -> Result<(), Fault> {
        let now = self.kept.clock.now();
        let mut inputs = Vec::new();
        let mut next = Some(first);
        let mut taken = 0;
        let mut bytes = 0;
        while let Some(command) = next {
            taken += 1;
            match command {
                Command::Submit { data, reply, permit } => {
                    bytes += data.len();
                    self.kept.proposals.ask(data, reply, permit, now);
                }
                Command::Read { reply } => {
                    self.kept.next_read += 1;
                    let id = ReadId(self.kept.next_read);
                    if planted!(StaleRead) {
                        let _ = reply.send(());
                    } else {
                        self.kept.reading.insert(id, reply);
                        inputs.push(Input::Read(id));
                    }
                }
                Command::Answer { reply } => drop(reply.send(())),
                Command::Linked(links) => {
                    self.kept.reach.librarian = Some(Librarian::start(links.clone())?);
                    self.kept.reach.links = Some(links);
                }
                Command::Link(event) => bytes += self.link(event, now, &mut inputs)?,
                Command::Introduced { by, record, members } => self.told(by, record, members)?,
                Command::HandOver(to) => self.hand_over(to, &mut inputs),
                Command::Stop => {
                    self.kept.stopping = Some(now);
                    inputs.push(Input::HandOver(None));
                }
            }
            let full = taken >= BATCH_COMMANDS || bytes >= BATCH_BYTES;
            next = if full { None } else { self.kept.commands.try_recv().ok() };
        }
        self.step(inputs)?;
        self.hand_proposals_over(now)
    }

    /// Hands what waits to whoever leads.
    fn hand_proposals_over(&mut self, now: Instant) -> Result<(), Fault> {
        let status = self.core.leads();
        if status != self.led {
            self.led = status;
            self.kept.proposals.all_returned();
        }
        let term = self.led.0;
        if !self.kept.proposals.any_here(term) {
            return Ok(());
        }
        let most = (BATCH_PROPOSALS, BATCH_BYTES);
        match self.led.1 {
            Some(leader) if leader == self.kept.id => loop {
                let proposals = self.kept.proposals.hand_over((term, None), now, most);
                if proposals.is_empty() {
                    return Ok(());
                }
                self.step([Input::Propose(term, proposals)])?;
                if self.core.leads() != self.led {
                    return Ok(());
                }
            },
            Some(leader) if self.kept.reach.up.contains_key(&leader) => {
                let copies = self.kept.proposals.hand_over((term, Some(leader)), now, most);
                for (copy, proposal) in copies {
                    let request = copy.0;
                    self.kept.reach.send(leader, Message::Propose { request, term, proposal });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Feeds the core and carries out what it wants, in order, until it wants no more.
    pub(super) fn step(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<(), Fault> {
        // From within, what follows would be carried out before what came first.
        if std::mem::replace(&mut self.stepping, true) {
            return Err(Fault::new(
                "the core was stepped while its outputs were carried out: a bug",
            ));
        }
        let carried_out = self.carry_out(inputs);
        self.stepping = false;
        carried_out
    }

    fn carry_out(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<(), Fault> {
        let mut out = Vec::new();
        self.core.step(inputs, &mut out);
        let mut queue = VecDeque::from(out);
        while let Some(output) = queue.pop_front() {
            let answers = match output {
                Output::Persist(ticket, write) => {
                    self.persist(&write)?;
                    vec![Input::Persisted(ticket)]
                }
                Output::Apply(entries) => self.apply(&entries)?,
                Output::Readable(read) => {
                    if let Some(reply) = self.kept.reading.remove(&read) {
                        let _ = reply.send(());
                    }
                    continue;
                }
                Output::Rejected(proposal, reason) => {
                    self.rejected(proposal, reason);
                    continue;
                }
                Output::Send(to, message) => {
                    self.kept.reach.send(to, Message::Raft(message));
                    continue;
                }
                Output::Yields(term, to) => {
                    self.kept.reach.yields(term, to);
                    continue;
                }
                Output::CatchUp(from, target) => self.catch_up(from, target)?.into_iter().collect(),
                Output::Misbehaved(peer, misbehaviour) => {
                    self.misbehaved(peer, &misbehaviour);
                    continue;
                }
                Output::Halt(fault) => return Err(fault),
            };
            if !answers.is_empty() {
                let mut out = Vec::new();
                self.core.step(answers, &mut out);
                queue.extend(out);
            }
        }
        // Everybody is answered: now what they need not wait for.
        if !self.later.steps.is_empty() {
            self.disk.commit(std::mem::take(&mut self.later), Durable::Later)?;
        }
        self.keeper.write(Durable::Later)
    }

    /// Writes down what a peer has done that it must not. However often it does it, logs stay
    /// small.
    pub(super) fn misbehaved(&self, peer: ReplicaId, what: &dyn std::fmt::Display) {
        if self.kept.security.denied(Denial::Peer, &format!("replica {peer}"), &what.to_string()) {
            tracing::warn!(%peer, what = %what, "a peer misbehaves: dropped what it sent");
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.kept.tells.views.borrow().clone()
    }

    fn persist(&mut self, write: &LogWrite) -> Result<(), Fault> {
        self.foresight.ahead(&write.entries, &self.view())?;
        self.later.append(log::write(write));
        if let Some(Installed { at, record, .. }) = &write.installed {
            let view = self.view();
            self.from_log.installed(record);
            let records = view.fold().next_index();
            self.from_log.mark(&mut self.later, view.rows(), at.index, records)?;
        }
        if !write.must_sync {
            return Ok(());
        }
        // The mark of the sync before is written by now, and becomes durable with this one.
        self.keeper.write(Durable::Later)?;
        self.keeper.before(write)?;
        log::writes(&mut self.later, self.writes + 1);
        let durable = if planted!(AcknowledgeBeforeSync) { Durable::Later } else { Durable::Now };
        self.disk.commit(std::mem::take(&mut self.later), durable)?;
        self.writes += 1;
        self.keeper.synced(write)?;
        if let Some(Installed { at, group, .. }) = &write.installed {
            let fold = self.view().fold().clone();
            let rows: Box<dyn Rows + Send + Sync> = Box::new(self.disk.view());
            self.kept.tells.views.send_replace(Arc::new(View::new(at.index, fold, rows)));
            self.group = group.clone();
            self.tell_membership()?;
        }
        Ok(())
    }

    /// Applies committed entries, but for those from which records came that are here already; says
    /// what the core is to hear of it.
    fn apply(&mut self, entries: &[Committed]) -> Result<Vec<Input>, Fault> {
        let newest = self.view();
        let index = entries.last().map_or(newest.applied(), |last| last.entry.position.index);
        let all = entries.iter().map(|committed| &committed.entry);
        let counted = self.from_log.count(newest.rows(), newest.fold().next_index(), all)?;
        let committed: Vec<_> = entries[counted..].iter().map(|fresh| &fresh.entry).collect();
        let Applied { fold, changes, verdicts } = self.foresight.apply(&newest, &committed)?;
        self.foresight.forget(index);
        let members_changed = changes_members(&changes);
        let records = fold.next_index();
        if !committed.is_empty() {
            self.from_log.applied(records);
        }
        let mut batch = std::mem::take(&mut self.later);
        batch.absorb(changes);
        self.from_log.mark(&mut batch, newest.rows(), index, records)?;
        let group = entries.iter().rev().find_map(|entry| entry.group.as_ref());
        if let Some(group) = group {
            if !planted!(ConfFromElsewhere) {
                log::group(&mut batch, group);
            }
            self.group = group.clone();
        }
        if !planted!(ApplyTwice) {
            log::applied(&mut batch, index);
        }
        // The log that says the same is synced already.
        self.disk.commit(batch, Durable::Later)?;
        let record = pointer(&fold).filter(|_| self.from_log.records() == records);
        let view = self.publish(index, fold);
        let mut answers = vec![Input::Applied(index, record)];
        // Whoever hears that somebody is invited, or a member, finds that it is so.
        if members_changed || group.is_some() {
            self.tell_membership()?;
        }
        if members_changed {
            answers.push(Input::Members(group::wanted(view.rows())?));
        }
        let mut asked = entries.iter();
        for (position, verdict) in verdicts {
            let entry = asked.find(|committed| committed.entry.position == position);
            let Some(Committed { entry, proposal, .. }) = entry else { continue };
            let outcome = outcome(verdict);
            self.kept.proposals.applied(*proposal, &entry.data, position.term, outcome);
        }
        if counted > 0 {
            self.answer_recorded(&view)?;
        }
        Ok(answers)
    }

    /// Lets everybody see the rows as they are now.
    pub(super) fn publish(&mut self, applied: u64, fold: ledger::history::Fold) -> Arc<View> {
        let rows: Box<dyn Rows + Send + Sync> = Box::new(self.disk.view());
        let view = Arc::new(View::new(applied, fold, rows));
        self.kept.tells.views.send_replace(view.clone());
        self.kept.agreement.reached(&view);
        view
    }
}

/// Whether records have changed who is in the group, or who may come in.
pub(super) fn changes_members(changes: &ledger::rows::Changes) -> bool {
    changes.touch(tables::MEMBERS) || changes.touch(tables::INVITATIONS)
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Sealed(record) => Outcome::Applied { index: record.index(), hash: record.hash() },
        Verdict::Repeated { index, hash } => Outcome::Repeated { index, hash },
        Verdict::Refused(refusal) => Outcome::Refused(refusal),
    }
}
