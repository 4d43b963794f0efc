//! Files of a data directory that are damaged, cut off or gone: found, never served; healed from
//! what is sound and from the others, or refused with the command that goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::{Member, end_well, three};
use super::renewal::comes_back;
use crate::harness::{Daemon, Place, Ran, node_key};

/// How long damage may take to be found and mended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Changes that the group makes before.
const CHANGES: u8 = 30;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    Gone,
    Emptied,
    /// Half of it is cut off.
    Halved,
    /// A bit in the middle is another one.
    Flipped,
    /// All of it is zeros.
    Zeroed,
    /// The second record of a log file has a type at which RocksDB would stay for ever.
    Retyped,
}

pub(super) fn harm(path: &Path, harm: Harm) {
    let mut bytes = fs::read(path).unwrap();
    match harm {
        Harm::Gone => return fs::remove_file(path).unwrap(),
        Harm::Emptied => bytes.clear(),
        Harm::Halved => bytes.truncate(bytes.len() / 2),
        Harm::Flipped => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }
        Harm::Zeroed => bytes.fill(0),
        Harm::Retyped => {
            let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            assert_eq!(bytes[second + 6], 1, "a whole record");
            bytes[second + 6] = 5;
        }
    }
    fs::write(path, bytes).unwrap();
}

/// The files of a database with such a name, the newest first.
pub(super) fn files(place: &Place, begins: &str, ends: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.data().join("db")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begins) && name.ends_with(ends)
    });
    found.sort();
    found.reverse();
    found
}

/// A copy of a data directory, to be put back.
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn of(place: &Place) -> Copy {
        let to = place.file("copy");
        if to.exists() {
            fs::remove_dir_all(&to).unwrap();
        }
        copy(&place.data(), &to);
        Copy(to)
    }

    /// In the place of what is there.
    pub(super) fn put_back(&self, place: &Place) {
        fs::remove_dir_all(place.data()).unwrap();
        self.put_in(place);
    }

    /// Where nothing is.
    pub(super) fn put_in(&self, place: &Place) {
        copy(&self.0, &place.data());
    }
}

fn copy(from: &Path, to: &Path) {
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").args([from, to]).status().unwrap().success());
}

/// A start that is refused. The second line, from which on it says what to do.
#[track_caller]
fn is_refused(member: &Member, what: &str) -> String {
    match Daemon::try_start(&member.place, member.serve()) {
        Ok(_) => panic!("{what}: it started"),
        Err(ran) => ran.fails(1),
    }
}

/// Three members with some history, of which the last is stopped.
pub(super) fn with_history() -> ([Member; 3], Vec<Value>) {
    let mut all = three();
    all[0].place.ok("cluster transfer-leader 1");
    let own = all[0].place.own_key();
    all[0].place.ok(&format!("lock init --confirm {own}"));
    let outcomes = (0..CHANGES).map(|n| {
        all[usize::from(n % 2)]
            .place
            .json(&format!("node add n{n} --node-key {} --json", node_key(n + 1)))
    });
    let outcomes = outcomes.collect();
    all[2].sees("all records", |status| {
        let members = status["members"].as_array().unwrap();
        members.iter().all(|member| member["record_index"] == members[0]["record_index"])
    });
    all[2].stop();
    (all, outcomes)
}

/// Everything that was acknowledged is served there, and nothing else.
#[track_caller]
pub(super) fn serves_all(member: &Member, outcomes: &[Value]) {
    let records = member.place.records("");
    for outcome in outcomes {
        let index = outcome["record_index"].as_u64().unwrap() as usize;
        assert_eq!(records[index]["hash"], outcome["record_hash"]);
    }
}

