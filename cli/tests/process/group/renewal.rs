//! A replica that has lost what it had promised, but not its member key, comes back as another one
//! by itself.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::damage::{Copy, Harm, files, harm, serves_all, with_history};
use super::harness::{Member, PATIENCE, end_well, roles, three};
use crate::harness::{Daemon, node_key};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a member that is to come back as another; what its log says.
#[track_caller]
pub(super) fn comes_back(member: &mut Member, id: &str) -> String {
    let mut log = String::new();
    // Damage that shows only while it runs ends it, and the next start goes on from there.
    loop {
        match Daemon::try_start(&member.place, member.serve()) {
            Ok(daemon) => member.daemon = Some(daemon),
            Err(ran) => {
                let stderr = ran.fails(1);
                assert!(stderr.contains("start it again"), "{stderr}");
                log.push_str(&stderr);
                continue;
            }
        }
        if member.id() == id {
            log.push_str(&member.log());
            return log;
        }
        let (code, stderr) = member.daemon.take().unwrap().ends();
        assert!(code == 1 && stderr.contains("start it again"), "{stderr}");
        log.push_str(&stderr);
    }
}

/// The members that are on record there, by name, with their numbers.
fn members(member: &Member) -> Vec<(String, String)> {
    let (_, status) = member.status();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = status["members"].as_array().unwrap().iter();
    members.map(|member| (text(&member["name"]), text(&member["replica_id"]))).collect()
}

#[test]
fn a_replica_without_its_log_comes_back_as_another_with_its_machine_and_lock_key() {
    let (mut all, outcomes) = with_history();
    let node_of = |member: &Member| -> Value {
        let nodes = member.place.json("node list --json");
        let nodes = nodes.as_array().unwrap().iter();
        nodes.clone().find(|node| node["name"] == "gamma").unwrap().clone()
    };
    let before = node_of(&all[0]);
    let lock_key = all[2].place.data().join("keys/lock.key");
    let secret = fs::read(&lock_key).unwrap();
    harm(&files(&all[2].place, "0", ".log")[0], Harm::Halved);
    let log = comes_back(&mut all[2], "4");
    assert!(log.contains("has lost what was acknowledged"), "{log}");
    all[0].is_whole(&["1", "2", "4"]);
    all[2].is_whole(&["1", "2", "4"]);
    serves_all(&all[2], &outcomes);
    assert_eq!(members(&all[0]).last().unwrap(), &("gamma".into(), "4".into()));
    let after = node_of(&all[2]);
    assert_eq!((&after["node_key"], &after["in"]), (&before["node_key"], &before["in"]));
    assert_eq!(fs::read(&lock_key).unwrap(), secret);
    let data = all[2].place.data();
    assert!(data.join("db.lost").is_dir() && !data.join("renewal").exists());

    // It votes: without it there is no majority. And it starts as any other.
    all[0].kill();
    all[1].insists(&format!("node add last --node-key {}", node_key(90))).ok();
    all[0].start();
    all[2].stop();
    all[2].start();
    assert_eq!(all[2].id(), "4");
    all[2].is_whole(&["1", "2", "4"]);

    // A disk that loses more is to be looked at.
    all[2].stop();
    harm(&data.join("watermark"), Harm::Zeroed);
    let stderr = match Daemon::try_start(&all[2].place, all[2].serve()) {
        Ok(_) => panic!("it came back"),
        Err(ran) => ran.fails(1),
    };
    assert!(stderr.contains("less than an hour ago"), "{stderr}");
    assert!(stderr.contains("lockstep cluster invite"), "{stderr}");
    fs::remove_file(data.join("renewed")).unwrap();
    comes_back(&mut all[2], "5");
    all[2].is_whole(&["1", "2", "5"]);
    serves_all(&all[2], &outcomes);
    end_well(&mut all);
}

