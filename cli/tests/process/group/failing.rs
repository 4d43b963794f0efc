//! Members that are killed: a leader, a majority, and what the rest then says.

use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{end_well, shown, three};
use crate::harness::node_key;

#[test]
fn a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut all = three();
    let mut acknowledged = Vec::new();
    for (round, number) in (0..6_u8).zip((0..3).cycle()) {
        // Asked for at another member each time.
        let name = format!("before{round}");
        let words = format!("node add {name} --node-key {} --json", node_key(20 + round));
        acknowledged.push(all[number].place.json(&words));
    }
    for round in 0..3_u8 {
        let mut leader = String::new();
        // All of them, so that each has found the others again.
        for member in &all {
            let status = member.is_whole(&["1", "2", "3"]);
            leader = status["leader"].as_str().unwrap().to_owned();
        }
        let at = leader.parse::<usize>().unwrap() - 1;
        let other = (at + 1) % 3;
        all[at].kill();
        let since = Instant::now();
        let name = format!("after{round}");
        let words = format!("node add {name} --node-key {} --json", node_key(40 + round));
        acknowledged.push(all[other].place.json(&words));
        println!("leader killed to acknowledged write: {} ms", since.elapsed().as_millis());

        let status = all[other].sees("the loss", |status| status["health"] == "degraded");
        assert_eq!(status["failures_tolerated"], 0, "{status:#}");
        assert_eq!(shown(&status, &leader)["reachable"], false);
        assert_eq!(all[other].status().0, 1);
        let text = all[other].place.run("cluster status").stdout;
        let warning = format!("Warning: replica {leader} cannot be reached");
        assert!(text.contains(&warning), "{text}");
        // One more must not go, one that is gone may.
        let left = all[(at + 2) % 3].id();
        let stderr = all[other].place.run(&format!("cluster remove {left}")).fails(1);
        assert!(stderr.contains("would lose its quorum"), "{stderr}");
        assert!(stderr.contains("--force"), "{stderr}");
        all[at].start();
    }
    all[0].is_whole(&["1", "2", "3"]);
    for member in &all {
        for outcome in &acknowledged {
            let index = outcome["record_index"].as_u64().unwrap();
            let record = &member.place.records(&format!("--from {index} --limit 1"))[0];
            assert_eq!(record["hash"], outcome["record_hash"]);
            assert_eq!(record["request_id"], outcome["request_id"]);
        }
    }
    end_well(&mut all);
}

#[test]
fn a_minority_says_that_it_has_no_quorum_and_reads_stale() {
    let mut all = three();
    all[0].place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    all[2].sees("the record", |status| {
        shown(status, "3")["record_index"] == shown(status, "1")["record_index"]
    });
    let records = all[2].place.records("").len();
    all[0].kill();
    all[1].kill();

    let alone = &all[2];
    let since = Instant::now();
    let (code, status) = alone.status();
    let took = since.elapsed();
    assert_eq!(code, 3, "{status:#}");
    assert_eq!((&status["stale"], &status["health"]), (&json!(true), &json!("no-quorum")));
    assert!(status["alarms"][0].as_str().unwrap().contains("no quorum"), "{status:#}");
    assert_eq!(status["failures_tolerated"], 0);
    println!("a status without a quorum: {} ms", took.as_millis());
    // Two seconds of patience, and what a loaded machine adds.
    assert!(took >= Duration::from_secs(2), "{took:?}");

    let since = Instant::now();
    let (code, status) = {
        let ran = alone.place.run("cluster status --json --read local");
        (ran.code, serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap())
    };
    println!("a local status: {} ms", since.elapsed().as_millis());
    assert_eq!(code, 3, "{status:#}");

    for (words, json) in [
        ("node show laptop --json", true),
        ("node list --json", true),
        ("lock status --json", true),
        ("cluster records --json", true),
        ("node list", false),
    ] {
        let ran = alone.place.run(words);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.starts_with("Stale: the group has no quorum"), "{ran:?}");
        if json && !words.starts_with("node list") {
            for line in ran.stdout.lines().filter(|line| line.contains("stale")) {
                assert!(line.contains("true"), "{line}");
            }
            assert!(ran.stdout.contains("\"stale\":"), "{ran:?}");
        }
        // Who does not ask for more than that is not told so.
        let ran = alone.place.run(&format!("{words} --read local"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    }
    assert_eq!(alone.place.records("").len(), records);

    for words in [
        format!("node add tv --node-key {}", node_key(2)),
        "cluster invite".into(),
        "cluster remove 1 --force".into(),
    ] {
        let ran = alone.place.run(&words);
        assert!(ran.code == 1 || ran.code == 4, "{ran:?}");
        assert!(ran.stderr.contains("no quorum") || ran.code == 4, "{ran:?}");
    }

    // With one of them back it goes on.
    all[1].start();
    let outcome = all[2].insists(&format!("node add tv --node-key {}", node_key(2)));
    outcome.ok();
    all[0].start();
    all[2].is_whole(&["1", "2", "3"]);
    end_well(&mut all);
}
