//! The power of a lone replica fails while it is being changed.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;

use super::{Chance, Syncs, powered, taken_back};
use crate::harness::{Daemon, Place};

/// Cuts in a row.
const CUTS: u64 = 12;
/// Changes that are asked for at once.
const CLIENTS: usize = 3;
/// What was acknowledged before a cut, at most.
const MOST_BEFORE: u64 = 25;

/// Asks for changes from several sides until the power fails after so many are acknowledged. The
/// names of those go to `acknowledged`.
fn changes_until_a_cut(
    place: &Place,
    daemon: Daemon,
    round: u64,
    chance: &mut Chance,
    acknowledged: &mut BTreeSet<String>,
) -> usize {
    let wanted = chance.below(MOST_BEFORE) as usize + 1;
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let names = Mutex::new(Vec::new());
    scope(|scope| {
        for client in 0..CLIENTS {
            let (over, done, names) = (&over, &done, &names);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("r{round}-c{client}-{number}");
                    let key = format!("{:060x}{client:04x}", round << 20 | number);
                    let words = format!("node add {name} --node-key nodekey:{key}");
                    if place.run(&words).code == 0 {
                        names.lock().unwrap().push(name);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while done.load(Ordering::Relaxed) < wanted {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        daemon.kill();
        over.store(true, Ordering::Relaxed);
    });
    let lost = taken_back(place, chance);
    acknowledged.extend(names.into_inner().unwrap());
    lost
}

/// What of that is not there, once the power is back; or why nothing is.
fn missing(place: &Place, acknowledged: &BTreeSet<String>, syncs: Syncs) -> Result<Daemon, String> {
    let daemon = match Daemon::try_start(place, powered(place, place.serve(), syncs)) {
        Ok(daemon) => daemon,
        Err(ran) => return Err(ran.stderr),
    };
    let nodes = place.ok("node list");
    let there: BTreeSet<&str> =
        nodes.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(name.as_str())).collect();
    if lost.is_empty() { Ok(daemon) } else { Err(format!("lost: {lost:?}")) }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let place = Place::new();
    let (mut chance, mut acknowledged) = (Chance(6), BTreeSet::new());
    let mut daemon = Daemon::start(&place, powered(&place, place.serve(), Syncs::Made));
    let mut lost = 0;
    for round in 0..CUTS {
        lost += changes_until_a_cut(&place, daemon, round, &mut chance, &mut acknowledged);
        daemon = missing(&place, &acknowledged, Syncs::Made)
            .unwrap_or_else(|what| panic!("cut {round}: {what}"));
    }
    println!("{} changes, {CUTS} cuts, {lost} writes not durable", acknowledged.len());
    // The cuts have to have been some.
    assert!(lost > 0);
    assert_eq!(daemon.terminate().code(), Some(0));
    place.ok(&format!("audit verify {}", place.data().display()));
}

/// The test above would notice a daemon that does not sync.
#[test]
fn a_daemon_without_syncs_would_be_found_out() {
    let place = Place::new();
    assert_eq!(place.start().terminate().code(), Some(0));
    let (mut chance, mut acknowledged) = (Chance(7), BTreeSet::new());
    let mut daemon = Daemon::start(&place, powered(&place, place.serve(), Syncs::Forgotten));
    for round in 0..CUTS {
        changes_until_a_cut(&place, daemon, round, &mut chance, &mut acknowledged);
        match missing(&place, &acknowledged, Syncs::Forgotten) {
            Ok(again) => daemon = again,
            Err(what) => {
                println!("found out by cut {round}: {}", what.lines().next().unwrap_or_default());
                return;
            }
        }
    }
    panic!("{CUTS} cuts have cost nothing that was acknowledged");
}
