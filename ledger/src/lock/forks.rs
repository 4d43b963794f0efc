//! The active chain of a foreign store: AUMs that nobody has verified, perhaps of several chains,
//! and a hint which of them was active (spec 5.4).
//!
//! Our own chains are kept as rows, where each AUM was verified before it was stored; see
//! [`super::Authority`]. This is what the original would open, for stores that it wrote.

use std::collections::BTreeMap;

use super::chain::Preference;
use super::{AumKind, Invalid, Sealed, State};
use crate::Refusal;
use crate::ids::AumHash;

/// Why a store has no active chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The store is empty.
    #[error("no chain candidates in AUM storage")]
    Empty,
    /// There are several chains, and the hint is on none of them, or nothing follows it.
    #[error("multiple distinct chains, and nothing says which one was active")]
    SeveralChains,
    /// The oldest AUM is no checkpoint and its parent is missing.
    #[error("bootstrapping state: the parent {0} of the oldest AUM is missing")]
    MissingParent(AumHash),
    /// A chain cannot begin with such an AUM.
    #[error("bootstrapping state: invalid genesis update of kind {0}")]
    Genesis(AumKind),
    /// An AUM of the active chain cannot be applied.
    #[error("fast forward at {at}: {reason}")]
    NotApplicable {
        /// The AUM.
        at: AumHash,
        /// Why.
        #[source]
        reason: Box<Refusal>,
    },
}

/// The active chain of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The oldest AUM of the active chain.
    pub oldest: AumHash,
    /// The AUMs of the active chain, `oldest` first, the head last.
    pub active: Vec<AumHash>,
    /// The state after the head.
    pub state: State,
}

impl Opened {
    /// The head.
    pub fn head(&self) -> AumHash {
        self.active.last().copied().unwrap_or(self.oldest)
    }
}

/// The AUMs of a store, linked.
struct Links<'a> {
    aums: &'a BTreeMap<AumHash, Sealed>,
    children: BTreeMap<AumHash, Vec<AumHash>>,
}

impl Links<'_> {
    fn parent(&self, hash: &AumHash) -> Option<AumHash> {
        let parent = self.aums.get(hash)?.parent_hash()?;
        self.aums.contains_key(&parent).then_some(parent)
    }

    /// The oldest AUM of the chain that `hash` is on.
    fn oldest(&self, mut hash: AumHash) -> AumHash {
        while let Some(parent) = self.parent(&hash) {
            hash = parent;
        }
        hash
    }
}

/// Finds the active chain and folds it (spec 5.4): as the original does, but without its limit on
/// the number of AUMs (rule `walk-limit`), and with the marks of all heads combined where the
/// original may lose one (rule `marks-combined`). As many steps as there are AUMs.
pub fn open(
    aums: &BTreeMap<AumHash, Sealed>,
    last_active: Option<AumHash>,
) -> Result<Opened, NotOpened> {
    let mut children = BTreeMap::<_, Vec<_>>::new();
    for (hash, aum) in aums {
        if let Some(parent) = aum.parent_hash() {
            children.entry(parent).or_default().push(*hash);
        }
    }
    let links = Links { aums, children };
    let oldest = active_root(&links, last_active)?;
    let mut state = first_state(&links, &oldest)?;
    let mut active = vec![oldest];
    let mut at = oldest;
    while let Some(next) = preferred(&links, &at, &state)? {
        state.apply(next).map_err(|reason| not_applicable(next, reason))?;
        at = next.hash();
        active.push(at);
    }
    Ok(Opened { oldest, active, state })
}

/// The root of the only chain, or of the one on which something follows the hint.
fn active_root(links: &Links<'_>, last_active: Option<AumHash>) -> Result<AumHash, NotOpened> {
    // Every chain has a root, and no root's parent is stored.
    let mut roots = links.aums.keys().filter(|hash| links.parent(hash).is_none());
    let first = roots.next().ok_or(NotOpened::Empty)?;
    if roots.next().is_none() {
        return Ok(*first);
    }
    last_active
        .filter(|hint| links.aums.contains_key(hint) && links.children.contains_key(hint))
        .map(|hint| links.oldest(hint))
        .ok_or(NotOpened::SeveralChains)
}

/// The state after the oldest AUM (spec 4).
fn first_state(links: &Links<'_>, oldest: &AumHash) -> Result<State, NotOpened> {
    let aum = links.aums.get(oldest).ok_or(NotOpened::Empty)?;
    if aum.kind == AumKind::CHECKPOINT {
        let missing = || not_applicable(aum, super::NotApplicable::NoState.into());
        return State::at_checkpoint(aum).ok_or_else(missing);
    }
    if let Some(parent) = aum.parent_hash() {
        return Err(NotOpened::MissingParent(parent));
    }
    if !matches!(aum.kind, AumKind::NO_OP | AumKind::ADD_KEY) {
        return Err(NotOpened::Genesis(aum.kind));
    }
    let mut state = State::default();
    state.apply(aum).map_err(|reason| not_applicable(aum, reason))?;
    Ok(state)
}

/// The child that fork resolution prefers (spec 5.2), none at the head.
fn preferred<'a>(
    links: &Links<'a>,
    parent: &AumHash,
    state: &State,
) -> Result<Option<&'a Sealed>, NotOpened> {
    let children = links.children.get(parent).map(Vec::as_slice).unwrap_or_default();
    let siblings: Vec<&Sealed> = children.iter().filter_map(|hash| links.aums.get(hash)).collect();
    if siblings.len() < 2 {
        return Ok(siblings.first().copied());
    }
    let mut best: Option<(Preference, &Sealed)> = None;
    for aum in siblings {
        // Nobody has checked these signatures' form. (The original crashes here.)
        let odd = aum.signatures.iter().position(|s| s.key_id.as_ref().map(Vec::len) != Some(32));
        if let Some(index) = odd {
            return Err(not_applicable(aum, Invalid::SignatureShape(index).into()));
        }
        let preference = Preference::of(aum, state.weight(aum));
        if best.as_ref().is_none_or(|(other, _)| preference < *other) {
            best = Some((preference, aum));
        }
    }
    Ok(best.map(|(_, aum)| aum))
}

fn not_applicable(aum: &Sealed, reason: Refusal) -> NotOpened {
    NotOpened::NotApplicable { at: aum.hash(), reason: Box::new(reason) }
}
