//! The local API on a Unix socket: tailscaled's endpoints for tailnet lock, and ours beside them.

mod answers;
mod api;
pub mod bodies;
mod call;
mod changes;
pub mod client;
mod endpoints;
mod framing;
mod group_body;
mod headers;
pub(crate) mod http;
mod permissions;
mod problem;
mod reading;
mod record_line;
#[cfg(test)]
mod recorded;
mod revocation_body;
mod routes;
mod server;

use ledger::history::LogKey;
use ledger::ids::NodeKey;
use ledger::lock::signatures::Signer;

use crate::disk::local_disable::LocalDisable;
use crate::keys::Keys;
use crate::operations::Ground;
use crate::operations::enrol::Own;

pub(crate) use answers::reason as locked_out_reason;
pub use api::Api;
pub(crate) use changes::random_request_id;
#[cfg(feature = "testing")]
pub use http::echo;
pub use permissions::{Access, Permission};
pub use server::{BindError, bind, serve};

/// Whether the lock that is on is set aside on this machine.
pub(crate) fn is_aside(aside: &LocalDisable, ground: Ground<'_>) -> bool {
    endpoints::enforced(aside, ground).is_err()
}

/// A machine's keys as the plans see them. The node key may be newer than the one in memory.
pub(crate) fn own(keys: &Keys, node_key: NodeKey) -> Own<'_> {
    Own {
        log_key: LogKey(keys.log.public().0),
        lock: keys.lock.as_deref().map(|key| key as &dyn Signer),
        node_key,
    }
}
