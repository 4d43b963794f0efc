//! Disks that are full: whose is, takes no part, says so everywhere, and goes on by itself.

use std::time::Instant;

use serde_json::Value;

use super::harness::{Member, end_well, shown};
use crate::harness::{Small, node_key};

/// Room enough to start with, and too little to hold any in reserve.
const LEFT: u64 = 1 << 20;
/// What one of the file systems holds.
const MIB: u32 = 64;

/// A member whose data directory is on a small file system, which must be dropped after it.
fn confined(name: &str) -> (Member, Small) {
    let member = Member::new(name);
    let disk = Small::mount(&member.place.data(), MIB);
    (member, disk)
}

fn is_full(status: &Value) -> bool {
    let alarms = status["alarms"].as_array().unwrap();
    alarms.iter().any(|alarm| alarm.as_str().unwrap().contains("is full"))
}

/// Starts the member again with hardly any room, so that the database holds none in reserve.
fn starts_with_little_room(member: &mut Member, disk: &Small) {
    member.stop();
    disk.fill(LEFT);
    member.start();
}

/// What somebody asks for who gives up on a member, but not on the group.
struct Client {
    asked: u8,
    acknowledged: Vec<(String, Value)>,
}

impl Client {
    fn new() -> Client {
        Client { asked: 0, acknowledged: Vec::new() }
    }

    /// Asks for one change. Returns the exit code.
    fn asks(&mut self, member: &Member) -> i32 {
        self.asked += 1;
        let name = format!("node{}", self.asked);
        let ran = member
            .place
            .run(&format!("node add {name} --node-key {} --json", node_key(self.asked)));
        if ran.code == 0 {
            self.acknowledged.push((name, serde_json::from_str(&ran.stdout).unwrap()));
        }
        ran.code
    }

    /// Everything that was acknowledged is there, where it was said to be.
    fn finds_all(&self, member: &Member) {
        for (name, outcome) in &self.acknowledged {
            let index = outcome["record_index"].as_u64().unwrap();
            let records = member.place.records(&format!("--from {index} --limit 1"));
            assert_eq!(records[0]["hash"], outcome["record_hash"], "{name} is lost");
        }
    }
}

