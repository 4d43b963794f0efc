//! The history: who asked for what, in which order, and what came of it (docs/ledger-format.md).
//!
//! A [`Proposal`] is an event that somebody wants recorded, signed by the proposing member. A
//! [`Record`] is an admitted proposal in its place. The [`Fold`] admits proposals and replays
//! records by the same path, so that whoever has the records reaches the same verdicts.

pub mod acknowledgements;
pub mod adoption;
mod adoption_codec;
pub mod auth_keys;
pub mod cosigning;
pub mod door;
mod effects;
mod event;
mod event_codec;
mod event_fields;
mod fold;
mod ids;
mod incarnations;
pub mod invitations;
mod known_rules;
pub mod lifecycle;
mod lock_changes;
mod member_codec;
mod member_event;
pub mod members;
pub mod merkle;
mod proposal;
mod record;
pub mod records;
mod refusal;
pub mod requests;
mod revocation_codec;
pub mod roster;
mod row;
mod scalars;

pub use event::{
    Acknowledged, AdoptionBegun, Applied, AumsAdded, AuthKeyUse, BroughtGenesis, ChangeReason,
    ChangedNode, Disablement, Event, Foreign, ForeignReason, Initialization, NewAuthKey, NewNode,
    NodeSignature, Observed, RevocationOpened, RevocationSigned, RevocationWithdrawn, SecretLabel,
};
pub use event_fields::is_name;
pub use fold::{Fold, Verdict};
pub use ids::{
    AuthKeyHash, AuthKeyId, BadAuthKeyId, BadRequestId, ClusterId, Epoch, FoldHash, InvitationKey,
    LogKey, MemberFingerprint, MemberKey, NodeId, RecordHash, ReplicaId, RequestId,
};
pub use known_rules::{FIRST_RULES, KNOWN_RULES, KnownRules};
pub use member_event::{
    Begun, Cause, Founder, Invited, Joined, MemberDetails, Role, RoleChange, is_address,
};
pub use proposal::{Actor, Proposal, SignedProposal, Who};
pub use record::Record;
pub use refusal::EventRefusal;
