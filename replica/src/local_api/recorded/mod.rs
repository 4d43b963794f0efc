//! Every exchange that official clients had with a tailscaled about the lock, with ours in its
//! place (`tests/data/localapi_exchanges.json.gz`: 621 requests and answers of one recorded run of
//! five nodes, in time order).
//!
//! The calls that the same run's coordination server answered (`tests/data/node_rpc.json.gz`) give
//! the ledger, state by state: real AUMs, real signatures. [`reads`] asks it what was asked then,
//! and compares the answers as JSON values. [`changes`] makes the recorded changes anew, with keys
//! of its own, and compares what came of them.
//!
//! What differs falls under a rule of docs/differences.md, or the test fails.

mod changes;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use data_encoding::HEXLOWER;
use ledger::history::roster::{self, Node};
use ledger::history::{ChangedNode, Event, Fold, NewNode, Verdict};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::rows::Memory;
use ledger::testing::{Group, showing_auth_key};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bodies::Base64;
use crate::node_rpc;
use crate::operations::Ground;

/// A request and its answer.
#[derive(Deserialize)]
struct Exchange {
    seq: u64,
    step: String,
    /// The node whose tailscaled was asked.
    node: String,
    /// Who asked: `root` or `nobody`.
    user: String,
    /// What the recording test wanted to see.
    #[serde(default)]
    note: String,
    /// The request's first line.
    line: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    chunked: bool,
    body: Option<String>,
    body_hex: Option<String>,
    status: u16,
    answer: Option<String>,
    answer_hex: Option<String>,
}

impl Exchange {
    fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// The endpoint's name, such as `status`.
    fn endpoint(&self) -> &str {
        let path = self.target().split('?').next().unwrap();
        path.strip_prefix("/localapi/v0/tka/").unwrap()
    }

    fn is_read(&self) -> bool {
        ["status", "log", "affected-sigs", "verify-deeplink"].contains(&self.endpoint())
    }

    fn succeeded(&self) -> bool {
        self.status < 300
    }

    fn body(&self) -> Vec<u8> {
        bytes(self.body.as_ref(), self.body_hex.as_ref())
    }

    fn answer(&self) -> Vec<u8> {
        bytes(self.answer.as_ref(), self.answer_hex.as_ref())
    }

    /// Steps are numbered in time order.
    fn step(&self) -> u32 {
        step(&self.step)
    }
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Exchange { seq, step, node, user, note, line, .. } = self;
        write!(f, "{seq} ({step}, {user} at {node}, {line} {note:?})")
    }
}

fn bytes(text: Option<&String>, hex: Option<&String>) -> Vec<u8> {
    match (text, hex) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(hex)) => HEXLOWER.decode(hex.as_bytes()).unwrap(),
        (None, None) => Vec::new(),
    }
}

fn step(text: &str) -> u32 {
    text[..3].parse().unwrap()
}

/// What the coordination server saw.
#[derive(Deserialize)]
#[serde(untagged)]
enum Happened {
    Registered { register: Registration },
    Called(Box<Call>),
}

#[derive(Deserialize)]
struct Registration {
    step: String,
    name: String,
    node_key: String,
    lock_key: String,
    former: Option<String>,
    signature: Option<Base64>,
}

