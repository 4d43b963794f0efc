//! What `lock status --json` prints, ours or a tailscale's: what of it concerns nodes.

use data_encoding::{BASE64URL, HEXLOWER};
use ledger::ids::{AumHash, NodeKey};
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use serde::Deserialize;
use serde_json::Value;

use super::{Shown, ShownNode};

/// Why a document is no status of tailnet lock.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadStatus(String);

/// The lock as a document of schema version 1 shows it. Nothing in it is verified.
///
/// # Errors
///
/// When a field is missing or malformed; the message quotes it.
pub fn shown_by_status(document: Value) -> Result<Shown, BadStatus> {
    let document = Document::deserialize(document).map_err(|error| BadStatus(error.to_string()))?;
    document.shown()
}

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
    fn shown(&self) -> Result<Shown, BadStatus> {
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
                key.parse().map_err(|error| BadStatus(format!("node key {key:?}: {error}")))?;
            let signature = match signature {
                Some(document) => parsed(document, 0)?,
                None => None,
            };
            let name = name.to_owned();
            nodes.push(ShownNode { name, node_key, signature, admitted });
        }
        let head = self.head.as_deref().filter(|head| !head.is_empty());
        let head =
            head.map(|head| AumHash::from_any(head).map_err(|e| BadStatus(format!("head: {e}"))));
        Ok(Shown { head: head.transpose()?, trusted_keys: Vec::new(), nodes })
    }
}

/// Levels of a signature that are read; no decoder takes more than 16.
const LEVELS: usize = 16;

/// A signature from its JSON; none if it is the empty one that stands for none.
fn parsed(
    document: &SignatureDocument,
    level: usize,
) -> Result<Option<NodeKeySignature>, BadStatus> {
    if level == LEVELS {
        return Err(BadStatus(format!("a signature of more than {LEVELS} levels")));
    }
    let kind = match document.sig_kind.as_str() {
        "invalid" => return Ok(None),
        "direct" => 1,
        "rotation" => 2,
        "credential" => 3,
        other => return Err(BadStatus(format!("a signature of kind {other:?}"))),
    };
    let key = |text: &Option<String>| match text.as_deref() {
        None => Ok(Vec::new()),
        Some(text) => {
            let hex = text.split_once(':').map_or(text, |(_, hex)| hex);
            let bad = |error| BadStatus(format!("{text:?}: {error}"));
            HEXLOWER.decode(hex.as_bytes()).map_err(bad)
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
        signature: bytes.map_err(|error| BadStatus(format!("a signature: {error}")))?,
        nested,
        wrapping: key(&document.wrapping_public_key)?,
    }))
}
