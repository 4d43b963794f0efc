//! The ways in which something can go wrong here.
//!
//! A [`Refusal`] is the event's own fault: every replica refuses the same bytes with the same
//! reason, and nothing of the event remains. A [`Fault`] is ours, a disk's or a bug's: it is never
//! a verdict on an event, and whoever meets one must stop acknowledging. (The third family, a
//! peer's misbehaviour, belongs to the replica crate.)

use std::fmt;

use crate::lock::signatures::BadClaim;
use crate::{cbor, history, ids, lock};

/// Why an event, an AUM or a signature was refused. Deterministic: a function of the input and
/// the state alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are not the canonical encoding of what they should be.
    #[error(transparent)]
    Malformed(#[from] cbor::Malformed),
    /// A text form of a key or hash does not parse.
    #[error(transparent)]
    Text(#[from] ids::TextError),
    /// A key, a checkpoint state or an AUM breaks the static rules (spec/tka.md 3.1-3.3).
    #[error(transparent)]
    Invalid(#[from] lock::Invalid),
    /// A signature or disablement secret that does not hold.
    #[error(transparent)]
    BadClaim(#[from] lock::signatures::BadClaim),
    /// An AUM does not fit the state at its parent (spec 3.4).
    #[error(transparent)]
    NotAdmitted(#[from] lock::NotAdmitted),
    /// An AUM cannot be applied to the state at its parent (spec 4).
    #[error(transparent)]
    NotApplicable(#[from] lock::NotApplicable),
    /// AUMs are not taken into the chain (spec 5.4, 5.5).
    #[error(transparent)]
    NotInformed(#[from] lock::NotInformed),
    /// Two chains do not meet (spec 6.2).
    #[error(transparent)]
    NoIntersection(#[from] lock::sync::NoIntersection),
    /// An update is not built (spec 11).
    #[error(transparent)]
    NotBuilt(#[from] lock::builder::NotBuilt),
    /// An update that lost a race no longer means what was asked.
    #[error(transparent)]
    Overtaken(#[from] lock::builder::Overtaken),
    /// A chain is not compacted (spec 7.3).
    #[error(transparent)]
    NotCompacted(#[from] lock::compaction::NotCompacted),
    /// A revocation is not made or not cosigned (spec 10).
    #[error(transparent)]
    NotRevoked(#[from] lock::revocation::NotRevoked),
    /// A client node does not do what it was told (spec 6.4, 9).
    #[error(transparent)]
    NotTold(#[from] lock::client::NotTold),
    /// A node-key signature lets no node in (spec 8.2).
    #[error(transparent)]
    NotAuthorized(#[from] lock::node_keys::NotAuthorized),
    /// An event does not fit the history, or a record does not follow it.
    #[error(transparent)]
    Event(#[from] history::EventRefusal),
    /// A node-key signature was not made (spec 8, 14.2).
    #[error(transparent)]
    CannotSign(#[from] lock::node_keys::CannotSign),
}

impl Refusal {
    /// What the person who asked can do about it, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Refusal::Malformed(_) => Some(
                "copy the data again from its source; Lockstep accepts only the canonical bytes \
                 that Tailscale itself writes",
            ),
            Refusal::Text(_) => Some("copy the key or hash again, whole"),
            Refusal::BadClaim(BadClaim::Signature(_)) => {
                Some("take it again from whoever has signed it: these are not the bytes that were")
            }
            Refusal::NotAuthorized(_) => Some("sign the node's key with a trusted key"),
            Refusal::Event(refusal) => refusal.remedy(),
            Refusal::NotRevoked(reason) => reason.remedy(),
            _ => None,
        }
    }
}

/// What ails a disk, as far as whoever met it could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ailment {
    /// Anything else.
    #[default]
    Unknown,
    /// It has no space left: that passes once somebody makes room.
    NoSpace,
    /// It holds other bytes than were written: their checksum is wrong, or they are gone.
    Damaged,
    /// All of it is sound, and older than what was there before: a copy was put back.
    RolledBack,
}

/// Our own failure: a storage error, a damaged row, a broken invariant. Never a verdict.
#[derive(Debug)]
pub struct Fault {
    what: String,
    ailment: Ailment,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault without an underlying error, such as a damaged row.
    pub fn new(what: impl Into<String>) -> Self {
        Fault { what: what.into(), ailment: Ailment::Unknown, source: None }
    }

    /// A fault caused by another error; `what` names the operation that failed.
    pub fn from_error(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Fault { what: what.into(), ailment: Ailment::Unknown, source: Some(source.into()) }
    }

    /// The same fault, of which it is known what ails the disk.
    pub fn of(self, ailment: Ailment) -> Self {
        Fault { ailment, ..self }
    }

    /// What ails the disk.
    pub fn ailment(&self) -> Ailment {
        self.ailment
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e.as_ref() as _)
    }
}

/// Either of the two: what a step that reads rows and judges an event can end in.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The event's fault.
    #[error(transparent)]
    Refused(Refusal),
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl<R: Into<Refusal>> From<R> for Failure {
    fn from(refusal: R) -> Self {
        Failure::Refused(refusal.into())
    }
}
