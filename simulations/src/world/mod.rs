//! What worlds are made of: time, chance, a network, disks and processes, all of them simulated,
//! and a trace of what happened.
//!
//! A world is a list of [`Step`]s at their times, planned from a seed before anything runs. What
//! happens between the steps follows from the seed too, so a seed is one history. Steps can be
//! left out ([`Kept`]): that is how a failing scenario is shrunk.

pub mod clock;
pub mod disk;
mod faults;
mod network;
mod process;
mod random;
mod shrink;
mod trace;

use std::collections::BTreeMap;
use std::fmt;

use ledger::rows::Table;

pub use self::clock::Ms;
pub use self::faults::{Fault, Mix};
pub use self::network::{Network, ProcessId};
pub use self::process::Process;
pub use self::random::Random;
pub use self::shrink::{Kept, shrink};
pub use self::trace::{Trace, TraceHash};

use self::clock::SECOND;

/// AUM hash → when a client node has stored it, by its own clock: what compaction asks for.
pub const STORED_AT: Table = Table::named("stored_at");

/// How often each kind of thing has happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// One thing that is done to a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<A> {
    /// Something goes wrong, or right again.
    Trouble(Trouble),
    /// Somebody does something.
    Act(A),
}

impl<A: fmt::Display> fmt::Display for Step<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Trouble(trouble) => trouble.fmt(f),
            Step::Act(act) => act.fmt(f),
        }
    }
}

/// What goes wrong with processes and ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A process crashes and comes back after a while.
    Crash(ProcessId, Ms),
    /// A process stands still for a while.
    Stall(ProcessId, Ms),
    /// A process's clock jumps.
    Jump(ProcessId, i64),
    /// Nothing passes from one process to another for a while.
    Cut(ProcessId, ProcessId, Ms),
    /// A process's disk is full for a while.
    Fill(ProcessId, Ms),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |ms: &Ms| ms / SECOND;
        match self {
            Trouble::Crash(who, ms) => write!(f, "process {who} crashes for {} s", s(ms)),
            Trouble::Stall(who, ms) => write!(f, "process {who} stands still for {} s", s(ms)),
            Trouble::Jump(who, by) => write!(f, "the clock of {who} jumps by {} s", by / 1000),
            Trouble::Cut(from, to, ms) => write!(f, "nothing passes {from} > {to} for {} s", s(ms)),
            Trouble::Fill(who, ms) => write!(f, "the disk of {who} is full for {} s", s(ms)),
        }
    }
}

impl Trouble {
    /// The process with which it is, or from which nothing passes.
    pub fn process(&self) -> ProcessId {
        match self {
            Trouble::Crash(who, _)
            | Trouble::Stall(who, _)
            | Trouble::Jump(who, _)
            | Trouble::Cut(who, ..)
            | Trouble::Fill(who, _) => *who,
        }
    }

    /// The kind of fault that it is.
    pub fn fault(&self) -> Fault {
        match self {
            Trouble::Crash(..) => Fault::Crash,
            Trouble::Stall(..) => Fault::Stall,
            Trouble::Jump(..) => Fault::Clock,
            Trouble::Cut(..) => Fault::Partition,
            Trouble::Fill(..) => Fault::Full,
        }
    }

    /// Any trouble that the mix allows between so many processes, lasting some `span`; none if
    /// it is a quiet moment.
    pub fn drawn(mix: &Mix, random: &mut Random, processes: usize, span: Ms) -> Option<Trouble> {
        let who = random.place(processes);
        let other = (who + 1 + random.place(processes - 1)) % processes;
        let ms = random.between(span / 10, span);
        let hours = random.between(1, 60 * 24) as i64 * 3_600_000;
        let by = if random.chance(500) { hours } else { -hours };
        let all = [
            Trouble::Crash(who, ms),
            Trouble::Stall(who, ms),
            Trouble::Jump(who, by),
            Trouble::Cut(who, other, ms),
            Trouble::Fill(who, ms),
        ];
        let trouble = random.pick(&all);
        mix.strikes(trouble.fault(), random).then_some(trouble)
    }
}

/// A scenario: what a seed does to a world, and with which faults between the steps.
#[derive(Debug, Clone)]
pub struct Plan<A> {
    /// The seed.
    pub seed: u64,
    /// Its faults.
    pub mix: Mix,
    /// The steps, in order of time.
    pub steps: Vec<(Ms, Step<A>)>,
}

impl<A: Clone> Plan<A> {
    /// The part of it that is kept.
    #[must_use]
    pub fn only(&self, kept: &Kept) -> Self {
        let calm = |step: &Step<A>| match step {
            Step::Trouble(trouble) => kept.calm.contains(&trouble.fault()),
            Step::Act(_) => false,
        };
        let steps = self.steps.iter().enumerate();
        let steps = steps.filter(|(place, (_, step))| kept.has(*place) && !calm(step));
        Plan {
            seed: self.seed,
            mix: kept.calm.iter().fold(self.mix.clone(), |mix, fault| mix.without(*fault)),
            steps: steps.map(|(_, step)| step.clone()).collect(),
        }
    }
}
