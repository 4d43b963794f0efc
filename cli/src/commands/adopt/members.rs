//! The nodes of an adopted lock's tailnet, from what its tools say of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL, HEXLOWER};
use ledger::ids::NodeKey;
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use replica::local_api::bodies::{AdoptionNodeRequest, Base64, LockStatus, MachineStatus};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::theirs::shown;
use crate::commands::words::bounded_file;
use crate::exit::Failure;

/// Bytes of a status, at most.
const MAX_STATUS_BYTES: u64 = 256 << 20;

/// Nodes as a tailnet shows them, by node key.
#[derive(Debug, Default)]
pub(super) struct Members {
    nodes: BTreeMap<String, AdoptionNodeRequest>,
}

/// Schema version 1 of `lock status --json`: what of it concerns nodes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    node_key: Option<String>,
    #[serde(default)]
    node_key_signature: Option<SignatureDocument>,
    #[serde(default)]
    visible_peers: Option<Vec<PeerDocument>>,
    #[serde(default)]
    filtered_peers: Option<Vec<PeerDocument>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PeerDocument {
    #[serde(rename = "DNSName", default)]
    dns_name: String,
    node_key: String,
    #[serde(default)]
    node_key_signature: Option<SignatureDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignatureDocument {
    sig_kind: String,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(rename = "KeyID", default)]
    key_id: Option<String>,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    nested: Option<Box<SignatureDocument>>,
    #[serde(default)]
    wrapping_public_key: Option<String>,
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
        let wrong = |what: &str| {
            Failure::new(format!("{}: {what}", path.display())).remedy(
                "Give what 'tailscale lock status --json' or 'tailscale status --json' prints.",
            )
        };
        let bytes = bounded_file(path, MAX_STATUS_BYTES)?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
        if value.get("BackendState").is_some() {
            let status: MachineStatus =
                serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
            self.named(&status);
            return Ok(());
        }
        if value.get("Enabled").is_none() {
            return Err(wrong("it is no status of tailnet lock or of a machine"));
        }
        if value["Enabled"] != Value::Bool(true) {
            return Err(wrong("tailnet lock is not enabled there"));
        }
        if value.get("SchemaVersion").is_none() {
            // Older versions print what the daemon says.
            let status: LockStatus =
                serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
            self.shown(&status);
            return Ok(());
        }
        let document: Document =
            serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        self.documented(&document).map_err(|what| wrong(&what))
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

    fn documented(&mut self, document: &Document) -> Result<(), String> {
        let own = document
            .node_key
            .as_ref()
            .map(|key| (String::new(), key, &document.node_key_signature));
        let visible = document.visible_peers.iter().flatten();
        let peers = visible.chain(document.filtered_peers.iter().flatten());
        let peers =
            peers.map(|peer| (peer.dns_name.clone(), &peer.node_key, &peer.node_key_signature));
        for (name, key, signature) in own.into_iter().chain(peers) {
            let key: NodeKey = key.parse().map_err(|error| format!("node key {key:?}: {error}"))?;
            let signature = match signature {
                Some(document) => parsed(document, 0)?,
                None => None,
            };
            self.put(name, key.to_string(), signature);
        }
        Ok(())
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

/// Levels of a signature that are read; no decoder takes more than 16.
const LEVELS: usize = 16;

/// A signature from its JSON; none if it is the empty one that stands for none.
fn parsed(document: &SignatureDocument, level: usize) -> Result<Option<NodeKeySignature>, String> {
    if level == LEVELS {
        return Err("a signature of more than 16 levels".to_owned());
    }
    let kind = match document.sig_kind.as_str() {
        "invalid" => return Ok(None),
        "direct" => 1,
        "rotation" => 2,
        "credential" => 3,
        other => return Err(format!("a signature of kind {other:?}")),
    };
    let key = |text: &Option<String>| match text.as_deref() {
        None => Ok(Vec::new()),
        Some(text) => {
            let hex = text.split_once(':').map_or(text, |(_, hex)| hex);
            HEXLOWER.decode(hex.as_bytes()).map_err(|error| format!("{text:?}: {error}"))
        }
    };
    let bytes = BASE64URL.decode(document.signature.as_bytes());
    let nested = match &document.nested {
        Some(nested) => parsed(nested, level + 1)?.map(Box::new),
        None => None,
    };
    Ok(Some(NodeKeySignature {
        kind: SigKind(kind),
        pubkey: key(&document.public_key)?,
        key_id: key(&document.key_id)?,
        signature: bytes.map_err(|error| format!("a signature: {error}"))?,
        nested,
        wrapping: key(&document.wrapping_public_key)?,
    }))
}
