//! Runs seeds, several at once, and reports them in their order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::invariants::Broken;
use crate::world::Tally;
use crate::world::{Kept, Trace, TraceHash, shrink};
use crate::worlds::{Ran, World};

/// What one seed of one world came to.
#[derive(Debug)]
pub struct Result {
    /// The world.
    pub world: World,
    /// The seed.
    pub seed: u64,
    /// What happened.
    pub ran: Ran,
    /// What happened, as text, if that was wanted.
    pub lines: Vec<String>,
    /// The hash over it.
    pub hash: TraceHash,
}

/// Runs one seed.
pub fn run(world: World, seed: u64, kept: &Kept, lines: bool) -> Result {
    let mut trace = Trace::new(lines);
    let ran = (world.run)(seed, kept, &mut trace);
    if let Some(broken) = &ran.broken {
        trace.say(ran.time, format_args!("broken: {broken}"));
    }
    let (lines, hash) = trace.finish();
    Result { world, seed, ran, lines, hash }
}

/// Runs seeds of worlds on `jobs` threads, each seed on one. `done` hears of every result in the
/// order of worlds and seeds, however many threads there are.
pub fn run_all(
    worlds: &[World],
    seeds: Range<u64>,
    jobs: usize,
    lines: bool,
    mut done: impl FnMut(Result) + Send,
) {
    let mut tasks: Vec<(World, u64)> = Vec::new();
    for world in worlds {
        let one = seeds.end.saturating_sub(seeds.start) == 1;
        let seeds = match world.parts {
            // One seed asks for one part; any others for all of them.
            Some(parts) if one => seeds.start % parts..seeds.start % parts + 1,
            Some(parts) => 0..parts,
            None => seeds.clone(),
        };
        tasks.extend(seeds.map(|seed| (*world, seed)));
    }
    let next = AtomicUsize::new(0);
    // Results that came before their turn, and whose turn it is.
    let waiting = Mutex::new((0, BTreeMap::<usize, Result>::new(), &mut done));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((world, seed)) = tasks.get(place) else { break };
            let result = run(*world, *seed, &Kept::default(), lines);
            let mut guard = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (turn, early, done) = &mut *guard;
            early.insert(place, result);
            while let Some(result) = early.remove(turn) {
                done(result);
                *turn += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
}

/// The first seed of these worlds that breaks an invariant: of every world the first seed, then
/// of every world the second, and so on. One after the other.
pub fn first_broken(worlds: &[World], seeds: Range<u64>) -> Option<Result> {
    for seed in seeds {
        for world in worlds {
            if world.parts.is_some_and(|parts| seed >= parts) {
                continue;
            }
            let result = run(*world, seed, &Kept::default(), false);
            if result.ran.broken.is_some() {
                return Some(result);
            }
        }
    }
    None
}

/// Adds what happened in one seed to what happened before.
pub fn add(all: &mut Tally, tally: &Tally) {
    for (what, count) in tally {
        *all.entry(what).or_default() += count;
    }
}

/// Tries of a shrink, at most.
const TRIES: usize = 400;

/// The least of a failing seed that breaks the same invariant, and what it runs.
#[derive(Debug)]
pub struct Shrunk {
    /// What is left of it.
    pub kept: Kept,
    /// The steps that are left.
    pub steps: Vec<String>,
    /// How it breaks.
    pub broken: Broken,
}

/// Shrinks a failing seed.
pub fn shrunk(world: World, seed: u64, ran: &Ran) -> Option<Shrunk> {
    let broken = ran.broken.clone()?;
    let breaks = |kept: &Kept| {
        let again = run(world, seed, kept, false).ran.broken;
        again.filter(|again| again.invariant == broken.invariant)
    };
    let kept = shrink(ran.steps.len(), &ran.faults, TRIES, |kept| breaks(kept).is_some());
    let steps = ran.steps.iter().enumerate().filter(|(place, _)| kept.has(*place));
    let steps = steps.map(|(place, step)| format!("{place:>5}  {step}")).collect();
    let broken = breaks(&kept).unwrap_or(broken);
    Some(Shrunk { kept, steps, broken })
}

/// What must occur over many seeds, so that nobody takes quiet for proof: world and event.
pub const MUST_OCCUR: &[(&str, &str)] = &[
    ("forks", "fork won"),
    ("forks", "fork lost"),
    ("forks", "compacted"),
    ("forks", "begun at a later checkpoint"),
    ("life", "lock began again"),
    ("life", "missed disable healed"),
    ("life", "used state ID refused"),
    ("life", "joined by a credential"),
    ("life", "rotated"),
    ("life", "nodes signed anew"),
    ("life", "local disable"),
    ("life", "adopted"),
    ("life", "followed"),
    ("life", "the door alarmed"),
    ("life", "answered on a worn disk"),
    ("life", "the ledger did not start on a damaged disk"),
    ("life", "the ledger was folded anew"),
    ("life", "the ledger was restored from a copy"),
    ("life", "power lost during a write"),
    ("life", "a write outlived the power"),
    ("life", "audited on the way"),
    ("life", "tampered with the records"),
    ("revocation", "revocation won"),
    ("revocation", "revocation lost"),
    ("revocation", "the thief answered and won"),
    ("revocation", "the thief answered in vain"),
    ("revocation", "majority stolen, began anew"),
    ("revocation", "checkpoint attack refused"),
    ("revocation", "fork refused at the door"),
    ("revocation", "revocation outvoted at the door"),
    ("revocation", "an AUM became final"),
    ("revocation", "refused below the final AUM"),
    ("revocation", "forced past finality"),
    ("revocation", "quota refused"),
    ("revocation", "quota of revocations refused"),
    ("revocation", "the door opened later"),
    ("revocation", "came back"),
    ("revocation", "tried in vain to come back"),
    ("revocation", "told what the door refused"),
    ("revocation", "stranded, begun anew"),
    ("group", "caught up by records"),
    ("group", "torn tail"),
    ("group", "deduplicated retry"),
    ("group", "leader change in mid-revocation"),
    ("group", "damage noticed"),
    ("group", "replaced"),
    ("membership", "caught up by records"),
    ("membership", "joint change"),
    ("membership", "torn tail"),
    ("membership", "deduplicated retry"),
    ("membership", "joined"),
    ("membership", "removed"),
    ("membership", "role changed"),
    ("membership", "disk lost"),
    ("membership", "older copy noticed"),
    ("membership", "let know by a letter"),
    ("membership", "replaced"),
    ("membership", "rules activated"),
    ("group-forks", "fork won"),
    ("group-forks", "fork lost"),
    ("group-forks", "elections"),
    ("group-forks", "caught up by records"),
    ("group-forks", "deduplicated retry"),
    ("group-life", "lock began again"),
    ("group-life", "missed disable healed"),
    ("group-life", "elections"),
    ("group-life", "caught up by records"),
    ("group-life", "deduplicated retry"),
    ("group-revocation", "revocation won"),
    ("group-revocation", "revocation lost"),
    ("group-revocation", "checkpoint attack refused"),
    ("group-revocation", "leader change in mid-revocation"),
    ("group-revocation", "elections"),
    ("group-revocation", "deduplicated retry"),
];
