//! The nodes of a roster: who is locked out, and what their signatures rest on.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Fault;
use ledger::history::roster::{self, Node, Reason};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::State;
use ledger::lock::node_keys::{NodeKeySignature, SigKind, authorize};
use ledger::lock::signatures::{Unverified, is_weak, verify_one};
use ledger::rows::Rows;

use super::Finding;
use super::catalog::{
    KEY_PREAUTH_UNUSED, NODE_DEPTH, NODE_LOCKED_OUT, NODE_SIGNATURE, NODE_UNSIGNED,
    NODE_WRAPPING_SHARED, NODE_WRAPPING_WEAK,
};
use crate::source::ShownNode;

/// Levels of a signature from which on it nears the decoder's 16. The original's tool for finding
/// such chains counts from here too (spec 8.3).
const MANY_LEVELS: usize = 11;

/// Who of a roster is in and who is out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headcount {
    /// Nodes that are let in.
    pub admitted: u64,
    /// Nodes that are locked out.
    pub locked_out: u64,
}

/// Findings about every node of the roster while the lock is on.
pub(crate) fn roster(
    rows: &dyn Rows,
    state: &State,
    findings: &mut Vec<Finding>,
) -> Result<Headcount, Fault> {
    let mut count = Headcount::default();
    let mut signatures = Signatures::default();
    for node in roster::nodes(rows)? {
        let node = node?;
        let about = |finding: Finding| finding.node(node.node_key);
        if node.standing.is_in() {
            count.admitted += 1;
        } else {
            count.locked_out += 1;
            let finding = Finding::new(&NODE_LOCKED_OUT, locked_out(&node));
            findings.push(about(finding).record(node.standing.reason_record));
        }
        if let Some(signature) = &node.signature {
            signatures.look_at(&node.name, node.node_key, signature, findings);
        }
    }
    signatures.preauth(state, findings);
    Ok(count)
}

/// Findings about the nodes that a status shows, under the state that the history gives.
pub(crate) fn shown_nodes(nodes: &[ShownNode], state: &State, findings: &mut Vec<Finding>) {
    let mut signatures = Signatures::default();
    for node in nodes {
        let name = &node.name;
        let mut add = |check, message: String| {
            findings.push(Finding::new(check, message).node(node.node_key));
        };
        let why = match &node.signature {
            None => Err(format!("{name} has no signature")),
            Some(signature) => verify_one(Unverified::new(signature.clone()))
                .and_then(|verified| authorize(&verified, node.node_key, state))
                .map_err(|refusal| {
                    format!("the signature of {name} does not let it in: {refusal}")
                }),
        };
        match (node.admitted, why) {
            (true, Ok(_)) => {}
            // Such peers may use nothing but the node's own peer API (spec 8.6).
            (true, Err(why)) if node.signature.is_none() => add(&NODE_UNSIGNED, why),
            (true, Err(why)) => add(&NODE_SIGNATURE, why),
            (false, Err(why)) => add(&NODE_LOCKED_OUT, format!("{name} is locked out: {why}")),
            (false, Ok(_)) => add(
                &NODE_LOCKED_OUT,
                format!(
                    "{name} is locked out although its signature holds; perhaps another node \
                         has rotated from the same key"
                ),
            ),
        }
        if let Some(signature) = &node.signature {
            signatures.look_at(name, node.node_key, signature, findings);
        }
    }
    signatures.preauth(state, findings);
}

fn locked_out(node: &Node) -> String {
    let since = node.standing.since_record;
    let why = match &node.standing.reason {
        Reason::LockOff | Reason::Signed { .. } => "it is not".to_owned(),
        Reason::NeverSigned => "nobody has signed it".to_owned(),
        Reason::NodeKeyChanged { .. } => {
            "its node key was replaced and the new one is not signed".to_owned()
        }
        Reason::SignerNotTrusted { key, .. } => {
            format!("{key}, on which its signature rests, is not trusted any more")
        }
    };
    format!("{} is locked out since record {since}: {why}", node.name)
}

/// What the signatures of many nodes have in common.
#[derive(Default)]
struct Signatures {
    /// The first node of each rotation key.
    by_wrapping_key: BTreeMap<Vec<u8>, String>,
    /// The trusted keys on which signatures rest.
    rest_on: BTreeSet<LockKey>,
}

impl Signatures {
    /// Findings about one more signature.
    fn look_at(
        &mut self,
        name: &str,
        node_key: NodeKey,
        signature: &NodeKeySignature,
        findings: &mut Vec<Finding>,
    ) {
        let mut add = |check, message: String| {
            findings.push(Finding::new(check, message).node(node_key));
        };
        let depth = signature.depth();
        if depth >= MANY_LEVELS {
            let message = format!("the signature of {name} has {depth} levels of at most 16");
            add(&NODE_DEPTH, message);
        }
        let weak = |level: &NodeKeySignature| {
            <[u8; 32]>::try_from(level.wrapping.as_slice()).is_ok_and(|key| is_weak(&LockKey(key)))
        };
        if signature.levels().any(weak) {
            let message = format!("the signature of {name} names a rotation key that anybody has");
            add(&NODE_WRAPPING_WEAK, message);
        } else if let Some(root) = signature.levels().last()
            && root.kind == SigKind::DIRECT
            && !root.wrapping.is_empty()
        {
            // Reusable auth keys let many nodes in by one credential; that is no such case.
            match self.by_wrapping_key.get(&root.wrapping) {
                None => {
                    self.by_wrapping_key.insert(root.wrapping.clone(), name.to_owned());
                }
                Some(first) => {
                    let message = format!("{name} and {first} have the same rotation key");
                    add(&NODE_WRAPPING_SHARED, message);
                }
            }
        }
        self.rest_on.extend(signature.authorizing_key());
    }

    /// Findings about trusted keys that exist for auth keys, and that let no node in.
    fn preauth(&self, state: &State, findings: &mut Vec<Finding>) {
        for key in state.keys() {
            let purpose = key.meta.as_ref().and_then(|meta| meta.0.get("purpose"));
            let Some(id) = key.lock_key().filter(|_| purpose.is_some_and(|p| p == "pre-auth key"))
            else {
                continue;
            };
            if !self.rest_on.contains(&id) {
                let message = "no node's signature rests on this key, which was made for an auth \
                               key";
                findings.push(Finding::new(&KEY_PREAUTH_UNUSED, message).key(id));
            }
        }
    }
}