#[test]
fn what_a_replica_cannot_do_without_is_missed_at_the_start() {
    let (mut all, outcomes) = with_history();
    let place = &all[2].place;
    // As if it had just come back as another: then it does not do so again.
    fs::write(place.data().join("renewed"), "").unwrap();
    let copy = Copy::of(place);
    let db = place.data().join("db");
    let log = files(place, "0", ".log")[0].clone();
    let manifest = files(place, "MANIFEST-", "")[0].clone();
    // The one that holds the Raft log and the hard state is among them.
    let join = "lockstep cluster invite";
    let cases: &[(PathBuf, Harm, &str, &str)] = &[
        (place.data().join("identity"), Harm::Gone, "identity is missing", join),
        (place.data().join("identity"), Harm::Flipped, "identity", join),
        (place.data().join("identity"), Harm::Halved, "identity is damaged", join),
        (place.data().join("watermark"), Harm::Gone, "watermark is missing", join),
        (place.data().join("watermark"), Harm::Zeroed, "no slot is sound", join),
        (place.data().join("watermark"), Harm::Emptied, "no slot is sound", join),
        (db.join("CURRENT"), Harm::Gone, "its database is missing", join),
        (db.join("CURRENT"), Harm::Emptied, "", join),
        (db.join("CURRENT"), Harm::Zeroed, "", join),
        (manifest.clone(), Harm::Gone, "", join),
        (manifest.clone(), Harm::Emptied, "", join),
        (manifest.clone(), Harm::Zeroed, "", join),
        (manifest.clone(), Harm::Halved, "", join),
        (manifest, Harm::Retyped, "is damaged: no record", join),
        (place.data().join("keys/member.key"), Harm::Gone, "member.key", "invit"),
        (place.data().join("keys/member.key"), Harm::Flipped, "member.key", ""),
        (log.clone(), Harm::Gone, "", join),
        (log.clone(), Harm::Emptied, "", join),
        (log.clone(), Harm::Zeroed, "", join),
        (log.clone(), Harm::Halved, "has lost what was acknowledged", join),
        (log, Harm::Retyped, "is damaged: no record", join),
    ];
    let mut wrong = Vec::new();
    for (path, how, says, remedy) in cases {
        let what = format!("{} {how:?}", path.file_name().unwrap().display());
        if path.exists() {
            harm(path, *how);
        } else {
            wrong.push(format!("{what}: there is no such file"));
            continue;
        }
        match Daemon::try_start(&all[2].place, all[2].serve()) {
            Ok(daemon) => {
                // Whatever it makes of it, it must be right.
                wrong.push(format!("{what}: it started"));
                daemon.kill();
            }
            Err(ran) => {
                println!("{what}:\n{}", last_lines(&ran));
                if ran.code != 1 || !ran.stderr.contains(says) || !ran.stderr.contains(remedy) {
                    wrong.push(format!("{what}: {ran:?}"));
                }
            }
        }
        copy.put_back(&all[2].place);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // With all of it in its place again it goes on.
    all[2].start();
    all[2].is_whole(&["1", "2", "3"]);
    serves_all(&all[2], &outcomes);
    end_well(&mut all);
}

/// What a daemon that did not start says at last.
fn last_lines(ran: &Ran) -> String {
    let lines: Vec<&str> = ran.stderr.lines().collect();
    lines[lines.len().saturating_sub(3)..].join("\n")
}

#[test]
fn a_slot_of_the_watermark_may_be_torn() {
    let (mut all, outcomes) = with_history();
    let path = all[2].place.data().join("watermark");
    let whole = fs::read(&path).unwrap();
    for slot in [0, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[slot..slot + 64].fill(0xff);
        fs::write(&path, bytes).unwrap();
        all[2].start();
        all[2].is_whole(&["1", "2", "3"]);
        serves_all(&all[2], &outcomes);
        all[2].stop();
    }
    end_well(&mut all);
}

/// The tables of a column family. Each names its own.
fn tables_of(place: &Place, family: &str) -> Vec<PathBuf> {
    // The key before it ends in `id`: of this one only what differs is written.
    let says = [b"name", family.as_bytes()].concat();
    let mut tables = files(place, "", ".sst");
    tables.retain(|table| {
        let bytes = fs::read(table).unwrap();
        let mut ends = bytes.windows(says.len()).enumerate().filter(|(_, part)| *part == says);
        // A longer name may begin like this one.
        ends.any(|(at, _)| {
            !bytes[at + says.len()].is_ascii_lowercase() && bytes[at + says.len()] != b'_'
        })
    });
    tables
}

/// Restarts a member until all that it has is in tables, and leaves it stopped.
fn settle(member: &mut Member) {
    for _ in 0..2 {
        member.start();
        member.sees("a whole group", |status| status["health"] == "healthy");
        member.stop();
    }
}

/// What a start on damaged tables has come to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Mended,
    Refused(String),
}

/// Starts a member, which looks for damage by itself.
fn start_damaged(member: &mut Member) -> Came {
    match Daemon::try_start(&member.place, member.serve()) {
        Ok(daemon) => member.daemon = Some(daemon),
        Err(ran) => return Came::Refused(ran.fails(1)),
    }
    let since = Instant::now();
    loop {
        let log = member.log();
        if log.contains("the database is made anew") {
            return Came::Mended;
        }
        if log.contains("the replica had to stop") {
            let (code, log) = member.daemon.take().unwrap().ends();
            assert_eq!(code, 1, "{log}");
            return Came::Refused(log);
        }
        assert!(since.elapsed() < PATIENCE, "no damage was found: {log}");
        thread::sleep(LOOK);
    }
}

