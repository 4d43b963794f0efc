//! What others ask us to cosign, and what it would change.

use std::collections::BTreeSet;

use super::{NotRevoked, somebody_can_sign};
use crate::ids::{AumHash, LockKey, SigHash};
use crate::lock::{Aum, AumKind, Authority, Chain, Key, State};
use crate::rows::Rows;
use crate::{Failure, Fault};

/// What a revocation would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Where it forks off.
    pub fork_point: AumHash,
    /// Keys trusted now that it would no longer trust.
    pub removed: Vec<Key>,
    /// Keys that it would trust again although they have been removed since the fork point.
    pub restored: Vec<Key>,
    /// Keys to which it would give back former votes or metadata, as they are now.
    pub reset: Vec<Key>,
    /// Keys that it would leave trusted although nobody has trusted them but keys that it takes
    /// away: a thief's, perhaps. The original's revocations keep what they do not name (spec 10).
    pub planted: Vec<Key>,
    /// Whether it would bring back former disablement values: an AUM that it would undo has put
    /// others in their place, which no honest one does (spec 14.2, W4).
    pub disablement: bool,
    /// AUMs of the active branch that it would undo, newest first.
    pub undone: Vec<AumHash>,
}

/// Looks at what others ask us to cosign, which the original signs whatever it is (spec 16.7).
///
/// Holds if it is a checkpoint of this lock on a known parent of the active branch, whose state is
/// that at some AUM of the active branch since the parent, minus some keys: so that a thief cannot
/// void a half-signed revocation by changing something meanwhile, and nobody smuggles a key or a
/// disablement value in. Its signers, if it has any yet, must all be trusted at the parent.
/// Somebody must be left who can sign.
///
/// Replays the branch from the fork point on: as many steps as it would undo.
pub fn examine(
    rows: &dyn Rows,
    authority: &Authority,
    revocation: &Aum,
) -> Result<Examined, Failure> {
    let not = |what| Failure::from(NotRevoked::NotARevocation(what));
    revocation.check()?;
    let (Some(state), Some(parent)) = (&revocation.state, revocation.parent_hash()) else {
        return Err(not("it is no checkpoint on top of another AUM"));
    };
    if revocation.kind != AumKind::CHECKPOINT || revocation.parent.as_deref() != Some(&parent.0) {
        return Err(not("it is no checkpoint on top of another AUM"));
    }
    let now = authority.state();
    if state.state_id() != now.state_id() {
        return Err(not("it belongs to another lock"));
    }
    let chain = authority.chain(rows);
    if !chain.is_ancestor(&parent, &authority.head())? {
        return Err(not("the AUM that it would follow is not on the active chain"));
    }
    if next_on(chain, &parent, authority)?.is_some_and(|next| next == revocation.sig_hash()) {
        return Err(NotRevoked::InForce.into());
    }
    let undone = above(chain, &parent, authority)?;
    let at_parent = state_at(chain, &parent)?;
    trusted_signers(revocation, parent, &at_parent)?;
    let (once, planted) = replay(chain, at_parent, &undone, state)?;
    match once {
        Once::Whole => {}
        Once::Keys => return Err(not("it would change the disablement values")),
        Once::Never => {
            return Err(not("its keys were never all trusted together since the fork point"));
        }
    }
    somebody_can_sign(state)?;
    let without = |keys: &[Key], other: &State| -> Vec<Key> {
        let missing = |key: &&Key| key.id().is_none_or(|id| other.key(id).is_none());
        keys.iter().filter(missing).cloned().collect()
    };
    let other = |key: &&Key| key.id().and_then(|id| state.key(id)).is_some_and(|was| was != *key);
    Ok(Examined {
        fork_point: parent,
        removed: without(now.keys(), state),
        restored: without(state.keys(), now),
        reset: now.keys().iter().filter(other).cloned().collect(),
        planted,
        disablement: values(state) != values(now),
        undone,
    })
}

