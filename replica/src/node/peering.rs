//! The loop's part in the group: what comes over the links, and what goes out by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ledger::history::{
    Fold, MemberKey, Record, ReplicaId, SignedProposal, Verdict, members, requests,
};
use ledger::limits::MEMBERS_AT_ONCE;
use ledger::lock::signatures::{Unverified, verify_all};
use ledger::rows::Draft;
use ledger::rows::raft::PeerHead;
use ledger::{Ailment, Fault};

use super::fetching::{Ask, Fetching};
use super::foresight::Threads;
use super::group::Told;
use super::librarian;
use super::run::{Loop, changes_members};
use super::{GroupView, Outcome, View, group};
use crate::core::applier::pointer;
use crate::core::{Input, ProposalId, Rejection, Target};
use crate::disk::{Disk, Durable, log};
use crate::peers::{Answer, Event, Head, Message, Peer};

/// Ticks between two heads that this replica tells the others.
const HEAD_TICKS: u64 = 20;
/// Ticks after which a peer that says nothing is taken for silent: several heads of its are missing.
const SILENT_TICKS: u64 = 5 * HEAD_TICKS;
/// How far a proposer's clock may be off the leader's.
const CLOCK_APART_MS: u64 = 10_000;
/// Between two times that one member's wish for another leader is followed: two seconds.
const WISH_TICKS: u64 = 40;
/// Between two times that it is said that the clock is too far from the leader's: a minute.
const CLOCK_TOLD_TICKS: u64 = 1200;

impl<D: Disk> Loop<D> {
    /// Takes what happened on the links. Says how many bytes are to be written for it, about.
    pub(super) fn link(
        &mut self,
        event: Event,
        now: Instant,
        inputs: &mut Vec<Input>,
    ) -> Result<usize, Fault> {
        self.kept.reach.changed(&event, self.kept.ticks);
        match event {
            Event::Down(peer) => {
                if self.core.leads().1 == Some(peer) {
                    self.kept.proposals.all_returned();
                }
                inputs.push(Input::Unreachable(peer));
            }
            Event::Up(..) | Event::Unreachable(..) => {}
            Event::Remembered(..) => self.look_at_what_is_shown()?,
            Event::Misbehaved(peer, violation) => {
                self.misbehaved(peer, &violation);
            }
            Event::Message(received) => {
                self.kept.reach.heard.insert(received.from, self.kept.ticks);
                return self.hear(received.from, received.message, now, inputs);
            }
            // Joiners are taken care of before they get here.
            Event::Joiner(_) => {}
        }
        Ok(0)
    }

    fn hear(
        &mut self,
        from: ReplicaId,
        message: Message,
        now: Instant,
        inputs: &mut Vec<Input>,
    ) -> Result<usize, Fault> {
        match message {
            Message::Raft(message) => {
                let bytes = message.0.entries.iter().map(|entry| entry.data.len()).sum();
                inputs.push(Input::FromPeer(from, message));
                return Ok(bytes);
            }
            Message::Propose { request, term, proposal } => {
                let bytes = proposal.len();
                match self.forwarded(from, &proposal) {
                    Ok(()) => {
                        let copy = self.kept.proposals.forward(from, request, term);
                        let Some(copy) = copy else { return Ok(0) };
                        inputs.push(Input::Propose(term, vec![(copy, proposal)]));
                        return Ok(bytes);
                    }
                    Err(answer) => {
                        self.kept.reach.send(from, Message::Proposed { request, answer });
                    }
                }
            }
            Message::Proposed { request, answer } => self.answered(from, request, answer),
            Message::HandOver(to) => {
                if self.may_hand_over(from, to) {
                    tracing::info!(%from, "asked to let another replica lead");
                    inputs.push(Input::HandOver(to));
                }
            }
            Message::Yields { term, to } => inputs.push(Input::Yields(from, term, to)),
            Message::Head(_) if !self.kept.agreement.listens(from, self.kept.ticks) => {}
            Message::Head(head) => {
                let member = members::member(self.view().rows(), from)?;
                match member.map(|member| self.kept.agreement.heard(from, member.member_key, head))
                {
                    Some(Ok(())) => self.remember(from, head),
                    Some(Err(refusal)) => {
                        self.misbehaved(from, &format!("a head that it has not signed: {refusal}"));
                    }
                    None => {}
                }
                self.introduce_to(from, head.record)?;
            }
            Message::Members { record, members } => self.told(from, record, members)?,
            Message::RecordsWanted { request, from: first, upto } => {
                let view = self.view();
                let wanted = librarian::Wanted { peer: from, request, from: first, upto, view };
                if let Some(librarian) = &self.kept.reach.librarian {
                    librarian.ask(wanted);
                }
            }
            Message::Records { request, first, records } => {
                self.take_records(from, request, first, &records, now)?;
            }
            Message::RecordsEnd { request, .. } => {
                let next = self.view().fold().next_index();
                if let Some(fetching) = &mut self.fetching {
                    fetching.ended(from, request, next);
                }
                self.fetch_on(now)?;
            }
        }
        Ok(0)
    }

