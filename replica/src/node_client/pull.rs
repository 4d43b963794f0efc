//! A visit over the daemon's socket.

use ledger::lock::client::{Admission, Peer, judge};
use ledger::lock::signatures::Cores;

use super::store::{Store, StoreError};
use crate::local_api::bodies::NodeBody;
use crate::local_api::client::{Client, ClientError};
use crate::node_rpc::bodies::MapNode;
use crate::node_rpc::{NotVisited, Seen, Visit};

/// Why a pull did not come to its end. What was taken before stays.
#[derive(Debug, thiserror::Error)]
pub enum NotPulled {
    /// The daemon was not reached, or refused a call.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// The node does not believe what it was told.
    #[error(transparent)]
    Visit(#[from] NotVisited),
    /// The node's directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon's roster has a node key for the node that is none.
    #[error("the daemon says that the node key of the node is {0:?}, which is none")]
    NodeKey(String),
}

/// Brings a node's directory up to date with what the daemon tells it.
pub async fn pull(
    daemon: &Client,
    node: &NodeBody,
    store: &mut Store,
    cores: &dyn Cores,
) -> Result<Seen, NotPulled> {
    let node_key = node.node_key.parse().map_err(|_| NotPulled::NodeKey(node.node_key.clone()))?;
    let mut visit = Visit::begin(node_key);
    while let Some(call) = visit.call(store.client()) {
        let answer = daemon.machine(call.path, call.body).await?;
        store.change(|client, draft| {
            visit.answer(client, draft, &answer, cores).map_err(NotPulled::from)
        })?;
    }
    Ok(visit.seen().clone())
}

/// Each other node, and whether this one lets it in by what it knows of the lock.
pub fn judged(seen: &Seen, store: &Store, cores: &dyn Cores) -> Vec<(MapNode, Admission)> {
    let peers: Vec<Peer> = seen.peers.iter().map(Peer::from).collect();
    seen.peers.iter().cloned().zip(judge(store.client(), &peers, cores)).collect()
}
