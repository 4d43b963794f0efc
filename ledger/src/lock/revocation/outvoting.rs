//! Whether a revocation has a right to what it undoes: what our ledger asks of it besides what the
//! original's rules ask (docs/door.md).
//!
//! The original lets whoever was trusted at an AUM fork there, against everything that came since
//! (spec 14.2, W5). Here the signers must outvote those whose trust they take away, not only at
//! the fork point but for as long as nothing speaks against these: at each state up to the first
//! AUM that only they have signed. What comes after it may be their doing, and does not count.

use std::collections::BTreeMap;

use super::NotRevoked;
use super::examine::{above, state_at};
use crate::ids::AumHash;
use crate::lock::{Authority, Key, NotInformed, Sealed, State};
use crate::rows::Rows;
use crate::{Failure, Fault};

/// The votes for and against a revocation where it has the weakest stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// The AUM after which it was so.
    pub at: AumHash,
    /// Votes of the signers.
    pub present: u64,
    /// Votes of the keys whose trust the revocation takes away.
    pub taken: u64,
    /// An AUM that the revocation undoes, and some of whose signers have to sign it for that.
    pub undoes: Option<AumHash>,
}

impl Stand {
    /// Votes that are missing.
    pub fn missing(&self) -> u64 {
        (self.taken.saturating_add(1)).saturating_sub(self.present)
    }
}

/// Looks at what a revocation that [`super::examine`] has found to be one takes away, and finds
/// where its signers have the fewest votes to spare.
///
/// Refuses one that takes nothing away, and one that undoes a change of what it leaves trusted
/// which others than the keys it takes away have made: unless these came after the first AUM that
/// only those keys have signed, and sign the revocation too. Replays the branch from the fork point
/// on: as many steps as it would undo.
pub fn weakest_stand(
    rows: &dyn Rows,
    authority: &Authority,
    revocation: &Sealed,
) -> Result<Stand, Failure> {
    let parent = revocation.parent_hash().ok_or(NotInformed::NoParent(0))?;
    let chain = authority.chain(rows);
    let Some(kept) = &revocation.state else {
        return Err(NotRevoked::NotARevocation("it is no checkpoint").into());
    };
    let mut then = state_at(chain, &parent)?;
    // What binds as long as nobody else signs, and what would bind even then.
    let (mut others, mut in_the_end) = (Others::new(&then), Others::new(&then));
    let could_sign = then.clone();
    let mut weakest = stand(parent, &then, kept, revocation);
    let mut takes = weakest.taken > 0;
    let mut disputed = false;
    for hash in above(chain, &parent, authority)?.into_iter().rev() {
        let aum = chain.aum(&hash)?;
        let aum = aum.ok_or_else(|| Fault::new(format!("AUM {hash} is missing")))?;
        let theirs = only_by_others_than(&aum, kept);
        disputed |= theirs;
        let before = (!theirs).then(|| then.clone());
        then.apply(&aum).map_err(|e| {
            Fault::from_error(format!("stored AUM {hash} does not apply to its parent"), e)
        })?;
        if let Some(before) = before {
            let signed =
                |id: &[u8]| revocation.signatures.iter().any(|by| by.key_id.as_deref() == Some(id));
            let binds = !(disputed && agreed(&aum, kept, &signed));
            others.changed(&before, &then, binds.then_some(hash));
            let binds = !(disputed && agreed(&aum, kept, &|id| could_sign.key(id).is_some()));
            in_the_end.changed(&before, &then, binds.then_some(hash));
        }
        let stand = stand(hash, &then, kept, revocation);
        takes |= stand.taken > 0;
        if !disputed && !planted!(WeighAtFork) && stand.missing() >= weakest.missing() {
            weakest = stand;
        }
    }
    if !takes {
        return Err(NotRevoked::TakesNothing.into());
    }
    in_the_end.leave(kept, authority.state())?;
    weakest.undoes = match others.leave(kept, authority.state()) {
        Err(NotRevoked::Contradicts { by }) => Some(by),
        other => other.map(|()| None)?,
    };
    Ok(weakest)
}

