//! A whole replica on a real disk: serving, starting again, crashing.
#![allow(clippy::unwrap_used)]

mod crash;
mod offline;
mod recovery;
mod serving;

use std::path::Path;
use std::sync::Arc;

use ledger::history::{Event, LogKey, MemberDetails, NewNode, Who};
use ledger::ids::NodeKey;
use ledger::testing::key;
use replica::disk::recovery::StartError;
use replica::node::{Node, Options, Outcome, Submission};

/// Starts a replica in `dir`; a new group if it is empty.
async fn start(dir: &Path) -> Result<Node, StartError> {
    let details = MemberDetails {
        name: "first".into(),
        log_key: LogKey([9; 32]),
        lock_key: None,
        rules: ledger::history::KNOWN_RULES,
        address: None,
    };
    Node::start(Options::alone(dir, Arc::new(key(1)), Some(details))).await
}

/// The `number`-th node joins the roster.
fn joins(number: u64) -> Submission {
    let mut node_key = [0x11; 32];
    node_key[..8].copy_from_slice(&number.to_be_bytes());
    Submission {
        request: format!("join-{number}").parse().unwrap(),
        digest: [7; 32],
        part: 0,
        who: Who::Uid(0),
        name: "root".into(),
        event: Event::NodeAdded(NewNode {
            name: format!("node-{number}"),
            node_key: NodeKey(node_key),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }),
    }
}

/// The index of a record that has just been added.
fn applied(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Applied { index, .. } => index,
        other => panic!("not applied: {other:?}"),
    }
}

/// The request IDs of all records, in order.
fn requests(rows: &dyn ledger::rows::Rows) -> Vec<String> {
    ledger::history::records::from(rows, 0)
        .unwrap()
        .map(|record| record.unwrap().proposal().proposal().request.to_string())
        .collect()
}
