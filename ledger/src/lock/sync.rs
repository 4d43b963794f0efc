//! What two authorities tell and send each other until they agree (spec 6).

use super::{AumKind, Authority, Sealed};
use crate::ids::AumHash;
use crate::limits::OFFER_WALK;
use crate::rows::Rows;
use crate::{Failure, Fault};

/// What one side knows (spec 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its head.
    pub head: AumHash,
    /// Checkpoints back from the head, newest first, and its oldest AUM last.
    pub ancestors: Vec<AumHash>,
}

/// Where two chains meet (spec 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intersection {
    /// The heads are equal.
    UpToDate,
    /// The other's head is this AUM of our active branch: it lacks exactly what comes after.
    Head(AumHash),
    /// This ancestor of the other's is on our active branch: it may know some of what comes after.
    Tail(AumHash),
}

/// Two chains that do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no intersection: nothing that the other side offers is on our active branch")]
pub struct NoIntersection;

/// The offer of an authority. As many reads as there are checkpoints among the last 1,000 AUMs,
/// which is what the original looks back.
pub fn offer(rows: &dyn Rows, authority: &Authority) -> Result<Offer, Fault> {
    let chain = authority.chain(rows);
    let (head, oldest) = (authority.head_place(), authority.oldest());
    let mut ancestors = Vec::new();
    let mut node = chain.known(&head.hash)?;
    if node.kind == AumKind::CHECKPOINT && head != oldest {
        ancestors.push(head.hash);
    }
    while let Some(checkpoint) = node.checkpoint {
        if checkpoint.height <= oldest.height || head.height - checkpoint.height >= OFFER_WALK {
            break;
        }
        ancestors.push(checkpoint.hash);
        node = chain.known(&checkpoint.hash)?;
    }
    ancestors.push(oldest.hash);
    Ok(Offer { head: head.hash, ancestors })
}

/// Where our active branch meets what the other side offers. For each of its ancestors a
/// logarithm of the height.
///
/// Differs from the original where that gives up (rule `walk-limit`): the other's head is found
/// however far back it is.
pub fn intersection(
    rows: &dyn Rows,
    authority: &Authority,
    remote: &Offer,
) -> Result<Intersection, Failure> {
    let chain = authority.chain(rows);
    let head = authority.head();
    if remote.head == head {
        return Ok(Intersection::UpToDate);
    }
    if chain.is_ancestor(&remote.head, &head)? {
        return Ok(Intersection::Head(remote.head));
    }
    for ancestor in &remote.ancestors {
        if chain.is_ancestor(ancestor, &head)? {
            return Ok(Intersection::Tail(*ancestor));
        }
    }
    Err(NoIntersection.into())
}

/// The AUMs of our active branch that the other side lacks or may lack, oldest first: what it can
/// inform its authority of (spec 6.3). One read for each, besides finding where they begin.
pub fn missing_aums(
    rows: &dyn Rows,
    authority: &Authority,
    remote: &Offer,
) -> Result<Vec<Sealed>, Failure> {
    let from = match intersection(rows, authority, remote)? {
        Intersection::UpToDate => return Ok(Vec::new()),
        Intersection::Head(from) | Intersection::Tail(from) => from,
    };
    let mut missing = Vec::new();
    for aum in authority.chain(rows).back_from(authority.head()) {
        let aum = aum?;
        if aum.hash() == from {
            break;
        }
        missing.push(aum);
    }
    missing.reverse();
    Ok(missing)
}