/// Whether an AUM was signed, and by keys alone that are not in `kept`.
fn only_by_others_than(aum: &Sealed, kept: &State) -> bool {
    let mut signers = aum.signatures.iter().filter_map(|by| by.key_id.as_deref());
    signers.all(|id| kept.key(id).is_none())
}

/// Whether all signers of an AUM that are in `kept` sign the revocation.
fn agreed(aum: &Sealed, kept: &State, signed: &dyn Fn(&[u8]) -> bool) -> bool {
    let mut signers = aum.signatures.iter().filter_map(|by| by.key_id.as_deref());
    signers.all(|id| kept.key(id).is_none() || signed(id))
}

fn stand(at: AumHash, state: &State, kept: &State, revocation: &Sealed) -> Stand {
    let goes = |key: &&Key| key.id().is_none_or(|id| kept.key(id).is_none());
    let taken = state.keys().iter().filter(goes).map(|key| key.votes);
    let present = state.weight(revocation);
    Stand { at, present, taken: taken.fold(0, u64::saturating_add), undoes: None }
}

/// How keys and disablement values may be left: as by the last AUM that binds, and by those since.
/// Where there was none, as at the fork point.
struct Others {
    at_fork: State,
    keys: BTreeMap<Vec<u8>, Left<Option<Key>>>,
    values: Left<Option<Vec<Option<Vec<u8>>>>>,
}

/// How one thing may be left, and the AUM that has bound it.
struct Left<T> {
    ways: Vec<T>,
    by: Option<AumHash>,
}

impl<T: PartialEq> Left<T> {
    fn changed(&mut self, now: T, by: Option<AumHash>) {
        if by.is_some() {
            self.ways.clear();
            self.by = by;
        }
        self.ways.push(now);
    }

    fn leaves(&self, it: &T, what: &'static str) -> Result<(), NotRevoked> {
        match self.by {
            _ if planted!(RestoreAnything) => Ok(()),
            _ if self.ways.contains(it) => Ok(()),
            Some(by) => Err(NotRevoked::Contradicts { by }),
            None => Err(NotRevoked::NotARevocation(what)),
        }
    }
}

impl Others {
    fn new(at_fork: &State) -> Self {
        let values = Left { ways: vec![at_fork.disablement_values.clone()], by: None };
        Others { at_fork: at_fork.clone(), keys: BTreeMap::new(), values }
    }

    /// Somebody else has changed things, and that binds if it is said which AUM it was.
    fn changed(&mut self, before: &State, after: &State, by: Option<AumHash>) {
        for key in before.keys().iter().chain(after.keys()) {
            let Some(id) = key.id() else { continue };
            if before.key(id) != after.key(id) {
                let first = || Left { ways: vec![self.at_fork.key(id).cloned()], by: None };
                let left = self.keys.entry(id.to_vec()).or_insert_with(first);
                left.changed(after.key(id).cloned(), by);
            }
        }
        if before.disablement_values != after.disablement_values {
            self.values.changed(after.disablement_values.clone(), by);
        }
    }

    /// Whether all that a revocation leaves is as it is now, or as others have left it.
    fn leave(&self, kept: &State, now: &State) -> Result<(), NotRevoked> {
        for key in kept.keys() {
            let Some(id) = key.id() else { continue };
            if now.key(id) == Some(key) {
                continue;
            }
            match self.keys.get(id) {
                Some(left) => left.leaves(&Some(key.clone()), "it changes a key")?,
                None if self.at_fork.key(id) == Some(key) => {}
                None => return Err(NotRevoked::NotARevocation("it changes a key")),
            }
        }
        if kept.disablement_values == now.disablement_values {
            return Ok(());
        }
        self.values.leaves(&kept.disablement_values, "it would change the disablement values")
    }
}
