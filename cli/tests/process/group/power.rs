//! The power of all members fails at once.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;

use serde_json::Value;

use super::harness::{Member, end_well, three};
use crate::harness::Daemon;
use crate::power::{Chance, Syncs, powered, taken_back};

/// Cuts in a row.
const CUTS: u64 = 5;

/// Starts every daemon on a machine whose power can fail.
fn start_powered(all: &mut [Member; 3], syncs: Syncs) -> Result<(), String> {
    // None of them is ready before another one is there.
    let started = scope(|scope| {
        let starting = all.iter().map(|member| {
            let command = powered(&member.place, member.serve(), syncs);
            scope.spawn(|| Daemon::try_start(&member.place, command))
        });
        let starting: Vec<_> = starting.collect();
        starting.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    for (member, daemon) in all.iter_mut().zip(started) {
        member.daemon = Some(daemon.map_err(|ran| ran.stderr)?);
    }
    Ok(())
}

/// Asks for changes at every member, until the power fails everywhere after so many of them.
fn changes_until_a_cut(
    all: &mut [Member; 3],
    round: u64,
    chance: &mut Chance,
    acknowledged: &mut BTreeMap<String, Value>,
) {
    let wanted = chance.below(20) as usize + 5;
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let outcomes = Mutex::new(Vec::new());
    let daemons: Vec<Daemon> = all.iter_mut().map(|member| member.daemon.take().unwrap()).collect();
    let all = &*all;
    scope(|scope| {
        for (place, member) in all.iter().enumerate() {
            let (over, done, outcomes) = (&over, &done, &outcomes);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("r{round}-m{place}-{number}");
                    let key = format!("{:060x}{place:04x}", round << 20 | number);
                    let words = format!("node add {name} --node-key nodekey:{key} --json");
                    let ran = member.place.run(&words);
                    if ran.code == 0 {
                        let outcome = serde_json::from_str(&ran.stdout).unwrap();
                        outcomes.lock().unwrap().push((name, outcome));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while done.load(Ordering::Relaxed) < wanted {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        daemons.into_iter().for_each(Daemon::kill);
        over.store(true, Ordering::Relaxed);
    });
    for member in all {
        taken_back(&member.place, chance);
    }
    acknowledged.extend(outcomes.into_inner().unwrap());
}

/// Whether everything that was acknowledged is on record at every member, where it was said to be.
fn check(all: &[Member; 3], acknowledged: &BTreeMap<String, Value>) -> Result<(), String> {
    for member in all {
        member.is_whole(&["1", "2", "3"]);
        let records = member.place.records("");
        for (name, outcome) in acknowledged {
            let index = outcome["record_index"].as_u64().unwrap() as usize;
            let hash = records.get(index).map(|record| &record["hash"]);
            if hash != Some(&outcome["record_hash"]) {
                return Err(format!("{name} is lost on {}: {hash:?}", member.name));
            }
        }
    }
    Ok(())
}

#[test]
fn a_group_whose_power_fails_everywhere_loses_nothing_acknowledged() {
    let mut all = three();
    all.iter_mut().for_each(Member::stop);
    let (mut chance, mut acknowledged) = (Chance(60), BTreeMap::new());
    start_powered(&mut all, Syncs::Made).unwrap();
    for round in 0..CUTS {
        all[0].is_whole(&["1", "2", "3"]);
        changes_until_a_cut(&mut all, round, &mut chance, &mut acknowledged);
        start_powered(&mut all, Syncs::Made).unwrap();
        check(&all, &acknowledged).unwrap_or_else(|what| panic!("cut {round}: {what}"));
    }
    println!("{} changes, {CUTS} cuts", acknowledged.len());
    end_well(&mut all);
}

#[test]
fn a_group_without_syncs_would_be_found_out() {
    let mut all = three();
    all.iter_mut().for_each(Member::stop);
    let (mut chance, mut acknowledged) = (Chance(61), BTreeMap::new());
    // Who has just come back as another does not do so again, and refuses to start instead.
    for member in &all {
        fs::write(member.place.data().join("renewed"), "").unwrap();
    }
    start_powered(&mut all, Syncs::Forgotten).unwrap();
    for round in 0..CUTS {
        all[0].is_whole(&["1", "2", "3"]);
        changes_until_a_cut(&mut all, round, &mut chance, &mut acknowledged);
        let started = start_powered(&mut all, Syncs::Forgotten);
        if let Err(what) = started.and_then(|()| check(&all, &acknowledged)) {
            println!("found out by cut {round}: {}", what.lines().next().unwrap_or_default());
            return;
        }
    }
    panic!("{CUTS} cuts have cost nothing that was acknowledged");
}
