//! The nodes of an adopted lock's tailnet, from what its tools say of them.

use std::collections::BTreeMap;
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

    /// All of them, by node key, each with the keys of those whose names begin alike.
    pub(super) fn all(&self) -> impl Iterator<Item = AdoptionNodeRequest> {
        let mut alike: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for node in self.nodes.values() {
            alike.entry(label(&node.name)).or_default().push(&node.node_key);
        }
        self.nodes.values().map(move |node| {
            let keys = alike.get(&label(&node.name)).into_iter().flatten();
            let others = keys.filter(|key| **key != &node.node_key).take(BESIDE);
            AdoptionNodeRequest {
                beside: others.map(|key| (*key).clone()).collect(),
                ..node.clone()
            }
        })
    }
}
