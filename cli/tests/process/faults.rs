//! A disk that fails or is full: nothing is acknowledged that is not safe, the daemon says why,
//! stops or waits for room, and goes on where it was once the disk is sound again.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use crate::harness::{Daemon, Place, limited, nobody_listens, traced};

/// Changes that a daemon must make before its disk counts as sound.
const CHANGES: u8 = 4;

/// What a daemon logs that waits for room.
const WAITS: &str = "the disk is full: make room";

/// What fails.
#[derive(Clone, Copy)]
enum Fault {
    /// Every sync, with this error.
    Sync(&'static str),
    /// Writing to the database's logs: the disk is full. Takes root, since strace must read the
    /// paths of a process that does not want to be traced.
    Write,
    /// A file of the database cannot become longer.
    Length,
}

impl Fault {
    /// A daemon in which these calls fail in every thread from its `first` one on.
    fn command(self, place: &Place, first: usize) -> Command {
        let inject = |calls, error| format!("inject={calls}:error={error}:when={first}+");
        match self {
            Fault::Sync(error) => traced(place, &["-e", &inject("fdatasync,fsync", error)]),
            Fault::Length => limited(place, 160),
            Fault::Write => {
                let mut words = vec!["-e".to_owned(), inject("write", "ENOSPC")];
                // The present logs and the next ones: sockets have space enough.
                let database = place.data().join("db");
                let last = last_number(&database);
                for number in last..last + 80 {
                    words.push("-P".into());
                    words.push(format!("{}/{number:06}.log", database.display()));
                }
                traced(place, &words.iter().map(String::as_str).collect::<Vec<_>>())
            }
        }
    }

    /// Whether it passes once there is room, so that the daemon waits for that.
    fn passes(self) -> bool {
        !matches!(self, Fault::Sync("EIO") | Fault::Length)
    }

    /// What the daemon says of it.
    fn says(self) -> &'static str {
        match self {
            Fault::Sync("EIO") => "Input/output error",
            Fault::Length => "File too large",
            _ => "No space left on device",
        }
    }
}

/// The highest number in the names of a database's files.
fn last_number(database: &Path) -> u64 {
    let Ok(files) = fs::read_dir(database) else { return 0 };
    let names = files.map(|file| file.unwrap().file_name());
    let numbers = names.filter_map(|name| {
        name.to_str()?.split('.').next()?.rsplit('-').next()?.parse::<u64>().ok()
    });
    numbers.max().unwrap_or(0)
}

/// Starts a daemon on a disk with this fault, and asks for changes. Returns whether it got through
/// all of them.
fn survives(place: &Place, fault: Fault, first: usize, kept: &mut Vec<String>) -> bool {
    let started = if fault.passes() {
        Daemon::try_start_unless(place, fault.command(place, first), WAITS)
    } else {
        Daemon::try_start(place, fault.command(place, first))
    };
    match started {
        Ok(daemon) => makes(place, daemon, CHANGES, fault, kept),
        Err(ran) => {
            // It ends by itself, or is told to while it waits for room.
            assert!(ran.code == 1 || (fault.passes() && ran.code == 0), "{first}: {ran:?}");
            assert!(ran.stderr.contains(fault.says()), "{first}: {ran:?}");
            false
        }
    }
}

/// Asks for changes. Returns whether all were made; if not, the daemon has said why and ended, or
/// waits for room until it is told to stop.
fn makes(place: &Place, daemon: Daemon, changes: u8, fault: Fault, kept: &mut Vec<String>) -> bool {
    for number in 0..changes {
        let name = format!("n{}", kept.len() + 1);
        let key = format!("{:062x}ab", kept.len() + 1);
        let words = format!("node add {name} --node-key nodekey:{key} --request-id {name}");
        let ran = place.run(&words);
        if ran.code == 0 {
            kept.push(name);
            continue;
        }
        // Whether it is safe is unknown, or it was not even tried: never a success, and never a
        // refusal, which would say that it will not come true.
        let refused = ran.stderr.contains("nothing was recorded: the disk of this replica is full");
        assert!(
            ran.code == 4 || nobody_listens(&ran) || (fault.passes() && refused),
            "{number}: {ran:?}"
        );
        let (code, log) = if fault.passes() {
            let log = place.file("serve.log");
            let code = daemon.terminate().code().unwrap();
            (code, fs::read_to_string(log).unwrap())
        } else {
            daemon.ends()
        };
        assert_eq!(code, i32::from(!fault.passes()), "{log}");
        assert!(log.contains(fault.says()), "{log}");
        let says = if fault.passes() { WAITS } else { "the replica had to stop: " };
        assert!(log.contains(says), "{log}");
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
            println!("{} times to fail, {} changes kept", first - 1, kept.len());
            assert!(first > 1 && kept.len() >= usize::from(CHANGES));
            break;
        }
    }
}

#[test]
fn a_sync_that_fails_is_not_taken_for_done() {
    in_turn(Fault::Sync("EIO"));
}

#[test]
fn a_sync_for_which_there_is_no_space_is_not_taken_for_done() {
    in_turn(Fault::Sync("ENOSPC"));
}

/// With the database's log in the middle of a write, and, as root, at each write in turn.
#[test]
fn a_disk_that_takes_no_more_costs_nothing() {
    if geteuid().is_root() {
        in_turn(Fault::Write);
    }
    let place = Place::new();
    let mut kept = Vec::new();
    // A file of the database may not become longer than this, nor may the daemon's own log.
    let daemon = Daemon::start(&place, Fault::Length.command(&place, 0));
    assert!(!makes(&place, daemon, 250, Fault::Length, &mut kept));
    assert!(kept.len() > 20, "{}", kept.len());
    recovers(&place, &kept);
}

/// Each step of a first start may be the last one: the next start goes on from there.
#[test]
fn a_first_start_can_fail_anywhere() {
    let faults = [Fault::Sync("EIO"), Fault::Write];
    for fault in &faults[..if geteuid().is_root() { 2 } else { 1 }] {
        for first in 1.. {
            let place = Place::new();
            let mut kept = Vec::new();
            let done = survives(&place, *fault, first, &mut kept);
            recovers(&place, &kept);
            if done {
                break;
            }
        }
    }
}
