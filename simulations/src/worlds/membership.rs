//! The life of a group: members are invited by name or not, join, are approved, demoted, promoted,
//! put out and replaced, under the same faults as in the world `group`; disks are lost, or set back to
//! an older copy, so that the machine must not go on as who it was; programs learn new rules one after the other.

use std::fmt;

use super::{Ran, World};
use crate::actors::group::{Group, troubles};
use crate::invariants::Result;
use crate::world::clock::SECOND;
use crate::world::{Kept, Mix, Ms, Plan, ProcessId, Random, Step, Trace};

/// This world.
pub const WORLD: World = World { name: "membership", run, parts: None };

/// What its people do.
#[derive(Debug, Clone)]
enum Act {
    /// Somebody changes the roster or the lock.
    Operate(ProcessId, u64),
    /// Somebody reads.
    Read(ProcessId),
    /// Another member is to lead.
    HandOver(ProcessId),
    /// A machine that is in no group is invited: by name, or for a moment only.
    Invite { draw: u64, named: bool, short: bool },
    /// A member is put out.
    Remove(u64),
    /// Roles change.
    Roles(u64),
    /// One joins, and another one leaves.
    Replace(u64),
    /// A machine loses its database.
    Lose(ProcessId),
    /// Somebody copies a machine's disk.
    Copy(ProcessId),
    /// Somebody puts the copy back.
    SetBack(ProcessId),
    /// Machines that were put out are emptied.
    Clear,
    /// A machine gets a newer program.
    Upgrade(ProcessId, u64),
    /// The newest rules are to be active.
    Activate(u64),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Operate(who, draw) => write!(f, "operation {draw:016x} on machine {who}"),
            Act::Read(who) => write!(f, "read on machine {who}"),
            Act::HandOver(who) => write!(f, "machine {who} is told to hand over"),
            Act::Invite { named, short, .. } => {
                let how = if *named { "by name" } else { "without a name" };
                let long = if *short { ", for a moment" } else { "" };
                write!(f, "a machine is invited {how}{long}")
            }
            Act::Remove(_) => f.write_str("a member is to leave"),
            Act::Roles(_) => f.write_str("roles change"),
            Act::Replace(_) => f.write_str("a member is replaced"),
            Act::Lose(who) => write!(f, "machine {who} loses its database"),
            Act::Copy(who) => write!(f, "the disk of machine {who} is copied"),
            Act::SetBack(who) => write!(f, "the copy of machine {who}'s disk is put back"),
            Act::Clear => f.write_str("removed machines are emptied"),
            Act::Upgrade(who, _) => write!(f, "machine {who} gets a newer program"),
            Act::Activate(_) => f.write_str("the newest rules are to be active"),
        }
    }
}

/// When the steps begin: the group has found itself by then.
const BEGIN: Ms = 60 * SECOND;

fn scenario(seed: u64) -> (Plan<Act>, usize, usize) {
    let mut random = Random::new(seed, "membership world");
    let first = random.between(1, 4) as usize;
    let machines = first + random.between(1, 3) as usize;
    let mix = Mix::drawn(&mut random);
    let mut at = BEGIN;
    let mut steps: Vec<(Ms, Step<Act>)> = Vec::new();
    for _ in 0..random.between(50, 160) {
        at += if random.chance(600) {
            random.between(0, 150)
        } else {
            random.between(200, 3 * SECOND)
        };
        if random.chance(120) {
            let troubles = troubles::drawn(&mix, &mut random, machines);
            steps.extend(troubles.into_iter().map(|trouble| (at, Step::Trouble(trouble))));
            continue;
        }
        let (who, draw) = (random.place(machines), random.any());
        let act = match random.below(100) {
            0..44 => Act::Operate(who, draw),
            44..54 => Act::Read(who),
            54..58 => Act::HandOver(who),
            58..70 => {
                let (named, short) = (random.chance(500), random.chance(150));
                Act::Invite { draw, named, short }
            }
            70..75 => Act::Remove(draw),
            75..83 => Act::Roles(draw),
            83..88 => Act::Replace(draw),
            88..92 => Act::Lose(who),
            92..96 => Act::Clear,
            96..98 => Act::Upgrade(who, draw),
            _ => Act::Activate(draw),
        };
        steps.push((at, Step::Act(act)));
    }
    copies(seed, machines, at, &mut steps);
    (Plan { seed, mix, steps }, first, machines)
}

/// Copies of disks that are taken and put back, drawn apart from the rest.
fn copies(seed: u64, machines: usize, end: Ms, steps: &mut Vec<(Ms, Step<Act>)>) {
    let mut random = Random::new(seed, "copies of disks");
    if !random.chance(400) {
        return;
    }
    for who in 0..machines {
        let taken = random.between(BEGIN, end);
        let back = random.between(taken, end);
        steps.push((taken, Step::Act(Act::Copy(who))));
        // More than once, since the others may not be able to do without it just then.
        for at in [back, back.midpoint(end), end] {
            steps.push((at, Step::Act(Act::SetBack(who))));
        }
    }
    steps.sort_by_key(|(at, _)| *at);
}

type Town<'t> = Group<Act, &'t mut Trace>;

fn run(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    let (plan, first, machines) = scenario(seed);
    let rules = super::rules(seed);
    super::run_plan(&plan, kept, |plan| {
        let mut group = Group::new(plan, machines, rules, trace)?;
        let lived = live(&mut group, first);
        Ok((group.tally.clone(), group.now(), lived))
    })
}

fn live(group: &mut Town<'_>, first: usize) -> Result<()> {
    group.grow_to(first, &mut act)?;
    group.trouble_begins();
    group.run_plan(&mut act)?;
    group.calm_down(&mut act)
}

fn act(group: &mut Town<'_>, what: &Act) -> Result<()> {
    match *what {
        Act::Operate(who, draw) => group.operate(who, draw),
        Act::Read(who) => group.read(who),
        Act::HandOver(who) => group.hand_over(who),
        Act::Invite { draw, named, short } => invite(group, draw, named, short),
        Act::Remove(draw) => group.remove(draw),
        Act::Roles(draw) => group.change_roles(draw),
        Act::Replace(draw) => {
            group.remove(draw)?;
            invite(group, draw, true, false)
        }
        Act::Lose(who) => group.lose_disk(who),
        Act::Copy(who) => group.copy_disk(who),
        Act::SetBack(who) => group.set_back(who),
        Act::Clear => group.clear_removed(),
        Act::Upgrade(who, draw) => group.upgrade(who, draw),
        Act::Activate(draw) => group.activate(draw),
    }
}

fn invite(group: &mut Town<'_>, draw: u64, named: bool, short: bool) -> Result<()> {
    let empty = group.empty();
    match empty.get(draw as usize % empty.len().max(1)) {
        Some(who) => group.invite(*who, named, short),
        None => Ok(()),
    }
}
