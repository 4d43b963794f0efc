//! Tailscaled's own (spec 12.8, 16.2; control-protocol 7), in the JSON that Go writes: PascalCase
//! names, byte strings in padded standard base64, absent lists as `null`, tabs for indentation and
//! no final newline.

use std::collections::BTreeMap;

use ledger::ids::{AumHash, LockKey, NodeKey};
use serde::{Deserialize, Serialize};

use super::{
    Base64, SecretText, hash_numbers, nlpub, node_key, nullable_hash_numbers, nullable_node_key,
};

/// Answer of `GET tka/status` and `POST tka/init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LockStatus {
    /// Whether the lock is on.
    pub enabled: bool,
    /// The authority's head; `null` while the lock is off.
    #[serde(with = "nullable_hash_numbers")]
    pub head: Option<AumHash>,
    /// This node's tailnet-lock key; zero if it has none.
    #[serde(with = "nlpub")]
    pub public_key: LockKey,
    /// This node's node key.
    #[serde(with = "nullable_node_key")]
    pub node_key: Option<NodeKey>,
    /// Whether the node key is signed by a trusted key.
    pub node_key_signed: bool,
    /// The signature on it.
    pub node_key_signature: Option<Signature>,
    /// The trusted keys, in the state's order.
    pub trusted_keys: Option<Vec<TrustedKey>>,
    /// Peers that the lock lets in.
    pub visible_peers: Option<Vec<Peer>>,
    /// Peers that it locks out.
    pub filtered_peers: Option<Vec<Peer>>,
    /// First half of the state ID; 0 while the lock is off.
    #[serde(rename = "StateID")]
    pub state_id: u64,
}

impl Default for LockStatus {
    fn default() -> Self {
        LockStatus {
            enabled: false,
            head: None,
            public_key: LockKey([0; 32]),
            node_key: None,
            node_key_signed: false,
            node_key_signature: None,
            trusted_keys: None,
            visible_peers: None,
            filtered_peers: None,
            state_id: 0,
        }
    }
}

/// A trusted key as the status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrustedKey {
    /// `25519`.
    pub kind: String,
    /// The key.
    #[serde(with = "nlpub")]
    pub key: LockKey,
    /// Its metadata.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its votes.
    pub votes: u64,
}

/// A node of the roster other than this one, as the status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Peer {
    /// Its DNS name; the original ends it with a dot.
    pub name: String,
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Its stable ID.
    #[serde(rename = "StableID")]
    pub stable_id: String,
    /// Its addresses.
    #[serde(rename = "TailscaleIPs", default)]
    pub addresses: Option<Vec<String>>,
    /// Its node key.
    #[serde(with = "node_key")]
    pub node_key: NodeKey,
    /// Its signature.
    #[serde(default)]
    pub node_key_signature: Signature,
}

/// A node-key signature as Go writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Signature {
    /// 1 direct, 2 rotation, 3 credential; 0 none.
    pub sig_kind: u8,
    /// The node key's 34 bytes.
    pub pubkey: Option<Base64>,
    /// ID of the trusted key that signed.
    #[serde(rename = "KeyID")]
    pub key_id: Option<Base64>,
    /// The signature.
    pub signature: Option<Base64>,
    /// What a rotation nests.
    pub nested: Option<Box<Signature>>,
    /// The key that may rotate.
    pub wrapping_pubkey: Option<Base64>,
}

/// A trusted key in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyBody {
    /// 1 is Ed25519.
    pub kind: u8,
    /// 1 to 4096; the official command line wraps negative ones.
    pub votes: u64,
    /// The public key.
    pub public: Option<Base64>,
    /// Metadata.
    pub meta: Option<BTreeMap<String, String>>,
}

/// Request of `POST tka/init`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InitRequest {
    /// The keys to trust from the start.
    pub keys: Option<Vec<KeyBody>>,
    /// Images of the disablement secrets, 32 bytes each.
    pub disablement_values: Option<Vec<Option<Base64>>>,
    /// A secret for Tailscale's support; `null` or empty for none.
    pub support_disablement: Option<Base64>,
    /// Ours: who has the secret of each value, as far as it is said; empty for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disablement_holders: Option<Vec<String>>,
}

/// Request of `POST tka/modify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyRequest {
    /// Keys to add.
    pub add_keys: Option<Vec<KeyBody>>,
    /// Keys to remove.
    pub remove_keys: Option<Vec<KeyBody>>,
}

