//! A disk that fails or is full: nothing is acknowledged that is not safe, the daemon says why
//! and stops, and goes on where it was once the disk is sound again.

use std::fs;

use crate::harness::{Daemon, Place, nobody_listens, traced};

/// Changes that a daemon must make before its disk counts as sound.
const CHANGES: u8 = 4;

/// What fails, and how.
#[derive(Clone, Copy)]
struct Fault {
    calls: &'static str,
    error: &'static str,
    says: &'static str,
}

const SYNC_FAILS: Fault =
    Fault { calls: "fdatasync,fsync", error: "EIO", says: "Input/output error" };
const SYNC_FINDS_NO_SPACE: Fault =
    Fault { calls: "fdatasync,fsync", error: "ENOSPC", says: "No space left on device" };
const WRITE_FINDS_NO_SPACE: Fault =
    Fault { calls: "write", error: "ENOSPC", says: "No space left on device" };

impl Fault {
    /// strace's arguments that let these calls fail in every thread from its `first` one on.
    fn from(self, place: &Place, first: usize) -> Vec<String> {
        let Fault { calls, error, .. } = self;
        let mut words = vec!["-e".into(), format!("inject={calls}:error={error}:when={first}+")];
        if calls == "write" {
            // Only to the database's logs, the present and the next ones: a full disk is no
            // reason to fail for sockets.
            let database = place.data().join("db");
            let last = fs::read_dir(&database).map_or(0, |files| {
                let names = files.map(|file| file.unwrap().file_name());
                let numbers = names.filter_map(|name| {
                    name.to_str()?.split('.').next()?.rsplit('-').next()?.parse::<u64>().ok()
                });
                numbers.max().unwrap_or(0)
            });
            for number in last..last + 80 {
                words.push("-P".into());
                words.push(format!("{}/{number:06}.log", database.display()));
            }
        }
        words
    }
}

/// Starts a daemon on a disk with this fault, and asks for changes. Returns whether it got through
/// all of them.
fn survives(place: &Place, fault: Fault, first: usize, kept: &mut Vec<String>) -> bool {
    let words = fault.from(place, first);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let daemon = match Daemon::try_start(place, traced(place, &words)) {
        Ok(daemon) => daemon,
        Err(ran) => {
            let stderr = ran.fails(1);
            assert!(stderr.contains(fault.says), "{first}: {stderr}");
            return false;
        }
    };
    for number in 0..CHANGES {
        let name = format!("n{}", kept.len() + 1);
        let key = format!("{:064x}", kept.len() + 1);
        let words = format!("node add {name} --node-key nodekey:{key} --request-id {name}");
        let ran = place.run(&words);
        if ran.code == 0 {
            kept.push(name);
            continue;
        }
        // Whether it is safe is unknown, or it was not even tried: never a success, and never a
        // refusal, which would say that it will not come true.
        assert!(ran.code == 4 || nobody_listens(&ran), "{number}: {ran:?}");
        let (code, log) = daemon.ends();
        assert_eq!(code, 1, "{log}");
        assert!(log.contains(fault.says), "{log}");
        assert!(log.contains("the replica had to stop: "), "{log}");
        return false;
    }
    daemon.terminate();
    true
}

/// A sound disk again: the daemon starts, and everything that was acknowledged is there.
fn recovers(place: &Place, kept: &[String]) {
    let daemon = place.start();
    let roster = place.ok("node list");
    for name in kept {
        let listed = |line: &str| line.split_whitespace().nth(1) == Some(name);
        assert!(roster.lines().any(listed), "{name} was acknowledged and is lost\n{roster}");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// Lets each call in turn be the first that fails, until all changes are made before it.
fn in_turn(fault: Fault) {
    let place = Place::new();
    assert_eq!(place.start().terminate().code(), Some(0));
    let mut kept = Vec::new();
    for first in 1.. {
        let done = survives(&place, fault, first, &mut kept);
        recovers(&place, &kept);
        if done {
            println!("{} calls, {} changes kept", first - 1, kept.len());
            assert!(first > usize::from(CHANGES) && kept.len() >= usize::from(CHANGES));
            break;
        }
    }
}

#[test]
fn a_sync_that_fails_is_not_taken_for_done() {
    in_turn(SYNC_FAILS);
}

#[test]
fn a_sync_for_which_there_is_no_space_is_not_taken_for_done() {
    in_turn(SYNC_FINDS_NO_SPACE);
}

#[test]
fn a_full_disk_stops_the_daemon_and_costs_nothing() {
    in_turn(WRITE_FINDS_NO_SPACE);
}

/// Each step of a first start may be the last one: the next start goes on from there.
#[test]
fn a_first_start_can_fail_anywhere() {
    for fault in [SYNC_FAILS, WRITE_FINDS_NO_SPACE] {
        for first in 1.. {
            let place = Place::new();
            let mut kept = Vec::new();
            let done = survives(&place, fault, first, &mut kept);
            recovers(&place, &kept);
            if done {
                break;
            }
        }
    }
}
