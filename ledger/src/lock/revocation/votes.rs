//! Whether a revocation wins, and who could still make it win.

use super::examine::state_at;
use crate::Failure;
use crate::ids::LockKey;
use crate::lock::chain::Preference;
use crate::lock::{Authority, Key, NotInformed, Sealed};
use crate::rows::Rows;

/// The votes on a revocation. All of them count as at its fork point (spec 5.1, 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    /// Who has signed, with their votes.
    pub signers: Vec<(LockKey, u64)>,
    /// Who could sign as well: the keys with a say that it leaves trusted.
    pub others: Vec<(LockKey, u64)>,
    /// The votes of the signers: its weight.
    pub present: u64,
    /// The weight of the branch that it would replace; none if nothing follows its fork point.
    pub against: Option<u64>,
    /// Whether fork resolution prefers it as it is (spec 5.2).
    pub wins: bool,
    /// Votes of the keys that it takes away. A revocation that has no more than these can be
    /// outvoted by them later.
    pub taken: u64,
}

impl Votes {
    /// Votes with which it wins whatever its hash will be, besides those that it has; 0 if it wins
    /// already.
    pub fn missing(&self) -> u64 {
        match self.against {
            Some(against) if !self.wins => (against + 1).saturating_sub(self.present).max(1),
            _ if self.present == 0 => 1,
            _ => 0,
        }
    }

    /// Votes with which the keys that it takes away cannot outvote it any more, besides those that
    /// it has.
    pub fn missing_to_be_safe(&self) -> u64 {
        (self.taken + 1).saturating_sub(self.present).max(self.missing())
    }

    /// Votes of those who could sign as well.
    pub fn left(&self) -> u64 {
        self.others.iter().fold(0, |sum, (_, votes)| sum.saturating_add(*votes))
    }

    /// Whether it can win with everybody's signature who has not signed yet.
    pub fn can_win(&self) -> bool {
        self.missing() <= self.left()
    }
}

/// Counts the votes on a revocation that [`super::examine`] has found to be one. A few reads.
pub fn votes(
    rows: &dyn Rows,
    authority: &Authority,
    revocation: &Sealed,
) -> Result<Votes, Failure> {
    let parent = revocation.parent_hash().ok_or(NotInformed::NoParent(0))?;
    let chain = authority.chain(rows);
    let state = state_at(chain, &parent)?;
    let present = state.weight(revocation);
    let best = match chain.best_child(&parent)? {
        Some(hash) if hash != revocation.hash() => Some((hash, chain.known(&hash)?)),
        _ => None,
    };
    let ours = Preference::of(revocation, present);
    let wins = present > 0
        && best
            .as_ref()
            .is_none_or(|(hash, node)| ours < Preference::new(node.weight, node.kind, *hash));
    let signed = |key: &LockKey| {
        revocation.signatures.iter().any(|signature| signature.key_id.as_deref() == Some(&key.0))
    };
    let (mut signers, mut others, mut taken) = (Vec::new(), Vec::new(), 0_u64);
    for key in state.keys() {
        let stays = key.id().is_some_and(|id| {
            revocation.state.as_ref().is_some_and(|state| state.key(id).is_some())
        });
        if !stays {
            taken = taken.saturating_add(key.votes);
        }
        let Some(id) = key.lock_key() else { continue };
        if signed(&id) {
            signers.push((id, key.votes));
        } else if stays && Key::can_sign(key) {
            others.push((id, key.votes));
        }
    }
    let against = best.map(|(_, node)| node.weight);
    Ok(Votes { signers, others, present, against, wins, taken })
}