    /// Keeps what a peer has signed, to be shown to it should it come back with less.
    fn remember(&mut self, from: ReplicaId, head: Head) {
        if !self.kept.reach.memory.heard(from, head) {
            return;
        }
        let heads = self.kept.reach.memory.heads();
        let heads: Vec<_> = heads
            .iter()
            .map(|(id, head)| PeerHead { replica: id.0, head: head.to_bytes() })
            .collect();
        log::heads(&mut self.later, &heads);
    }

    /// Others show what this replica has signed. If its log has synced fewer writes than that, the whole
    /// data directory is an older copy of what it was: nothing in it is damaged, and it must not go
    /// on.
    pub(super) fn look_at_what_is_shown(&mut self) -> Result<(), Fault> {
        let key = MemberKey(self.kept.member.public().0);
        for (peer, head) in std::mem::take(&mut self.kept.reach.shown) {
            if head.writes <= self.writes || planted!(TrustOldCopy) {
                continue;
            }
            if let Err(refusal) = self.kept.agreement.is_own(key, head) {
                self.misbehaved(peer, &format!("a head that is not this replica's: {refusal}"));
                continue;
            }
            let what = format!(
                "replica {peer} has this one's signature on {} writes of its log, of which only {} \
                 are here: an older copy of the data directory was put back",
                head.writes, self.writes,
            );
            return Err(Fault::new(what).of(Ailment::RolledBack));
        }
        Ok(())
    }

    /// Tells a peer that has come only as far as that record who the members are by now: one may lead
    /// whom the peer does not let in.
    fn introduce_to(&self, peer: ReplicaId, record: u64) -> Result<(), Fault> {
        let view = self.view();
        let Some(last) = view.fold().next_index().checked_sub(1) else { return Ok(()) };
        if record >= last {
            return Ok(());
        }
        let members = group::introduced(view.rows())?;
        self.kept.reach.send(peer, Message::Members { record: last, members });
        Ok(())
    }

    /// A peer says who the members are behind a record.
    pub(super) fn told(
        &mut self,
        from: ReplicaId,
        record: u64,
        members: BTreeMap<ReplicaId, Peer>,
    ) -> Result<(), Fault> {
        let tick = self.kept.ticks;
        let before = self.kept.told.get(&from).map(|told| told.tick);
        if record < self.view().fold().next_index()
            || before.is_some_and(|before| tick - before < HEAD_TICKS / 2)
        {
            return Ok(());
        }
        let told = &mut self.kept.told;
        if told.len() >= MEMBERS_AT_ONCE && !told.contains_key(&from) {
            let oldest = told.iter().min_by_key(|(_, told)| told.tick).map(|(id, _)| *id);
            oldest.and_then(|id| told.remove(&id));
        }
        told.insert(from, Told { record, members, tick });
        self.tell_membership()
    }

    /// Whom it was told of is on record by now, or not, and that counts.
    pub(super) fn forget_told(&mut self) -> Result<(), Fault> {
        if self.kept.told.is_empty() {
            return Ok(());
        }
        let next = self.view().fold().next_index();
        self.kept.told.retain(|_, told| told.record >= next);
        if self.kept.told.is_empty() { self.tell_membership() } else { Ok(()) }
    }

    /// Whether a forwarded proposal may be appended, should this replica lead.
    fn forwarded(&self, from: ReplicaId, proposal: &[u8]) -> Result<(), Answer> {
        let signed = SignedProposal::decode(proposal).map_err(|_| Answer::NotAProposal)?;
        let proposal = signed.proposal();
        if proposal.actor.member != from {
            return Err(Answer::NotAProposal);
        }
        if proposal.time_ms.abs_diff(self.kept.clock.wall_ms()) > CLOCK_APART_MS {
            return Err(Answer::ClockApart);
        }
        Ok(())
    }

