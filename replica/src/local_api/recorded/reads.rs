//! What was read: each node went through the states of the ledger in their order, perhaps late; so
//! each recorded answer must be ours in the state that the node was in, or in a later one that had
//! come by then. They compare as JSON values, where `null` equals `[]`; names and addresses are the
//! roster's own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Counts, Exchange, History, Moment, exchanges};
use crate::local_api::answers;
use crate::local_api::bodies::{DeeplinkRequest, from_go_json};
use crate::local_api::endpoints::{deeplink_answer, signatures_of};

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

/// The recorded answer with the roster's own names and addresses: it gives one label and other
/// IPv6 addresses.
fn renamed(value: &mut Value) {
    for peers in ["VisiblePeers", "FilteredPeers"] {
        let peers = value.get_mut(peers).and_then(Value::as_array_mut);
        for peer in peers.into_iter().flatten() {
            let name = peer["Name"].as_str().unwrap().trim_end_matches(".example.test.").to_owned();
            peer["Name"] = name.into();
            let id = peer["ID"].as_u64().unwrap();
            assert_eq!(peer["TailscaleIPs"][1], format!("fd7a:115c:a1e0::{id:x}"));
            peer["TailscaleIPs"][1] = format!("fd7a:115c:a1e0::6440:{id:x}").into();
        }
    }
}

/// Our answer at that moment; none where ours refuses.
fn ours(exchange: &Exchange, moment: &Moment, aside: bool) -> Option<Value> {
    let (ground, own) = (moment.ground(), moment.node(&exchange.node));
    let key = own.as_ref().and_then(|node| node.lock_key);
    let value = |answer: Result<Value, serde_json::Error>| Some(answer.unwrap());
    let authority = ground.fold.authority().filter(|_| !aside);
    match exchange.endpoint() {
        "status" if authority.is_none() => {
            value(serde_json::to_value(answers::lock_off(own.as_ref(), key)))
        }
        "status" => {
            let status = answers::lock_status(ground, own.as_ref(), key).unwrap();
            value(serde_json::to_value(status))
        }
        "log" => {
            let authority = authority?;
            let limit = exchange.target().split_once("limit=").map_or("50", |(_, limit)| limit);
            let limit = limit.split('&').next().unwrap_or_default();
            let limit = limit.parse::<i64>().map_or(50, |limit| limit.try_into().unwrap_or(0));
            let (chain, head) = (authority.chain(ground.rows), authority.head());
            let entries = answers::log(chain, head, limit);
            let entries: Vec<_> = entries.map(Result::unwrap).collect();
            value(serde_json::to_value(entries))
        }
        "affected-sigs" => {
            authority?;
            value(serde_json::to_value(signatures_of(ground, exchange.body()).unwrap()))
        }
        _ => {
            let request: DeeplinkRequest = from_go_json(&exchange.body()).ok()?;
            let off = Err("tailnet-lock is not active".to_owned());
            let state_id = authority.map_or(off, |lock| Ok(lock.state().state_id1));
            value(serde_json::to_value(deeplink_answer(&request, state_id)))
        }
    }
}

/// Verdicts on a deeplink that say no, each in its own words.
fn refuses_alike(ours: &Value, recorded: &Value) -> bool {
    let refusal = |value: &Value| {
        let refuses = value["IsValid"] == false && value["Error"] != "";
        let mut value = value.clone();
        value.as_object_mut()?.remove("Error")?;
        refuses.then_some(value)
    };
    refusal(ours).is_some() && refusal(ours) == refusal(recorded)
}

/// The rule of docs/differences.md by which a read differs.
fn rule(
    exchange: &Exchange,
    recorded: &Value,
    at: &Moment,
    is_aside: &dyn Fn(&Moment) -> bool,
    history: &History,
) -> Option<&'static str> {
    // After a logout the original has no keys; ours has them as long as it runs.
    if exchange.endpoint() == "status" && recorded["NodeKey"].is_null() {
        let mut ours = ours(exchange, at, is_aside(at))?;
        ours["NodeKey"] = recorded["NodeKey"].clone();
        ours["PublicKey"] = recorded["PublicKey"].clone();
        return same(&ours, recorded).then_some("always-logged-in");
    }
    let on = recorded["Enabled"] == true || (exchange.endpoint() == "log" && !recorded.is_null());
    if on && is_aside(at) {
        return Some("local-disable-lasts");
    }
    let head = match exchange.endpoint() {
        "status" => &recorded["Head"],
        "log" => &recorded[0]["Hash"],
        _ => return None,
    };
    let head: [u8; 32] = serde_json::from_value(head.clone()).ok()?;
    let head = ledger::ids::AumHash(head).to_string();
    history.refused.contains(&head).then_some("keys-well-formed")
}

#[test]
fn recorded_reads_are_answered_as_they_were() {
    let history = History::recorded();
    // How far each node had come, and which locks it has set aside in ours.
    let mut come: BTreeMap<String, usize> = BTreeMap::new();
    let mut aside: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let (mut alike, mut by_rule) = (Counts::default(), Counts::default());
    let mut wrong = Vec::new();
    let moments = &history.moments;
    for exchange in exchanges().iter().filter(|exchange| exchange.succeeded()) {
        if exchange.endpoint() == "force-local-disable" {
            let moment = &moments[come[&exchange.node]];
            let state_id = moment.fold.authority().unwrap().state().state_id();
            aside.insert(exchange.node.clone(), state_id);
        }
        if !exchange.is_read() {
            continue;
        }
        let mut recorded: Value = serde_json::from_slice(&exchange.answer()).unwrap();
        renamed(&mut recorded);
        let from = come.get(&exchange.node).copied().unwrap_or(0);
        let is_aside = |moment: &Moment| {
            let authority = moment.fold.authority();
            let state_id = authority.map(|authority| authority.state().state_id());
            state_id.is_some() && state_id == aside.get(&exchange.node).copied()
        };
        let until = |at: &usize| moments[*at].step <= exchange.step();
        let found = (from..moments.len()).take_while(until).find(|at| {
            let ours = ours(exchange, &moments[*at], is_aside(&moments[*at]));
            ours.is_some_and(|ours| same(&ours, &recorded) || refuses_alike(&ours, &recorded))
        });
        if let Some(found) = found {
            come.insert(exchange.node.clone(), found);
            alike.add(exchange.endpoint());
            continue;
        }
        match rule(exchange, &recorded, &moments[from], &is_aside, &history) {
            Some(rule) => by_rule.add(rule),
            None => {
                let at = &moments[from];
                let ours = ours(exchange, at, is_aside(at));
                wrong.push(format!("{exchange}\n  recorded {recorded}\n  ours {ours:?}"));
            }
        }
    }
    println!("localapi_exchanges.json: read as recorded: {alike}; by rule: {by_rule}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(alike.all() + by_rule.all(), 337);
}
