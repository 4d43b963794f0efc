//! AUMs at the door: one line, and who may leave it.

use super::finality::{self, Final};
use crate::history::EventRefusal;
use crate::history::SignedProposal;
use crate::history::effects::Step;
use crate::history::event::AumsAdded;
use crate::lock::revocation::{NotRevoked, examine, weakest_stand};
use crate::lock::signatures::Verified;
use crate::lock::{Authority, Sealed, State};
use crate::rows::Rows;
use crate::{Failure, Refusal};

/// What an AUM is to the active branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// It follows the head.
    Follows,
    /// It is a revocation, on the head or further back.
    Revokes,
}

/// The authority once it has taken the AUMs in one by one, each of which must become the head.
pub(in crate::history) fn take(
    step: &mut Step<'_>,
    authority: &Authority,
    added: &AumsAdded,
    whole: &Verified<&SignedProposal>,
) -> Result<Authority, Failure> {
    let mut now = authority.clone();
    for aum in &added.aums {
        let what = judge(&step.rows, &now, aum)?;
        let last = Final::of(&step.rows, &now)?;
        let forced = match what {
            Move::Follows => {
                last.within_quota(step, &now, aum)?;
                false
            }
            Move::Revokes => last.may_undo(&step.rows, &now, aum)?,
        };
        let before = now.clone();
        now.inform(&mut step.rows, &[whole.part(aum.clone())])?;
        if now.head() != aum.hash() {
            return Err(loses(&step.rows, &before, &now, aum)?.into());
        }
        finality::count(step, &last, before.head(), &now, aum, forced)?;
    }
    Ok(now)
}

/// What the door would have against an AUM of a lock that is decided elsewhere, as far as that can
/// be told from the AUMs. Nothing, if it is not valid at all or belongs to a branch that lost.
pub(in crate::history) fn objection(
    rows: &dyn Rows,
    authority: &Authority,
    aum: &Sealed,
) -> Result<Option<Refusal>, Failure> {
    match judge(rows, authority, aum) {
        Ok(_) => Ok(None),
        Err(Failure::Refused(refusal)) => Ok(Some(refusal)),
        Err(fault) => Err(fault),
    }
}

fn judge(rows: &dyn Rows, authority: &Authority, aum: &Sealed) -> Result<Move, Failure> {
    let head = authority.head();
    let parent = aum.parent_hash();
    match aum.checkpointed() {
        None if parent == Some(head) => return Ok(Move::Follows),
        None => return Err(EventRefusal::ForkWithoutRevocation { parent, head }.into()),
        Some(state) if parent == Some(head) && is_sum(state, authority.state()) => {
            return Ok(Move::Follows);
        }
        Some(_) => {}
    }
    examine(rows, authority, aum)?;
    let weakest = weakest_stand(rows, authority, aum)?;
    if weakest.missing() > 0 {
        return Err(EventRefusal::Outvoted(weakest).into());
    }
    if let Some(by) = weakest.undoes {
        return Err(NotRevoked::Contradicts { by }.into());
    }
    Ok(Move::Revokes)
}

/// Whether a checkpoint says what is so anyhow.
fn is_sum(checkpoint: &State, now: &State) -> bool {
    let same = State { last_aum: now.last_aum, ..checkpoint.clone() };
    same == *now
}

/// What the head's branch has against an AUM that did not become the head.
fn loses(
    rows: &dyn Rows,
    before: &Authority,
    after: &Authority,
    aum: &Sealed,
) -> Result<EventRefusal, Failure> {
    let chain = after.chain(rows);
    let weight = |hash| chain.node(hash).map(|node| node.map_or(0, |node| node.weight));
    let against = match aum.parent_hash() {
        Some(parent) => chain.best_child(&parent)?.unwrap_or(before.head()),
        None => before.head(),
    };
    let (hash, against) = (aum.hash(), weight(&against)?);
    Ok(EventRefusal::ForkLoses { aum: hash, votes: weight(&hash)?, against })
}
