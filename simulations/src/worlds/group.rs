//! A replica group: 3 to 5 machines with the production core, log, recovery, loop and applier, and
//! people at every one of them who change the lock and the roster, revoke keys, and read.
//!
//! Machines crash, stand still and lose what they had not synced, bits flip on the disks of a
//! minority, ways are slow, lossy and cut in one direction or both, clocks jump and disks fill up.
//! Windows are so short that whoever was away is caught up by records.

use std::fmt;

use super::{Ran, World};
use crate::actors::group::{Group, troubles};
use crate::invariants::Result;
use crate::world::clock::SECOND;
use crate::world::{Kept, Mix, Ms, Plan, ProcessId, Random, Step, Trace};

/// This world.
pub const WORLD: World = World { name: "group", run, parts: None };

/// What its people do.
#[derive(Debug, Clone)]
enum Act {
    /// Somebody changes the roster or the lock, whichever the number says.
    Operate(ProcessId, u64),
    /// Somebody begins a revocation or signs one that waits.
    Revoke(ProcessId, u64),
    /// Somebody reads.
    Read(ProcessId),
    /// Another member is to lead.
    HandOver(ProcessId),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Operate(who, draw) => write!(f, "operation {draw:016x} on machine {who}"),
            Act::Revoke(who, draw) => write!(f, "revocation {draw:016x} on machine {who}"),
            Act::Read(who) => write!(f, "read on machine {who}"),
            Act::HandOver(who) => write!(f, "machine {who} is told to hand over"),
        }
    }
}

/// When the steps begin: the group has found itself by then.
const BEGIN: Ms = 60 * SECOND;

fn scenario(seed: u64) -> (Plan<Act>, usize) {
    let mut random = Random::new(seed, "group world");
    let machines = random.between(3, 5) as usize;
    let mix = Mix::drawn(&mut random);
    let mut at = BEGIN;
    let mut steps: Vec<(Ms, Step<Act>)> = Vec::new();
    for _ in 0..random.between(60, 220) {
        at += if random.chance(850) {
            random.between(0, 120)
        } else {
            random.between(200, 3 * SECOND)
        };
        if random.chance(120) {
            let troubles = troubles::drawn(&mix, &mut random, machines);
            steps.extend(troubles.into_iter().map(|trouble| (at, Step::Trouble(trouble))));
            continue;
        }
        let who = random.place(machines);
        let act = match random.below(100) {
            0..62 => Act::Operate(who, random.any()),
            62..84 => Act::Read(who),
            84..97 => Act::Revoke(who, random.any()),
            _ => Act::HandOver(who),
        };
        steps.push((at, Step::Act(act)));
    }
    (Plan { seed, mix, steps }, machines)
}

type Town<'t> = Group<Act, &'t mut Trace>;

fn run(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    let (plan, machines) = scenario(seed);
    let rules = super::rules(seed);
    super::run_plan(&plan, kept, |plan| {
        let mut group = Group::new(plan, machines, rules, trace)?;
        let lived = live(&mut group, machines);
        Ok((group.tally.clone(), group.now(), lived))
    })
}

fn live(group: &mut Town<'_>, machines: usize) -> Result<()> {
    group.grow_to(machines, &mut act)?;
    group.trouble_begins();
    group.run_plan(&mut act)?;
    group.calm_down(&mut act)
}

fn act(group: &mut Town<'_>, what: &Act) -> Result<()> {
    match *what {
        Act::Operate(who, draw) => group.operate(who, draw),
        Act::Revoke(who, draw) => group.revoke(who, draw),
        Act::Read(who) => group.read(who),
        Act::HandOver(who) => group.hand_over(who),
    }
}
