//! Every call that a real server was seen to answer, answered by ours (data/node_rpc.json.gz: all
//! calls of one run of official clients, in order, and the registrations of their nodes).
//!
//! The roster is rebuilt from the registrations, everything else by the calls themselves. Answers
//! compare as JSON values, where `null` equals `[]`; refusals by being refusals. Answers that the
//! recording test had injected are left out. What differs must match a rule of docs/differences.md.

use std::collections::BTreeMap;
use std::io::Read;

use ledger::history::{ChangedNode, Event, NewNode, roster};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::Sealed;
use ledger::lock::node_keys::NodeKeySignature;
use ledger::testing::showing_auth_key;
use replica::go_json::Base64;
use serde::Deserialize;
use serde_json::Value;

use crate::server::Server;

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Registered { register: Registration },
    Called(Box<Call>),
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    node_key: String,
    lock_key: String,
    #[serde(default)]
    former: Option<String>,
    #[serde(default)]
    signature: Option<Base64>,
}

#[derive(Deserialize)]
struct Call {
    seq: u64,
    step: String,
    path: String,
    request: Value,
    status: u16,
    #[serde(default)]
    answer: Value,
    #[serde(default)]
    injected: bool,
}

fn entries() -> Vec<Entry> {
    let bytes = include_bytes!("../data/node_rpc.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Equal as JSON values, where an absent list is an empty one.
fn same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match (one, other) {
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
            one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other || (empty(one) && empty(other)),
    }
}

impl Registration {
    fn event(&self, server: &Server) -> Event {
        let node_key: NodeKey = self.node_key.parse().unwrap();
        let lock_key: LockKey = self.lock_key.parse().unwrap();
        let decoded = |bytes: &Base64| NodeKeySignature::decode(&bytes.0).unwrap();
        let signature = self.signature.as_ref().map(decoded);
        match &self.former {
            None => Event::NodeAdded(NewNode {
                name: self.name.clone(),
                node_key,
                lock_key: Some(lock_key),
                own: false,
                signature,
                auth_key: None,
            }),
            Some(former) => {
                let former: NodeKey = former.parse().unwrap();
                let node = roster::by_node_key(&server.group.rows, former).unwrap().unwrap();
                Event::NodeChanged(ChangedNode {
                    node: node.id,
                    node_key,
                    lock_key: Some(lock_key),
                    signature,
                })
            }
        }
    }
}

/// Rule `keys-well-formed`: the request would make a key trusted that is not 32 bytes long.
fn trusts_a_malformed_key(call: &Call) -> bool {
    sent_aums(call).any(|aum| {
        let added = aum.key.iter().chain(aum.state.iter().flat_map(|state| state.keys()));
        added.into_iter().any(|key| key.public.as_ref().map_or(0, Vec::len) != 32)
    })
}

fn sent_aums(call: &Call) -> impl Iterator<Item = Sealed> {
    let list = call.request["MissingAUMs"].as_array().cloned().unwrap_or_default();
    list.into_iter().filter_map(|value| {
        let bytes: Base64 = serde_json::from_value(value).ok()?;
        Sealed::decode(&bytes.0).ok()
    })
}

/// Rule `door`: the AUMs leave the line or, in a checkpoint, change keys.
fn leaves_the_line(server: &Server, call: &Call) -> bool {
    let Some(authority) = server.group.fold.authority() else { return false };
    sent_aums(call).last().is_some_and(|aum| {
        let keys = aum.state.as_ref().map(|state| state.keys());
        aum.parent_hash() != Some(authority.head())
            || keys.is_some_and(|keys| keys != authority.state().keys())
    })
}

/// The AUMs that ours refuses: the head in whose place each would be, and the rule.
type RefusedAums = BTreeMap<String, (String, &'static str)>;

/// Rules `keys-well-formed` and `door`, further on: the rule by which ours has refused an AUM that
/// the answer names, if it names one.
fn names_one_of(value: &Value, refused: &RefusedAums) -> Option<&'static str> {
    match value {
        Value::String(text) => refused.get(text).map(|(_, rule)| *rule),
        Value::Array(items) => items.iter().find_map(|item| names_one_of(item, refused)),
        Value::Object(fields) => fields.values().find_map(|field| names_one_of(field, refused)),
        _ => None,
    }
}

/// Rule `offer-ancestors`: the answers differ in nothing but the ancestors that they offer, and the
/// recorded ones are those of older releases: at 4, 16, 64, .. AUMs back from the head, as far as
/// the chain goes, and the oldest.
fn offers_as_older_releases(server: &Server, answer: &Value, recorded: &Value) -> bool {
    let authority = server.group.fold.authority().unwrap();
    let (mut older, mut skip) = (Vec::new(), 4);
    for (back, aum) in authority.chain(&server.group.rows).back_from(authority.head()).enumerate() {
        if back > 0 && back % skip == 0 {
            older.push(aum.unwrap().hash().to_string());
            skip *= 4;
        }
    }
    older.push(authority.oldest().hash.to_string());
    let but_ancestors = |value: &Value| {
        let mut value = value.clone();
        value["Ancestors"].take();
        value
    };
    recorded["Ancestors"] == serde_json::json!(older)
        && same(&but_ancestors(answer), &but_ancestors(recorded))
}

#[test]
fn recorded_calls_are_answered_as_they_were() {
    let mut server = Server::default();
    let mut refused = RefusedAums::new();
    let (mut recorded, mut injected) = (0, 0);
    let mut by_rule: BTreeMap<&str, u64> = BTreeMap::new();
    let mut answered: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for entry in entries() {
        let mut call = match entry {
            Entry::Registered { register } => {
                let event = register.event(&server);
                let group = &server.group;
                for event in showing_auth_key(&group.fold, &group.rows, event) {
                    server.group.apply(event);
                }
                continue;
            }
            Entry::Called(call) => call,
        };
        recorded += 1;
        if call.injected {
            injected += 1;
            continue;
        }
        let head = call.request["Head"].as_str();
        if let Some((head, _)) = head.and_then(|head| refused.get(head)) {
            call.request["Head"] = head.clone().into();
        }
        let before = server.group.fold.authority().map(|authority| authority.head());
        let answer = server.call(&call.path, &call.request);
        let place = format!("call {} ({}, {}): {answer:?}", call.seq, call.step, call.path);
        let counts = answered.entry(call.path.clone()).or_default();
        match (&answer, call.status) {
            (Ok(answer), 200) if same(answer, &call.answer) => counts.0 += 1,
            (Err(_), status) if status != 200 => counts.1 += 1,
            (Ok(answer), 200)
                if call.path == "sync/offer"
                    && offers_as_older_releases(&server, answer, &call.answer) =>
            {
                *by_rule.entry("offer-ancestors").or_default() += 1;
            }
            (Err((409, _)), 200)
                if trusts_a_malformed_key(&call) || leaves_the_line(&server, &call) =>
            {
                let malformed = trusts_a_malformed_key(&call);
                let rule = if malformed { "keys-well-formed" } else { "door" };
                *by_rule.entry(rule).or_default() += 1;
                let head = before.unwrap().to_string();
                for hash in sent_aums(&call).map(|aum| aum.hash()).collect::<Vec<_>>() {
                    let authority = server.group.fold.authority().unwrap();
                    if authority.chain(&server.group.rows).node(&hash).unwrap().is_none() {
                        refused.insert(hash.to_string(), (head.clone(), rule));
                    }
                }
            }
            (Ok(_), 200) => match names_one_of(&call.answer, &refused) {
                Some(rule) => *by_rule.entry(rule).or_default() += 1,
                None => panic!("{place}\nrecorded: {} {}", call.status, call.answer),
            },
            _ => panic!("{place}\nrecorded: {} {}", call.status, call.answer),
        }
    }
    for (path, (same, refused)) in &answered {
        println!("{path}: {same} answered the same, {refused} refused as they were");
    }
    let same: u64 = answered.values().map(|(same, refused)| same + refused).sum();
    println!(
        "node_rpc.json: {recorded} calls, {same} as recorded, {by_rule:?} by rule, {injected} \
         injected answers left out"
    );
    assert_eq!(recorded, same + injected + by_rule.values().sum::<u64>());
    assert!(recorded > 300 && same > 180, "{recorded} {same}");
    assert_eq!(by_rule.len(), 3, "{by_rule:?}");
    // The support secrets of both initializations reached the escrow, and the ledger never.
    assert_eq!(server.escrow.len(), 1);
    for record in server.group.records() {
        for secret in &server.escrow {
            let secret = &secret.0[..];
            assert!(!record.bytes().windows(secret.len()).any(|part| part == secret));
        }
    }
}
