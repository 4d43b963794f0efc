//! `audit state`: which keys were trusted at some place.

use data_encoding::HEXLOWER;
use ledger::lock::{Key, State};
use serde_json::{Value, json};

use super::asked::state_at;
use super::{Answer, At, NoAnswer, chronicle, fields};
use crate::foreign::plain;
use crate::report::{Report, tlpub};

/// The lock at a place; at the end if none is named.
pub fn state(report: &Report, at: Option<At>) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let then = state_at(told, at)?;
    let entry = &told.entries[then.entry];
    let mut text = fields([("at", then.place.clone())]);
    let mut pairs = vec![("at", json!(then.place)), ("number", json!(entry.number))];
    let Some(state) = &then.state else {
        text += &fields([("lock", "off".to_owned())]);
        pairs.push(("lock", json!("off")));
        return Ok(Answer::new(text, pairs));
    };
    let (a, b) = state.state_id();
    text += &fields([
        ("lock", format!("on, state ID {a}:{b}")),
        ("head", then.head.map_or(String::new(), |head| head.to_string())),
        ("secrets", format!("{} disablement values", state.disablement_values().count())),
        ("keys", format!("{} trusted; votes first:", state.keys().len())),
    ]);
    for key in state.keys() {
        text += &format!("  {:>4} {}{}\n", key.votes, tlpub(key.public.as_deref()), meta(key));
    }
    pairs.extend([
        ("lock", json!("on")),
        ("epoch", json!(then.epoch)),
        ("head", json!(then.head.map(|head| head.to_string()))),
        ("state_id", json!(format!("{a}:{b}"))),
        ("trusted_keys", keys_json(state)),
        (
            "disablement_values",
            json!(state.disablement_values().map(|v| HEXLOWER.encode(v)).collect::<Vec<_>>()),
        ),
    ]);
    Ok(Answer::new(text, pairs))
}

fn keys_json(state: &State) -> Value {
    let key = |key: &Key| {
        json!({
            "key": tlpub(key.public.as_deref()),
            "votes": key.votes,
            "meta": key.meta.as_ref().map(|meta| &meta.0),
        })
    };
    state.keys().iter().map(key).collect()
}

/// A key's metadata behind it.
pub(super) fn meta(key: &Key) -> String {
    let pairs = key.meta.iter().flat_map(|meta| &meta.0);
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", plain(name), plain(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("\n       {}", pairs.join(" ")) }
}
