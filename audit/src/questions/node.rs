//! `audit node`: why a node is in or out.

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
    let is = |node: &&NodeStory| node.name == named || node.node_key.to_string() == named;
    let node = told.nodes.iter().find(is);
    let key = match node {
        Some(node) => Some(node.node_key),
        None => named.parse().ok(),
    };
    let about: Vec<&Entry> = told
        .entries
        .iter()
        .filter(|entry| key.is_some_and(|key| entry.nodes.contains(&key)))
        .collect();
    if node.is_none() && about.is_empty() {
        return Err(NoAnswer::NotThere(format!("node {}", plain(named))));
    }
    let mut text = String::new();
    if let Some(node) = node {
        let since = node.since.map_or(String::new(), |record| format!(", since record {record}"));
        let is = if node.admitted { "let in" } else { "locked out" };
        text += &fields([
            ("node", plain(&node.name)),
            ("key", node.node_key.to_string()),
            ("is", format!("{is}{since}")),
            ("because", plain(&node.why)),
        ]);
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
