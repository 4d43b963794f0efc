//! What the LocalAPI's requests and answers say, as serde types.
//!
//! The first half is tailscaled's own (spec 12.8, 16.2; control-protocol 7), in the JSON that Go
//! writes: PascalCase names, byte strings in padded standard base64, absent lists as `null`, tabs
//! for indentation and no final newline. The second half is ours, below
//! `/localapi/v0/lockstep/`, in snake_case.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use ledger::ids::{AumHash, LockKey, NodeKey};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that Go writes as padded standard base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Base64).map_err(D::Error::custom)
    }
}

/// A tailnet-lock key in a field that carries `nlpub:` and 64 hex digits.
mod nlpub {
    use super::*;

    pub(super) fn serialize<S: Serializer>(key: &LockKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_nlpub())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LockKey, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A node key in a field that carries `nodekey:` and 64 hex digits.
mod node_key {
    use super::*;

    pub(super) fn serialize<S: Serializer>(key: &NodeKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeKey, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// As [`node_key`], or `null`.
mod nullable_node_key {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        key: &Option<NodeKey>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        key.map(|key| key.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<NodeKey>, D::Error> {
        Option::<String>::deserialize(from)?
            .map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// An AUM hash as Go writes a `[32]byte`: an array of 32 numbers.
mod hash_numbers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(hash: &AumHash, to: S) -> Result<S::Ok, S::Error> {
        hash.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<AumHash, D::Error> {
        <[u8; 32]>::deserialize(from).map(AumHash)
    }
}

/// As [`hash_numbers`], or `null`.
mod nullable_hash_numbers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        hash: &Option<AumHash>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        hash.map(|hash| hash.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AumHash>, D::Error> {
        Ok(Option::<[u8; 32]>::deserialize(from)?.map(AumHash))
    }
}

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

// ---- Ours, below /localapi/v0/lockstep/ -----------------------------------------------------

/// Answer of `GET lockstep/identity`: who answers, and how far its history goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The daemon's version.
    pub version: String,
    /// Cluster ID: 26 base32 characters.
    pub cluster_id: String,
    /// How often the group was restored or recovered.
    pub incarnation: u64,
    /// This replica; decimal, as text.
    pub replica_id: String,
    /// ID of this replica's own roster entry.
    pub node_id: u64,
    /// Name of this replica and of its roster entry.
    pub name: String,
    /// Member key, 64 hex digits: its peers know it by it, and it signs proposals.
    pub member_key: String,
    /// Tailnet-lock key (`tlpub:`), if this replica has one.
    pub lock_key: Option<String>,
    /// Log key, 64 hex digits.
    pub log_key: String,
    /// Node key (`nodekey:`).
    pub node_key: String,
    /// Epochs so far, the current one included; 0 before the first initialization.
    pub epoch: u32,
    /// `off` or `on`.
    pub lock: String,
    /// Rule number in force.
    pub rules: u32,
    /// Index of the last record.
    pub record_index: u64,
    /// Its hash.
    pub record_hash: String,
    /// Hash over everything that can change a verdict.
    pub fold_hash: String,
}

/// A record, as `GET lockstep/records` and `cluster records --json` print it, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLine {
    /// Place in the history, from 0.
    pub index: u64,
    /// Hash of the record.
    pub hash: String,
    /// Hash of the record before; `null` in record 0.
    pub prev: Option<String>,
    /// The proposer's clock, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// Who asked.
    pub actor: ActorBody,
    /// The request ID.
    pub request_id: String,
    /// What happened, such as `lock-initialized`.
    pub kind: String,
    /// The record's canonical bytes.
    pub raw: Base64,
}

/// Who asked for a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorBody {
    /// The proposing member's replica ID; decimal, as text.
    pub member: String,
    /// `uid`, `member` or another kind of asker.
    pub kind: String,
    /// The Unix user, when a user asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// A name for people.
    pub name: String,
}

/// A roster entry (interface of `lockstep node`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBody {
    /// Number in the roster.
    pub id: u64,
    /// Stable ID.
    pub stable_id: String,
    /// Name.
    pub name: String,
    /// Assigned addresses.
    pub addresses: Vec<String>,
    /// Node key.
    pub node_key: String,
    /// Tailnet-lock key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock_key: Option<String>,
    /// Node-key signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Base64>,
    /// Whether the lock lets it in by a valid signature.
    pub signed: bool,
    /// Why it is in or out.
    pub reason: String,
    /// The record since which that is so.
    pub since_record: u64,
}

/// Request of `POST lockstep/nodes/add`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddRequest {
    /// Its name.
    pub name: String,
    /// Its node key.
    pub node_key: String,
    /// Its tailnet-lock key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock_key: Option<String>,
}

/// Request of `POST lockstep/nodes/rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRotateRequest {
    /// Name, ID or present node key.
    pub node: String,
    /// The new node key. Left out for the daemon's own node, which then makes itself a new one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_key: Option<String>,
    /// A signature on the new key; without one the node is locked out while the lock is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Base64>,
}

/// Request of `POST lockstep/nodes/remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRemoveRequest {
    /// Name, ID or node key.
    pub node: String,
}

