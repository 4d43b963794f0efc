//! Ours, below `/localapi/v0/lockstep/`, in snake_case.

use serde::{Deserialize, Serialize};

use super::{Base64, SecretText};

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
    /// Where this daemon gives support secrets, if its operator has configured an escrow.
    #[serde(default)]
    pub support_escrow: Option<String>,
}

/// A disablement value of a genesis, and where its secret is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisablementBody {
    /// `disablement:` and 64 hex digits.
    pub value: String,
    /// Who made the secret, or brought its value.
    pub maker: String,
    /// When: RFC 3339 in UTC, by the clock of the member that proposed it.
    pub made: String,
    /// Who has the secret, as far as it was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub holder: Option<String>,
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
    /// Where the secrets of a new lock's disablement values are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub disablements: Vec<DisablementBody>,
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
    /// The auth key that it shows, without the credential of a wrapped one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_key: Option<SecretText>,
    /// A signature on its node key, as it makes one with a wrapped auth key. Means nothing while
    /// the lock is off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Base64>,
}

/// An auth key, as `GET lockstep/authkeys` and `authkey list --json` show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthKeyBody {
    /// Its ID.
    pub id: String,
    /// `valid`, `used`, `expired` or `revoked`.
    pub state: String,
    /// Whether more than one node may join by it.
    pub reusable: bool,
    /// When it ends, RFC 3339; `null` if it does not.
    pub expires: Option<String>,
    /// The record that issued it.
    pub created_record: u64,
    /// How many nodes have joined by it.
    pub uses: u64,
    /// The record by which the last of them joined.
    pub last_use_record: Option<u64>,
    /// The record that revoked it.
    pub revoked_record: Option<u64>,
}

/// Request of `POST lockstep/authkeys/create`: an auth key that the asker has made and keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthKeyCreateRequest {
    /// Its ID: 1 to 32 letters and digits.
    pub id: String,
    /// The hash of its text, 64 hex digits.
    pub hash: String,
    /// Whether more than one node may join by it.
    pub reusable: bool,
    /// When it ends, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_ms: Option<u64>,
}

/// Request of `POST lockstep/authkeys/revoke`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthKeyRevokeRequest {
    /// Its ID.
    pub id: String,
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

/// Answer of `GET lockstep/acknowledgements`: what a node of the roster has said of a lock last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgementBody {
    /// Number of the node.
    pub node: u64,
    /// Number of the lock.
    pub epoch: u32,
    /// The head that it has applied; `null` if it has ended the lock.
    pub head: Option<String>,
    /// The record that says so.
    pub record: u64,
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
    /// The disablement values of the genesis, and where their secrets are; none if nobody said.
    #[serde(default)]
    pub disablements: Vec<DisablementBody>,
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
