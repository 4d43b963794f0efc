//! What raft-rs has ready, on its way out: to be written, sent and applied, and what comes back of it.
//!
//! A Ready's entries are in the window before raft-rs is told to go on, its messages wait for the
//! sync of everything they promise, and its committed entries come out after the write that they
//! depend on.

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::{EntryKind, Group, HardState, Position, RecordPointer};
use raft::eraftpb::{Entry, Message};
use raft::{Ready, StateRole, Storage};

use super::proposals::Fate;
use super::raft_group::{Core, Pending};
use super::window::from_raft;
use super::{Committed, Installed, LogWrite, Output, PeerMessage, ReadId, Rejection, Ticket};
use super::{configuration, members};

impl Core {
    pub(super) fn persisted(&mut self, ticket: Ticket, out: &mut Vec<Output>) -> Result<(), Fault> {
        match self.pending.pop_front() {
            Some(pending) if pending.ticket == ticket => {
                send(pending.messages, out);
                self.raft.on_persist_ready(pending.ready);
                if let Some(index) = pending.installed {
                    self.raft.advance_apply_to(index);
                }
                Ok(())
            }
            _ => Err(Fault::new(format!("write {} was reported out of order", ticket.0))),
        }
    }

    pub(super) fn applied(
        &mut self,
        index: u64,
        record: Option<RecordPointer>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if index < self.applied {
            // A snapshot has been taken in meanwhile.
            return Ok(());
        }
        if index > self.raft.raft.raft_log.committed {
            return Err(Fault::new(format!("log index {index} was reported as applied")));
        }
        self.applied = index;
        while self.groups.front().is_some_and(|(at, _)| *at <= index) {
            if let Some((_, group)) = self.groups.pop_front() {
                self.raft.mut_store().set_group(group);
            }
        }
        self.raft.mut_store().set_applied(index, record);
        self.raft.advance_apply_to(index);
        self.follow_records()?;
        let first = self.raft.store().first_index().map_err(|e| Fault::from_error("log", e))?;
        if let Some(base) = self.raft.mut_store().cut(index) {
            let from = self.cut.map_or(first, |(from, _)| from);
            self.cut = Some((from, base));
        }
        self.release_reads(out);
        Ok(())
    }

    /// Takes everything out of raft-rs that is ready.
    pub(super) fn drain(&mut self, out: &mut Vec<Output>) -> Result<(), Fault> {
        let led = (self.raft.raft.term, self.raft.raft.leader_id);
        if led != self.led {
            self.led = led;
            self.reads.restart();
        }
        let raft = &self.raft.raft;
        if raft.leader_id != raft::INVALID_ID && raft.election_elapsed < raft.election_timeout() {
            self.catch_up.follow(raft.leader_id);
        }
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
        let installed = self.install(&ready)?;
        // A leader's messages may overtake its own sync (Raft thesis 10.2.1).
        send(ready.take_messages(), out);
        for state in ready.take_read_states() {
            self.reads.answer(&state.request_ctx, state.index);
        }
        let entries = ready.take_entries();
        self.raft.mut_store().append(&entries);
        let put_at = installed.as_ref().map(|installed| installed.at.index);
        let write = self.write(&entries, &ready, installed);
        let messages = ready.take_persisted_messages();
        let committed = ready.take_committed_entries();
        let number = ready.number();
        self.raft.advance_append_async(ready);

        let idle = write.entries.is_empty()
            && write.hard.is_none()
            && write.base.is_none()
            && write.installed.is_none();
        if !idle {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let installed = put_at;
            self.pending.push_back(Pending { ticket, ready: number, messages, installed });
            out.push(Output::Persist(ticket, write));
        } else if let Some(last) = self.pending.back_mut() {
            // Nothing to write, but it must not overtake what is being written.
            last.ready = number;
            last.messages.extend(messages);
        } else {
            self.raft.on_persist_ready(number);
            send(messages, out);
        }
        let turns = self.catch_up.turns(committed);
        self.hand_out(turns, out)
    }

    /// Takes in a snapshot whose records are there: the log starts anew behind it.
    fn install(&mut self, ready: &Ready) -> Result<Option<Installed>, Fault> {
        if ready.snapshot().is_empty() {
            return Ok(None);
        }
        let meta = ready.snapshot().get_metadata();
        let at = Position { index: meta.index, term: meta.term };
        let group = configuration::group_of(meta.get_conf_state());
        let record = RecordPointer::from_bytes(&ready.snapshot().data)
            .map_err(|e| Fault::from_error("begin a log anew", e))?;
        self.raft.mut_store().install(at, group.clone());
        self.groups.clear();
        self.cut = None;
        (self.applied, self.written) = (at.index, at.index);
        self.raft.mut_store().set_applied(at.index, Some(record));
        Ok(Some(Installed { at, group, record }))
    }

    fn write(
        &mut self,
        entries: &[Entry],
        ready: &Ready,
        installed: Option<Installed>,
    ) -> LogWrite {
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
            installed,
            must_sync: ready.must_sync(),
        }
    }

    /// Hands committed entries out to be applied.
    pub(super) fn hand_out(
        &mut self,
        turns: Vec<Entry>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let mut batch = Vec::with_capacity(turns.len());
        for entry in turns {
            let entry = from_raft(&entry);
            let group = match entry.kind {
                EntryKind::Proposal => None,
                EntryKind::Group => members::apply(&mut self.raft, &entry.data)?,
            };
            if let Some(group) = &group {
                self.step_down_if_out(group);
                self.groups.push_back((entry.position.index, group.clone()));
            }
            let proposal = match self.proposals.committed(entry.position) {
                Fate::Committed(id) => Some(id),
                Fate::Nobodys => None,
                Fate::Displaced(id) => {
                    out.push(Output::Rejected(id, Rejection::Displaced));
                    None
                }
            };
            batch.push(Committed { entry, proposal, group });
        }
        if !batch.is_empty() {
            out.push(Output::Apply(batch));
        }
        Ok(())
    }

    /// raft-rs lets a leader go on that is none of its own voters any more, and stops with a panic
    /// when that one counts what is committed. A leader hands over before it is taken out; but the
    /// change may be an earlier leader's.
    fn step_down_if_out(&mut self, group: &Group) {
        let raft = &mut self.raft.raft;
        let votes = group.voters.contains(&self.id.0) || group.voters_outgoing.contains(&self.id.0);
        if raft.state == StateRole::Leader && !votes {
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
    }

    fn release_reads(&mut self, out: &mut Vec<Output>) {
        // What the log has led to may be missing among the records.
        if self.catch_up.is_incomplete() {
            return;
        }
        let readable: Vec<ReadId> = self.reads.applied(self.applied);
        out.extend(readable.into_iter().map(Output::Readable));
    }
}

fn send(messages: Vec<Message>, out: &mut Vec<Output>) {
    out.extend(messages.into_iter().map(|m| Output::Send(ReplicaId(m.to), PeerMessage(m))));
}
