//! Ours about locks that exist elsewhere, below `/localapi/v0/lockstep/adoption`.

use serde::{Deserialize, Serialize};

use super::{Base64, NodeBody};

/// Bytes of a request that carries AUMs, at most: an AUM of any size that keeps the rules fits.
pub const MAX_ADOPTION_BYTES: usize = 4 << 20;

/// Bytes of AUMs that one request is filled with; a longer AUM goes alone.
pub const ADOPTION_PAGE_BYTES: usize = 1 << 20;

/// Bytes of one AUM that are sent, at most; no AUM that keeps the rules is longer.
pub const ADOPTION_AUM_BYTES: usize = 2 << 20;

/// Answer of `GET lockstep/adoption`, `null` if there is none: the lock that is being adopted, or
/// that is on and was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionBody {
    /// The epoch that it is, or is to become.
    pub epoch: u32,
    /// Hash of its oldest AUM.
    pub root: String,
    /// The head that was announced when it began.
    pub head: String,
    /// The number of AUMs that was announced.
    pub aums: u64,
    /// AUMs on record.
    pub taken: u64,
    /// Whether its own server goes on deciding it.
    pub followed: bool,
    /// The record that began it.
    pub begun_record: u64,
    /// The record that completed it; `null` while it is incomplete, and then it is not in force.
    pub adopted_record: Option<u64>,
    /// How its server showed it last.
    pub seen: Option<SeenBody>,
    /// How often that raised an alarm.
    pub alarms: u64,
    /// The last record that did.
    pub last_alarm_record: Option<u64>,
    /// AUMs that became its head and that this ledger's door would have refused (docs/door.md).
    pub objections: u64,
    /// The last of them.
    pub last_objection: Option<ObjectionBody>,
}

/// An AUM of a followed lock that this ledger's door would have refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectionBody {
    /// Its hash.
    pub aum: String,
    /// The record that brought it.
    pub record: u64,
}

/// How the server of a followed lock showed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBody {
    /// The head; `null` if it has no lock.
    pub head: Option<String>,
    /// `lock-off`, `behind`, `losing-branch`, `other-lock`, `unconnected` or `breaks-rules`; `null`
    /// if nothing is wrong.
    pub alarm: Option<String>,
    /// What that means, for people.
    pub text: Option<String>,
    /// The record that says so and, where there is some, holds the evidence.
    pub record: u64,
}

/// Request of `POST lockstep/adoption/begin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionBeginRequest {
    /// The oldest AUM.
    pub root: Base64,
    /// The head that the rules choose once all AUMs are there.
    pub head: String,
    /// How many there are in all.
    pub aums: u64,
    /// Whether its own server goes on deciding the lock.
    pub followed: bool,
}

/// Request of `POST lockstep/adoption/aums`: up to 1,024 AUMs, each after its parent. Those on
/// record are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionAumsRequest {
    /// Their canonical bytes.
    pub aums: Vec<Base64>,
}

/// Request of `POST lockstep/adoption/unknown`: which of these are not on record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionUnknownRequest {
    /// Hashes of AUMs.
    pub hashes: Vec<String>,
}

/// Request of `POST lockstep/adoption/observe`: what the server of a followed lock shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionObserveRequest {
    /// Its head; `null` if it has no lock.
    pub head: Option<String>,
    /// AUMs that may be new here, up to 1,024, each after its parent, as they came.
    #[serde(default)]
    pub aums: Vec<Base64>,
    /// Whether more follow in another request before the head is judged.
    #[serde(default)]
    pub more: bool,
}

/// Request of `POST lockstep/adoption/node`: a node of the tailnet, as it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionNodeRequest {
    /// What it is called there.
    pub name: String,
    /// Its node key.
    pub node_key: String,
    /// Its tailnet-lock key, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock_key: Option<String>,
    /// The signature that it has there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Base64>,
    /// The node keys of others that are there under a name that begins alike: those are other nodes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub beside: Vec<String>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionNodeAnswer {
    /// The roster's entry.
    pub node: NodeBody,
    /// Whether the roster was changed by this.
    pub changed: bool,
    /// Why the lock does not let it in; `null` if it does.
    pub locked_out: Option<String>,
}
