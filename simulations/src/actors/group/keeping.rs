//! A group that keeps the ledger of another world: its time passes while it is asked, and things
//! go wrong with it meanwhile.

use std::borrow::BorrowMut;
use std::fmt;

use ledger::Refusal;
use ledger::history::{Event, Record, records};

use super::clients::{Done, Want};
use super::{Group, troubles};
use crate::actors::OPERATOR;
use crate::invariants::{self, broken};
use crate::invariants::{Result, unexpected};
use crate::world::clock::SECOND;
use crate::world::{Mix, Ms, Plan, ProcessId, Trace};

/// The machine whose lock key locks begin with; its disk lasts, since the key is not another's.
const FIRST: ProcessId = 0;
/// How long somebody waits before whatever is wrong is mended.
const PATIENCE: Ms = 60 * SECOND;
/// How long an answer may take when nothing is wrong.
const BOUND: Ms = 120 * SECOND;

/// Nobody acts in such a group by a plan.
#[derive(Debug, Clone)]
pub(crate) enum Nobody {}

impl fmt::Display for Nobody {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

fn no_act<T>(_: &mut Group<Nobody, T>, what: &Nobody) -> Result<()> {
    match *what {}
}

impl<T: BorrowMut<Trace>> Group<Nobody, T> {
    /// A group of so many machines. From now on things go wrong with them as the mix says.
    pub(crate) fn keeping(seed: u64, mix: Mix, machines: usize, trace: T) -> Result<Self> {
        let plan = Plan { seed, mix, steps: Vec::new() };
        let mut group = Group::new(plan, machines, ledger::history::KNOWN_RULES, trace)?;
        group.lasting = Some(FIRST);
        group.grow_to(machines, &mut no_act)?;
        group.trouble_begins();
        Ok(group)
    }

    /// Has something recorded, by asking machines until it is known what has become of it: the
    /// record's index, or why it was refused.
    pub(crate) fn record(
        &mut self,
        request: &str,
        uid: u32,
        event: Event,
    ) -> Result<std::result::Result<u64, Refusal>> {
        if self.faulty && self.random.chance(400) {
            self.strike()?;
        }
        let want = match event {
            Event::LockInitialized(_) => Want::at(FIRST, request, event).its_own(),
            // The operator asks anywhere; anybody else has an account on one machine.
            event if uid == OPERATOR => {
                Want::at(self.random.place(self.sites.len()), request, event)
            }
            event => Want::at(uid as usize % self.sites.len(), request, event).its_own(),
        };
        self.want(want.by(uid).must())?;
        let mut waited = 0;
        let calm = (self.mix.clone(), self.faulty);
        let outcome = loop {
            match self.clients.done(request) {
                Some(Done::Recorded(index)) => break Ok(index),
                Some(Done::Refused) => {
                    let why = self.clients.refusal(request);
                    break Err(why.ok_or_else(|| broken("refusals_have_reasons", request))?);
                }
                Some(Done::Unknown) | None => {}
            }
            if waited == PATIENCE {
                self.heal();
            }
            if waited >= PATIENCE + BOUND {
                let stands = self.stands(self.sites.len());
                return invariants::the_group_makes_progress(Some(stands)).map(|()| Ok(0));
            }
            let until = self.now() + SECOND / 10;
            self.run(until, &mut no_act)?;
            waited += SECOND / 10;
        };
        (self.mix, self.faulty) = calm;
        if self.faulty && waited > PATIENCE {
            self.count("mended before it answered");
            self.trouble_begins();
        }
        Ok(outcome)
    }

    /// The records from that index on that a majority has.
    pub(crate) fn records_from(&self, index: u64) -> Result<Vec<Record>> {
        let Some(view) = &self.looking.newest else { return Ok(Vec::new()) };
        let records = records::from(view.rows(), index).map_err(unexpected)?;
        records.collect::<std::result::Result<_, _>>().map_err(unexpected)
    }

    /// Something goes wrong with some machine.
    pub(crate) fn strike(&mut self) -> Result<()> {
        for trouble in troubles::drawn(&self.mix, &mut self.random, self.sites.len()) {
            self.trouble(trouble)?;
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and everything becomes as it should be.
    pub(crate) fn calm(&mut self) -> Result<()> {
        self.heal();
        let soon = self.now() + 10 * SECOND;
        self.run(soon, &mut no_act)?;
        self.clear_removed()?;
        self.settle(&mut no_act)
    }

    /// What has been said since somebody last took it.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.trace.borrow_mut().take()
    }
}
