//! Looks at a replica after everything that it does, from outside.

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::history::{FoldHash, RecordHash, ReplicaId, records};
use ledger::rows::Rows;
use ledger::rows::raft::{
    AHEAD, BASE, Group as Conf, Position, RAFT_LOG, RAFT_STATE, entry_from_row, log_key,
};
use replica::core::Role;
use replica::node::View;

use super::{DataDir, Group};
use crate::invariants::Result;
use crate::invariants::{self, Replayed, broken, faulty};
use crate::world::{ProcessId, Trace};

/// What is known of the group's history.
#[derive(Debug, Default)]
pub(super) struct Looking {
    /// The records, as the first replica had them.
    pub(super) records: Vec<RecordHash>,
    /// Request and part → record.
    pub(super) requests: BTreeMap<(String, u32), u64>,
    /// The history folded anew.
    pub(super) replayed: Replayed,
    folds: BTreeMap<u64, FoldHash>,
    /// Log index → the records of whoever has applied the log up to there.
    led_to: BTreeMap<u64, u64>,
    /// Machine and log index of snapshots that point to another record than there is, and that
    /// nobody has sent as they should be.
    pub(super) lies: BTreeSet<(ProcessId, u64)>,
    pub(super) honest: BTreeSet<(ProcessId, u64)>,
    /// The last log index that somebody has applied.
    applied: u64,
    groups: BTreeMap<u64, Conf>,
    /// The newest state that some replica has shown.
    pub(super) newest: Option<Arc<View>>,
    /// The highest term with a leader, and who.
    pub(super) led: (u64, Option<ReplicaId>),
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    pub(super) fn look(&mut self, who: ProcessId) -> Result<()> {
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let (id, view) = (machine.replica(), machine.view());
        let (status, fetching) = (machine.status(), machine.fetching().is_some());
        if status.role == Role::Leader {
            invariants::one_leader_a_term(&mut self.leaders, status.term, id)?;
            if status.term > self.looking.led.0 {
                self.looking.led = (status.term, Some(id));
                self.say(format_args!("machine {who} leads in term {}", status.term));
                self.count("elections");
            }
            let conf = &status.group;
            self.lost.retain(|lost| {
                [&conf.voters, &conf.learners, &conf.voters_outgoing]
                    .iter()
                    .any(|members| members.contains(&lost.0))
                    || self.suspects.iter().any(|who| self.sites[*who].replica == Some(*lost))
            });
        }
        let seen = self.sites[who].seen.clone();
        let joint = !status.group.voters_outgoing.is_empty();
        if joint && !seen.joint {
            self.count("joint change");
        }
        if seen.fetching && !fetching {
            self.count("caught up by records");
        }
        let next = view.fold().next_index();
        let (applied, moved) = (view.applied(), next != seen.records);
        if moved {
            self.look_at_records(who, &view, seen.records)?;
        }
        if applied != seen.applied {
            self.looking.groups.entry(applied).or_insert_with(|| status.group.clone());
            let known = &self.looking.groups[&applied];
            invariants::the_group_is_the_same_everywhere(who, applied, known, &status.group)?;
            if applied > self.looking.applied {
                let before = seen.group.as_ref().unwrap_or(&status.group);
                self.is_committed(who, applied, [before, &status.group])?;
                self.looking.applied = applied;
            }
        }
        if moved || applied != seen.applied {
            self.look_at_log(who, &view)?;
        }
        let seen = &mut self.sites[who].seen;
        (seen.applied, seen.records) = (applied, next);
        (seen.fetching, seen.joint, seen.group) = (fetching, joint, Some(status.group));
        Ok(())
    }

