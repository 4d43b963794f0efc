//! `lock sign`: lets a node's key in.

use ledger::history::{Event, NodeSignature};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::sign_direct;
use ledger::lock::signatures::Signer;

use super::{Ground, NotPlanned};

/// Plans a direct signature for a node of the roster. `rotation` may rotate the key later; a key
/// that anybody could sign with is refused as such.
pub fn plan(
    ground: Ground<'_>,
    node_key: NodeKey,
    rotation: Option<LockKey>,
    signer: &dyn Signer,
) -> Result<Event, NotPlanned> {
    let authority = ground.authority()?;
    super::adopt::decided_here(ground)?;
    if authority.state().key(&signer.public().0).is_none() {
        return Err(NotPlanned::SignerNotTrusted);
    }
    let node = ground.node_by_key(node_key)?;
    let signature = sign_direct(signer, node_key, rotation)?;
    Ok(Event::NodeKeysSigned(vec![NodeSignature { node: node.id, signature }]))
}
