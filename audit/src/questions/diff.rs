//! `audit diff`: what changed between two places.

use std::collections::BTreeMap;

use ledger::lock::{Key, State};
use serde_json::{Value, json};

use super::asked::state_at;
use super::{Answer, At, NoAnswer, chronicle, fields};
use crate::report::{Report, tlpub};

/// The trusted keys and disablement values that differ between two places.
pub fn diff(report: &Report, a: At, b: At) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let (from, to) = (state_at(told, Some(a))?, state_at(told, Some(b))?);
    let before = keys(from.state.as_ref());
    let after = keys(to.state.as_ref());
    let missing = |from: &BTreeMap<String, Key>, other: &BTreeMap<String, Key>| -> Vec<String> {
        from.keys().filter(|key| !other.contains_key(*key)).cloned().collect()
    };
    let (gone, new) = (missing(&before, &after), missing(&after, &before));
    let changed: Vec<(&String, u64, u64, bool)> = before
        .iter()
        .filter_map(|(name, key)| Some((name, key, after.get(name)?)))
        .filter(|(_, key, then)| key != then)
        .map(|(name, key, then)| (name, key.votes, then.votes, key.meta != then.meta))
        .collect();
    let values = |state: Option<&State>| -> Vec<Vec<u8>> {
        state.iter().flat_map(|state| state.disablement_values()).map(<[u8]>::to_vec).collect()
    };
    let disablement = values(from.state.as_ref()) != values(to.state.as_ref());
    let lock = |on: bool| if on { "on" } else { "off" };
    let (was, is) = (lock(from.state.is_some()), lock(to.state.is_some()));
    let mut text = fields([("from", from.place.clone()), ("to", to.place.clone())]);
    if was != is {
        text += &fields([("lock", format!("{was}, then {is}"))]);
    }
    for (sign, list) in [('-', &gone), ('+', &new)] {
        for key in list {
            text += &format!("  {sign} {key}\n");
        }
    }
    for (key, votes, then, meta) in &changed {
        let meta = if *meta { ", other metadata" } else { "" };
        text += &format!("  ~ {key}\n    {votes} votes, then {then}{meta}\n");
    }
    if disablement {
        text.push_str("  ~ other disablement values\n");
    }
    if gone.is_empty() && new.is_empty() && changed.is_empty() && !disablement && was == is {
        text.push_str("The lock is the same at both places.\n");
    }
    let changed: Vec<Value> = changed
        .iter()
        .map(|(key, votes, then, meta)| {
            json!({"key": key, "votes": [votes, then], "meta_changed": meta})
        })
        .collect();
    Ok(Answer::new(
        text,
        [
            (
                "from",
                json!({"at": from.place, "lock": was, "number": told.entries[from.entry].number}),
            ),
            ("to", json!({"at": to.place, "lock": is, "number": told.entries[to.entry].number})),
            ("removed", json!(gone)),
            ("added", json!(new)),
            ("changed", json!(changed)),
            ("disablement_values_changed", json!(disablement)),
        ],
    ))
}

fn keys(state: Option<&State>) -> BTreeMap<String, Key> {
    let keys = state.iter().flat_map(|state| state.keys());
    keys.map(|key| (tlpub(key.public.as_deref()), key.clone())).collect()
}
