//! `lock status`: the page's text, and JSON of schema version 1.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::{BASE64URL, HEXLOWER};
use replica::local_api::bodies::{AdoptionBody, Base64, LockStatus, Peer, Signature, TrustedKey};
use serde::Serialize;

use super::everyone::{EndedDocument, Everyone, NodeDocument};
use super::line;

/// The text, as the documentation page of `tailscale lock` has it.
pub(crate) fn text(status: &LockStatus) -> String {
    let mut out = String::new();
    let key = (!status.public_key.is_zero()).then_some(status.public_key);
    let banner = if status.enabled { "ENABLED" } else { "NOT enabled" };
    let _ = writeln!(out, "Tailnet lock is {banner}.\n");
    if status.enabled
        && let (Some(node), Some(key)) = (status.node_key.filter(|node| !node.is_zero()), key)
    {
        if status.node_key_signed {
            out.push_str("This node is accessible under tailnet lock.\n\n");
        } else {
            let _ = writeln!(
                out,
                "This node is LOCKED OUT by tailnet-lock, and action is required to establish \
                 connectivity.\nRun the following command on a node with a trusted key:\n\t\
                 lockstep lock sign {node} {key}\n"
            );
        }
    }
    if let Some(key) = key {
        let _ = writeln!(out, "This node's tailnet-lock key: {key}\n");
    }
    let trusted = status.trusted_keys.as_deref().unwrap_or_default();
    if status.enabled && !trusted.is_empty() {
        out.push_str("Trusted signing keys:\n");
        for trusted in trusted {
            let _ = write!(out, "\t{}", trusted.key);
            if Some(trusted.key) == key {
                out.push_str("\t(us)");
            }
            if trusted.votes != 1 {
                let _ = write!(out, "\tvotes {}", trusted.votes);
            }
            out.push_str(&pre_auth(trusted));
            out.push('\n');
        }
    }
    let locked_out = status.filtered_peers.as_deref().unwrap_or_default();
    if status.enabled && !locked_out.is_empty() {
        // The page indents this line by one space.
        out.push_str(
            "\n The following nodes are locked out by tailnet lock and cannot connect to other \
             nodes:\n",
        );
        for peer in locked_out {
            let addresses = peer.addresses.as_deref().unwrap_or_default().join(", ");
            let _ = writeln!(
                out,
                "\t{}\t{}\t{}\t{}",
                line(&peer.name),
                line(&addresses),
                line(&peer.stable_id),
                peer.node_key
            );
        }
    }
    out
}

/// The mark of a key that stands for a pre-auth key.
fn pre_auth(trusted: &TrustedKey) -> String {
    let Some(meta) = trusted.metadata.as_ref() else { return String::new() };
    if meta.get("purpose").map(String::as_str) != Some("pre-auth key") {
        return String::new();
    }
    match meta.get("authkey_stableid").filter(|id| !id.is_empty()) {
        Some(id) => format!("\t(pre-auth key {})", line(id)),
        None => "\t(pre-auth key)".into(),
    }
}

/// Schema version 1.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Document {
    schema_version: &'static str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_key: Option<String>,
    #[serde(flatten)]
    lock: Option<LockDocument>,
}

/// What is there only while the lock is on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LockDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    node_key_signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_key_signature: Option<SignatureDocument>,
    trusted_keys: Vec<KeyDocument>,
    visible_peers: Option<Vec<PeerDocument>>,
    filtered_peers: Option<Vec<PeerDocument>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyDocument {
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    votes: u64,
    public: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PeerDocument {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<String>>,
    node_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_key_signature: Option<SignatureDocument>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignatureDocument {
    sig_kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(rename = "KeyID", skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<Box<SignatureDocument>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapping_public_key: Option<String>,
}

/// As Go writes a nil slice: an empty list is `null` (spec 15.4).
fn peers(peers: Option<&[Peer]>, document: fn(&Peer) -> PeerDocument) -> Option<Vec<PeerDocument>> {
    peers.filter(|peers| !peers.is_empty()).map(|peers| peers.iter().map(document).collect())
}

/// Schema version 1, and what `--all` adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WholeDocument<'a> {
    #[serde(flatten)]
    document: Document,
    all_nodes: Vec<NodeDocument<'a>>,
    ended_epochs: Vec<EndedDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adoption: Option<&'a AdoptionBody>,
}

/// The JSON document of `--all`.
pub(crate) fn with_everyone<'a>(
    document: Document,
    everyone: &'a Everyone<'a>,
) -> WholeDocument<'a> {
    WholeDocument {
        document,
        all_nodes: everyone.documents(),
        ended_epochs: everyone.ended(),
        adoption: everyone.adoption,
    }
}

/// The JSON document.
pub(crate) fn document(status: &LockStatus) -> Document {
    Document {
        schema_version: "1",
        enabled: status.enabled,
        public_key: (!status.public_key.is_zero()).then(|| status.public_key.to_tlpub()),
        node_key: status.node_key.filter(|key| !key.is_zero()).map(|key| key.to_string()),
        lock: status.enabled.then(|| LockDocument {
            head: status.head.map(|head| head.to_string()),
            node_key_signed: status.node_key_signed,
            node_key_signature: status.node_key_signature.as_ref().map(signature),
            trusted_keys: status.trusted_keys.iter().flatten().map(trusted).collect(),
            visible_peers: peers(status.visible_peers.as_deref(), |shown| PeerDocument {
                node_key_signature: Some(signature(&shown.node_key_signature)),
                ..peer(shown)
            }),
            filtered_peers: peers(status.filtered_peers.as_deref(), peer),
            state: Some(status.state_id).filter(|id| *id != 0),
        }),
    }
}

