//! The last step: the revocation joins the chain, if it wins.

use ledger::history::cosigning::{self, weigh};
use ledger::history::{AumsAdded, ChangeReason, Event};
use ledger::lock::Sealed;

use super::{CannotRevoke, Which, genuine, meant};
use crate::operations::{Ground, NotPlanned};

/// Plans the fork. `None`: the chain runs through this very checkpoint already. What would lose is
/// refused: the original reports success and nothing has changed.
pub fn plan(
    ground: Ground<'_>,
    which: &Which,
    reason: Option<ChangeReason>,
    note: Option<&str>,
) -> Result<Option<Event>, NotPlanned> {
    let authority = ground.authority()?;
    let aum = genuine(meant(ground, which)?)?;
    let chain = authority.chain(ground.rows);
    if chain.is_ancestor(&aum.hash(), &authority.head())? {
        return Ok(None);
    }
    let weighed = weigh(ground.rows, ground.fold.rules(), authority, &aum)?;
    let votes = &weighed.votes;
    if !votes.wins {
        return Err(CannotRevoke::Loses {
            present: votes.present,
            against: votes.against.unwrap_or(0),
            missing: votes.missing(),
        }
        .into());
    }
    if let Some(door) = weighed.door {
        door.passes()?;
    }
    let pending = cosigning::pending(ground.rows, aum.sig_hash())?.map(|pending| pending.opened);
    let said = pending.as_ref();
    Ok(Some(Event::AumsAdded(AumsAdded {
        aums: vec![aum],
        fork: true,
        signatures: Vec::new(),
        reason: reason.or(said.and_then(|opened| opened.reason)),
        note: note.map(str::to_owned).or(said.and_then(|opened| opened.note.clone())),
    })))
}

/// Whether a revocation that has been recorded is part of the active chain: one that waited is, by
/// the ledger's rules; one that was brought along may have lost to what was recorded just before.
pub fn took_effect(ground: Ground<'_>, aum: &Sealed) -> Result<(), NotPlanned> {
    let Some(authority) = ground.fold.authority() else { return Ok(()) };
    let chain = authority.chain(ground.rows);
    let lost =
        chain.node(&aum.hash())?.is_some() && !chain.is_ancestor(&aum.hash(), &authority.head())?;
    if lost { Err(CannotRevoke::Overtaken(aum.hash()).into()) } else { Ok(()) }
}
