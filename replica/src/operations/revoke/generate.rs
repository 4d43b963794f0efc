//! The first step: a checkpoint without the compromised keys, signed by one who keeps trust.

use ledger::ids::{AumHash, LockKey};
use ledger::lock::Sealed;
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::Signer;

use super::{About, CannotRevoke, Step, genuine, has_a_say, record};
use crate::operations::{Ground, NotPlanned};

/// Makes the checkpoint that `key` is to sign: of the keys in `about`, from that fork point or from
/// the one that suits them (spec 10). Unlike the original's it has a known parent, at which the key
/// is trusted.
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
    let aum = Sealed::new(generate(ground.rows, authority, &ids, &key, fork_from)?);
    if let Some(parent) = aum.parent_hash() {
        has_a_say(ground, key, parent)?;
    }
    Ok(aum)
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
