//! `node add`, `node rotate`, `node remove`: the roster.

use ledger::history::roster::Node;
use ledger::history::{ChangedNode, Event, NewNode, ReplicaId};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;

use super::{Ground, NotPlanned};

/// Plans a new node. While the lock is on it is locked out until somebody signs it.
pub fn add(name: &str, node_key: NodeKey, lock_key: Option<LockKey>) -> Event {
    Event::NodeAdded(NewNode {
        name: name.to_owned(),
        node_key,
        lock_key,
        own: false,
        signature: None,
        auth_key: None,
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