#[derive(Deserialize)]
struct Call {
    step: String,
    path: String,
    request: Value,
    #[serde(default)]
    injected: bool,
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn exchanges() -> Vec<Exchange> {
    let exchanges: Vec<Exchange> =
        read(include_bytes!("../../../tests/data/localapi_exchanges.json.gz"));
    assert_eq!(exchanges.len(), 621);
    assert!(exchanges.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    exchanges
}

fn happenings() -> Vec<Happened> {
    read(include_bytes!("../../../tests/data/node_rpc.json.gz"))
}

/// The steps in which the recording test gave the answers of the coordination server: what a
/// daemon then said is not about its own state.
fn injected_steps() -> BTreeSet<u32> {
    let injected = happenings().into_iter().filter_map(|happened| match happened {
        Happened::Called(call) if call.injected => Some(step(&call.step)),
        _ => None,
    });
    injected.collect()
}

/// The ledger at some time.
struct Moment {
    /// The step by which it had come to this.
    step: u32,
    fold: Fold,
    rows: Memory,
}

impl Moment {
    fn ground(&self) -> Ground<'_> {
        Ground { fold: &self.fold, rows: &self.rows }
    }

    fn node(&self, name: &str) -> Option<Node> {
        roster::by_name(&self.rows, name).unwrap()
    }
}

/// The recorded ledger, state by state.
struct History {
    moments: Vec<Moment>,
    /// The AUMs that ours refused (rule `keys-well-formed`), as text.
    refused: BTreeSet<String>,
}

impl History {
    fn recorded() -> History {
        let mut group = Group::new();
        let mut refused = BTreeSet::new();
        let mut moments = Vec::new();
        let mut last_step = 0;
        let mut keep = |step, group: &Group| {
            moments.push(Moment { step, fold: group.fold.clone(), rows: group.rows.clone() });
        };
        keep(last_step, &group);
        for happened in happenings() {
            let event = match &happened {
                Happened::Registered { register } => {
                    last_step = step(&register.step);
                    Some(registered(&group, register))
                }
                Happened::Called(call) if call.injected => None,
                Happened::Called(call) => {
                    last_step = step(&call.step);
                    called(&group, call)
                }
            };
            let Some(event) = event else { continue };
            let aums: Vec<String> = event.aums().iter().map(|aum| aum.hash().to_string()).collect();
            let mut events = showing_auth_key(&group.fold, &group.rows, event);
            let event = events.pop().unwrap();
            events.into_iter().for_each(|event| drop(group.apply(event)));
            match group.propose(event) {
                Verdict::Sealed(_) => keep(last_step, &group),
                _ => refused.extend(aums),
            }
        }
        History { moments, refused }
    }

    /// The last state of a step.
    fn after(&self, step: u32) -> &Moment {
        self.moments.iter().rfind(|moment| moment.step <= step).unwrap()
    }
}

fn registered(group: &Group, register: &Registration) -> Event {
    let node_key: NodeKey = register.node_key.parse().unwrap();
    let lock_key: Option<LockKey> = Some(register.lock_key.parse().unwrap());
    let signature = register.signature.as_ref();
    let signature = signature.map(|bytes| NodeKeySignature::decode(&bytes.0).unwrap());
    match &register.former {
        None => Event::NodeAdded(NewNode {
            name: register.name.clone(),
            node_key,
            lock_key,
            own: false,
            signature,
            auth_key: None,
        }),
        Some(former) => {
            let node = roster::by_node_key(&group.rows, former.parse().unwrap()).unwrap().unwrap();
            Event::NodeChanged(ChangedNode { node: node.id, node_key, lock_key, signature })
        }
    }
}

/// What a call changed, if it did.
fn called(group: &Group, call: &Call) -> Option<Event> {
    fn of<T: DeserializeOwned>(call: &Call) -> T {
        serde_json::from_value(call.request.clone()).unwrap()
    }
    let ground = Ground { fold: &group.fold, rows: &group.rows };
    match call.path.as_str() {
        "init/begin" => node_rpc::begin(ground, &of(call)).ok(),
        "init/finish" => {
            node_rpc::finish(ground, &of(call), 0, true).ok().and_then(|finish| finish.event)
        }
        "sync/send" => node_rpc::send(ground, &of(call)).ok().flatten(),
        "sign" => node_rpc::sign(ground, &of(call)).ok().flatten(),
        "disable" => {
            let mut request: node_rpc::bodies::DisableRequest = of(call);
            // The head may be an AUM that ours refused.
            if let Some(authority) = group.fold.authority() {
                request.head = authority.head();
            }
            node_rpc::disable(ground, &request).ok()
        }
        _ => None,
    }
}

/// How many exchanges ended in which way.
#[derive(Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    fn all(&self) -> usize {
        self.0.values().sum()
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&each.join(", "))
    }
}