/// Nothing in it is damaged, and it has promised more since.
#[test]
fn a_replica_on_an_older_copy_of_its_data_directory_comes_back_as_another() {
    let (mut all, mut outcomes) = with_history();
    let copy = Copy::of(&all[2].place);
    all[2].start();
    all[2].is_whole(&["1", "2", "3"]);
    let words = format!("node add later --node-key {} --json", node_key(80));
    outcomes.push(all[2].place.json(&words));
    for member in &all {
        member.sees("all records", |status| {
            let members = status["members"].as_array().unwrap();
            members.iter().all(|member| member["record_index"] == members[0]["record_index"])
        });
    }
    all[2].stop();
    // The others remember it across a start as well.
    for at in [0, 1] {
        all[at].stop();
        all[at].start();
        let id = (at + 1).to_string();
        all[at].sees("a leader", |status| status["leader"].is_string());
        assert_eq!(all[at].id(), id);
    }
    copy.put_back(&all[2].place);
    let log = comes_back(&mut all[2], "4");
    assert!(log.contains("an older copy of the data directory was put back"), "{log}");
    for member in &all {
        member.is_whole(&["1", "2", "4"]);
        serves_all(member, &outcomes);
    }
    assert!(all[2].place.data().join("db.lost").is_dir());

    // The very last state is no older copy.
    all[2].stop();
    Copy::of(&all[2].place).put_back(&all[2].place);
    all[2].start();
    assert_eq!(all[2].id(), "4");
    all[2].is_whole(&["1", "2", "4"]);
    end_well(&mut all);
}

/// It waits while too few others are there to let it in, and goes on where it was interrupted.
#[test]
fn coming_back_can_be_interrupted() {
    let (mut all, outcomes) = with_history();
    harm(&all[2].place.data().join("watermark"), Harm::Gone);
    // The others have no majority without it.
    all[1].kill();
    let log = all[2].place.file("waits.log");
    let mut waits = all[2].serve().stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let since = Instant::now();
    while !fs::read_to_string(&log).unwrap().contains("too few members are up") {
        assert!(since.elapsed() < PATIENCE, "{}", fs::read_to_string(&log).unwrap());
        thread::sleep(LOOK);
    }
    waits.kill().unwrap();
    waits.wait().unwrap();
    let interrupted = Copy::of(&all[2].place);
    all[1].start();
    comes_back(&mut all[2], "4");
    all[2].is_whole(&["1", "2", "4"]);
    serves_all(&all[2], &outcomes);
    all[2].stop();

    // What it was before it had promised anything as the other one is no state to go on from.
    let now = all[2].place.file("now");
    fs::rename(all[2].place.data(), &now).unwrap();
    interrupted.put_in(&all[2].place);
    let stderr = match Daemon::try_start(&all[2].place, all[2].serve()) {
        Ok(_) => panic!("it began anew"),
        Err(ran) => ran.fails(1),
    };
    assert!(stderr.contains("replica 4 has run already"), "{stderr}");
    fs::remove_dir_all(all[2].place.data()).unwrap();
    fs::rename(&now, all[2].place.data()).unwrap();
    all[2].start();
    all[2].is_whole(&["1", "2", "4"]);
    end_well(&mut all);
}

/// Whoever does not know who leads now is told by those whom it knows.
#[test]
fn a_member_that_was_away_is_led_by_one_that_it_has_never_heard_of() {
    let mut all = Vec::from(three());
    all[2].kill();
    let mut delta = Member::new("delta");
    let token = all[0].invites(&delta);
    delta.join(&token);
    all.push(delta);
    all[3].sees("a voter", |status| roles(status, "voter") == ["1", "2", "3", "4"]);
    all[0].insists("cluster transfer-leader 4").ok();
    all[0].sees("another leader", |status| status["leader"] == "4");
    all[2].start();
    let status = all[2].is_whole(&["1", "2", "3", "4"]);
    assert_eq!(status["leader"], "4");
    end_well(&mut all);
}
