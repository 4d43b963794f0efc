//! Plans: what was asked and the state at hand become the event to propose.
//!
//! Pure functions, one file a verb: they read a view, sign with the key that they are given, and
//! return an event or say why there is none. Whoever calls them submits the event and, when the
//! view was stale, asks again with a fresh one.

pub mod adopt;
pub mod auth_keys;
pub mod checkpoint;
pub mod disable;
pub mod enrol;
pub mod init;
pub mod members;
pub mod modify;
pub mod nodes;
pub mod outside;
pub mod revoke;
pub mod sign;

use ledger::history::roster::{self, Node};
use ledger::history::{Epoch, EventRefusal, Fold, NodeId};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::Authority;
use ledger::lock::node_keys::CannotSign;
use ledger::rows::Rows;
use ledger::{Failure, Fault, Refusal};

use outside::BadDraft;

/// The state that a plan is made on.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The fold at some record.
    pub fold: &'a Fold,
    /// The rows at the same record.
    pub rows: &'a dyn Rows,
}

/// Why there is no event to propose.
#[derive(Debug, thiserror::Error)]
pub enum NotPlanned {
    /// The lock is off.
    #[error("tailnet-lock is not active")]
    LockOff,
    /// The lock is on.
    #[error("tailnet lock is already enabled")]
    LockOn,
    /// The lock is on, and set aside on this machine.
    #[error("tailnet-lock is not active on this node, where it was disabled alone (local-disable)")]
    DisabledHere,
    /// The lock is not set aside on this machine.
    #[error("tailnet-lock is not disabled on this node alone: there is nothing to take back")]
    NotDisabledHere,
    /// Another server decides the lock.
    #[error(
        "the lock of epoch {0} is followed: its own coordination server decides it, and nothing is \
         signed through this daemon"
    )]
    Followed(Epoch),
    /// What a node sent is not taken in.
    #[error("{0}")]
    NotTaken(String),
    /// The daemon has no lock key.
    #[error("this node has no tailnet-lock key")]
    NoLockKey,
    /// The daemon's key is not among the keys of the genesis.
    #[error(
        "the tailnet lock key of the current node must be one of the trusted keys during \
         initialization: {0} is missing"
    )]
    OwnKeyMissing(LockKey),
    /// Node keys were to be signed by a key that is not trusted. The sentences are those that old
    /// and new versions of the official command line look for (spec 12.5, 16.3).
    #[error(
        "this node is not trusted by Tailnet Lock (older versions say: this node is not trusted \
         by network lock)"
    )]
    SignerNotTrusted,
    /// AUMs were to be signed by a key that is not trusted.
    #[error("this node does not have a trusted tailnet lock key")]
    UpdaterNotTrusted,
    /// A key that the daemon does not hold was to sign, and is not trusted.
    #[error("{0} is no trusted key of the lock")]
    KeyNotTrusted(LockKey),
    /// The roster has no node with that key.
    #[error("unknown node key: {0} is not in the roster")]
    UnknownNodeKey(NodeKey),
    /// The roster has no such node.
    #[error("the roster has no node {0:?}")]
    UnknownNode(String),
    /// Two nodes can be meant: one by its name, another one by its number.
    #[error("node {named} is named {named_by:?}, and another node has that number")]
    AmbiguousNode {
        /// What was given.
        named_by: String,
        /// The node of that name.
        named: NodeId,
    },
    /// The node is the daemon's own.
    #[error("node {0} is this daemon's own machine and stays in the roster as long as it runs")]
    OwnNode(NodeId),
    /// The node is the daemon's own, whose private key only the daemon has.
    #[error("node {0} is this daemon's own machine, which makes its node keys itself")]
    OwnNodeKey(NodeId),
    /// The node has that node key already.
    #[error("node {0} has that node key already")]
    SameNodeKey(NodeId),
    /// The node's signature names another key for rotations, and the lock does not trust this one.
    #[error(
        "{key} may not sign rotations of node {node}: by its signature {}",
        Rotator(.names)
    )]
    MayNotRotate {
        /// The node.
        node: NodeId,
        /// The key that was to sign.
        key: LockKey,
        /// The key that the node's signature names.
        names: Option<LockKey>,
    },
    /// What was signed elsewhere is not what is to be signed.
    #[error("what was signed elsewhere: {0}")]
    BadDraft(BadDraft),
    /// What was signed elsewhere was asked for when there was another lock.
    #[error("what was signed elsewhere belongs to another lock, or to one that has ended")]
    SignedForAnotherLock,
    /// What was signed elsewhere no longer fits.
    #[error("the lock or the roster has changed since this was made to be signed")]
    SignedForAnotherState,
    /// A key that cannot be trusted because of what it is.
    #[error("{0}")]
    BadKey(String),
    /// What was shown is not an auth key as a node shows it. The text is not repeated.
    #[error("{0}")]
    BadAuthKey(&'static str),
    /// Every key would be gone.
    #[error("cannot remove the last trusted signing key")]
    LastKey,
    /// Keys would be left, but none with which anybody can sign.
    #[error(
        "cannot remove the last trusted signing key that anyone can sign with: {left} would be \
         left, made for auth keys or malformed"
    )]
    LastSigner {
        /// How many.
        left: usize,
    },
    /// The daemon's own key is to go, and its signatures to stay.
    #[error("cannot remove local trusted signing key while resigning")]
    OwnKeyWhileResigning,
    /// The secret belongs to none of the lock's disablement values.
    #[error("incorrect disablement secret")]
    WrongSecret,
    /// The group of replicas is not changed.
    #[error(transparent)]
    Group(#[from] members::CannotChange),
    /// A step of a revocation is not taken.
    #[error(transparent)]
    Revoke(#[from] revoke::CannotRevoke),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(Refusal),
    /// Our own failure.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Which key may rotate a node's signature, for people.
struct Rotator<'a>(&'a Option<LockKey>);

impl std::fmt::Display for Rotator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(key) => write!(f, "{key} may"),
            None => f.write_str("no key may"),
        }
    }
}

