//! SIGKILL at any moment of a storm of writes: what was acknowledged is there once, what was not
//! is there once or not at all, and asking again with the same request ID settles it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use ledger::history::Record;
use serde_json::Value;

use crate::harness::{Daemon, Dice, Place, Ran, nobody_listens, tlpub};

const ROUNDS: usize = 32;
const WRITERS: u8 = 4;

/// What a change does to what ought to be there.
#[derive(Debug, Clone)]
enum Effect {
    /// The node has this key, and is in or out.
    Node {
        name: String,
        key: String,
        signed: bool,
    },
    NoNode {
        name: String,
    },
    Trusted {
        key: String,
    },
    NotTrusted {
        key: String,
    },
}

/// A change that is asked for until its outcome is known.
#[derive(Debug, Clone)]
struct Change {
    id: String,
    words: String,
    effect: Effect,
}

/// Somebody with nodes and keys of its own, who makes one change after the other.
struct Writer {
    number: u8,
    made: u64,
    open: Option<Change>,
    /// Names, keys and whether they are in; trusted keys.
    nodes: BTreeMap<String, (String, bool)>,
    trusted: BTreeSet<String>,
}

/// An answer that somebody got.
struct Acknowledged {
    id: String,
    index: u64,
    hash: String,
}

/// How a try ended.
enum Tried {
    Done(Acknowledged),
    /// The outcome is unknown.
    Unknown,
    /// Nothing was sent, or nothing came of it: the daemon was gone before it was asked.
    NotAsked,
}

impl Writer {
    fn new(number: u8) -> Self {
        let (nodes, trusted) = Default::default();
        Writer { number, made: 0, open: None, nodes, trusted }
    }

    /// The change whose outcome is open, or the next one.
    fn next(&mut self) -> Change {
        let Writer { number, made, .. } = *self;
        self.open
            .get_or_insert_with(|| {
                let life = made / 7;
                let name = format!("w{number}-{life}");
                let key = |step| format!("nodekey:{number:02x}{life:08x}{step:02x}{:052}", 0);
                let (first, second) = (key(1), key(2));
                let lock_key = tlpub(number * 40 + (life % 40) as u8 + 1);
                let node = |key: &str, signed| Effect::Node {
                    name: name.clone(),
                    key: key.to_owned(),
                    signed,
                };
                let rotation = tlpub(200 + number);
                let (words, effect) = match made % 7 {
                    0 => (
                        format!("node add {name} --node-key {first} --lock-key {rotation}"),
                        node(&first, false),
                    ),
                    1 => (format!("lock sign {first} {rotation}"), node(&first, true)),
                    2 => {
                        (format!("lock add {lock_key}"), Effect::Trusted { key: lock_key.clone() })
                    }
                    3 => (format!("node rotate {name} --node-key {second}"), node(&second, false)),
                    4 => (
                        format!("lock remove {lock_key}"),
                        Effect::NotTrusted { key: lock_key.clone() },
                    ),
                    5 => (format!("node rotate {name} --node-key {first}"), node(&first, false)),
                    // Every third node stays.
                    _ if life % 3 == 0 => (format!("lock sign {first}"), node(&first, true)),
                    _ => (format!("node remove {name}"), Effect::NoNode { name: name.clone() }),
                };
                Change { id: format!("{number}.{made}"), words, effect }
            })
            .clone()
    }

    fn try_next(&mut self, place: &Place) -> Tried {
        let change = self.next();
        let ran = place.run(&format!("{} --json --request-id {}", change.words, change.id));
        match ran.code {
            0 => {
                self.settle(&change);
                Tried::Done(acknowledged(&change.id, &ran))
            }
            4 => Tried::Unknown,
            1 if nobody_listens(&ran) => Tried::NotAsked,
            _ => panic!("{change:?}: {ran:?}"),
        }
    }

    fn settle(&mut self, change: &Change) {
        match &change.effect {
            Effect::Node { name, key, signed } => {
                self.nodes.insert(name.clone(), (key.clone(), *signed));
            }
            Effect::NoNode { name } => {
                self.nodes.remove(name);
            }
            Effect::Trusted { key } => {
                self.trusted.insert(key.clone());
            }
            Effect::NotTrusted { key } => {
                self.trusted.remove(key);
            }
        }
        self.made += 1;
        self.open = None;
    }
}

fn acknowledged(id: &str, ran: &Ran) -> Acknowledged {
    let outcome: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(outcome["outcome"], "applied", "{ran:?}");
    assert_eq!(outcome["request_id"], id);
    Acknowledged {
        id: id.to_owned(),
        index: outcome["record_index"].as_u64().unwrap(),
        hash: outcome["record_hash"].as_str().unwrap().to_owned(),
    }
}

/// All records so far, checked one after the other.
#[derive(Default)]
struct History {
    hashes: Vec<String>,
    by_request: BTreeMap<String, u64>,
}

impl History {
    /// Reads the records behind those that are known already.
    fn read(&mut self, place: &Place, arguments: &str) {
        let from = self.hashes.len() as u64;
        for line in place.records(&format!("--from {from} {arguments}")) {
            let index = self.hashes.len() as u64;
            assert_eq!(line["index"], index);
            assert_eq!(line["prev"].as_str(), self.hashes.last().map(String::as_str));
            let raw = data_encoding::BASE64.decode(line["raw"].as_str().unwrap().as_bytes());
            let record = Record::decode(&raw.unwrap()).unwrap();
            assert_eq!(record.hash().to_string(), line["hash"]);
            let request = line["request_id"].as_str().unwrap().to_owned();
            let twice = self.by_request.insert(request, index);
            assert_eq!(twice, None, "applied twice: {line}");
            self.hashes.push(line["hash"].as_str().unwrap().to_owned());
        }
    }