/// Request of `POST tka/sign`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignRequest {
    /// The node key to sign; zero when it is left out.
    #[serde(with = "node_key", default = "no_node_key")]
    pub node_key: NodeKey,
    /// The key that may rotate it; `null`, empty and 32 zero bytes mean none (weakness W15).
    #[serde(default)]
    pub rotation_public: Option<Base64>,
}

fn no_node_key() -> NodeKey {
    NodeKey([0; 32])
}

impl Default for SignRequest {
    fn default() -> Self {
        SignRequest { node_key: no_node_key(), rotation_public: None }
    }
}

/// Request of `POST tka/wrap-preauth-key`. The answer is the wrapped key as plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WrapRequest {
    /// The auth key; any text.
    #[serde(rename = "TSKey")]
    pub ts_key: SecretText,
    /// The private key that signs its credential: `nlpriv:` and 128 hex digits.
    #[serde(rename = "TKAKey")]
    pub tka_key: SecretText,
}

/// One AUM in the answer of `GET tka/log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogEntry {
    /// Its hash.
    #[serde(with = "hash_numbers")]
    pub hash: AumHash,
    /// Its kind as text: `add-key`, `checkpoint` and so on.
    pub change: String,
    /// Its canonical bytes.
    pub raw: Base64,
}

/// Request of `POST tka/verify-deeplink`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeeplinkRequest {
    /// The link.
    #[serde(rename = "URL")]
    pub url: String,
}

/// Answer of `POST tka/verify-deeplink`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeeplinkAnswer {
    /// Whether the link is authentic.
    pub is_valid: bool,
    /// Why not.
    pub error: String,
    /// Version of the link's form; the original leaves it 0.
    pub version: u8,
    /// The node key to sign, as text.
    pub node_key: String,
    /// The node's tailnet-lock key, as text.
    #[serde(rename = "TLPub")]
    pub tlpub: String,
    /// What the link calls the device.
    pub device_name: String,
    /// Its operating system.
    #[serde(rename = "OSName")]
    pub os_name: String,
    /// Whose it is.
    pub email_address: String,
}

/// Answer of `GET /localapi/v0/status`: the part of it that programs for tailnet lock read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MachineStatus {
    /// The daemon's version.
    pub version: String,
    /// Always false: Lockstep moves no packets.
    #[serde(rename = "TUN")]
    pub tun: bool,
    /// `Running`.
    pub backend_state: String,
    /// Whether there is a node key.
    pub have_node_key: bool,
    /// Empty.
    #[serde(rename = "AuthURL")]
    pub auth_url: String,
    /// This node's addresses.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<String>>,
    /// This node.
    #[serde(rename = "Self")]
    pub own: Option<MachinePeer>,
    /// What ails the daemon.
    pub health: Option<Vec<String>>,
    /// Empty: the roster has names without a domain.
    #[serde(rename = "MagicDNSSuffix")]
    pub magic_dns_suffix: String,
    /// The other nodes by node key; `null` with `peers=false`.
    pub peer: Option<BTreeMap<String, MachinePeer>>,
    /// `null`.
    pub user: Option<BTreeMap<String, serde_json::Value>>,
}

/// A node in [`MachineStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MachinePeer {
    /// Its stable ID.
    #[serde(rename = "ID")]
    pub stable_id: String,
    /// Its node key.
    #[serde(with = "node_key")]
    pub public_key: NodeKey,
    /// Its name.
    pub host_name: String,
    /// Its name again: there is no domain.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// Empty: the roster does not know.
    #[serde(rename = "OS")]
    pub os: String,
    /// Its addresses.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<String>>,
    /// Whether it is there: what Lockstep cannot see it does not claim.
    pub online: bool,
    /// Whether the roster lists it and the lock lets it in.
    pub in_network_map: bool,
}

impl Default for MachinePeer {
    fn default() -> Self {
        MachinePeer {
            stable_id: String::new(),
            public_key: no_node_key(),
            host_name: String::new(),
            dns_name: String::new(),
            os: String::new(),
            addresses: None,
            online: false,
            in_network_map: false,
        }
    }
}

/// The body of every failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorBody {
    /// What went wrong and, where there is something, what to do.
    pub error: String,
}
