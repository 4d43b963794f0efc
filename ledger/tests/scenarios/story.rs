//! Stories: a file of commands, each with what comes of it. The files are in `tests/data/stories`;
//! a line that begins with `>` is a command, and the lines up to the next one are its outcome.
//!
//! | command | what it does |
//! | --- | --- |
//! | `lock ID SEEDS` | initializes a lock with that state ID, trusting the member's key 1 and these |
//! | `unlock` | disables it with its secret |
//! | `trust SEEDS`, `distrust SEEDS` | adds and removes trusted keys; signed by key 1 |
//! | `distrust SEEDS re-signing` | the same, and key 1 signs anew what rested on them |
//! | `revoke SEEDS by SEEDS` | a revocation from the fork point, signed by those |
//! | `add NAME N` | a node with node key N and the lock key of seed N |
//! | `sign NAME by SEED` | a direct signature, rotatable by the node's lock key |
//! | `rotate NAME N` | node key N, with a rotation of the former signature by the node's lock key |
//! | `rotate NAME N by SEED` | the same by another key |
//! | `rotate NAME N bare` | node key N, without a signature |
//! | `leave NAME` | the node leaves |
//! | `show NAME` | whether the node is in, since when, and why |

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use ledger::history::roster::{self, Node, Reason};
use ledger::history::{AumsAdded, ChangedNode, Event, NodeSignature, Verdict};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::builder::Change;
use ledger::lock::node_keys::{reissue, resign};
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::Signer;
use ledger::lock::{Key, Sealed};
use ledger::testing::{Group, key, node_key};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories")
}

/// Every story comes out as written. `UPDATE_STORIES=1` writes them as they come out, to be read.
#[test]
fn stories_come_out_as_written() {
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 1);
    for path in names {
        let written = fs::read_to_string(&path).unwrap();
        let told = tell(&written);
        if env::var_os("UPDATE_STORIES").is_some() {
            fs::write(&path, &told).unwrap();
            continue;
        }
        assert_eq!(told, written, "{} is told otherwise:\n{told}", path.display());
    }
}

/// The story with the outcomes as they are.
fn tell(written: &str) -> String {
    let mut group = Group::new();
    let mut told = String::new();
    for line in written.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            writeln!(told, "{line}\n{}", group.tell(&words)).unwrap();
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(told, "{line}").unwrap();
        }
    }
    told
}

fn seed(word: &str) -> u8 {
    word.parse().unwrap_or_else(|_| panic!("not a seed: {word}"))
}

trait Told {
    fn tell(&mut self, words: &[&str]) -> String;
    fn event(&self, words: &[&str]) -> Option<Event>;
    fn named(&self, name: &str) -> Node;
    fn standing(&self, node: &Node) -> String;
    fn who(&self, key: LockKey) -> String;
    fn which(&self, aum: AumHash) -> String;
}

impl Told for Group {
    fn tell(&mut self, words: &[&str]) -> String {
        if let ["show", name] = words {
            return self.standing(&self.named(name));
        }
        if let ["add", name, n] = words {
            let before = self.fold.next_index();
            self.add_node(name, seed(n));
            return format!("record {before}");
        }
        let event = self.event(words).unwrap_or_else(|| panic!("no command: {words:?}"));
        match self.propose(event) {
            Verdict::Sealed(record) => format!("record {}", record.index()),
            Verdict::Repeated { index, .. } => format!("record {index} again"),
            Verdict::Refused(why) => format!("refused: {why}"),
        }
    }