/// The AUMs of the active branch above `parent`, newest first.
pub(super) fn above(
    chain: Chain<'_>,
    parent: &AumHash,
    authority: &Authority,
) -> Result<Vec<AumHash>, Fault> {
    let hashes = chain.back_from(authority.head()).map(|aum| aum.map(|aum| aum.hash()));
    hashes.take_while(|hash| hash.as_ref().map_or(true, |hash| hash != parent)).collect()
}

/// What is signed in the AUM after `hash` on the active branch.
fn next_on(
    chain: Chain<'_>,
    hash: &AumHash,
    authority: &Authority,
) -> Result<Option<SigHash>, Fault> {
    let above = chain.known(hash)?.height + 1;
    let next = chain.ancestor_at(&authority.head(), above)?;
    let next = next.map(|next| chain.aum(&next)).transpose()?.flatten();
    Ok(next.map(|aum| aum.sig_hash()))
}

pub(super) fn state_at(chain: Chain<'_>, hash: &AumHash) -> Result<State, Fault> {
    let state = chain.state_at(hash)?;
    state.ok_or_else(|| Fault::new(format!("the state at AUM {hash} is missing")))
}

/// Whether each signature is of another key that is trusted at the fork point. One that is not
/// would make every client refuse the whole (spec 3.4), so nobody can void a revocation by it.
fn trusted_signers(revocation: &Aum, at: AumHash, state: &State) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for signature in &revocation.signatures {
        // The static rules hold, so the ID has 32 bytes.
        let id = signature.key_id.as_deref().and_then(|id| id.try_into().ok());
        let key = LockKey(id.ok_or_else(|| Fault::new("a signer without 32 bytes"))?);
        if state.key(&key.0).is_none() {
            return Err(NotRevoked::UntrustedSigner { key, at }.into());
        }
        if !seen.insert(key) {
            return Err(NotRevoked::SignedTwice(key).into());
        }
    }
    Ok(())
}

/// How much of a revocation's state was in force at one AUM of the active branch.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Once {
    /// Its keys never were.
    Never,
    /// Its keys were among those that were trusted, but its disablement values were others.
    Keys,
    /// All of it, but for the keys that it takes away.
    Whole,
}

fn values(state: &State) -> BTreeSet<&[u8]> {
    state.disablement_values().collect()
}

/// How much of the state was in force at the fork point or after one of the AUMs since, which are
/// given newest first; and which of its keys came in meanwhile by keys alone that it has not.
fn replay(
    chain: Chain<'_>,
    mut then: State,
    since: &[AumHash],
    state: &State,
) -> Result<(Once, Vec<Key>), Fault> {
    let wanted = values(state);
    let fits = |then: &State| {
        // In the order in which they stood.
        let mut keys = then.keys().iter();
        match state.keys().iter().all(|key| keys.any(|other| other == key)) {
            false => Once::Never,
            true if values(then) != wanted => Once::Keys,
            true => Once::Whole,
        }
    };
    let (mut best, mut planted) = (fits(&then), Vec::new());
    for hash in since.iter().rev() {
        if best == Once::Whole {
            break;
        }
        let aum = chain.aum(hash)?;
        let aum = aum.ok_or_else(|| Fault::new(format!("AUM {hash} is missing")))?;
        let before =
            matches!(aum.kind, AumKind::ADD_KEY | AumKind::CHECKPOINT).then(|| then.clone());
        then.apply(&aum).map_err(|e| {
            Fault::from_error(format!("stored AUM {hash} does not apply to its parent"), e)
        })?;
        if aum.kind != AumKind::NO_OP {
            best = best.max(fits(&then));
        }
        let has = |state: &State, key: &Key| key.id().is_some_and(|id| state.key(id).is_some());
        // One that goes and comes again is judged by who brings it back.
        planted.retain(|key| has(&then, key));
        let stays = |id: &[u8]| state.key(id).is_some();
        let by_one_that_stays =
            aum.signatures.iter().any(|by| by.key_id.as_deref().is_some_and(stays));
        if let Some(before) = before.filter(|_| !by_one_that_stays) {
            let new = state.keys().iter().filter(|key| has(&then, key) && !has(&before, key));
            planted.extend(new.cloned());
        }
    }
    Ok((best, planted))
}
