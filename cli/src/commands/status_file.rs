//! What `lock status --json` and `status --json` print, ours or a tailscale's, as a file.

use std::path::Path;

use audit::source::{Shown, ShownNode};
use data_encoding::{BASE64URL, HEXLOWER};
use ledger::ids::{AumHash, NodeKey};
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use replica::local_api::bodies::{LockStatus, MachineStatus};
use serde::Deserialize;
use serde_json::Value;

use super::theirs::shown;
use super::words::bounded_file;
use crate::exit::Failure;

/// Bytes of a status, at most.
const MAX_STATUS_BYTES: u64 = 256 << 20;

/// A status, of either command.
#[derive(Debug)]
pub(super) enum StatusFile {
    /// Of tailnet lock. The daemon's own node has no name in it.
    Lock(Shown),
    /// Of a machine: names, but no signatures.
    Machine(Box<MachineStatus>),
}

/// Reads a status.
pub(super) fn read(path: &Path) -> Result<StatusFile, Failure> {
    let wrong = |what: &str| {
        Failure::new(format!("{}: {what}", path.display()))
            .remedy("Give what 'tailscale lock status --json' or 'tailscale status --json' prints.")
    };
    let bytes = bounded_file(path, MAX_STATUS_BYTES)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    if value.get("BackendState").is_some() {
        let status = serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        return Ok(StatusFile::Machine(Box::new(status)));
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
        let own = status.node_key;
        let mut shown = shown(&status);
        for node in shown.nodes.iter_mut().filter(|node| Some(node.node_key) == own) {
            node.name = String::new();
        }
        return Ok(StatusFile::Lock(shown));
    }
    let document: Document =
        serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
    document.shown().map(StatusFile::Lock).map_err(|what| wrong(&what))
}

/// Schema version 1 of `lock status --json`: what of it concerns nodes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    head: Option<String>,
    #[serde(default)]
    node_key: Option<String>,
    #[serde(default)]
    node_key_signed: bool,
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

impl Document {
    fn shown(&self) -> Result<Shown, String> {
        let own = self.node_key.as_ref();
        let own = own.map(|key| ("", key, &self.node_key_signature, self.node_key_signed));
        let visible = self.visible_peers.iter().flatten().map(|peer| (peer, true));
        let filtered = self.filtered_peers.iter().flatten().map(|peer| (peer, false));
        let peers = visible.chain(filtered).map(|(peer, admitted)| {
            (peer.dns_name.as_str(), &peer.node_key, &peer.node_key_signature, admitted)
        });
        let mut nodes = Vec::new();
        for (name, key, signature, admitted) in own.into_iter().chain(peers) {
            let node_key: NodeKey =
                key.parse().map_err(|error| format!("node key {key:?}: {error}"))?;
            let signature = match signature {
                Some(document) => parsed(document, 0)?,
                None => None,
            };
            let name = name.to_owned();
            nodes.push(ShownNode { name, node_key, signature, admitted });
        }
        let head = self.head.as_deref().filter(|head| !head.is_empty());
        let head = head.map(|head| AumHash::from_any(head).map_err(|e| format!("head: {e}")));
        Ok(Shown { head: head.transpose()?, trusted_keys: Vec::new(), nodes })
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
