//! A member that stands still for longer than an election, and then goes on as if nothing had been.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::harness::{Member, end_well, shown, three};
use crate::harness::{Ran, node_key};

/// Elections take less than a second.
const STILL: Duration = Duration::from_secs(4);

fn signal(member: &Member, signal: Signal) {
    kill_process(member.daemon.as_ref().unwrap().pid(), signal).unwrap();
}

fn add(member: &Member, number: u8) -> Ran {
    let key = node_key(number);
    member.place.run(&format!("node add n{number} --node-key {key} --json --request-id r{number}"))
}

#[test]
fn a_leader_that_stands_still_comes_back_as_a_follower_with_nothing_stale() {
    let mut all = three();
    let mut acknowledged: Vec<Value> = Vec::new();
    for round in 0..3_u8 {
        let leader = all[0].is_whole(&["1", "2", "3"])["leader"].as_str().unwrap().to_owned();
        let (still, first) = (leader.parse::<usize>().unwrap() - 1, 1 + round * 20);
        let others: Vec<usize> = (0..3).filter(|at| *at != still).collect();
        let since = Instant::now();
        signal(&all[still], Signal::STOP);
        thread::scope(|scope| {
            // Asked of one that stands still: answered when it goes on, by what then is so.
            let caught = scope.spawn(|| add(&all[still], first));
            for (place, number) in (first + 1..first + 9).enumerate() {
                let ran = add(&all[others[place % 2]], number);
                assert_eq!(ran.code, 0, "{ran:?}");
                if place == 0 {
                    println!("stopped to acknowledged: {} ms", since.elapsed().as_millis());
                }
                acknowledged.push(serde_json::from_str(&ran.stdout).unwrap());
            }
            // Its connections are still there, but everybody says that it is missing.
            for other in &others {
                let status = all[*other]
                    .sees("who is missing", |status| shown(status, &leader)["reachable"] == false);
                assert_eq!(status["health"], "degraded", "{status:#}");
            }
            thread::sleep(STILL.saturating_sub(since.elapsed()));
            signal(&all[still], Signal::CONT);
            // Whatever was acknowledged meanwhile is in the first thing that is read there.
            let nodes = all[still].place.run("node list");
            assert_eq!(nodes.code, 0, "{nodes:?}");
            if nodes.stderr.is_empty() {
                for number in first + 1..first + 9 {
                    assert!(nodes.stdout.contains(&format!("n{number} ")), "{nodes:?}");
                }
            }
            let caught = caught.join().unwrap();
            // Whatever it was told, once it is asked again it is so, and once.
            assert!(matches!(caught.code, 0 | 1 | 4), "{caught:?}");
            let again = all[others[0]].insists(&format!(
                "node add n{first} --node-key {} --json --request-id r{first}",
                node_key(first)
            ));
            let outcome: Value = serde_json::from_str(&again.ok()).unwrap();
            if caught.code == 0 {
                let told: Value = serde_json::from_str(&caught.stdout).unwrap();
                assert_eq!(told["record_hash"], outcome["record_hash"]);
            }
            acknowledged.push(outcome);
        });
        for member in &all {
            member.is_whole(&["1", "2", "3"]);
        }
    }
    for member in &all {
        let records = member.place.records("");
        for outcome in &acknowledged {
            let index = outcome["record_index"].as_u64().unwrap() as usize;
            assert_eq!(records[index]["hash"], outcome["record_hash"]);
            let same = |record: &&Value| record["request_id"] == outcome["request_id"];
            assert_eq!(records.iter().filter(same).count(), 1, "{outcome}");
        }
    }
    end_well(&mut all);
}

#[test]
fn all_members_stand_still_and_go_on() {
    let mut all = three();
    all[1].place.ok(&format!("node add before --node-key {}", node_key(1)));
    all.iter().for_each(|member| signal(member, Signal::STOP));
    thread::sleep(STILL);
    all.iter().for_each(|member| signal(member, Signal::CONT));
    for (number, member) in all.iter().enumerate() {
        let key = node_key(10 + number as u8);
        member.insists(&format!("node add after{number} --node-key {key}")).ok();
        assert!(member.place.ok("node list").contains("before"));
    }
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    end_well(&mut all);
}
