//! What two authorities tell and send each other until they agree (spec 6).

use super::chain::{Chain, Place};
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
        let far = head.height.saturating_sub(checkpoint.height) >= OFFER_WALK;
        if checkpoint.height <= oldest.height || far {
            break;
        }
        ancestors.push(checkpoint.hash);
        match chain.checkpoint_of(&node)? {
            Some((_, below)) => node = below,
            None => break,
        }
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
    Ok(after(authority, rows, from, authority.head())?)
}

/// As many of [`missing_aums`] as fit, oldest first: the other side informs its authority of them
/// and asks again. At least one, however large. Reads no more than `most` AUMs.
pub fn missing_page(
    rows: &dyn Rows,
    authority: &Authority,
    remote: &Offer,
    most: u64,
    most_bytes: usize,
) -> Result<Vec<Sealed>, Failure> {
    let (chain, head) = (authority.chain(rows), authority.head_place());
    let page = |from: AumHash| -> Result<Vec<Sealed>, Fault> {
        let end = chain.known(&from)?.height.saturating_add(most);
        let last = chain.ancestor_at(&head.hash, head.height.min(end))?;
        let last = last.ok_or_else(|| Fault::new("the active branch has a gap"))?;
        let mut page = after(authority, rows, from, last)?;
        let mut bytes = 0_usize;
        let fits = page.iter().take_while(|aum| {
            bytes = bytes.saturating_add(aum.bytes().len());
            bytes <= most_bytes
        });
        let fits = fits.count().max(1);
        page.truncate(fits);
        Ok(page)
    };
    match intersection(rows, authority, remote)? {
        Intersection::UpToDate => Ok(Vec::new()),
        Intersection::Head(from) => Ok(page(from)?),
        Intersection::Tail(tail) => {
            let whole = page(tail)?;
            let complete = whole.last().is_none_or(|last| last.hash() == head.hash);
            // A page of nothing but AUMs that the other side has would be asked for again and
            // again. If its head is stored here, it has everything up to where its branch left.
            match chain.node(&remote.head)? {
                Some(node) if !complete => {
                    let theirs = Place { hash: remote.head, height: node.height };
                    Ok(page(last_in_common(&chain, head, theirs, tail)?)?)
                }
                _ => Ok(whole),
            }
        }
    }
}

/// The last AUM that two branches have in common, at or above one that they do. A logarithm of
/// the height, squared.
fn last_in_common(
    chain: &Chain<'_>,
    one: Place,
    other: Place,
    common: AumHash,
) -> Result<AumHash, Fault> {
    let mut found = common;
    let mut low = chain.known(&common)?.height;
    let mut high = one.height.min(other.height);
    while low < high {
        let middle = high - (high - low) / 2;
        match chain.ancestor_at(&one.hash, middle)? {
            Some(hash) if chain.ancestor_at(&other.hash, middle)? == Some(hash) => {
                (found, low) = (hash, middle);
            }
            _ => high = middle - 1,
        }
    }
    Ok(found)
}

/// The AUMs after `from` up to `last` on one branch, oldest first.
fn after(
    authority: &Authority,
    rows: &dyn Rows,
    from: AumHash,
    last: AumHash,
) -> Result<Vec<Sealed>, Fault> {
    let mut aums = Vec::new();
    for aum in authority.chain(rows).back_from(last) {
        let aum = aum?;
        if aum.hash() == from {
            break;
        }
        aums.push(aum);
    }
    aums.reverse();
    Ok(aums)
}
