//! The nodes of an adopted lock's tailnet, from what its tools say of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::lock::node_keys::NodeKeySignature;
use replica::local_api::bodies::{AdoptionNodeRequest, Base64, LockStatus, MachineStatus};

use crate::commands::status_file::{self, StatusFile};
use crate::commands::theirs::shown;
use crate::exit::Failure;

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
    fn put(&mut self, name: String, key: String, signature: Option<NodeKeySignature>) {
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

    /// All of them, by node key.
    pub(super) fn all(&self) -> impl Iterator<Item = &AdoptionNodeRequest> {
        self.nodes.values()
    }
}