    /// What a replica's log and its records have to do with each other.
    fn look_at_log(&mut self, who: ProcessId, view: &Arc<View>) -> Result<()> {
        let (rows, applied, next) = (view.rows(), view.applied(), view.fold().next_index());
        invariants::the_log_begins_behind_its_base(who, rows)?;
        let fault = faulty("records_ahead_are_marked");
        let is_ahead = rows.get(RAFT_STATE, AHEAD).map_err(&fault)?.is_some();
        if !is_ahead {
            let led_to = self.looking.led_to.entry(applied).or_insert(next);
            *led_to = next.min(*led_to);
        }
        if let Some(led_to) = self.looking.led_to.get(&applied).filter(|_| applied > 0) {
            invariants::records_ahead_are_marked(who, rows, applied, *led_to, next)?;
        }
        let base = base(rows).map_err(&fault)?.map_or(0, |base| base.index);
        if base == applied && self.looking.lies.contains(&(who, base)) {
            return Err(invariants::nobody_goes_on_from_another_record(who, base));
        }
        Ok(())
    }

    fn look_at_records(&mut self, who: ProcessId, view: &Arc<View>, from: u64) -> Result<()> {
        let fault = faulty("records_are_equal");
        for record in records::from(view.rows(), from).map_err(&fault)? {
            let record = record.map_err(&fault)?;
            let looking = &mut self.looking;
            let place = record.index() as usize;
            invariants::records_are_equal(who, &looking.records, record.index(), record.hash())?;
            if place < looking.records.len() {
                continue;
            }
            looking.records.push(record.hash());
            let proposal = record.proposal().proposal();
            let request = (proposal.request.to_string(), proposal.part);
            let earlier = looking.requests.insert(request, record.index());
            invariants::requests_are_recorded_once(&proposal.request, earlier, record.index())?;
            self.clients_see(&record)?;
        }
        let looking = &mut self.looking;
        let next = view.fold().next_index();
        if next > looking.replayed.records.len() as u64 {
            looking.replayed.follow(view.rows())?;
            if let Some(fold) = &looking.replayed.fold {
                looking.folds.insert(next, fold.fold_hash());
            }
            looking.newest = Some(view.clone());
        }
        if let Some(fold) = looking.folds.get(&next)
            && *fold != view.fold().fold_hash()
        {
            let what = format!("machine {who} has another fold before record {next}");
            return Err(broken("fold_equals_refold", what));
        }
        Ok(())
    }

    /// Whether what a replica has applied is on the synced disks of a majority.
    fn is_committed(&self, who: ProcessId, index: u64, confs: [&Conf; 2]) -> Result<()> {
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let fault = faulty("only_what_a_majority_has_synced_is_applied");
        let view = machine.view();
        let Some(at) = position(view.rows(), index).map_err(&fault)? else { return Ok(()) };
        let mut without = Vec::new();
        for site in &self.sites {
            let Some(id) = site.replica else { continue };
            if !has(&site.disk, at).map_err(&fault)? && !site.destroyed && !self.lost.contains(&id)
            {
                without.push(id.0);
            }
        }
        invariants::only_what_a_majority_has_synced_is_applied(at, &without, confs)
    }
}

/// The position at that index, if the rows still have it.
fn position(rows: &dyn Rows, index: u64) -> std::result::Result<Option<Position>, ledger::Fault> {
    if let Some(row) = rows.get(RAFT_LOG, &log_key(index))?
        && let Ok((term, _, _)) = entry_from_row(&row)
    {
        return Ok(Some(Position { index, term }));
    }
    let base = base(rows)?;
    Ok(base.filter(|base| base.index == index))
}

fn base(rows: &dyn Rows) -> std::result::Result<Option<Position>, ledger::Fault> {
    Ok(rows.get(RAFT_STATE, BASE)?.and_then(|row| Position::from_row(&row).ok()))
}

/// Whether a disk would still have that position after a power cut, or has moved on behind it.
fn has(disk: &DataDir, at: Position) -> std::result::Result<bool, ledger::Fault> {
    let rows = disk.synced();
    if base(&rows)?.is_some_and(|base| base.index >= at.index) {
        return Ok(true);
    }
    Ok(position(&rows, at.index)? == Some(at))
}