    /// Whether a member's wish that another replica leads is followed. While the leadership is handed
    /// over nothing is proposed: so only now and then, and only to one that is there.
    fn may_hand_over(&mut self, from: ReplicaId, to: Option<ReplicaId>) -> bool {
        let ticks = self.kept.ticks;
        self.kept.wished.retain(|_, at| ticks.saturating_sub(*at) < WISH_TICKS);
        if self.kept.wished.contains_key(&from)
            || to.is_some_and(|to| !self.core.status().active.contains(&to))
        {
            tracing::debug!(%from, "a wish that another replica leads is not followed");
            return false;
        }
        self.kept.wished.insert(from, ticks);
        true
    }

    /// Says now and then that nothing which is proposed here can be recorded.
    fn tell_clock_apart(&mut self, leader: ReplicaId) {
        let ticks = self.kept.ticks;
        if self.kept.clock_told.is_some_and(|at| ticks.saturating_sub(at) < CLOCK_TOLD_TICKS) {
            return;
        }
        self.kept.clock_told = Some(ticks);
        tracing::error!(
            %leader,
            "this machine's clock is more than {} s from the leader's, which therefore records \
             nothing that is asked for here: let both follow the same time server",
            CLOCK_APART_MS / 1000
        );
    }

    /// What the leader says of a proposal that was forwarded to it.
    fn answered(&mut self, from: ReplicaId, request: u64, answer: Answer) {
        let copy = ProposalId(request);
        if self.core.leads().1 != Some(from) {
            return;
        }
        match answer {
            Answer::Rejected(reason) => {
                self.kept.proposals.returned(copy, reason);
            }
            Answer::ClockApart => {
                self.tell_clock_apart(from);
                self.kept.proposals.clock_apart(copy);
            }
            Answer::NotAProposal => {
                tracing::error!(leader = %from, "the leader does not take this proposal for one");
                if let Some(asker) = self.kept.proposals.asker(copy) {
                    self.kept.proposals.answer(asker, Outcome::Unknown);
                }
            }
        }
    }

    /// The core has not appended a proposal, or it has lost its place.
    pub(super) fn rejected(&mut self, proposal: ProposalId, reason: Rejection) {
        tracing::debug!(?reason, "a proposal was not appended");
        if let Some((peer, request)) = self.kept.proposals.returned(proposal, reason) {
            let answer = Answer::Rejected(reason);
            self.kept.reach.send(peer, Message::Proposed { request, answer });
        }
    }

    pub(super) fn hand_over(&mut self, to: Option<ReplicaId>, inputs: &mut Vec<Input>) {
        match self.core.leads().1 {
            Some(leader) if leader != self.kept.id => {
                self.kept.reach.send(leader, Message::HandOver(to))
            }
            _ => inputs.push(Input::HandOver(to)),
        }
    }

    /// The records that the core wants before it goes on.
    pub(super) fn catch_up(
        &mut self,
        from: Option<ReplicaId>,
        target: Target,
    ) -> Result<Option<Input>, Fault> {
        let next = self.view().fold().next_index();
        if target.record < next {
            return Ok(Some(self.reached(&target)?));
        }
        let behind = (target.record - next).saturating_add(1);
        match &mut self.fetching {
            Some(fetching) => {
                tracing::debug!(behind, "fetching more records");
                fetching.aim(target, from);
            }
            None => {
                tracing::info!(behind, "fetching the records that this replica lacks");
                self.fetching = Some(Fetching::new(target, from, self.kept.requests));
            }
        }
        self.fetch_on(self.kept.clock.now())?;
        Ok(None)
    }

    /// All records up to the target are there. Are they those that it names?
    fn reached(&mut self, target: &Target) -> Result<Input, Fault> {
        let view = self.view();
        let record = ledger::history::records::record(view.rows(), target.record)?;
        let same_record = record.is_some_and(|record| record.hash().0 == target.hash);
        let last = pointer(view.fold()).filter(|last| last.record == target.record);
        // Behind a snapshot the log goes on from the last record. One that leads to less is offered
        // again, further on; or whoever offers it would have the log go on where it does not.
        let same_fold = target.fold.is_none_or(|fold| last.is_some_and(|last| last.fold == fold));
        let agreed = (same_record && same_fold) || planted!(SkipRecord);
        if agreed || planted!(RecordsUnchecked) {
            return Ok(Input::CaughtUp(*target));
        }
        if target.fold.is_none() {
            return Err(log::another_record(target.record));
        }
        if same_record && last.is_none() {
            tracing::info!(
                record = target.record,
                "a leader offers to go on from less than is here"
            );
        } else {
            tracing::error!(
                record = target.record,
                "a leader offers to go on from a record that is not the one here"
            );
        }
        Ok(Input::CatchUpFailed(*target))
    }