#[test]
fn damaged_tables_are_found_mended_and_fetched_under_the_same_identity() {
    let (mut all, outcomes) = with_history();
    settle(&mut all[2]);
    let harms = [Harm::Flipped, Harm::Zeroed, Harm::Halved, Harm::Gone];
    let families = ["records", "requests", "history", "merkle", "members", "roster"];
    for (number, family) in families.iter().enumerate() {
        for how in [harms[number % 4], harms[(number + 2) % 4]] {
            let what = format!("{family} {how:?}");
            let tables = tables_of(&all[2].place, family);
            assert!(!tables.is_empty(), "{what}");
            tables.iter().for_each(|table| harm(table, how));
            let since = Instant::now();
            let came = start_damaged(&mut all[2]);
            assert_eq!(came, Came::Mended, "{what}");
            assert_eq!(all[2].id(), "3", "{what}");
            all[2].is_whole(&["1", "2", "3"]);
            println!("{what}: mended and whole after {} ms", since.elapsed().as_millis());
            serves_all(&all[2], &outcomes);
            assert!(all[2].place.data().join("db.damaged").is_dir(), "{what}");
            assert!(all[2].daemon.as_ref().unwrap().health("/readyz").0.contains("200"));
            all[2].stop();
            settle(&mut all[2]);
        }
    }
    // It still votes: without it there is no majority.
    all[2].start();
    all[2].is_whole(&["1", "2", "3"]);
    all[0].kill();
    all[1].insists(&format!("node add last --node-key {}", node_key(90))).ok();
    all[0].start();
    all[0].is_whole(&["1", "2", "3"]);
    end_well(&mut all);
}

#[test]
fn a_damaged_raft_log_or_hard_state_costs_the_identity() {
    let (mut all, outcomes) = with_history();
    let mut id = 3;
    for family in ["raft_log", "raft_state"] {
        for how in [Harm::Flipped, Harm::Zeroed, Harm::Halved, Harm::Gone] {
            settle(&mut all[2]);
            let tables = tables_of(&all[2].place, family);
            assert!(!tables.is_empty(), "{family}");
            tables.iter().for_each(|table| harm(table, how));
            id += 1;
            let since = Instant::now();
            comes_back(&mut all[2], &id.to_string());
            all[2].is_whole(&["1", "2", &id.to_string()]);
            println!("{family} {how:?}: back after {} ms", since.elapsed().as_millis());
            serves_all(&all[2], &outcomes);
            all[2].stop();
            // It happens once an hour at most.
            fs::remove_file(all[2].place.data().join("renewed")).unwrap();
        }
    }
    end_well(&mut all);
}

#[test]
fn a_lone_replica_mends_what_its_records_come_to_and_no_records() {
    let mut alone = Member::founder("alpha");
    let own = alone.place.own_key();
    alone.place.ok(&format!("lock init --confirm {own}"));
    let outcomes: Vec<Value> = (0..CHANGES)
        .map(|n| alone.place.json(&format!("node add n{n} --node-key {} --json", node_key(n + 1))))
        .collect();
    alone.stop();
    settle(&mut alone);
    for family in ["requests", "history", "roster", "members"] {
        let tables = tables_of(&alone.place, family);
        assert!(!tables.is_empty(), "{family}");
        tables.iter().for_each(|table| harm(table, Harm::Flipped));
        assert_eq!(start_damaged(&mut alone), Came::Mended, "{family}");
        alone.sees("a whole group", |status| status["health"] == "healthy");
        serves_all(&alone, &outcomes);
        alone.stop();
        settle(&mut alone);
    }
    // A record that nobody else has.
    let copy = Copy::of(&alone.place);
    let tables = tables_of(&alone.place, "records");
    tables.iter().for_each(|table| harm(table, Harm::Flipped));
    let Came::Refused(stderr) = start_damaged(&mut alone) else { panic!("it goes on") };
    assert!(stderr.contains("nobody to fetch them from"), "{stderr}");
    assert!(stderr.contains("lockstep cluster restore"), "{stderr}");
    copy.put_back(&alone.place);
    alone.start();
    serves_all(&alone, &outcomes);
    end_well(&mut [alone]);
}

#[test]
fn small_files_that_are_damaged_cost_no_more_than_what_is_in_them() {
    let (mut all, outcomes) = with_history();
    for (name, how) in [
        ("peer-port", Harm::Gone),
        ("peer-port", Harm::Zeroed),
        ("checkpoint", Harm::Gone),
        ("checkpoint", Harm::Flipped),
        ("db/IDENTITY", Harm::Gone),
    ] {
        harm(&all[2].place.data().join(name), how);
        all[2].start();
        all[2].is_whole(&["1", "2", "3"]);
        serves_all(&all[2], &outcomes);
        all[2].stop();
    }
    for options in files(&all[2].place, "OPTIONS-", "") {
        harm(&options, Harm::Flipped);
    }
    fs::write(all[2].place.data().join("local-disable"), "lockstep local-disable 1\n12:").unwrap();
    let stderr = is_refused(&all[2], "local-disable");
    assert!(stderr.contains("local-disable is damaged; delete it"), "{stderr}");
    fs::remove_file(all[2].place.data().join("local-disable")).unwrap();
    all[2].start();
    all[2].is_whole(&["1", "2", "3"]);
    end_well(&mut all);
}