    fn event(&self, words: &[&str]) -> Option<Event> {
        Some(match words {
            ["lock", id, seeds @ ..] => {
                let seeds: Vec<u8> = seeds.iter().map(|word| seed(word)).collect();
                self.initialization(id.parse().unwrap(), &seeds)
            }
            ["unlock"] => self.disablement(),
            ["trust", seeds @ ..] => {
                let trusted = |word: &&str| Key::ed25519(key(seed(word)).public(), 1);
                let adds = seeds.iter().map(trusted).map(Change::Add).collect();
                Group::added(self.build(&self.lock, adds))
            }
            ["distrust", seeds @ .., "re-signing"] => {
                let (aums, keys) = removal(self, seeds);
                let mut signatures = Vec::new();
                for node in roster::list(&self.rows).unwrap() {
                    let old = node.signature.as_ref();
                    let rests = old.and_then(|old| old.authorizing_key().ok());
                    if let (Some(old), true) = (old, rests.is_some_and(|key| keys.contains(&key))) {
                        let signature = reissue(&self.lock, old, node.lock_key).unwrap();
                        signatures.push(NodeSignature { node: node.id, signature });
                    }
                }
                let Event::AumsAdded(added) = Group::added(aums) else { return None };
                Event::AumsAdded(AumsAdded { signatures, ..added })
            }
            ["distrust", seeds @ ..] => Group::added(removal(self, seeds).0),
            ["revoke", rest @ ..] => {
                let by = rest.iter().position(|word| *word == "by")?;
                let ids: Vec<Vec<u8>> =
                    rest[..by].iter().map(|word| key(seed(word)).public().0.to_vec()).collect();
                let signers = || rest[by + 1..].iter().map(|word| key(seed(word)));
                let (authority, our) = (self.fold.authority()?, signers().next()?.public());
                let aum = generate(&self.rows, authority, &ids, &our, None).unwrap();
                let signed =
                    signers().fold(Sealed::new(aum), |aum, signer| cosign(aum, &signer).unwrap());
                let Event::AumsAdded(added) = Group::added(vec![signed]) else { return None };
                Event::AumsAdded(AumsAdded { fork: true, ..added })
            }
            ["sign", name, "by", by] => {
                let node = self.named(name).id;
                let signature = self.signature(&key(seed(by)), node);
                Event::NodeKeysSigned(vec![NodeSignature { node, signature }])
            }
            ["rotate", name, n, how @ ..] => {
                let Node { id: node, lock_key, signature, .. } = self.named(name);
                let node_key = node_key(seed(n));
                // A node's lock key has the seed of its first node key, which a story gives once.
                let lock = (1..=u8::MAX).map(key).find(|key| Some(key.public()) == lock_key)?;
                let signature = match how {
                    ["by", by] => {
                        signature.map(|old| resign(&key(seed(by)), node_key, &old).unwrap())
                    }
                    [] => signature.map(|old| resign(&lock, node_key, &old).unwrap()),
                    ["bare"] => None,
                    _ => return None,
                };
                Event::NodeChanged(ChangedNode { node, node_key, lock_key, signature })
            }
            ["leave", name] => Event::NodeRemoved(self.named(name).id),
            _ => return None,
        })
    }

    fn named(&self, name: &str) -> Node {
        roster::by_name(&self.rows, name).unwrap().unwrap_or_else(|| panic!("no node {name}"))
    }

    fn standing(&self, node: &Node) -> String {
        let standing = node.standing;
        let side = if standing.is_in() { "in" } else { "out" };
        let why = match standing.reason {
            Reason::LockOff => "there is no lock".to_owned(),
            Reason::Signed { key } => format!("its signature rests on {}", self.who(key)),
            Reason::NeverSigned => "nobody has signed it".to_owned(),
            Reason::NodeKeyChanged { former } => {
                format!("its node key {} was replaced without a signature", former.0[0])
            }
            Reason::SignerNotTrusted { key, aum } => {
                format!("{} is not trusted since {}", self.who(key), self.which(aum))
            }
        };
        let (since, reason) = (standing.since_record, standing.reason_record);
        format!("{side} since record {since}; record {reason}: {why}")
    }

    fn who(&self, of: LockKey) -> String {
        let seed = (1..=u8::MAX).find(|seed| key(*seed).public() == of);
        seed.map_or_else(|| of.to_string(), |seed| format!("key {seed}"))
    }

    fn which(&self, aum: AumHash) -> String {
        for record in self.records() {
            let aums = record.proposal().proposal().event.aums();
            if let Some(place) = aums.iter().position(|other| other.hash() == aum) {
                return format!("AUM {place} of record {}", record.index());
            }
        }
        format!("{aum}")
    }
}

/// The AUMs that remove the keys of these seeds, and the keys.
fn removal(group: &Group, seeds: &[&str]) -> (Vec<Sealed>, Vec<LockKey>) {
    let keys: Vec<LockKey> = seeds.iter().map(|word| key(seed(word)).public()).collect();
    let changes = keys.iter().map(|key| Change::Remove(key.0.to_vec())).collect();
    (group.build(&group.lock, changes), keys)
}
