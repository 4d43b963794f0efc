//! `lock add` and `lock remove`: other trusted keys.

use std::collections::BTreeMap;

use ledger::Refusal;
use ledger::history::{AumsAdded, ChangeReason, Event, NodeSignature, roster};
use ledger::ids::LockKey;
use ledger::lock::builder::{Change, UpdateBuilder, still_means_the_same};
use ledger::lock::node_keys::reissue;
use ledger::lock::signatures::Signer;
use ledger::lock::{Key, KeyKind, State};

use super::{Ground, NotPlanned};

/// What is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Keys to add.
    pub add: Vec<Key>,
    /// Keys to remove.
    pub remove: Vec<LockKey>,
    /// Whether the daemon's key signs again, in the same event, the nodes that only a removed key
    /// lets in.
    pub resign: bool,
    /// Why, for the record.
    pub reason: Option<ChangeReason>,
    /// Free text for the record.
    pub note: Option<String>,
}

/// Plans the AUMs, and the signatures that go with them. `None`: nothing is to change.
///
/// `seen` is the state when this was asked: when the keys in question are no longer as they were
/// then, what was asked may not be what is wanted now, and it is refused.
pub fn plan(
    ground: Ground<'_>,
    order: &Order,
    seen: Option<&State>,
    signer: &dyn Signer,
) -> Result<Option<Event>, NotPlanned> {
    let authority = ground.authority()?;
    let own = signer.public();
    if order.add.is_empty() && order.remove.is_empty() {
        return Ok(None);
    }
    super::adopt::decided_here(ground)?;
    if authority.state().key(&own.0).is_none() {
        return Err(NotPlanned::UpdaterNotTrusted);
    }
    if order.resign && order.remove.contains(&own) {
        return Err(NotPlanned::OwnKeyWhileResigning);
    }
    let mut changes = Vec::new();
    for key in &order.add {
        check_key(key)?;
        changes.push(Change::Add(key.clone()));
    }
    changes.extend(order.remove.iter().map(|key| Change::Remove(key.0.to_vec())));
    if let Some(seen) = seen {
        still_means_the_same(&changes, seen, authority.state(), Some(own))
            .map_err(Refusal::from)?;
    }
    let mut builder = UpdateBuilder::new(ground.rows, authority, Some(signer))?;
    for change in changes {
        let last = matches!(&change, Change::Remove(id)
            if builder.state().keys().len() == 1 && builder.state().key(id).is_some());
        if last {
            return Err(NotPlanned::LastKey);
        }
        builder.change(change)?;
    }
    let left = builder.state().keys();
    if !order.remove.is_empty() && !left.iter().any(Key::can_sign) {
        return Err(NotPlanned::LastSigner { left: left.len() });
    }
    let aums = builder.finish()?;
    let signatures =
        if order.resign { resigned(ground, &order.remove, signer)? } else { Vec::new() };
    Ok(Some(Event::AumsAdded(AumsAdded {
        aums,
        fork: false,
        signatures,
        reason: order.reason,
        note: order.note.clone(),
    })))
}

/// What the original lets pass and can never use: keys of another kind or length (weakness W7).
pub(crate) fn check_key(key: &Key) -> Result<(), NotPlanned> {
    if key.kind != KeyKind::ED25519 {
        return Err(NotPlanned::BadKey(format!("unknown key kind: {}", key.kind)));
    }
    match key.public.as_ref().map_or(0, Vec::len) {
        32 => Ok(()),
        len => {
            Err(NotPlanned::BadKey(format!("a tailnet-lock key has 32 bytes, this one has {len}")))
        }
    }
}

/// New signatures for the nodes that these keys let in, by node.
fn resigned(
    ground: Ground<'_>,
    keys: &[LockKey],
    signer: &dyn Signer,
) -> Result<Vec<NodeSignature>, NotPlanned> {
    let mut signatures = BTreeMap::new();
    for key in keys {
        for node in roster::signed_by(ground.rows, *key)? {
            let node = roster::node(ground.rows, node)?.filter(|node| node.standing.is_in());
            let Some(node) = node else { continue };
            let Some(old) = &node.signature else { continue };
            let signature = reissue(signer, old, node.lock_key)?;
            signatures.insert(node.id, NodeSignature { node: node.id, signature });
        }
    }
    Ok(signatures.into_values().collect())
}
