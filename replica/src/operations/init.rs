//! `lock init`: a genesis, and a signature for every node of the roster.

use ledger::history::{Event, Initialization, NodeSignature, SecretLabel, roster};
use ledger::lock::node_keys::sign_direct;
use ledger::lock::signatures::{Signer, is_weak};
use ledger::lock::{Authority, Invalid, Key, State};

use super::{Ground, NotPlanned};

/// What the lock is to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The trusted keys, the daemon's own among them.
    pub keys: Vec<Key>,
    /// Images of the disablement secrets.
    pub disablement_values: Vec<Vec<u8>>,
    /// Two random numbers that tell this lock from every other.
    pub state_id: (u64, u64),
    /// Where the secrets are, in the order of the values; none if nobody says.
    pub labels: Vec<SecretLabel>,
}

/// Plans the initialization. The daemon's key signs the genesis and every node as the roster has
/// it now, so that nobody is locked out by the lock itself, the initializing node least of all.
/// When the roster has changed by the time the event is applied, it is refused as a whole.
pub fn plan(ground: Ground<'_>, order: &Order, signer: &dyn Signer) -> Result<Event, NotPlanned> {
    if ground.fold.authority().is_some() {
        return Err(NotPlanned::LockOn);
    }
    let state = State {
        last_aum: None,
        disablement_values: Some(order.disablement_values.iter().cloned().map(Some).collect()),
        keys: Some(order.keys.clone()),
        state_id1: order.state_id.0,
        state_id2: order.state_id.1,
    };
    for key in &order.keys {
        super::modify::check_key(key)?;
    }
    let invalid = |e| NotPlanned::BadKey(format!("tka.Create: invalid state: {e}"));
    state.check().map_err(Invalid::from).map_err(invalid)?;
    let own = signer.public();
    if state.key(&own.0).is_none() {
        return Err(NotPlanned::OwnKeyMissing(own));
    }

    let genesis = Authority::genesis(state, signer)?;
    let mut signatures = Vec::new();
    for node in roster::list(ground.rows)? {
        // A lock key that anybody could sign with must not rotate anything (weakness W15).
        let rotation = node.lock_key.filter(|key| !is_weak(key));
        let signature = sign_direct(signer, node.node_key, rotation)?;
        signatures.push(NodeSignature { node: node.id, signature });
    }
    Ok(Event::LockInitialized(Box::new(Initialization {
        genesis,
        signatures,
        labels: order.labels.clone(),
        brought_by: None,
    })))
}
