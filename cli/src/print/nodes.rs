//! `node ...` as text. (Its JSON is the daemon's.)

use std::fmt::Write as _;

use replica::local_api::bodies::NodeBody;

use super::line;
use super::table::table;

/// What stands in the table for a node that the lock lets in or keeps out.
fn standing(node: &NodeBody) -> &'static str {
    if node.signed { "signed" } else { "locked out" }
}

/// A table: ID, name, addresses, standing, node key; one node a line.
pub(crate) fn list(nodes: &[NodeBody], lock_is_on: bool) -> String {
    let mut rows = vec![["ID", "NAME", "ADDRESS", "LOCK", "NODE KEY"].map(str::to_owned)];
    for node in nodes {
        rows.push([
            node.id.to_string(),
            line(&node.name),
            node.addresses.first().map(|address| line(address)).unwrap_or_default(),
            if lock_is_on { standing(node).into() } else { "off".into() },
            shortened(&node.node_key),
        ]);
    }
    table(&rows)
}

/// Enough of a node key to tell nodes apart in a table; `node show` has all of it.
fn shortened(key: &str) -> String {
    let key = line(key);
    match key.char_indices().nth(20) {
        Some((at, _)) => format!("{}...", &key[..at]),
        None => key,
    }
}

/// Everything about one node.
pub(crate) fn show(node: &NodeBody) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "{:<14}{}", format!("{name}:"), line(value));
    };
    field("Name", &node.name);
    field("ID", &node.id.to_string());
    field("Stable ID", &node.stable_id);
    field("Addresses", &node.addresses.join(", "));
    field("Node key", &node.node_key);
    if let Some(key) = &node.lock_key {
        field("Lock key", key);
    }
    field("Signed", if node.signed { "yes" } else { "no" });
    field("Reason", &node.reason);
    field("Since record", &node.since_record.to_string());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, name: &str, signed: bool) -> NodeBody {
        NodeBody {
            id,
            stable_id: format!("n{id}LOCKSTEP"),
            name: name.into(),
            addresses: vec![format!("100.64.0.{id}"), format!("fd7a:115c:a1e0::{id}")],
            node_key: format!("nodekey:{}", "ab".repeat(32)),
            lock_key: None,
            signature: None,
            signed,
            reason: "no signature".into(),
            since_record: 3,
        }
    }

    #[test]
    fn a_table_in_80_columns() {
        let text = list(&[node(1, "signer", true), node(12, "lap\x07top", false)], true);
        assert_eq!(
            text,
            "ID  NAME         ADDRESS      LOCK        NODE KEY\n1   signer       100.64.0.1   \
             signed      nodekey:abababababab...\n12  lap\\u{7}top  100.64.0.12  locked out  \
             nodekey:abababababab...\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn one_node() {
        assert_eq!(
            show(&node(2, "laptop", false)),
            format!(
                "Name:         laptop\nID:           2\nStable ID:    n2LOCKSTEP\nAddresses:    \
                 100.64.0.2, fd7a:115c:a1e0::2\nNode key:     nodekey:{}\nSigned:       no\n\
                 Reason:       no signature\nSince record: 3\n",
                "ab".repeat(32)
            )
        );
    }
}
