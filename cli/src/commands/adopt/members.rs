//! The nodes of an adopted lock's tailnet, from what its tools say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ledger::lock::node_keys::NodeKeySignature;
use replica::local_api::bodies::{AdoptionNodeRequest, Base64, LockStatus, MachineStatus};
use replica::operations::adopt::label;

use crate::commands::status_file::{self, StatusFile};
use crate::commands::theirs::shown;
use crate::exit::Failure;

/// Keys of nodes with names that begin alike which are told with a node, at most: what a request can
/// carry.
const BESIDE: usize = 512;

/// Characters of a name that are told: a server may say anything.
const NAME_CHARS: usize = 253;

/// Nodes as a tailnet shows them, by node key.
#[derive(Debug, Default)]
pub(super) struct Members {
    nodes: BTreeMap<String, AdoptionNodeRequest>,
}

impl Members {
    /// Reads what `tailscale lock status --json` and `tailscale status --json` have printed.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut members = Members::default();
        for path in paths {
            members.read_one(path)?;
        }
        Ok(members)
    }

    fn read_one(&mut self, path: &Path) -> Result<(), Failure> {
        match status_file::read(path)? {
            StatusFile::Machine(status) => self.named(&status),
            StatusFile::Lock(shown) => {
                for node in shown.nodes {
                    self.put(node.name, node.node_key.to_string(), node.signature);
                }
            }
        }
        Ok(())
    }

    /// Takes nodes from a daemon's status of the lock.
    pub(super) fn shown(&mut self, status: &LockStatus) {
        let own = status.node_key.map(|key| key.to_string());
        for node in shown(status).nodes {
            let key = node.node_key.to_string();
            let name = if Some(&key) == own.as_ref() { String::new() } else { node.name };
            self.put(name, key, node.signature);
        }
    }

    /// Takes names, and nodes that were not there, from the status of a machine.
    pub(super) fn named(&mut self, status: &MachineStatus) {
        for peer in status.own.iter().chain(status.peer.iter().flat_map(BTreeMap::values)) {
            let name = if peer.dns_name.is_empty() { &peer.host_name } else { &peer.dns_name };
            if !peer.public_key.is_zero() {
                self.put(name.clone(), peer.public_key.to_string(), None);
            }
        }
    }

    /// A node with this key; what is known of it already is kept.
    fn put(&mut self, mut name: String, key: String, signature: Option<NodeKeySignature>) {
        // Its first label is used, of at most 63 letters.
        name = name.chars().take(NAME_CHARS).collect();
        let node = self.nodes.entry(key.clone()).or_insert_with(|| AdoptionNodeRequest {
            node_key: key,
            ..AdoptionNodeRequest::default()
        });
        if node.name.is_empty() {
            node.name = name;
        }
        if let Some(signature) = signature {
            node.signature.get_or_insert_with(|| Base64(signature.to_cbor()));
        }
    }

    /// All of them, by node key, each with the keys of those whose names in the roster may be the same:
    /// their labels are alike, or but for a number behind one of them.
    pub(super) fn all(&self) -> impl Iterator<Item = AdoptionNodeRequest> {
        let mut labels: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        let mut unnumbered: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for node in self.nodes.values() {
            let label = label(&node.name);
            unnumbered.entry(bare(&label).to_owned()).or_default().insert(&node.node_key);
            labels.entry(label).or_default().insert(&node.node_key);
        }
        self.nodes.values().map(move |node| {
            let own = label(&node.name);
            let alike = [labels.get(&own), labels.get(bare(&own)), unnumbered.get(&own)];
            let alike: BTreeSet<&String> = alike.into_iter().flatten().flatten().copied().collect();
            let others = alike.into_iter().filter(|key| *key != &node.node_key);
            let beside: Vec<String> = others.cloned().collect();
            if beside.len() <= BESIDE {
                return AdoptionNodeRequest { beside, ..node.clone() };
            }
            // More than can be told: it gets a name of its own, which goes with its key.
            let key = node.node_key.trim_start_matches("nodekey:");
            let name = format!("node-{}", key.get(..16).unwrap_or(key));
            AdoptionNodeRequest { name, ..node.clone() }
        })
    }
}

/// A label without a number behind a hyphen.
fn bare(label: &str) -> &str {
    match label.rsplit_once('-') {
        Some((bare, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_get_the_same_name_is_told() {
        let mut members = Members::default();
        for (name, key) in [("web.a", "A"), ("web.b", "B"), ("web-2", "C"), ("other", "D")] {
            members.put(name.into(), key.into(), None);
        }
        let beside: Vec<Vec<String>> = members.all().map(|node| node.beside).collect();
        assert_eq!(beside, [vec!["B", "C"], vec!["A", "C"], vec!["A", "B"], vec![]]);
        for number in 0..BESIDE + 2 {
            members.put("日本".into(), format!("nodekey:{number:016x}"), None);
        }
        let all: Vec<_> = members.all().collect();
        assert!(all.iter().all(|node| node.beside.len() <= BESIDE));
        let names: BTreeSet<_> = all.iter().map(|node| label(&node.name)).collect();
        assert_eq!(names.len(), 3 + BESIDE + 2);
    }
}