/// Looks at everything by which a member says that its disk is full.
#[track_caller]
fn says_so(member: &Member) {
    let daemon = member.daemon.as_ref().unwrap();
    let (code, status) = member.status();
    assert_eq!(code, 3, "{status:#}");
    assert!(is_full(&status), "{status:#}");
    assert_eq!(
        (&status["health"], &status["stale"]),
        (&"alarm".into(), &true.into()),
        "{status:#}"
    );
    let text = member.place.run("cluster status").stdout;
    assert!(text.contains("is full"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let (line, body) = daemon.health("/readyz");
    assert!(line.contains("503") && body.contains("is full"), "{line} {body}");
    let (line, body) = daemon.health("/livez");
    assert!(line.contains("200"), "{line} {body}");
    let metrics = daemon.health("/metrics").1;
    assert!(metrics.contains("\nlockstep_disk_full 1\n"), "{metrics}");
    assert!(metrics.contains("\nlockstep_ready 0\n"), "{metrics}");
    assert!(metrics.contains("\nlockstep_disk_free_bytes "), "{metrics}");
    let log = member.log();
    assert!(log.contains("No space left on device"), "{log}");
    assert!(log.contains("the disk is full: make room"), "{log}");
    // Reads are answered at once, and marked.
    let since = Instant::now();
    for words in ["node list --json", "lock status --json", "cluster records --json --limit 2"] {
        let ran = member.place.run(words);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.starts_with("Stale: the daemon's disk is full"), "{ran:?}");
    }
    println!("three stale reads: {} ms", since.elapsed().as_millis());
    // And no change is.
    let stderr = member.place.run("cluster invite").fails(1);
    assert!(stderr.contains("the disk of this replica is full"), "{stderr}");
    assert!(stderr.contains("make room"), "{stderr}");
}

#[track_caller]
fn is_back(member: &Member) {
    let daemon = member.daemon.as_ref().unwrap();
    let status = member.sees("room", |status| !is_full(status) && status["stale"] == false);
    let (line, body) = daemon.health("/readyz");
    assert!(line.contains("200"), "{line} {body} {status:#}");
    assert!(daemon.health("/metrics").1.contains("\nlockstep_disk_full 0\n"));
    assert!(member.log().contains("the database is open again"), "{}", member.log());
}

#[test]
fn a_leader_without_room_lets_another_one_lead_until_it_has() {
    let (mut first, disk) = confined("alpha");
    first.start();
    let [mut second, mut third] = ["beta", "gamma"].map(Member::new);
    for other in [&mut second, &mut third] {
        let token = first.invites(other);
        other.join(&token);
    }
    starts_with_little_room(&mut first, &disk);
    let mut all = [first, second, third];
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    all[1].place.ok("cluster transfer-leader 1");
    let pid = all[0].daemon.as_ref().unwrap().pid();

    disk.fill(0);
    let mut client = Client::new();
    let mut longest = 0;
    loop {
        let since = Instant::now();
        assert_eq!(client.asks(&all[1]), 0, "a majority has room");
        let (_, status) = all[1].status();
        longest = longest.max(since.elapsed().as_millis());
        if status["leader"].as_str().is_some_and(|leader| leader != "1") {
            break;
        }
        assert!(client.asked < 200, "{status:#}");
    }
    println!("{} changes until the disk was full; the slowest: {longest} ms", client.asked);
    says_so(&all[0]);
    // The others go on, and say that one is missing.
    for other in [1, 2] {
        assert_eq!(client.asks(&all[other]), 0);
        let status = all[other].sees("the loss", |status| status["health"] == "degraded");
        assert_eq!(shown(&status, "1")["reachable"], false, "{status:#}");
        assert_eq!(status["failures_tolerated"], 0, "{status:#}");
    }

    disk.clear();
    is_back(&all[0]);
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    assert_eq!(all[0].daemon.as_ref().unwrap().pid(), pid, "by itself");
    assert_eq!(client.asks(&all[0]), 0);
    for member in &all {
        client.finds_all(member);
    }
    end_well(&mut all);
}

#[test]
fn a_group_of_which_every_disk_is_full_goes_on_once_they_have_room() {
    let (names, mut all, mut disks) = (["alpha", "beta", "gamma"], Vec::new(), Vec::new());
    for name in names {
        let (mut member, disk) = confined(name);
        match all.first() {
            None => member.start(),
            Some(first) => {
                let token = Member::invites(first, &member);
                member.join(&token);
            }
        }
        all.push(member);
        disks.push(disk);
    }
    all[0].is_whole(&["1", "2", "3"]);
    for (member, disk) in all.iter_mut().zip(&disks) {
        starts_with_little_room(member, disk);
    }
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    disks.iter().for_each(|disk| disk.fill(0));
    let mut client = Client::new();
    // Until nobody takes it any more.
    while client.asks(&all[usize::from(client.asked % 3)]) == 0 {
        assert!(client.asked < 200);
    }
    // Whoever still has a few bytes left is not to have them.
    for member in &all {
        let mut tries = 0;
        while !is_full(&member.status().1) && tries < 20 {
            client.asks(member);
            tries += 1;
        }
    }
    let full: Vec<_> = all.iter().filter(|member| is_full(&member.status().1)).collect();
    assert!(full.len() >= 2, "{}", full.len());
    full.iter().for_each(|member| says_so(member));
    disks.iter().for_each(Small::clear);
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    for member in &all {
        assert_eq!(client.asks(member), 0);
        client.finds_all(member);
    }
    end_well(&mut all);
}

#[test]
fn a_lone_replica_without_room_serves_reads_and_stops_when_told() {
    let (mut alone, disk) = confined("alpha");
    alone.start();
    starts_with_little_room(&mut alone, &disk);
    disk.fill(0);
    let mut client = Client::new();
    while client.asks(&alone) == 0 {
        assert!(client.asked < 200);
    }
    says_so(&alone);
    // It is no reason to hang when it is to stop; nor does a start without room lose anything.
    alone.stop();
    disk.clear();
    alone.start();
    client.finds_all(&alone);

    starts_with_little_room(&mut alone, &disk);
    disk.fill(0);
    while client.asks(&alone) == 0 {
        assert!(client.asked < 200);
    }
    says_so(&alone);
    disk.clear();
    is_back(&alone);
    assert_eq!(client.asks(&alone), 0);
    client.finds_all(&alone);
    end_well(&mut [alone]);
}
