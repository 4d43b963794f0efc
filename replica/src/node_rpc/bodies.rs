//! What nodes and servers say to each other, in the JSON that Go writes (control-protocol 5).
//!
//! Hashes are base32, keys have their prefixes, bytes are padded base64, absent lists are `null`.
//! Fields that are not listed here are ignored. The same types are read and written, so that what
//! a client node of ours sends is what the handlers take.

use std::collections::BTreeMap;
use std::fmt;

use ledger::ids::{AumHash, NodeKey};
use serde::{Deserialize, Serialize};

use crate::go_json::{Base64, optional_text, text};

/// The capability version that our own client names: what the recorded clients name.
pub const VERSION: u64 = 133;

/// A request that names nothing but the node, and the head of its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BootstrapRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The head of the lock that the node has.
    #[serde(default, with = "optional_text")]
    pub head: Option<AumHash>,
}

/// How the lock begins, and how the node's own one ended.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BootstrapAnswer {
    /// The genesis of the lock that is on.
    #[serde(rename = "GenesisAUM", skip_serializing_if = "Option::is_none")]
    pub genesis_aum: Option<Base64>,
    /// The secret that ended the node's lock. Spent, so public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disablement_secret: Option<Base64>,
}

impl fmt::Debug for BootstrapAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapAnswer")
            .field("genesis_aum", &self.genesis_aum)
            .field("disablement_secret", &self.disablement_secret.is_some())
            .finish()
    }
}

/// What a node offers (spec 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SyncOfferRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// Its head.
    #[serde(with = "text")]
    pub head: AumHash,
    /// Checkpoints back from it, and the oldest AUM last.
    #[serde(default)]
    pub ancestors: Option<Vec<HashText>>,
}

/// What the server offers, and what the node lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SyncOfferAnswer {
    /// The server's head.
    #[serde(with = "text")]
    pub head: AumHash,
    /// Checkpoints back from it, and the oldest AUM last.
    #[serde(default)]
    pub ancestors: Option<Vec<HashText>>,
    /// AUMs for the node, parents first.
    #[serde(rename = "MissingAUMs", default)]
    pub missing_aums: Option<Vec<Base64>>,
}

/// AUMs that the server may lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SyncSendRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The node's head.
    #[serde(with = "text")]
    pub head: AumHash,
    /// The AUMs, parents first.
    #[serde(rename = "MissingAUMs", default)]
    pub missing_aums: Option<Vec<Base64>>,
    /// Whether somebody waits for them to become the head.
    #[serde(default)]
    pub interactive: bool,
}

/// The server's head after it has taken AUMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SyncSendAnswer {
    /// The head.
    #[serde(with = "text")]
    pub head: AumHash,
}

/// A genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InitBeginRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The genesis.
    #[serde(rename = "GenesisAUM")]
    pub genesis_aum: Base64,
}

/// The nodes that are to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InitBeginAnswer {
    /// All of them.
    pub need_signatures: Option<Vec<NodeToSign>>,
}

/// A node that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeToSign {
    /// Its number.
    #[serde(rename = "NodeID")]
    pub node_id: u64,
    /// Its node key.
    #[serde(with = "text")]
    pub node_public: NodeKey,
    /// Its tailnet-lock key, with which it may rotate the signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotation_pubkey: Option<Base64>,
}

/// The signatures of all nodes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InitFinishRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// By the nodes' numbers, in decimal.
    #[serde(default)]
    pub signatures: Option<BTreeMap<String, Base64>>,
    /// A disablement secret that is to be kept for support: a secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub support_disablement: Option<Base64>,
}

impl fmt::Debug for InitFinishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitFinishRequest")
            .field("node_key", &self.node_key)
            .field("signatures", &self.signatures.as_ref().map(BTreeMap::len))
            .field("support_disablement", &self.support_disablement.is_some())
            .finish_non_exhaustive()
    }
}

/// A disablement secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DisableRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The node's head.
    #[serde(with = "text")]
    pub head: AumHash,
    /// The secret, which is still one.
    pub disablement_secret: Base64,
}

impl fmt::Debug for DisableRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DisableRequest")
            .field("node_key", &self.node_key)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// A node-key signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubmitSignatureRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The current node key of the node that sends it, not of the one that is signed.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The signature.
    pub signature: Base64,
}

/// A question for the signatures that rest on a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignaturesUsingKeyRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The key's ID.
    #[serde(rename = "KeyID", default)]
    pub key_id: Option<Base64>,
}

/// Signatures of current node keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignaturesUsingKeyAnswer {
    /// The signatures.
    pub signatures: Option<Vec<Base64>>,
}

/// An answer that says nothing but that it was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A node's view of the network is asked for, and the node says how far its lock is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapRequest {
    /// The client's capability version.
    #[serde(default)]
    pub version: u64,
    /// The node's current node key.
    #[serde(with = "text")]
    pub node_key: NodeKey,
    /// The head that the node has applied; left out when it has no lock.
    #[serde(rename = "TKAHead", default, with = "optional_text")]
    pub tka_head: Option<AumHash>,
}

/// What of a node's view of the network concerns the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapAnswer {
    /// The node itself.
    pub node: MapNode,
    /// All other nodes.
    pub peers: Option<Vec<MapNode>>,
    /// What the lock is, for this node.
    #[serde(rename = "TKAInfo")]
    pub tka_info: TkaInfo,
}

/// A node in another's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapNode {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: u64,
    /// Its stable ID.
    #[serde(rename = "StableID")]
    pub stable_id: String,
    /// Its name.
    pub name: String,
    /// Its node key.
    #[serde(with = "text")]
    pub key: NodeKey,
    /// Its signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_signature: Option<Base64>,
}

/// What a node is told the lock is (control-protocol 4.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TkaInfo {
    /// The head of the lock that is on.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_text")]
    pub head: Option<AumHash>,
    /// Whether the node is to end the lock that it has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// A hash in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HashText(#[serde(with = "text")] pub AumHash);
