//! Clients that change and read registers at every member all the time, and what they saw.
//!
//! A register is a node of the roster, its value the node key: every value is written once only, so
//! that a read says which write it saw.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::{Member, PATIENCE};
use super::history::{Asked, Came, What, check};
use crate::harness::{Dice, LOCKSTEP, Ran};

/// Registers. Few, so that clients get into each other's way.
const REGISTERS: u64 = 4;
/// How often a change without an answer is asked for again, at another member.
const AGAIN: usize = 2;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// All clients of a group.
pub(super) struct Clients {
    sockets: Mutex<Vec<PathBuf>>,
    over: AtomicBool,
    acknowledged: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
}

/// Ends the clients, also when a test fails.
struct Over<'a>(&'a Clients);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

fn key(client: u64, step: u64) -> String {
    format!("nodekey:{client:04x}{step:012x}{:048}", 1)
}

/// A command that talks to the daemon at that socket.
fn command(socket: &Path, words: &str) -> Command {
    let mut command = Command::new(LOCKSTEP);
    command.args(words.split_whitespace()).env_clear().env("LOCKSTEP_SOCKET", socket);
    command.stdin(std::process::Stdio::null());
    command
}

impl Clients {
    /// Makes the registers at one of these members.
    pub(super) fn of(members: &[Member]) -> Self {
        let clients = Clients {
            sockets: Mutex::default(),
            over: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            asked: Mutex::default(),
        };
        clients.meet(members);
        let socket = members[0].place.socket();
        for register in 0..REGISTERS {
            clients.change(&[&socket], Some((register, key(0, register))), &|id| {
                format!("node add r{register} --node-key {} {id}", key(0, register))
            });
        }
        assert_eq!(clients.count(), REGISTERS as usize, "{:#?}", clients.asked.lock().unwrap());
        clients
    }

    /// From now on these members are asked.
    pub(super) fn meet(&self, members: &[Member]) {
        *self.sockets.lock().unwrap() = members.iter().map(|m| m.place.socket()).collect();
    }

    /// Does something while so many clients are at work, and ends them then, whatever came of it.
    pub(super) fn while_busy<R>(&self, clients: u64, does: impl FnOnce() -> R) -> R {
        thread::scope(|scope| {
            let _over = Over(self);
            for client in 1..=clients {
                scope.spawn(move || self.run(client));
            }
            does()
        })
    }

    /// Changes that were acknowledged so far.
    pub(super) fn count(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more changes are acknowledged.
    #[track_caller]
    pub(super) fn go_on(&self, more: usize) {
        let (since, goal) = (Instant::now(), self.count() + more);
        while self.count() < goal {
            assert!(since.elapsed() < PATIENCE, "{} of {goal}: no progress", self.count());
            thread::sleep(LOOK);
        }
    }

    /// One client, until it is over.
    fn run(&self, client: u64) {
        let mut dice = Dice(client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for step in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let sockets = self.sockets.lock().unwrap().clone();
            // Mostly at home, so that a member that has no quorum does not hold up all of them.
            let members = sockets.len() as u64;
            let home = if dice.below(8) == 0 { dice.below(members) } else { client % members };
            let first = home as usize;
            let mut order: Vec<&Path> = sockets.iter().map(PathBuf::as_path).collect();
            order.rotate_left(first);
            let register = dice.below(REGISTERS);
            match dice.below(10) {
                0..5 => {
                    let value = key(client, step);
                    self.change(&order, Some((register, value.clone())), &|id| {
                        format!("node rotate r{register} --node-key {value} {id}")
                    });
                }
                5 => {
                    let name = format!("c{client}s{step}");
                    let value = key(client, step);
                    self.change(&order, None, &|id| {
                        format!("node add {name} --node-key {value} {id}")
                    });
                }
                _ => self.look(order[0], register),
            }
        }
    }

    /// Asks for a change until there is an answer, at one member after the other.
    fn change(
        &self,
        sockets: &[&Path],
        register: Option<(u64, String)>,
        words: &dyn Fn(&str) -> String,
    ) {
        let began = Instant::now();
        let request = format!("q{}", NEXT_REQUEST.fetch_add(1, Ordering::Relaxed));
        let words = words(&format!("--json --request-id {request}"));
        let mut came = Came::Unknown;
        for (again, socket) in sockets.iter().cycle().take(AGAIN + 1).enumerate() {
            let ran = Ran::of(&mut command(socket, &words));
            match ran.code {
                0 => {
                    let outcome: Value = serde_json::from_str(&ran.stdout).unwrap();
                    assert_eq!(outcome["outcome"], "applied", "{ran:?}");
                    assert_eq!(outcome["request_id"], request.as_str(), "{ran:?}");
                    let index = outcome["record_index"].as_u64().unwrap();
                    let hash = outcome["record_hash"].as_str().unwrap().to_owned();
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    came = Came::Applied { index, hash };
                }
                // Refused, or never asked: unless an earlier try is still open.
                1 if again == 0 => came = Came::Refused(ran.stderr),
                1 | 4 if !self.over.load(Ordering::Relaxed) => continue,
                1 | 4 => {}
                _ => panic!("{ran:?}"),
            }
            break;
        }
        let what = What::Change { request, register };
        self.asked.lock().unwrap().push(Asked { began, ended: Instant::now(), what, came });
    }

    fn look(&self, socket: &Path, register: u64) {
        let began = Instant::now();
        let ran = Ran::of(&mut command(socket, &format!("node show r{register} --json")));
        let came = match ran.code {
            0 => {
                let node: Value = serde_json::from_str(&ran.stdout).unwrap();
                let value = node["node_key"].as_str().unwrap().to_owned();
                Came::Saw { value, stale: node["stale"] == true }
            }
            1 => Came::Refused(ran.stderr),
            _ => panic!("{ran:?}"),
        };
        let what = What::Look { register };
        self.asked.lock().unwrap().push(Asked { began, ended: Instant::now(), what, came });
    }

    /// Checks what all of them saw against the records of a member.
    #[track_caller]
    pub(super) fn check(self, member: &Member) {
        let asked = self.asked.into_inner().unwrap();
        match check(&asked, &member.place.records("")) {
            Ok(counts) => println!("{counts}"),
            Err(wrong) => panic!("{wrong}"),
        }
    }
}

/// Requests of all groups have names of their own.
static NEXT_REQUEST: AtomicUsize = AtomicUsize::new(0);
