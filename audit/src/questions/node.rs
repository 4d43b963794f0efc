//! `audit node`: why a node is in or out.

use ledger::ids::NodeKey;
use serde_json::json;

use super::{Answer, NoAnswer, chronicle, entry_json, fields, write_entry};
use crate::chronicle::{Entry, NodeStory};
use crate::foreign::plain;
use crate::report::Report;
use crate::report::lines::wrapped;

/// Why a node, named by its node key or its name, is in or out, with its chain of signatures down
/// to the trusted key.
pub fn node(report: &Report, named: &str) -> Result<Answer, NoAnswer> {
    let told = chronicle(report)?;
    let asked: Option<NodeKey> = named.parse().ok();
    let is = |node: &&NodeStory| {
        node.name == named
            || asked.is_some_and(|key| node.node_key == key || node.former.contains(&key))
    };
    // The key that it has now before one that another node had once.
    let current = |node: &&NodeStory| is(node) && asked.is_none_or(|key| node.node_key == key);
    let node = told.nodes.iter().find(current).or_else(|| told.nodes.iter().find(is));
    let keys: Vec<NodeKey> = match node {
        Some(node) => node.former.iter().copied().chain([node.node_key]).collect(),
        None => asked.into_iter().collect(),
    };
    let about: Vec<&Entry> = told
        .entries
        .iter()
        .filter(|entry| keys.iter().any(|key| entry.nodes.contains(key)))
        .collect();
    if node.is_none() && about.is_empty() {
        return Err(NoAnswer::NotThere(format!("node {}", plain(named))));
    }
    let mut text = String::new();
    if let Some(node) = node {
        let since = node.since.map_or(String::new(), |record| format!(", since record {record}"));
        let is = if node.admitted { "let in" } else { "locked out" };
        let former: Vec<String> = node.former.iter().map(ToString::to_string).collect();
        let lines = [
            ("node", plain(&node.name)),
            ("key", node.node_key.to_string()),
            ("before", former.join(" ")),
            ("is", format!("{is}{since}")),
            ("because", plain(&node.why)),
        ];
        text += &fields(lines.into_iter().filter(|(_, text)| !text.is_empty()));
        for (level, what) in node.levels.iter().enumerate() {
            wrapped(&mut text, &format!("{:>9} ", if level == 0 { "by" } else { "on" }), 10, what);
        }
        if let Some(key) = node.rests_on {
            wrapped(&mut text, "       of ", 10, &key.to_tlpub());
        }
    } else {
        text += &fields([("node", "not in the roster any more, or under another key".to_owned())]);
    }
    text.push('\n');
    for entry in &about {
        write_entry(&mut text, told, entry);
        text.push('\n');
    }
    let json = node.map(|node| {
        json!({
            "name": node.name,
            "node_key": node.node_key.to_string(),
            "former_keys": node.former.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "admitted": node.admitted,
            "because": node.why,
            "since_record": node.since,
            "levels": node.levels,
            "rests_on": node.rests_on.map(|key| key.to_tlpub()),
        })
    });
    let entries = about.iter().map(|entry| entry_json(entry)).collect();
    Ok(Answer::new(text, [("node", json!(json)), ("entries", entries)]))
}
