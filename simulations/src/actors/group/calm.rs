//! When nothing goes wrong any more.

use std::borrow::BorrowMut;

use ledger::history::members::Standing;
use ledger::history::{Event, NewNode, members};

use super::clients::{Done, Want};
use super::site::Part;
use super::{Due, Group};
use crate::actors::keys;
use crate::invariants::{self, broken};
use crate::invariants::{Result, unexpected};
use crate::world::clock::SECOND;
use crate::world::{Mix, Ms, Network, Trace};

/// Virtual time within which everything must be as it should be.
const BOUND: Ms = 120 * SECOND;

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// Nothing goes wrong any more; all that must come of it.
    pub(crate) fn calm_down(
        &mut self,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        self.heal();
        let settle = self.now() + 10 * SECOND;
        self.run(settle, act)?;
        self.clear_removed()?;
        self.put_out_who_never_came()?;
        for who in 0..self.sites.len() {
            if self.sites[who].part == Part::Member {
                let name = format!("last-{who}");
                let event = Event::NodeAdded(NewNode {
                    name: name.clone(),
                    node_key: keys::node_key(who, 0xffff_ffff),
                    lock_key: None,
                    own: false,
                    signature: None,
                    auth_key: None,
                });
                self.want(Want::at(who, name, event).its_own().must())?;
                self.read(who)?;
            }
        }
        self.settle(act)
    }

    /// Everything is repaired, and stays so.
    pub(super) fn heal(&mut self) {
        self.say(format_args!("nothing goes wrong any more"));
        let now = self.now();
        self.faulty = false;
        self.mix = Mix::none();
        self.network = Network::new(self.seed, Mix::none());
        for who in 0..self.sites.len() {
            let site = &mut self.sites[who];
            site.disk.heal();
            (site.full, site.stalled_until) = (false, 0);
            site.set_clock_right();
            if site.machine.is_none() && site.part == Part::Member && !site.starting {
                site.starting = true;
                self.agenda.plan(now + SECOND, Due::Starts(who));
            }
        }
    }

    /// Everything becomes as it should be within the bound, now that nothing goes wrong.
    pub(super) fn settle(
        &mut self,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        let until = self.now() + BOUND;
        loop {
            let missing = self.missing()?;
            if missing.is_none() {
                break;
            }
            if self.now() >= until {
                return invariants::the_group_makes_progress(missing);
            }
            let next = self.now() + SECOND;
            self.run(next, act)?;
        }
        self.everything_is_folded()
    }

    /// What is not yet as it should be.
    fn missing(&self) -> Result<Option<String>> {
        for who in 0..self.sites.len() {
            if let Some(done) = self.clients.done(&format!("last-{who}")) {
                if !matches!(done, Done::Recorded(_)) {
                    return Ok(Some(format!("what machine {who} was asked last: {done:?}")));
                }
            } else if self.clients.is_asked(&format!("last-{who}"))
                && self.sites[who].part == Part::Member
            {
                let stands = self.stands(self.sites.len());
                return Ok(Some(format!("an answer of machine {who}: {stands}")));
            }
        }
        let Some(newest) = &self.looking.newest else { return Ok(Some("records".into())) };
        let mut active = 0;
        for member in members::list(newest.rows()).map_err(unexpected)? {
            let active_one = matches!(member.standing, Standing::Voter | Standing::Learner);
            if !active_one {
                continue;
            }
            active += 1;
            let site = self.sites.iter().find(|site| site.public == member.member_key);
            let machine = site.and_then(|site| site.machine.as_ref());
            let Some(machine) = machine else {
                return Ok(Some(format!("replica {} is not there", member.id)));
            };
            let (have, all) = (machine.view().fold().next_index(), newest.fold().next_index());
            if have < all {
                return Ok(Some(format!("replica {} has {have} of {all} records", member.id)));
            }
            let conf = machine.status().group;
            if let Err(why) = invariants::the_group_follows_the_records(newest.rows(), &conf) {
                let stands = self.stands(self.sites.len());
                return Ok(Some(format!("replica {}: {}: {stands}", member.id, why.what)));
            }
        }
        Ok((active == 0).then(|| "members".into()))
    }

    /// All rows of every member are what the records fold to.
    fn everything_is_folded(&mut self) -> Result<()> {
        for site in &self.sites {
            let Some(machine) = &site.machine else { continue };
            let view = machine.view();
            if view.fold().next_index() == self.looking.replayed.records.len() as u64 {
                invariants::fold_equals_refold(view.rows(), view.fold(), &self.looking.replayed)?;
            }
            if self
                .looking
                .newest
                .as_ref()
                .is_some_and(|newest| newest.fold().next_index() < view.fold().next_index())
            {
                return Err(broken("records_are_equal", "somebody has more than was ever seen"));
            }
        }
        Ok(())
    }
}
