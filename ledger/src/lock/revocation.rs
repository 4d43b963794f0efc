//! Taking trust back retroactively: a checkpoint without the compromised keys, on a fork from
//! before they could do harm (spec 10).

use std::collections::BTreeSet;

use super::builder::sign;
use super::signatures::Signer;
use super::{Aum, AumKind, Authority, Key, Sealed};
use crate::ids::{AumHash, LockKey};
use crate::rows::Rows;
use crate::{Failure, Fault, Refusal};

/// Why a revocation is not made or not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRevoked {
    /// None of the keys is trusted.
    #[error("no provided key is currently trusted")]
    NotTrusted,
    /// Nobody would be left.
    #[error("cannot revoke all trusted keys")]
    AllKeys,
    /// The checkpoint breaks the static rules.
    #[error("generated revocation was invalid: {0}")]
    Invalid(#[source] Box<Refusal>),
    /// The key has signed already.
    #[error("this node has already signed this recovery AUM")]
    AlreadySigned,
    /// Only revocations are cosigned.
    #[error("not a revocation: {0}")]
    NotARevocation(&'static str),
}

/// The revocation of `keys` (IDs), not signed yet: a checkpoint of the current state without
/// them (spec 10). Keys that are not trusted are passed over.
///
/// Its parent is `fork_from` as given, known or not; without it the [`fork_point`] for the signer
/// `our`. Costs what the fork point costs.
pub fn generate(
    rows: &dyn Rows,
    authority: &Authority,
    keys: &[Vec<u8>],
    our: &LockKey,
    fork_from: Option<AumHash>,
) -> Result<Aum, Failure> {
    let parent = match fork_from {
        Some(parent) => parent,
        None => fork_point(rows, authority, keys, our)?,
    };
    let mut state = authority.state().clone();
    state.last_aum = None;
    if let Some(trusted) = &mut state.keys {
        trusted.retain(|key| !keys.iter().any(|id| key.id() == Some(id.as_slice())));
    }
    if state.keys().is_empty() {
        return Err(NotRevoked::AllKeys.into());
    }
    let mut aum = Aum::new(AumKind::CHECKPOINT, Some(parent));
    aum.state = Some(state);
    aum.check().map_err(|e| NotRevoked::Invalid(Box::new(e.into())))?;
    Ok(aum)
}

/// Where a revocation of `keys` should fork off: going back from the head, the first AUM at which
/// none of them is trusted and our own key is; failing that, the oldest AUM (spec 10).
///
/// For each change of one of these keys' trust, a logarithm of the height; the length of the
/// chain does not matter.
pub fn fork_point(
    rows: &dyn Rows,
    authority: &Authority,
    keys: &[Vec<u8>],
    our: &LockKey,
) -> Result<AumHash, Failure> {
    if !keys.iter().any(|id| authority.state().key(id).is_some()) {
        return Err(NotRevoked::NotTrusted.into());
    }
    let chain = authority.chain(rows);
    let (oldest, head) = (authority.oldest(), authority.head());
    let wanted: BTreeSet<(&[u8], bool)> =
        keys.iter().map(|id| (id.as_slice(), false)).chain([(our.0.as_slice(), true)]).collect();
    let mut height = authority.head_place().height;
    loop {
        // The lowest height at which some key began to stand against us and still does.
        let mut lowest: Option<u64> = None;
        for (id, want) in &wanted {
            let since = match chain.trust_below(id, height, &head)? {
                Some(change) if change.trusted != *want => change.at.height,
                // Never trusted at all down here.
                None if *want => return Ok(oldest.hash),
                _ => continue,
            };
            lowest = Some(lowest.map_or(since, |lowest| lowest.min(since)));
        }
        height = match lowest {
            None => break,
            Some(since) if since > oldest.height => since - 1,
            Some(_) => return Ok(oldest.hash),
        };
    }
    let found = chain.ancestor_at(&head, height)?;
    Ok(found.ok_or_else(|| Fault::new("an ancestor of the head is missing"))?)
}

/// A revocation with one more signature, by whichever key; nobody signs twice (spec 10).
///
/// Whether it may be signed is another question: see [`examine`].
pub fn cosign(revocation: Sealed, signer: &dyn Signer) -> Result<Sealed, Refusal> {
    let ours = signer.public().0;
    if revocation.signatures.iter().any(|s| s.key_id.as_deref() == Some(&ours)) {
        return Err(NotRevoked::AlreadySigned.into());
    }
    let mut aum = revocation.into_aum();
    let signature = sign(&aum, signer);
    aum.signatures.push(signature);
    Ok(Sealed::new(aum))
}

/// What a revocation would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Where it forks off.
    pub fork_point: AumHash,
    /// Keys trusted now that it would no longer trust.
    pub removed: Vec<Key>,
    /// AUMs of the active branch that it would undo, newest first.
    pub undone: Vec<AumHash>,
}

/// Looks at what others ask us to cosign, which the original signs whatever it is (spec 16.7).
///
/// Holds if it is a checkpoint of this lock on a known parent of the active branch, whose
/// disablement values are those of now and whose keys are the trusted keys at some AUM of the
/// active branch since the parent, minus some: so that a thief cannot void a half-signed
/// revocation by changing something meanwhile, and nobody smuggles a key in. Walks from the head
/// back to the fork point.
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
    let values = |state: &super::State| -> BTreeSet<Vec<u8>> {
        state.disablement_values().map(<[u8]>::to_vec).collect()
    };
    if values(state) != values(now) {
        return Err(not("it would change the disablement values"));
    }
    let mut undone = Vec::new();
    let mut fits = false;
    for aum in chain.back_from(authority.head()) {
        let hash = aum?.hash();
        fits = fits || {
            let then = chain.state_at(&hash)?;
            let then = then.ok_or_else(|| Fault::new("the state at a stored AUM is missing"))?;
            // In the order in which they stood, nothing but keys of then.
            let mut then = then.keys().iter();
            state.keys().iter().all(|key| then.any(|other| other == key))
        };
        if hash == parent {
            break;
        }
        undone.push(hash);
    }
    if !fits {
        return Err(not("its keys were never all trusted together since the fork point"));
    }
    let removed = now
        .keys()
        .iter()
        .filter(|key| key.id().is_none_or(|id| state.key(id).is_none()))
        .cloned()
        .collect();
    Ok(Examined { fork_point: parent, removed, undone })
}
