//! The worlds find bugs: each that is planted in the ledger or in the replica, within a stated
//! number of seeds. Runs only in builds with the feature `planted`.
#![cfg(feature = "planted")]

use ledger::planted::{Plant, plant};
use simulations::runner;
use simulations::worlds::{ALL, World};

/// Seeds of each world within which every planted bug must be found.
const WITHIN: u64 = 64;

/// One test: a bug is switched on in the whole process.
#[test]
fn every_planted_bug_is_found() {
    // The worlds of the lock on a group find what these find.
    let worlds: Vec<World> =
        ALL.into_iter().filter(|world| !world.name.starts_with("group-")).collect();
    let mut missed = Vec::new();
    for bug in Plant::ALL {
        plant(Some(bug));
        match runner::first_broken(&worlds, 0..WITHIN) {
            Some(found) => {
                let (world, seed, name) = (found.world.name, found.seed, bug.name());
                let broken = found.ran.broken.map_or(String::new(), |broken| broken.to_string());
                println!("| {name} | {world} | {} | {broken} |", seed + 1);
            }
            None => missed.push(bug.name()),
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:?}");
}