fn trusted(trusted: &TrustedKey) -> KeyDocument {
    KeyDocument {
        kind: trusted.kind.clone(),
        votes: trusted.votes,
        public: trusted.key.to_tlpub(),
        meta: trusted.metadata.clone().filter(|meta| !meta.is_empty()),
    }
}

fn peer(peer: &Peer) -> PeerDocument {
    PeerDocument {
        id: peer.stable_id.clone(),
        dns_name: peer.name.clone(),
        addresses: peer.addresses.clone(),
        node_key: peer.node_key.to_string(),
        node_key_signature: None,
    }
}

fn signature(signature: &Signature) -> SignatureDocument {
    let bytes = |bytes: &Option<Base64>| {
        bytes.as_ref().map(|b| b.0.as_slice()).filter(|b| !b.is_empty()).map(<[u8]>::to_vec)
    };
    let key = |field: &Option<Base64>| {
        bytes(field).map(|bytes| format!("tlpub:{}", HEXLOWER.encode(&bytes)))
    };
    SignatureDocument {
        sig_kind: match signature.sig_kind {
            0 => "invalid".into(),
            1 => "direct".into(),
            2 => "rotation".into(),
            3 => "credential".into(),
            n => format!("SigKind?<{n}>"),
        },
        public_key: key(&signature.pubkey),
        key_id: key(&signature.key_id),
        signature: BASE64URL.encode(&bytes(&signature.signature).unwrap_or_default()),
        nested: signature.nested.as_ref().map(|nested| Box::new(self::signature(nested))),
        wrapping_public_key: key(&signature.wrapping_pubkey),
    }
}

#[cfg(test)]
mod tests {
    use ledger::ids::{LockKey, NodeKey};

    use super::*;

    fn status() -> LockStatus {
        LockStatus {
            enabled: true,
            public_key: LockKey([0x12; 32]),
            node_key: Some(NodeKey([0xab; 32])),
            node_key_signed: true,
            trusted_keys: Some(vec![TrustedKey {
                kind: "25519".into(),
                key: LockKey([0x12; 32]),
                metadata: None,
                votes: 1,
            }]),
            ..LockStatus::default()
        }
    }

    #[test]
    fn the_example_of_the_page() {
        let key = "12".repeat(32);
        assert_eq!(
            text(&status()),
            format!(
                "Tailnet lock is ENABLED.\n\nThis node is accessible under tailnet lock.\n\nThis \
                 node's tailnet-lock key: tlpub:{key}\n\nTrusted signing keys:\n\ttlpub:{key}\t(us)\n"
            )
        );
    }

    #[test]
    fn locked_out_here_and_elsewhere() {
        let meta = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        let key = |byte, votes, metadata| TrustedKey {
            kind: "25519".into(),
            key: LockKey([byte; 32]),
            metadata,
            votes,
        };
        let status = LockStatus {
            node_key_signed: false,
            trusted_keys: Some(vec![
                key(0x34, 2, None),
                key(
                    0x56,
                    1,
                    meta(&[("purpose", "pre-auth key"), ("authkey_stableid", "k1\x1bCNTRL")]),
                ),
                key(0x78, 3, meta(&[("purpose", "other")])),
            ]),
            filtered_peers: Some(vec![Peer {
                name: "bob.yak-bebop.ts.net.".into(),
                id: 7,
                stable_id: "n12345CNTRL".into(),
                addresses: Some(vec!["100.111.222.33".into(), "fd7a::4567".into()]),
                node_key: NodeKey([0xcd; 32]),
                node_key_signature: Signature::default(),
            }]),
            ..status()
        };
        let text = text(&status);
        let (node, own) = ("ab".repeat(32), "12".repeat(32));
        assert!(text.contains(&format!(
            "This node is LOCKED OUT by tailnet-lock, and action is required to establish \
             connectivity.\nRun the following command on a node with a trusted key:\n\tlockstep \
             lock sign nodekey:{node} tlpub:{own}\n\nThis node's"
        )));
        assert!(text.contains(&format!(
            "Trusted signing keys:\n\ttlpub:{}\tvotes 2\n\ttlpub:{}\t(pre-auth key \
             k1\\u{{1b}}CNTRL)\n\ttlpub:{}\tvotes 3\n",
            "34".repeat(32),
            "56".repeat(32),
            "78".repeat(32)
        )));
        assert!(text.ends_with(&format!(
            "\n\n The following nodes are locked out by tailnet lock and cannot connect to other \
             nodes:\n\tbob.yak-bebop.ts.net.\t100.111.222.33, fd7a::4567\tn12345CNTRL\tnodekey:{}\n",
            "cd".repeat(32)
        )));
    }

    #[test]
    fn off_is_short_in_both_forms() {
        let off = LockStatus { enabled: false, ..status() };
        let key = "12".repeat(32);
        assert_eq!(
            text(&off),
            format!(
                "Tailnet lock is NOT enabled.\n\nThis node's tailnet-lock key: tlpub:{key}\n\n"
            )
        );
        let json = super::super::json(&document(&off)).unwrap();
        let node = "ab".repeat(32);
        assert_eq!(
            json,
            format!(
                "{{\n  \"SchemaVersion\": \"1\",\n  \"Enabled\": false,\n  \"PublicKey\": \
                 \"tlpub:{key}\",\n  \"NodeKey\": \"nodekey:{node}\"\n}}\n"
            )
        );
    }
}
