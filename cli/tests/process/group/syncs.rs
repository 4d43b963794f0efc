//! A member whose disk fails a sync ends, and acknowledges nothing before.

use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::harness::{end_well, shown, three};
use crate::harness::{Daemon, node_key};
use crate::power::{Chance, Syncs, break_disk, powered, taken_back};

/// Times that a disk breaks.
const ROUNDS: u8 = 4;

#[test]
fn a_leader_whose_sync_fails_lets_another_one_lead_and_ends() {
    let mut all = three();
    let (mut chance, mut acknowledged) = (Chance(8), Vec::<Value>::new());
    let mut number = 0;
    for round in 0..ROUNDS {
        let leader = usize::from(round % 3);
        all[leader].stop();
        let command = powered(&all[leader].place, all[leader].serve(), Syncs::Made);
        all[leader].daemon = Some(Daemon::start(&all[leader].place, command));
        for member in &all {
            member.is_whole(&["1", "2", "3"]);
        }
        let id = (leader + 1).to_string();
        all[leader].place.ok(&format!("cluster transfer-leader {id}"));
        let mut ask = |place: &crate::harness::Place| {
            number += 1;
            place.run(&format!("node add n{number} --node-key {} --json", node_key(number)))
        };
        acknowledged.push(serde_json::from_str(&ask(&all[leader].place).ok()).unwrap());

        break_disk(&all[leader].place);
        // Whoever asks elsewhere notices no more than a short wait.
        let (other, since) = ((leader + 1) % 3, Instant::now());
        acknowledged.push(serde_json::from_str(&ask(&all[other].place).ok()).unwrap());
        println!("sync failed to acknowledged write: {} ms", since.elapsed().as_millis());
        // Whoever asks there is not told that anything is done.
        let asked = ask(&all[leader].place);
        assert_ne!(asked.code, 0, "{asked:?}");
        let (code, log) = all[leader].daemon.take().unwrap().ends();
        assert_eq!(code, 1, "{log}");
        for text in
            ["Input/output error", "nothing more is acknowledged", "the replica had to stop"]
        {
            assert!(log.contains(text), "{text}: {log}");
        }
        assert!(log.contains("another replica leads from now on"), "{log}");
        // After a sync that has failed nobody knows what of it is on the disk.
        taken_back(&all[leader].place, &mut chance);
        all[other].sees("the loss", |status| shown(status, &id)["reachable"] == false);
        all[leader].start();
    }
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
        for outcome in &acknowledged {
            let index = outcome["record_index"].as_u64().unwrap();
            let record = &member.place.records(&format!("--from {index} --limit 1"))[0];
            assert_eq!(record["hash"], outcome["record_hash"]);
        }
    }
    end_well(&mut all);
}

#[test]
fn a_follower_whose_sync_fails_ends_and_the_others_go_on() {
    let mut all = three();
    let leader = all[0].is_whole(&["1", "2", "3"])["leader"].as_str().unwrap().to_owned();
    let broken = all.iter().position(|member| member.id() != leader).unwrap();
    all[broken].stop();
    let command = powered(&all[broken].place, all[broken].serve(), Syncs::Made);
    all[broken].daemon = Some(Daemon::start(&all[broken].place, command));
    all[broken].is_whole(&["1", "2", "3"]);
    break_disk(&all[broken].place);
    let sound: Vec<usize> = (0..3).filter(|at| *at != broken).collect();
    let outcomes: Vec<Value> = (0..10_u8)
        .map(|n| {
            let place = &all[sound[usize::from(n % 2)]].place;
            place.json(&format!("node add n{n} --node-key {} --json", node_key(n + 1)))
        })
        .collect();
    let (code, log) = all[broken].daemon.take().unwrap().ends();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("Input/output error"), "{log}");
    taken_back(&all[broken].place, &mut Chance(9));
    all[broken].start();
    all[broken].is_whole(&["1", "2", "3"]);
    thread::scope(|scope| {
        for member in &all {
            let outcomes = &outcomes;
            scope.spawn(move || {
                for outcome in outcomes {
                    let index = outcome["record_index"].as_u64().unwrap();
                    let record = &member.place.records(&format!("--from {index} --limit 1"))[0];
                    assert_eq!(record["hash"], outcome["record_hash"]);
                }
            });
        }
    });
    end_well(&mut all);
}