    /// Asks for the next records, if some are to be fetched and none are asked for.
    pub(super) fn fetch_on(&mut self, now: Instant) -> Result<(), Fault> {
        let next = self.view().fold().next_index();
        let Some(fetching) = &mut self.fetching else { return Ok(()) };
        if self.core.awaited() != Some(fetching.target) {
            self.kept.requests = fetching.last_request();
            self.fetching = None;
            return Ok(());
        }
        if fetching.target.record < next + u64::from(planted!(SkipRecord)) {
            let target = fetching.target;
            self.kept.requests = fetching.last_request();
            self.fetching = None;
            let answer = self.reached(&target)?;
            return self.step([answer]);
        }
        self.ask_on(now);
        Ok(())
    }

    /// Asks for the next records, unless some are on their way.
    fn ask_on(&mut self, now: Instant) {
        let next = self.view().fold().next_index();
        let up = self.kept.reach.peers_up();
        let ask = self.fetching.as_mut().and_then(|fetching| fetching.next(next, &up, now));
        if let Some(Ask { peer, request, from, upto }) = ask {
            self.kept.reach.send(peer, Message::RecordsWanted { request, from, upto });
        }
    }

    /// Takes records that were asked for, up to the first that is not in order.
    fn take_records(
        &mut self,
        from: ReplicaId,
        request: u64,
        first: u64,
        records: &[Vec<u8>],
        now: Instant,
    ) -> Result<(), Fault> {
        let view = self.view();
        let Some(fetching) = &mut self.fetching else { return Ok(()) };
        let next = view.fold().next_index();
        // Some of them may have come from the log meanwhile.
        let known = next.checked_sub(first).and_then(|known| usize::try_from(known).ok());
        let records = known.and_then(|known| records.get(known..));
        let (true, Some(records)) = (fetching.expects(from, request), records) else {
            return Ok(());
        };
        let target = fetching.target;
        let (fold, changes, wrong) = replay(&view, records, target.record, self.foresight.cores())?;
        if let Some(wrong) = wrong {
            tracing::warn!(%from, wrong, "a peer sent records that do not verify");
            fetching.give_up(from);
        }
        if fold.next_index() > next {
            fetching.brought(now);
            let members_changed = changes_members(&changes);
            let mut batch = std::mem::take(&mut self.later);
            batch.absorb(changes);
            // From the first of them on the log must not be applied as before.
            let records = fold.next_index();
            self.from_log.mark(&mut batch, view.rows(), view.applied(), records)?;
            self.disk.commit(batch, Durable::Later)?;
            let view = self.publish(view.applied(), fold);
            self.answer_recorded(&view)?;
            if members_changed {
                self.tell_membership()?;
                self.step([Input::Members(group::wanted(view.rows())?)])?;
            }
        }
        self.fetch_on(now)
    }

    /// Answers those whose proposals are on record without having been applied from the log.
    pub(super) fn answer_recorded(&mut self, view: &View) -> Result<(), Fault> {
        let mut answers = Vec::new();
        for (id, data) in self.kept.proposals.waiting() {
            let Ok(signed) = SignedProposal::decode(data) else { continue };
            let proposal = signed.proposal();
            let parts = requests::parts(view.rows(), &proposal.request)?;
            let recorded = parts
                .iter()
                .find(|part| part.part == proposal.part && part.digest == proposal.digest);
            if let Some(recorded) = recorded
                && let Some(record) = ledger::history::records::record(view.rows(), recorded.index)?
            {
                let (index, hash) = (record.index(), record.hash());
                let same = record.proposal().bytes() == data;
                answers.push((
                    id,
                    if same {
                        Outcome::Applied { index, hash }
                    } else {
                        Outcome::Repeated { index, hash }
                    },
                ));
            }
        }
        for (id, outcome) in answers {
            self.kept.proposals.answer(id, outcome);
        }
        Ok(())
    }

