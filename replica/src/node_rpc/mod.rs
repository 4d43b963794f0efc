//! What the nodes are told: the calls that clients of a tailnet make about the lock, as functions
//! of the fold (control-protocol 5 and 6).
//!
//! Each takes a request and a view, and says what to answer or which event to record first. There
//! is no connection here: whoever has one proves which node speaks, limits sizes and rates, and
//! carries the event to the handle. A change is judged here before it is proposed and by the fold
//! when it is applied; its answer is made from a view that holds it.
//!
//! [`Visit`] is the other end: the calls that a client node of ours makes.

pub mod bodies;
mod initialize;
mod sign;
mod sync;
mod told;
mod visit;

use ledger::history::roster::{self, Node};
use ledger::ids::NodeKey;
use ledger::{Failure, Fault, Refusal};

use crate::operations::{Ground, NotPlanned};

pub use initialize::{Finish, Support, begin, begun, finish};
pub use sign::{affected_signatures, disable, sign};
pub use sync::{bootstrap, offer, send, sent};
pub use told::{acknowledgement, info, map};
pub use visit::{Call, NotVisited, Seen, Visit};

/// Bytes of AUMs in one answer, at most: in base64 they fit into the 10 MiB that a client reads.
const ANSWER_AUM_BYTES: usize = 7 << 20;
/// AUMs in one answer, at most.
const ANSWER_AUMS: u64 = 1024;
/// Milliseconds after which a genesis that waits for signatures is void.
const GENESIS_WAITS_MS: u64 = 10 * 60 * 1000;

/// Why a call has no answer. The texts are one line: clients show them to their users.
#[derive(Debug, thiserror::Error)]
pub enum NotAnswered {
    /// The node that calls is not in the roster.
    #[error("unknown node: {0} is not in the roster")]
    UnknownCaller(NodeKey),
    /// Something in the request does not decode, or does not hold by itself.
    #[error("{what}: {why}")]
    Malformed {
        /// What.
        what: String,
        /// Why.
        why: Refusal,
    },
    /// A request that asks for more than is done at once.
    #[error("{0}")]
    TooMuch(&'static str),
    /// There is nothing that could be given.
    #[error("{0}")]
    Nothing(&'static str),
    /// The request was made for a state that is past.
    #[error("{0}")]
    Conflict(String),
    /// The genesis locks out whoever made it.
    #[error("bootstrap tka state does not trust the initializing node")]
    InitializerNotTrusted,
    /// A support secret where nobody would keep it.
    #[error(
        "no escrow is configured that would receive the support secret; initialize without \
         --gen-disablement-for-support"
    )]
    NoEscrow,
    /// As an operation of this machine would be refused.
    #[error(transparent)]
    NotPlanned(#[from] NotPlanned),
}

impl NotAnswered {
    /// The HTTP status. Clients tell 200 from everything else and no more.
    pub fn status(&self) -> u16 {
        match self {
            NotAnswered::UnknownCaller(_) => 403,
            NotAnswered::Malformed { .. }
            | NotAnswered::InitializerNotTrusted
            | NotAnswered::NoEscrow => 400,
            NotAnswered::TooMuch(_) => 413,
            NotAnswered::Nothing(_) => 404,
            NotAnswered::Conflict(_) => 409,
            NotAnswered::NotPlanned(why) => match why {
                NotPlanned::Fault(_) => 503,
                NotPlanned::UnknownNodeKey(_) | NotPlanned::UnknownNode(_) => 404,
                NotPlanned::WrongSecret | NotPlanned::BadKey(_) => 400,
                _ => 409,
            },
        }
    }

    fn malformed(what: impl Into<String>, why: impl Into<Refusal>) -> Self {
        NotAnswered::Malformed { what: what.into(), why: why.into() }
    }
}

impl From<Fault> for NotAnswered {
    fn from(fault: Fault) -> Self {
        NotAnswered::NotPlanned(fault.into())
    }
}

impl From<Failure> for NotAnswered {
    fn from(failure: Failure) -> Self {
        NotAnswered::NotPlanned(failure.into())
    }
}

/// The node that calls.
fn caller(ground: Ground<'_>, key: NodeKey) -> Result<Node, NotAnswered> {
    roster::by_node_key(ground.rows, key)?.ok_or(NotAnswered::UnknownCaller(key))
}