impl NotPlanned {
    /// What the person who asked can do about it, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            NotPlanned::LockOff => "initialize it first (lockstep lock init)",
            NotPlanned::DisabledHere => "enable it here again (lockstep lock local-enable)",
            NotPlanned::Followed(_) => {
                "make the change there (tailscale lock); 'lockstep adopt --follow' brings it here"
            }
            NotPlanned::LockOn => "change its keys (lockstep lock add, remove) or disable it first",
            NotPlanned::NoLockKey => "ask a daemon that has one",
            NotPlanned::OwnKeyMissing(_) => "add the key to the list",
            NotPlanned::SignerNotTrusted | NotPlanned::UpdaterNotTrusted => {
                "ask on a signing node that is trusted (lockstep lock status lists their keys)"
            }
            NotPlanned::KeyNotTrusted(_) => {
                "sign with one that is ('lockstep lock status' lists them)"
            }
            NotPlanned::UnknownNodeKey(_) | NotPlanned::UnknownNode(_) => {
                "list the nodes (lockstep node list), or add it (lockstep node add)"
            }
            NotPlanned::AmbiguousNode { .. } => {
                "name it by its node key or its stable ID (lockstep node list --json)"
            }
            NotPlanned::LastKey | NotPlanned::LastSigner { .. } => {
                "use 'lockstep lock disable' to disable tailnet lock instead, or add another \
                 signing key before removing one"
            }
            NotPlanned::OwnKeyWhileResigning => {
                "run the command on a different node or with --re-sign=false"
            }
            NotPlanned::BadAuthKey(_) => "create one (lockstep authkey create)",
            NotPlanned::WrongSecret => {
                "use one of the secrets that were printed when the lock was initialized"
            }
            NotPlanned::Group(error) => error.remedy(),
            NotPlanned::Revoke(error) => error.remedy(),
            NotPlanned::Refused(refusal) => return refusal.remedy(),
            NotPlanned::OwnNodeKey(_) => "leave --node-key out",
            NotPlanned::SameNodeKey(_) => "to sign it anew, use 'lockstep lock sign'",
            NotPlanned::MayNotRotate { .. } => {
                "use that key, or have the node signed again with this one as its rotation key"
            }
            NotPlanned::BadDraft(_) => "sign it again with 'lockstep key sign'",
            NotPlanned::SignedForAnotherLock | NotPlanned::SignedForAnotherState => {
                "ask again and sign what it is now"
            }
            NotPlanned::NotDisabledHere
            | NotPlanned::NotTaken(_)
            | NotPlanned::OwnNode(_)
            | NotPlanned::BadKey(_)
            | NotPlanned::Fault(_) => return None,
        })
    }
}