    /// Lets the links know whom to reach and to let in.
    pub(super) fn tell_membership(&mut self) -> Result<(), Fault> {
        let (rows, told) = (self.view(), &self.kept.told);
        let mut membership = group::membership(rows.rows(), self.kept.id, &self.group, told)?;
        // Those whom it knows may all be gone by now: whoever else is a member can show that.
        membership.joins |= self.kept.reach.lonely;
        self.kept.agreement.keep(|id| membership.members.contains_key(&id));
        self.kept.reach.memory.keep(|id| membership.members.contains_key(&id));
        self.kept.reach.unreachable.retain(|id, _| membership.members.contains_key(id));
        self.kept.tells.membership.send_replace(Arc::new(membership));
        Ok(())
    }

    /// Tells the others how far this replica has come, and compares what they say.
    pub(super) fn compare_heads(&mut self) -> Result<(), Fault> {
        if !self.kept.ticks.is_multiple_of(HEAD_TICKS) {
            return Ok(());
        }
        let view = self.view();
        let writes = self.writes;
        if let Some(head) = self.kept.agreement.own(&view, writes, &*self.kept.member) {
            for peer in self.kept.reach.peers_up() {
                self.kept.reach.send(peer, Message::Head(head));
            }
        }
        for found in self.kept.agreement.compare(&view, writes, &*self.kept.member)? {
            tracing::error!(
                peer = %found.theirs.replica, record = found.theirs.head.record,
                "another replica has another history, or is damaged, or lies"
            );
        }
        let voters = &self.core.status().group.voters;
        let against = self.kept.agreement.disagreements().keys();
        let against = against.filter(|id| voters.contains(&id.0)).count();
        if against * 2 > voters.len() {
            return Err(Fault::new(format!(
                "{against} of {} voters have other records than this replica, or another fold",
                voters.len()
            )));
        }
        Ok(())
    }

    /// Which voter is connected and says nothing, although all tell their heads: it is stopped,
    /// hangs, or its disk is full.
    fn silent(&self) -> BTreeSet<ReplicaId> {
        let up = self.kept.reach.up.keys().copied().filter(|id| self.group.voters.contains(&id.0));
        let since = |id| self.kept.reach.heard.get(&id).copied().unwrap_or_default();
        up.filter(|id| self.kept.ticks.saturating_sub(since(*id)) > SILENT_TICKS).collect()
    }

    /// Lets everybody see how the group looks from here.
    pub(super) fn tell_group(&mut self) {
        let now = GroupView {
            raft: self.core.status(),
            up: self.kept.reach.up.clone(),
            unreachable: self.kept.reach.unreachable.clone(),
            shut_out_by: self.kept.reach.shut_out_by.clone(),
            refused_by: self.kept.reach.refused_by.clone(),
            lonely: self.kept.reach.lonely,
            heads: self.kept.agreement.heads().clone(),
            disagreements: self.kept.agreement.disagreements().clone(),
            fetching: self.fetching.as_ref().map(|fetching| fetching.target.record),
            silent: self.silent(),
            full: None,
            mending: None,
            // What nobody leads to was lost here.
            refetching: self.core.awaited().filter(|to| to.fold.is_none()).map(|to| to.record),
        };
        self.kept.tells.group.send_if_modified(|told| {
            let changed = **told != now;
            if changed {
                *told = Arc::new(now);
            }
            changed
        });
    }
}

/// Replays records on a view, up to a last one; says what is wrong with the first that does not
/// belong there.
fn replay(
    view: &View,
    records: &[Vec<u8>],
    last: u64,
    cores: Threads,
) -> Result<(Fold, ledger::rows::Changes, Option<String>), Fault> {
    let mut fold = view.fold().clone();
    let mut draft = Draft::on(view.rows());
    let mut wrong = None;
    let mut decoded = Vec::with_capacity(records.len());
    for record in records {
        match Record::decode(record) {
            Ok(record) if record.index() <= last => decoded.push(Unverified::new(record)),
            Ok(_) => break,
            Err(refusal) => {
                wrong = Some(refusal.to_string());
                break;
            }
        }
    }
    for record in verify_all(decoded, &cores) {
        let verdict = match record {
            Ok(record) => fold.replay(&mut draft, &record)?,
            Err(refusal) => Verdict::Refused(refusal),
        };
        if let Verdict::Refused(refusal) = verdict {
            wrong = Some(refusal.to_string());
            break;
        }
    }
    Ok((fold, draft.finish(), wrong))
}
