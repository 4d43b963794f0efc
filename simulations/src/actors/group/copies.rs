//! Disks of which copies are taken, and to which a copy is put back as a whole.

use std::borrow::BorrowMut;

use ledger::history::ReplicaId;
use ledger::rows::Rows;
use ledger::rows::raft::{GROUP, Group as Conf, RAFT_STATE};
use replica::disk::log;
use replica::peers::Head;
use replica::peers::testing::promises;
use replica::peers::{Kind, Message};

use super::site::{Part, Site};
use super::{Due, Group};
use crate::invariants;
use crate::invariants::{Result, unexpected};
use crate::world::clock::SECOND;
use crate::world::{ProcessId, Trace};

impl Site {
    /// What its disk remembers for certain that a replica has promised.
    fn remembers(&self, of: ReplicaId) -> Result<Option<Head>> {
        let heads = log::remembered(&self.disk.synced()).map_err(unexpected)?;
        let head = heads.iter().find(|head| head.replica == of.0);
        Ok(head.and_then(|head| Head::from_bytes(&head.head).ok()))
    }
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// Somebody copies a machine's disk.
    pub(crate) fn copy_disk(&mut self, who: ProcessId) -> Result<()> {
        let site = &mut self.sites[who];
        let Some(id) = site.replica.filter(|_| site.part == Part::Member) else { return Ok(()) };
        // Whoever was the only voter is that again, and asks nobody: that copy is another group.
        let row = site.disk.synced().get(RAFT_STATE, GROUP).map_err(unexpected)?;
        let conf = row.and_then(|row| Conf::from_row(&row).ok());
        if conf.is_none_or(|conf| conf.voters.len() < 2) {
            return Ok(());
        }
        if !self.lost.contains(&id) && !self.suspects.contains(&who) {
            let writes = log::written(&site.disk.synced()).map_err(unexpected)?;
            site.copy = site.disk.copy().map(|copy| (id, writes, copy));
        }
        Ok(())
    }

    /// Somebody puts the copy back, if that is noticed by whomever the machine may form a majority
    /// with: the others must have it on their disks that the machine has promised more. Of what
    /// nobody remembers nobody can tell.
    pub(crate) fn set_back(&mut self, who: ProcessId) -> Result<()> {
        let Some((id, writes, copy)) = self.sites[who].copy.clone() else { return Ok(()) };
        let same = self.sites[who].part == Part::Member && self.sites[who].replica == Some(id);
        if !same || self.sites[who].destroyed || !self.may_do_without(who) {
            return Ok(());
        }
        let leader = self.sites.iter().filter_map(|site| site.machine.as_ref());
        let Some(leader) = leader.max_by_key(|machine| machine.status().term) else {
            return Ok(());
        };
        let voters = leader.status().group.voters;
        let mut forgetful = 0;
        let mut remember = 0;
        for site in self.sites.iter().filter(|site| site.id != who) {
            if !site.replica.is_some_and(|id| voters.contains(&id.0)) {
                continue;
            }
            match site.remembers(id)? {
                Some(known) if known.writes > writes => remember += 1,
                _ => forgetful += 1,
            }
        }
        if remember == 0 || forgetful + 1 > voters.len() / 2 {
            return Ok(());
        }
        self.lost.insert(id);
        self.count("older copy put back");
        self.say(format_args!("the disk of machine {who} is an older copy from now on"));
        self.crash(who, SECOND)?;
        let at = self.now() + SECOND;
        let site = &mut self.sites[who];
        site.disk.put_back(copy);
        (site.copy, site.set_back) = (None, true);
        if !site.starting {
            site.starting = true;
            self.agenda.plan(at, Due::Starts(who));
        }
        Ok(())
    }

    /// Looks at what a machine says on an older copy of its disk.
    pub(super) fn look_at_promises(
        &self,
        (who, to): (ProcessId, ProcessId),
        peer: ReplicaId,
        kind: Kind,
        body: &[u8],
    ) -> Result<()> {
        let (site, other) = (&self.sites[who], &self.sites[to]);
        let (Some(machine), Some(theirs)) = (&site.machine, &other.machine) else {
            return Ok(());
        };
        let (Some(head), true) = (theirs.remembers(machine.replica()), site.set_back) else {
            return Ok(());
        };
        let decoded = replica::peers::testing::message_of(kind, body, machine.replica(), peer);
        let promise = matches!(&decoded, Some(Ok(message @ Message::Raft(_))) if promises(message));
        if promise && head.writes > machine.writes() {
            return Err(invariants::an_older_copy_promises_nothing(who, to));
        }
        Ok(())
    }
}
