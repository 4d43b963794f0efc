//! `audit log`: the timeline.

use std::collections::BTreeSet;

use ledger::ids::{LockKey, NodeKey};
use serde_json::json;

use super::{Answer, NoAnswer, chronicle, entry_json, write_entry};
use crate::chronicle::{Chronicle, Entry};
use crate::report::Report;

/// Which entries are wanted; all of them if nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Those about this trusted key.
    pub key: Option<LockKey>,
    /// Those about this node, by a key that it had.
    pub node: Option<NodeKey>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those whose actor has this name, or acted through this member.
    pub actor: Option<String>,
    /// Not before this time, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Not after this time.
    pub until: Option<u64>,
    /// The last ones, at most.
    pub limit: Option<usize>,
}

impl LogFilter {
    fn wants(&self, entry: &Entry) -> bool {
        let by = |name: &String| {
            entry.actor.as_ref().is_some_and(|actor| actor.name == *name || actor.member == *name)
        };
        self.key.is_none_or(|key| entry.keys.contains(&key))
            && self.node.is_none_or(|node| entry.nodes.contains(&node))
            && self.kind.as_ref().is_none_or(|kind| entry.kind == *kind)
            && self.actor.as_ref().is_none_or(by)
            && self.since.is_none_or(|since| entry.time_ms.is_some_and(|ms| ms >= since))
            && self.until.is_none_or(|until| entry.time_ms.is_some_and(|ms| ms <= until))
    }
}

/// Everything that happened, oldest first, as far as it is wanted.
pub fn log(report: &Report, filter: &LogFilter) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let mut wanted: Vec<&Entry> = told.entries.iter().filter(|e| filter.wants(e)).collect();
    let found = wanted.len();
    if let Some(limit) = filter.limit {
        wanted.drain(..found.saturating_sub(limit));
    }
    let mut text = text(told, &wanted, found);
    if let (Some(kind), 0) = (&filter.kind, found) {
        let kinds: BTreeSet<&str> = told.entries.iter().map(|entry| entry.kind.as_str()).collect();
        if !kinds.contains(kind.as_str()) {
            let kinds = Vec::from_iter(kinds).join("\n\t");
            text.push_str(&format!("It has no event of the kind {kind:?}, but of:\n\t{kinds}\n"));
        }
    }
    let entries: Vec<_> = wanted.iter().map(|entry| entry_json(entry)).collect();
    Ok(Answer::new(text, [("found", json!(found)), ("entries", json!(entries))]))
}

fn text(told: &Chronicle, wanted: &[&Entry], found: usize) -> String {
    let mut out = String::new();
    for entry in wanted {
        write_entry(&mut out, told, entry);
        out.push('\n');
    }
    match wanted.len() {
        0 => out.push_str("Nothing in this history is like that.\n"),
        shown if shown < found => out += &format!("{shown} of {found} shown: the last ones.\n"),
        _ => {}
    }
    out
}