/// Request of `POST lockstep/remove`: `lock remove` as one atomic record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// The keys to remove, `tlpub:`.
    pub keys: Vec<String>,
    /// Whether to sign again the nodes that only these keys let in.
    pub resign: bool,
    /// `compromised`, `rotated`, `left` or `other`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text for the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Answer of `GET lockstep/epochs`: one epoch, oldest first in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBody {
    /// From 1.
    pub epoch: u32,
    /// State ID, `a:b` in decimal.
    pub state_id: String,
    /// Hash of the genesis AUM.
    pub genesis: String,
    /// Hash of the head, at present or when it was disabled.
    pub head: String,
    /// Record of the initialization.
    pub initialized_record: u64,
    /// Record of the disablement.
    pub disabled_record: Option<u64>,
}

/// Answer of `GET lockstep/requests/ID`: whether a request was applied, and as which record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestBody {
    /// The request ID that was asked for.
    pub request_id: String,
    /// Whether a record bears it.
    pub applied: bool,
    /// The first such record.
    pub record_index: Option<u64>,
    /// Its hash.
    pub record_hash: Option<String>,
    /// Digest of verb and arguments as first asked, 64 hex digits.
    pub digest: Option<String>,
}

// ---- Reading and writing them ---------------------------------------------------------------

/// Writes JSON as the original's LocalAPI does: tabs, no final newline, `<`, `>` and `&` escaped.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    if value.serialize(&mut serializer).is_err() {
        // Only a map with keys that are no strings could fail, and there is none here.
        return b"null".to_vec();
    }
    escape_html(&out)
}

/// These characters stand only inside strings, so replacing bytes is enough.
fn escape_html(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for byte in json {
        match byte {
            b'<' => out.extend_from_slice(br"\u003c"),
            b'>' => out.extend_from_slice(br"\u003e"),
            b'&' => out.extend_from_slice(br"\u0026"),
            byte => out.push(*byte),
        }
    }
    out
}

/// Reads a request as Go's decoder does (spec 15.6): the first JSON value counts and what follows
/// it is ignored, unknown fields too, names match in any letter case, and `null` is the empty
/// request.
pub fn from_go_json<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter();
    let mut value: serde_json::Value = match values.next() {
        Some(value) => value?,
        None => return Err(serde_json::Error::custom("empty body")),
    };
    if value.is_null() {
        return Ok(T::default());
    }
    if !value.is_object() {
        return Err(serde_json::Error::custom("expected an object"));
    }
    unify_names(&mut value);
    serde_json::from_value(value)
}

/// The names of all request fields of tailscaled's endpoints.
const NAMES: [&str; 13] = [
    "Keys",
    "DisablementValues",
    "SupportDisablement",
    "AddKeys",
    "RemoveKeys",
    "NodeKey",
    "RotationPublic",
    "Kind",
    "Votes",
    "Public",
    "Meta",
    "URL",
    "TSKey",
];

fn unify_names(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(unify_names),
        serde_json::Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&name));
                // The names inside metadata are data.
                if known != Some(&"Meta") {
                    unify_names(&mut value);
                }
                // An explicit null leaves a field as it was.
                if known.is_none() || !value.is_null() {
                    fields.insert(known.map_or(name, |known| (*known).to_owned()), value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inactive_lock_in_go_spelling() {
        let text = String::from_utf8(to_json(&LockStatus::default())).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            text,
            format!(
                "{{\n\t\"Enabled\": false,\n\t\"Head\": null,\n\t\"PublicKey\": \"nlpub:{zeros}\",\n\t\
                 \"NodeKey\": null,\n\t\"NodeKeySigned\": false,\n\t\"NodeKeySignature\": null,\n\t\
                 \"TrustedKeys\": null,\n\t\"VisiblePeers\": null,\n\t\"FilteredPeers\": null,\n\t\
                 \"StateID\": 0\n}}"
            )
        );
        assert_eq!(serde_json::from_str::<LockStatus>(&text).unwrap(), LockStatus::default());
    }

    #[test]
    fn requests_are_read_as_go_reads_them() {
        let key = "nodekey:".to_owned() + &"ab".repeat(32);
        let body =
            format!("{{\"nodekey\": \"{key}\", \"ROTATIONPUBLIC\": \"AQI=\", \"x\": 1}} end");
        let request: SignRequest = from_go_json(body.as_bytes()).unwrap();
        assert_eq!(request.node_key, NodeKey([0xab; 32]));
        assert_eq!(request.rotation_public, Some(Base64(vec![1, 2])));
        assert_eq!(from_go_json::<SignRequest>(b"null").unwrap(), SignRequest::default());
        assert_eq!(from_go_json::<SignRequest>(b"{}").unwrap(), SignRequest::default());
        for bad in ["", "[]", "3", "{not json", r#"{"NodeKey": "nodekey:12"}"#] {
            assert!(from_go_json::<SignRequest>(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [r#"{"AddKeys":"x"}"#, r#"{"AddKeys":[{"Public":"not base64!"}]}"#] {
            assert!(from_go_json::<ModifyRequest>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_inside_metadata_are_data() {
        let body = r#"{"addkeys":[{"kind":1,"votes":2,"public":"AAAA","meta":{"keys":"v"}}]}"#;
        let request: ModifyRequest = from_go_json(body.as_bytes()).unwrap();
        let key = &request.add_keys.unwrap()[0];
        assert_eq!(key.votes, 2);
        assert_eq!(key.meta.as_ref().unwrap().get("keys").map(String::as_str), Some("v"));
    }

    #[test]
    fn html_is_escaped_inside_strings() {
        let json = to_json(&ErrorBody { error: "a <b> & c".into() });
        assert_eq!(json, b"{\n\t\"Error\": \"a \\u003cb\\u003e \\u0026 c\"\n}");
    }
}
