//! A short, fixed set of seeds of every world: all invariants hold, and what the worlds are there
//! to show does happen. `simulations` runs longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot run has failed")]

use std::collections::BTreeMap;
use std::ops::Range;

use simulations::runner::{self, MUST_OCCUR};
use simulations::world::Tally;
use simulations::world::{Kept, TraceHash};
use simulations::worlds::{ALL, NAMED, World};

/// Seeds of each world: less than a minute on two cores, about two where these are busy, all
/// together. The small worlds take the longest.
const SEEDS: &[(&str, u64)] = &[
    ("forks", 200),
    ("life", 100),
    ("revocation", 150),
    ("small", 1),
    ("group", 150),
    ("membership", 60),
    ("group-forks", 30),
    ("group-life", 20),
    ("group-revocation", 30),
];

/// What must occur, but is too rare for so few seeds. A thousand have it.
const RARE: &[(&str, &str)] = &[
    ("group", "damage noticed"),
    ("group", "replaced"),
    ("membership", "let know by a letter"),
    ("group-forks", "deduplicated retry"),
    ("group-revocation", "leader change in mid-revocation"),
];

fn world(name: &str) -> World {
    ALL.into_iter().chain(NAMED).find(|world| world.name == name).unwrap()
}

fn hash_of(worlds: &[World], seeds: Range<u64>, jobs: usize) -> TraceHash {
    let mut hashes = Vec::new();
    runner::run_all(worlds, seeds, jobs, false, |result| hashes.push(result.hash));
    TraceHash::over(&hashes)
}

#[test]
fn the_short_set_holds_and_shows_what_it_must() {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut broken = Vec::new();
    for (name, seeds) in SEEDS {
        runner::run_all(&[world(name)], 0..*seeds, 2, false, |result| {
            runner::add(tallies.entry(name).or_default(), &result.ran.tally);
            if let Some(why) = result.ran.broken {
                broken.push(format!("--world {name} --seed {}: {why}", result.seed));
            }
        });
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for (world, what) in MUST_OCCUR {
        if RARE.contains(&(*world, *what)) {
            continue;
        }
        assert!(tallies[world].contains_key(what), "{world}: never {what}: {tallies:?}");
    }
}

/// Seeds that have found something, each with its story.
const FOUND: &[(&str, u64)] = &[
    // Disks went on failing after the world had calmed down.
    ("revocation", 211),
    // The thief had replaced the disablement values on a side that lost; a node that still stood
    // there when the lock was disabled cannot be told, since the secret is none of its state's.
    ("revocation", 288),
    // The thief had signed the RemoveKey already with which it wanted to answer.
    ("revocation", 569),
    // A node sent two branches from one AUM that the ledger had never seen: together the door
    // refuses them, though it would let either through alone.
    ("forks", 689),
    ("forks", 868),
    // The ledger's disk failed before there was a lock, and a state ID of none counted as used.
    ("life", 63),
    // It failed when the lock was to begin.
    ("revocation", 142),
    // Entries were counted as recorded whose records were still on their way, and nothing said so on
    // the disk: after a restart a replica would have gone on without them.
    ("group", 15),
    // A machine was lost before the others counted votes by the group that could do without it.
    ("membership", 185),
    // A machine gave up joining when it heard nothing, and was a member that never came.
    ("membership", 443),
    // One copy of a proposal was refused while another was under way, and was recorded.
    ("group", 288),
    ("group", 784),
    ("membership", 589),
    ("membership", 854),
    // Whoever was behind did not let in those who had joined since, of whom one led.
    ("membership", 953),
    ("group-revocation", 763),
    ("membership", 856),
    ("membership", 1369),
    // A leader lied about the last record of a replica, which then waited for records of which none
    // was missing.
    ("membership", 612),
    // A lock began by an earlier try than the one that was refused.
    ("group-life", 391),
    ("group-life", 1449),
    // A replica whose clock went back was taken for one that said everything twice.
    ("group", 887),
];

#[test]
fn what_was_found_once_stays_found() {
    for (name, seed) in FOUND {
        let broken = runner::run(world(name), *seed, &Kept::default(), false).ran.broken;
        assert!(broken.is_none(), "--world {name} --seed {seed}: {broken:?}");
    }
}

#[test]
fn a_seed_is_one_history_whatever_the_number_of_threads() {
    let seeded: Vec<World> = ALL.into_iter().filter(|world| world.parts.is_none()).collect();
    let alone = hash_of(&seeded, 0..3, 1);
    assert_eq!(hash_of(&seeded, 0..3, 3), alone);
    assert_ne!(hash_of(&seeded, 1..4, 1), alone);
}

#[test]
fn every_seed_draws_its_own_faults_and_steps_can_be_left_out() {
    let forks = world("forks");
    let whole = runner::run(forks, 3, &Kept::default(), true);
    assert!(whole.lines.len() > whole.ran.steps.len());
    let other = runner::run(forks, 4, &Kept::default(), false);
    assert_ne!(whole.ran.faults, other.ran.faults);
    let kept = Kept { steps: Kept::parse_steps("0-9"), calm: Default::default() };
    let part = runner::run(forks, 3, &kept, true);
    assert!(part.ran.broken.is_none() && part.lines.len() < whole.lines.len());
}