impl From<Failure> for NotPlanned {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => NotPlanned::Refused(refusal),
            Failure::Fault(fault) => NotPlanned::Fault(fault),
        }
    }
}

impl From<Refusal> for NotPlanned {
    fn from(refusal: Refusal) -> Self {
        NotPlanned::Refused(refusal)
    }
}

impl From<CannotSign> for NotPlanned {
    fn from(error: CannotSign) -> Self {
        NotPlanned::Refused(error.into())
    }
}

impl<'a> Ground<'a> {
    /// The authority of the lock that is on.
    pub fn authority(&self) -> Result<&'a Authority, NotPlanned> {
        self.fold.authority().ok_or(NotPlanned::LockOff)
    }

    /// The node that somebody means: by name, number, stable ID or node key.
    pub fn node(&self, text: &str) -> Result<Node, NotPlanned> {
        let unknown = || NotPlanned::UnknownNode(text.to_owned());
        if let Ok(key) = text.parse::<NodeKey>() {
            return self.node_by_key(key);
        }
        // No name has a capital letter.
        let number = text.strip_prefix('n').and_then(|rest| rest.strip_suffix("CNTRL"));
        let id = number.unwrap_or(text).parse().map(NodeId).ok();
        let numbered = id.map(|id| roster::node(self.rows, id)).transpose()?.flatten();
        match (roster::by_name(self.rows, text)?, numbered) {
            (Some(named), Some(numbered)) if named.id != numbered.id => {
                let (named_by, named) = (text.to_owned(), named.id);
                Err(NotPlanned::AmbiguousNode { named_by, named })
            }
            (Some(node), _) | (None, Some(node)) => Ok(node),
            (None, None) => Err(unknown()),
        }
    }

    fn node_by_key(&self, key: NodeKey) -> Result<Node, NotPlanned> {
        roster::by_node_key(self.rows, key)?.ok_or(NotPlanned::UnknownNodeKey(key))
    }
}

/// Whether a plan that was refused may succeed when it is made again: something that it was made
/// on has changed in the meantime. What was asked is judged anew then.
pub fn was_stale(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Event(
            EventRefusal::StaleParent { .. }
                | EventRefusal::RosterChanged { .. }
                | EventRefusal::NodeNotAuthorized { .. }
                | EventRefusal::UnknownNode(_)
                | EventRefusal::AlreadyApplied
                | EventRefusal::AlreadyObserved(_)
                | EventRefusal::LockOff
                | EventRefusal::LockOn(_)
                | EventRefusal::InitializerNotTrusted { .. }
                | EventRefusal::Expired { .. }
                | EventRefusal::OtherDisablementValue
                | EventRefusal::ForkLoses { .. }
                | EventRefusal::RevocationPending(_)
                | EventRefusal::UnknownRevocation(_)
        ) | Refusal::NotRevoked(_)
    )
}

#[cfg(test)]
mod tests;
