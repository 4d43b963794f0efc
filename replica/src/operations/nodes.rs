//! `node add`, `node rotate`, `node remove`: the roster.

use ledger::history::roster::Node;
use ledger::history::{AuthKeyUse, ChangedNode, Event, NewNode, ReplicaId};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;

use super::{Ground, NotPlanned};

/// A node that is to join.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its name.
    pub name: String,
    /// Its node key.
    pub node_key: NodeKey,
    /// Its tailnet-lock key.
    pub lock_key: Option<LockKey>,
    /// The auth key that it shows.
    pub auth_key: Option<AuthKeyUse>,
    /// The signature that it brings: with a wrapped auth key, the one made by the credential.
    pub signature: Option<NodeKeySignature>,
}

/// Plans a new node. While the lock is on and it brings no signature it is locked out until
/// somebody signs it; while the lock is off no signature means anything, so it brings none.
pub fn add(ground: Ground<'_>, order: &Order) -> Event {
    let signature = order.signature.clone().filter(|_| ground.fold.authority().is_some());
    Event::NodeAdded(NewNode {
        name: order.name.clone(),
        node_key: order.node_key,
        lock_key: order.lock_key,
        own: false,
        signature,
        auth_key: order.auth_key.clone(),
    })
}

/// Plans another node key for a node, with a signature for it if there is one; without one the
/// node is locked out while the lock is on.
pub fn rotate(node: &Node, node_key: NodeKey, signature: Option<NodeKeySignature>) -> Event {
    Event::NodeChanged(ChangedNode { node: node.id, node_key, lock_key: node.lock_key, signature })
}

/// Plans a node's removal. The daemon's own node stays.
pub fn remove(ground: Ground<'_>, text: &str, own: ReplicaId) -> Result<Event, NotPlanned> {
    let node = ground.node(text)?;
    if node.member == Some(own) {
        return Err(NotPlanned::OwnNode(node.id));
    }
    Ok(Event::NodeRemoved(node.id))
}
