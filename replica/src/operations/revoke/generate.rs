//! The first step: a checkpoint without the compromised keys, signed by one who keeps trust.

use std::collections::VecDeque;

use ledger::Failure;
use ledger::history::cosigning::weigh;
use ledger::ids::{AumHash, LockKey};
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::Signer;
use ledger::lock::{AumSignature, Sealed};

use super::{About, CannotRevoke, Step, genuine, has_a_say, record};
use crate::operations::{Ground, NotPlanned};

/// Fork points that are looked at when the one that suits the keys is none: the oldest and the
/// latest ones, half of them each.
const FORK_POINTS: usize = 32;

/// Makes the checkpoint that `key` is to sign: of the keys in `about`, from that fork point or from
/// the one that suits them (spec 10), or a later one if the door would not let it in from there.
/// Unlike the original's it has a known parent, at which the key is trusted.
pub fn draft(
    ground: Ground<'_>,
    about: &About,
    fork_from: Option<AumHash>,
    key: LockKey,
) -> Result<Sealed, NotPlanned> {
    let authority = ground.authority()?;
    if let Some(parent) = fork_from
        && !authority.chain(ground.rows).is_ancestor(&parent, &authority.head())?
    {
        return Err(CannotRevoke::UnknownForkPoint(parent).into());
    }
    let ids: Vec<Vec<u8>> = about.keys.iter().map(|key| key.0.to_vec()).collect();
    let make = |from| -> Result<Sealed, NotPlanned> {
        let aum = Sealed::new(generate(ground.rows, authority, &ids, &key, from)?);
        if let Some(parent) = aum.parent_hash() {
            has_a_say(ground, key, parent)?;
        }
        Ok(aum)
    };
    let suits = make(fork_from)?;
    if fork_from.is_some() || can_pass(ground, &suits)? {
        return Ok(suits);
    }
    // Where the keys had not been trusted yet, others may not have been either. Going on from
    // there, the first AUM from which the revocation can take effect undoes the most.
    for from in before_acts_of(ground, about)? {
        match make(Some(from)) {
            Ok(aum) if can_pass(ground, &aum)? => return Ok(aum),
            Err(NotPlanned::Fault(fault)) => return Err(fault.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(suits)
}

/// Whether a revocation can take effect once everybody has signed it who may.
fn can_pass(ground: Ground<'_>, aum: &Sealed) -> Result<bool, NotPlanned> {
    match weigh(ground.rows, ground.fold.rules(), ground.authority()?, aum) {
        Ok(weighed) => Ok(weighed.can_pass),
        Err(Failure::Refused(_)) => Ok(false),
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}

/// The AUMs of the active branch that were followed by one that only these keys have signed, oldest
/// first; of many, [`FORK_POINTS`]. The head is the last of them.
fn before_acts_of(ground: Ground<'_>, about: &About) -> Result<Vec<AumHash>, NotPlanned> {
    let authority = ground.authority()?;
    let mut points = VecDeque::from([authority.head()]);
    for aum in authority.chain(ground.rows).back_from(authority.head()) {
        let aum = aum?;
        let theirs = |by: &AumSignature| {
            let id = by.key_id.as_deref();
            about.keys.iter().any(|key| id == Some(&key.0))
        };
        if let Some(parent) = aum.parent_hash()
            && aum.signatures.iter().all(theirs)
        {
            points.push_front(parent);
        }
    }
    if points.len() > FORK_POINTS {
        points.drain(FORK_POINTS / 2..points.len() - FORK_POINTS / 2);
    }
    Ok(points.into())
}

/// Plans a revocation that the signer begins. Where the same one waits already, its signature
/// joins those on record.
pub fn plan(
    ground: Ground<'_>,
    about: &About,
    fork_from: Option<AumHash>,
    signer: &dyn Signer,
) -> Result<Step, NotPlanned> {
    let aum = draft(ground, about, fork_from, signer.public())?;
    record(ground, cosign(aum, signer)?, about)
}

/// Plans to have a revocation wait that was signed elsewhere, or its signatures join those on
/// record.
pub fn import(ground: Ground<'_>, aum: Sealed, about: &About) -> Result<Step, NotPlanned> {
    ground.authority()?;
    record(ground, genuine(aum)?, about)
}
