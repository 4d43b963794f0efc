//! `node add`, `node rotate`, `node remove`: the roster.

use ledger::history::roster::Node;
use ledger::history::{AuthKeyUse, ChangedNode, Event, NewNode, ReplicaId};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::State;
use ledger::lock::node_keys::{NodeKeySignature, SigKind, resign, sign_direct};
use ledger::lock::signatures::{Signer, is_weak};

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

/// The signature of `signer` that lets in a node's next key: a rotation where the node's present
/// signature names that key for it, or a direct one where the lock trusts the key.
pub fn rotation(
    node: &Node,
    node_key: NodeKey,
    signer: &dyn Signer,
    state: &State,
) -> Result<NodeKeySignature, NotPlanned> {
    if node.node_key == node_key {
        return Err(NotPlanned::SameNodeKey(node.id));
    }
    let former = node.signature.as_ref();
    next_signature(former, node_key, node.lock_key, signer, state).ok_or_else(|| {
        let names = former.and_then(NodeKeySignature::wrapping_key);
        NotPlanned::MayNotRotate {
            node: node.id,
            key: signer.public(),
            names: names.and_then(|key| key.try_into().ok()).map(LockKey),
        }
    })
}

/// As [`rotation`], for a node whose entry need not be there yet; `lock_key` is its own.
pub(super) fn next_signature(
    former: Option<&NodeKeySignature>,
    node_key: NodeKey,
    lock_key: Option<LockKey>,
    signer: &dyn Signer,
    state: &State,
) -> Option<NodeKeySignature> {
    let key = signer.public();
    if let Some(former) = former.filter(|former| may_rotate(former, key, state))
        && let Ok(signature) = resign(signer, node_key, former)
    {
        return Some(signature);
    }
    state.key(&key.0)?;
    sign_direct(signer, node_key, lock_key.filter(|key| !is_weak(key))).ok()
}

fn may_rotate(former: &NodeKeySignature, key: LockKey, state: &State) -> bool {
    former.kind != SigKind::CREDENTIAL
        && former.wrapping_key() == Some(&key.0)
        && former.authorizing_key().is_ok_and(|signer| state.key(&signer.0).is_some())
}

/// Plans a node's removal. The daemon's own node stays.
pub fn remove(ground: Ground<'_>, text: &str, own: ReplicaId) -> Result<Event, NotPlanned> {
    let node = ground.node(text)?;
    if node.member == Some(own) {
        return Err(NotPlanned::OwnNode(node.id));
    }
    Ok(Event::NodeRemoved(node.id))
}
