//! Revocations that wait for signatures, below `lockstep/revocations`.

use ledger::cbor::Malformed;
use ledger::lock::Sealed;
use serde::{Deserialize, Serialize};

use super::Base64;
use crate::operations::revoke::Which;

/// A revocation, what it would do, and who is for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationBody {
    /// Its name: the hash that is signed, which signatures do not change; 52 base32 characters.
    pub id: String,
    /// Whether it is on record, waiting for signatures.
    pub pending: bool,
    /// `waiting`: more votes are needed. `ready`: it wins if it is finished now. `outvoted`: it
    /// could not win with everybody's signature. `void`: it is no revocation of the lock as it is.
    /// `in-force`: it is part of the active chain. `over`: its lock has been disabled.
    pub state: String,
    /// Why it is void.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The checkpoint with its signatures: what is handed on as a blob.
    pub aum: Base64,
    /// Where it forks off: hash of an AUM.
    pub fork_point: String,
    /// The keys that it is to revoke, as whoever began it said.
    pub keys: Vec<String>,
    /// `compromised`, `rotated`, `left` or `other`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text from the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// The record that opened it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened_record: Option<u64>,
    /// Who has signed it.
    pub signatures: Vec<RevocationSignature>,
    /// How it differs from now; none unless it is waiting, ready or outvoted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub effect: Option<RevocationEffect>,
    /// Its votes; none unless it is waiting, ready or outvoted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub votes: Option<RevocationVotes>,
}

/// A signature on a revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationSignature {
    /// Whose.
    pub key: String,
    /// The key's votes at the fork point, if they count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub votes: Option<u64>,
    /// The record that brought it, if one has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<u64>,
}

/// What a revocation would change, were it finished now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationEffect {
    /// Keys that are trusted now and would not be.
    pub removed: Vec<String>,
    /// Keys that have been removed since the fork point and would be trusted again.
    pub restored: Vec<String>,
    /// Keys that would get back former votes or metadata.
    pub reset: Vec<String>,
    /// Keys that would stay trusted although only keys that it takes away have trusted them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub planted: Vec<String>,
    /// Whether former disablement values would be valid again, in place of those of now.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub disablement: bool,
    /// The newest AUMs that it would undo, newest first.
    pub undone: Vec<UndoneAum>,
    /// How many it would undo in all.
    pub undone_count: u64,
    /// Names of nodes that it would lock out until they are signed again.
    pub locked_out: Vec<String>,
}

/// An AUM that a revocation would undo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneAum {
    /// Its hash.
    pub hash: String,
    /// Its kind: `add-key`, `checkpoint` and so on.
    pub change: String,
    /// Who signed it.
    pub signers: Vec<String>,
}

/// How a revocation stands in fork resolution. All votes are those at its fork point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationVotes {
    /// For it.
    pub present: u64,
    /// For the branch that it would replace; none if nothing follows the fork point.
    pub against: Option<u64>,
    /// How many more it needs to take effect for certain; 0 if it takes effect as it is.
    pub missing: u64,
    /// How many more make sure that the keys that it takes away cannot outvote it later.
    pub missing_to_be_safe: u64,
    /// Who could sign as well.
    pub others: Vec<RevocationSignature>,
    /// What the ledger's door asks, while it is not met.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub door: Option<DoorVotes>,
}

/// The votes that the ledger's door asks of a revocation (docs/door.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorVotes {
    /// The AUM at which it has the fewest votes to spare.
    pub at: String,
    /// For it, at that AUM.
    pub present: u64,
    /// Of the keys that it takes away, at that AUM.
    pub taken: u64,
    /// An AUM that it undoes, whose signers that it leaves trusted have to sign it for that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undoes: Option<String>,
    /// If it forks off before the final AUM: the votes that it needs there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub final_needs: Option<u64>,
    /// And those that it has there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub final_has: Option<u64>,
}

/// Request of `POST tka/generate-recovery-aum`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GenerateRequest {
    /// IDs of the keys to revoke.
    pub keys: Option<Vec<Base64>>,
    /// Hash of the AUM to fork from, base32; empty or all zero bits for the one that suits.
    pub fork_from: String,
}

/// Request of `POST lockstep/revocations/open`: begins a revocation, or has one wait that was
/// signed elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRevocationRequest {
    /// The keys to revoke, `tlpub:`.
    pub keys: Vec<String>,
    /// The AUM to fork from, base32 or hex; by default the one that suits the keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fork_from: Option<String>,
    /// `compromised`, `rotated`, `left` or `other`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text for the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// The checkpoint, signed elsewhere: the daemon's own key signs nothing then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aum: Option<Base64>,
}

/// Which revocation a request means: exactly one of the two is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhichRevocation {
    /// How the name of one that waits begins: 6 characters or more, base32 or hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revocation: Option<String>,
    /// The checkpoint itself, with the signatures that it has so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aum: Option<Base64>,
}

/// Why a request means no revocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWhich {
    /// None is named, or one twice.
    #[error("give one of revocation and aum")]
    NotOne,
    /// The bytes are no AUM.
    #[error("decoding AUM: {0}")]
    Aum(#[from] Malformed),
}

impl WhichRevocation {
    /// By how its name begins.
    pub fn name(name: impl Into<String>) -> Self {
        WhichRevocation { revocation: Some(name.into()), aum: None }
    }

    /// By the checkpoint.
    pub fn blob(aum: impl Into<Vec<u8>>) -> Self {
        WhichRevocation { revocation: None, aum: Some(Base64(aum.into())) }
    }

    /// Which it is.
    pub fn which(&self) -> Result<Which, BadWhich> {
        match (&self.revocation, &self.aum) {
            (Some(name), None) => Ok(Which::Name(name.clone())),
            (None, Some(aum)) => Ok(Which::Blob(Box::new(Sealed::decode(&aum.0)?))),
            _ => Err(BadWhich::NotOne),
        }
    }
}

/// Request of `POST lockstep/revocations/finish`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishRevocationRequest {
    /// Which.
    #[serde(flatten)]
    pub which: WhichRevocation,
    /// `compromised`, `rotated`, `left` or `other`; by default as it was opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Free text for the record; by default as it was opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Request of `POST lockstep/revocations/withdraw`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawRevocationRequest {
    /// How its name begins.
    pub revocation: String,
    /// Free text for the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}
