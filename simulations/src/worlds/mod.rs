//! The worlds. Each is a plan drawn from a seed, what its people do, and what must come of it.

pub mod forks;
pub mod group;
pub mod life;
pub mod membership;
pub mod revocation;
pub mod small;

use crate::actors::tailnet::KeptBy;
use crate::invariants::Broken;
use crate::world::Tally;
use crate::world::{Fault, Kept, Plan, Random, Trace};

/// What running a world came to.
#[derive(Debug)]
pub struct Ran {
    /// How often what happened.
    pub tally: Tally,
    /// The invariant that did not hold, if one did not.
    pub broken: Option<Broken>,
    /// Virtual milliseconds.
    pub time: u64,
    /// The steps of the whole plan, as text, with their places.
    pub steps: Vec<String>,
    /// The kinds of faults that the plan has.
    pub faults: Vec<Fault>,
}

/// A world that is run by seeds.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// Its name on the command line.
    pub name: &'static str,
    /// Runs the kept part of a seed's plan.
    pub run: fn(u64, &Kept, &mut Trace) -> Ran,
    /// How many parts there are of a world that is the same for all seeds; none if there is no end
    /// of seeds.
    pub parts: Option<u64>,
}

/// Every world that `--worlds all` runs.
pub const ALL: [World; 9] = [
    forks::WORLD,
    life::WORLD,
    revocation::WORLD,
    small::WORLD,
    group::WORLD,
    membership::WORLD,
    forks::OF_A_GROUP,
    life::OF_A_GROUP,
    revocation::OF_A_GROUP,
];
/// Worlds that are run only by name, since they take minutes.
pub const NAMED: [World; 1] = [small::LARGER];

/// The rules of a seed's ledger: with the door or without.
fn rules(seed: u64) -> u32 {
    if Random::new(seed, "rules").chance(600) { 2 } else { 1 }
}

/// One member keeps a seed's ledger.
fn one_member(seed: u64) -> KeptBy {
    KeptBy::One { rules: rules(seed) }
}

/// A group of machines keeps a seed's ledger.
fn machines(seed: u64) -> KeptBy {
    KeptBy::Machines(Random::new(seed, "keepers").pick(&[3, 3, 5]))
}

/// Runs the kept part of a plan.
fn run_plan<A: Clone + std::fmt::Display>(
    plan: &Plan<A>,
    kept: &Kept,
    run: impl FnOnce(Plan<A>) -> Result<(Tally, u64, Result<(), Broken>), Broken>,
) -> Ran {
    let steps = plan.steps.iter().map(|(at, step)| format!("{:>9} s  {step}", at / 1000)).collect();
    let faults = plan.mix.kinds().collect();
    let (tally, time, broken) = match run(plan.only(kept)) {
        Ok((tally, time, lived)) => (tally, time, lived.err()),
        Err(broken) => (Tally::new(), 0, Some(broken)),
    };
    Ran { tally, broken, time, steps, faults }
}
