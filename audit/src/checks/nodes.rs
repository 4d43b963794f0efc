//! The nodes of a roster: who is locked out, and what their signatures rest on.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Fault;
use ledger::history::roster::{self, Node, Reason};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::State;
use ledger::lock::node_keys::{NodeKeySignature, SigKind, authorize, is_pre_auth};
use ledger::lock::signatures::{Unverified, is_weak, verify_one};
use ledger::rows::Rows;

use super::Finding;
use super::catalog::{
    KEY_PREAUTH_OLD, KEY_PREAUTH_UNUSED, NODE_DEPTH, NODE_LOCKED_OUT, NODE_SIGNATURE,
    NODE_UNSIGNED, NODE_WRAPPING_SHARED, NODE_WRAPPING_WEAK,
};
use crate::chronicle::{NodeStory, levels};
use crate::source::ShownNode;

/// Levels of a signature from which on it nears the decoder's 16. The original's tool for finding
/// such chains counts from here too (spec 8.3).
const MANY_LEVELS: usize = 11;
/// Days that an auth key lives at most: Tailscale's limit.
const AUTH_KEY_DAYS: u64 = 90;

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

/// Trusted keys that were made for auth keys longer ago than any auth key lives.
pub(crate) fn preauth_old(state: &State, now_ms: u64, findings: &mut Vec<Finding>) {
    for key in state.keys() {
        let (Some(id), Some(meta)) = (key.lock_key(), &key.meta) else { continue };
        let created = meta.0.get("wrapper_createtime").and_then(|s| s.parse::<u64>().ok());
        let Some(created) = created.filter(|_| is_pre_auth(&meta.0)) else { continue };
        let days = (now_ms / 1000).saturating_sub(created) / 86_400;
        if days > AUTH_KEY_DAYS {
            let message = format!(
                "a key that was made for an auth key {days} days ago is still trusted; auth keys \
                 live for at most {AUTH_KEY_DAYS}"
            );
            findings.push(Finding::new(&KEY_PREAUTH_OLD, message).key(id));
        }
    }
}

/// A node that a status shows, as the chronicle has it.
pub(crate) fn told(node: &ShownNode, state: &State) -> NodeStory {
    let verdict = node.signature.as_ref().map(|signature| {
        verify_one(Unverified::new(signature.clone()))
            .and_then(|verified| authorize(&verified, node.node_key, state))
    });
    let why = match verdict {
        None => "it has no signature".to_owned(),
        Some(Ok(_)) => "its signature holds".to_owned(),
        Some(Err(refusal)) => format!("its signature does not let it in: {refusal}"),
    };
    NodeStory {
        name: node.name.clone(),
        node_key: node.node_key,
        former: Vec::new(),
        admitted: node.admitted,
        why,
        since: None,
        levels: node.signature.iter().flat_map(levels).collect(),
        rests_on: node.signature.as_ref().and_then(|sig| sig.authorizing_key().ok()),
    }
}

fn locked_out(node: &Node) -> String {
    let since = node.standing.since_record;
    format!("{} is locked out since record {since}: {}", node.name, standing_of(node))
}

/// Why a node of the roster is in or out.
pub(crate) fn standing_of(node: &Node) -> String {
    match &node.standing.reason {
        Reason::LockOff => "there is no lock".to_owned(),
        Reason::Signed { key } => format!("its signature rests on {key}, which is trusted"),
        Reason::NeverSigned => "nobody has signed it".to_owned(),
        Reason::NodeKeyChanged { .. } => {
            "its node key was replaced and the new one is not signed".to_owned()
        }
        Reason::SignerNotTrusted { key, .. } => {
            format!("{key}, on which its signature rests, is not trusted any more")
        }
    }
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
            let made_for_one = key.meta.as_ref().is_some_and(|meta| is_pre_auth(&meta.0));
            let Some(id) = key.lock_key().filter(|_| made_for_one) else { continue };
            if !self.rest_on.contains(&id) {
                let message = "no node's signature rests on this key, which was made for an auth \
                               key";
                findings.push(Finding::new(&KEY_PREAUTH_UNUSED, message).key(id));
            }
        }
    }
}
