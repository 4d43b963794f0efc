//! The group of replicas, below `/localapi/v0/lockstep/group`.

use serde::{Deserialize, Serialize};

use super::SecretText;

/// How the group is, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Everybody who is on record takes part as the records want.
    #[default]
    Healthy,
    /// The group decides and can be used, but somebody is missing or not there yet.
    Degraded,
    /// Something is wrong that somebody has to look after.
    Alarm,
    /// The group decides nothing at the moment.
    NoQuorum,
}

/// Answer of `GET lockstep/group`, and `cluster status --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupBody {
    /// Cluster ID: 26 base32 characters.
    pub cluster_id: String,
    /// Which life of the group this is, from 1.
    pub incarnation: u64,
    /// Raft's term, as this replica knows it.
    pub term: u64,
    /// The replica that leads; decimal, as text. `null` while this replica knows of none.
    pub leader: Option<String>,
    /// The replica that answers; decimal, as text.
    pub replica_id: String,
    /// The group in one word.
    pub health: Health,
    /// Voters that may fail besides those that already have, before nothing is decided any more.
    pub failures_tolerated: u64,
    /// What somebody has to look after, a sentence each.
    pub alarms: Vec<String>,
    /// What keeps the group from being whole, a sentence each.
    pub warnings: Vec<String>,
    /// Whether this is what this replica knows by itself, because no majority has answered.
    #[serde(default)]
    pub stale: bool,
    /// Rule number in force.
    pub rules: u32,
    /// Invitations by which somebody may still join.
    pub invitations_open: u64,
    /// The members that are not removed, by number.
    pub members: Vec<MemberBody>,
}

/// A member of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberBody {
    /// Its number; decimal, as text.
    pub replica_id: String,
    /// Its name.
    pub name: String,
    /// `voter`, `learner` or, before it is approved, `pending`: what it is now.
    pub role: String,
    /// What the records want it to be. A voter to be stays a learner until it has caught up.
    pub wanted: String,
    /// Whether this replica reaches it.
    pub reachable: bool,
    /// Whether it is the replica that answers.
    #[serde(rename = "self")]
    pub own: bool,
    /// The fingerprint of its member key, by which it is approved.
    pub fingerprint: String,
    /// The last record that it says it has; `null` while it has not said.
    pub record_index: Option<u64>,
    /// Hash of that record.
    pub record_hash: Option<String>,
    /// Fold hash behind it.
    pub fold_hash: Option<String>,
    /// Its program's version; `null` while it is not connected.
    pub version: Option<String>,
    /// The highest rules that it can execute.
    pub rules: u32,
    /// Bytes that its data directory takes; `null` for other replicas than the one that answers.
    pub disk_bytes: Option<u64>,
    /// Where its peers reach it.
    pub peer_addr: Option<String>,
    /// Its tailnet-lock key (`tlpub:`), if it has one.
    pub lock_key: Option<String>,
}

/// Request of `POST lockstep/group/invite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRequest {
    /// The last moment at which somebody may join by it, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The fingerprint of the only member key that may: who joins so need not be approved.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none", default)]
    pub named: Option<String>,
}

/// Answer of `POST lockstep/group/invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationBody {
    /// The token: a secret, which nobody can show again.
    pub token: SecretText,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// The cluster.
    pub cluster_id: String,
}

/// Request of `POST lockstep/group/approve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproveRequest {
    /// Whose: the fingerprint of its member key.
    pub fingerprint: String,
    /// Also if the group may lose its quorum.
    #[serde(default)]
    pub force: bool,
}

/// Request of `POST lockstep/group/promote`, `demote`, `remove` and `transfer-leader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRequest {
    /// Which member; decimal, as text.
    pub replica_id: String,
    /// Also if the group may lose its quorum.
    #[serde(default)]
    pub force: bool,
}

/// What has become of a member; `null` if the request was recorded earlier and the member is not
/// known any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChangeBody {
    /// Its number; decimal, as text.
    pub replica_id: String,
    /// Its name.
    pub name: String,
    /// What it is now: `voter`, `learner`, `pending` or `removed`.
    pub role: String,
    /// Whether the group has become what the records want. A voter to be has to catch up first.
    pub settled: bool,
    /// Its tailnet-lock key (`tlpub:`), if the lock trusts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted_lock_key: Option<String>,
}

/// Answer of `POST lockstep/group/transfer-leader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderBody {
    /// Who leads; decimal, as text.
    pub leader: String,
    /// In this term.
    pub term: u64,
    /// Whether it led before.
    pub led_before: bool,
}