    fn holds(&self, answer: &Acknowledged) {
        let Acknowledged { id, index, hash } = answer;
        assert_eq!(self.by_request.get(id), Some(index), "{id} was acknowledged and is lost");
        assert_eq!(&self.hashes[*index as usize], hash);
    }
}

#[test]
fn kills_at_any_moment_lose_nothing_and_repeat_nothing() {
    let place = Place::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let daemon = place.start();
    place.init("");
    assert_eq!(daemon.terminate().code(), Some(0));

    let mut writers: Vec<_> = (0..WRITERS).map(Writer::new).collect();
    let mut history = History::default();
    let mut answers: Vec<Acknowledged> = Vec::new();
    let (mut unknown, mut came_true) = (0, 0);
    for round in 0..ROUNDS {
        if round % 4 == 3 {
            // Somewhere in a start.
            Daemon::kill_early(&place, Duration::from_micros(dice.below(120_000)));
        }
        let daemon = place.start();
        let (tell, answered): (Sender<Acknowledged>, Receiver<Acknowledged>) = channel();
        let ends: Vec<Tried> = thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .map(|writer| {
                    let (place, tell) = (&place, tell.clone());
                    scope.spawn(move || {
                        loop {
                            match writer.try_next(place) {
                                Tried::Done(answer) => tell.send(answer).unwrap(),
                                end => return end,
                            }
                        }
                    })
                })
                .collect();
            drop(tell);
            // The moment: behind some answer, or a little later.
            for _ in 0..dice.below(40) {
                answers.push(answered.recv().unwrap());
            }
            let late = Duration::from_micros(dice.below(6000));
            answers.extend(answered.recv_timeout(late));
            daemon.kill();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        answers.extend(answered.iter());

        // As it lies there after the kill, and as the next daemon has it.
        if round % 8 == 0 {
            let data = place.data();
            let mut dead = History::default();
            dead.read(&place, &data.to_string_lossy());
            place.ok(&format!("audit verify {}", data.display()));
        }
        let daemon = place.start();
        let before = history.hashes.len() as u64;
        history.read(&place, "");
        answers.iter().for_each(|answer| history.holds(answer));
        for (writer, end) in writers.iter().zip(&ends) {
            let open = writer.open.as_ref().expect("a change that the kill left open");
            let recorded = history.by_request.get(&open.id);
            match end {
                Tried::Unknown => {
                    unknown += 1;
                    came_true += usize::from(recorded.is_some());
                }
                // It may be on record from an earlier round, not from this one.
                _ => assert!(recorded.is_none_or(|at| *at < before), "{open:?} was not asked for"),
            }
        }
        daemon.kill();
    }

    // Whoever has no answer yet gets one.
    let daemon = place.start();
    for writer in &mut writers {
        match writer.try_next(&place) {
            Tried::Done(answer) => answers.push(answer),
            _ => panic!("no answer in peace"),
        }
    }
    history.read(&place, "");
    answers.iter().for_each(|answer| history.holds(answer));
    // Records 0 to 2 are the group, the machine and the lock; the rest is what was asked for.
    assert_eq!(history.hashes.len(), answers.len() + 3);

    let own = place.own_key();
    let status = place.json("lock status --json");
    let trusted: BTreeSet<_> = status["TrustedKeys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["Public"].as_str().unwrap().to_owned())
        .filter(|key| *key != own)
        .collect();
    let want: BTreeSet<_> = writers.iter().flat_map(|writer| writer.trusted.clone()).collect();
    assert_eq!(trusted, want);
    let nodes: BTreeMap<_, _> = place
        .json("node list --json")
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["name"] != "signer")
        .map(|node| {
            let text = |field: &str| node[field].as_str().unwrap().to_owned();
            (text("name"), (text("node_key"), node["signed"].as_bool().unwrap()))
        })
        .collect();
    let want: BTreeMap<_, _> = writers.iter().flat_map(|writer| writer.nodes.clone()).collect();
    assert_eq!(nodes, want);
    place.ok(&format!("audit verify {}", place.socket().display()));
    assert_eq!(daemon.terminate().code(), Some(0));
    place.ok(&format!("audit verify {}", place.data().display()));
    println!(
        "{ROUNDS} kills: {} acknowledged, {unknown} without an answer, {came_true} of them on record",
        answers.len()
    );
    assert!(answers.len() > ROUNDS && unknown > 0);
}

#[test]
fn a_first_start_can_be_killed_at_any_moment() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..16 {
        let place = Place::new();
        for _ in 0..2 {
            Daemon::kill_early(&place, Duration::from_micros(dice.below(80_000)));
        }
        let daemon = place.start();
        // The group and the machine, once.
        let mut history = History::default();
        history.read(&place, "");
        assert_eq!(history.hashes.len(), 2);
        place.init("");
        assert_eq!(daemon.terminate().code(), Some(0));
        place.ok(&format!("audit verify {}", place.data().display()));
    }
}
