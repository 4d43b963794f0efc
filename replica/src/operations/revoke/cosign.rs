//! The steps in between: one more key signs.

use ledger::lock::revocation::{cosign, examine};
use ledger::lock::signatures::Signer;

use super::{About, Step, Which, genuine, has_a_say, meant, record};
use crate::operations::{Ground, NotPlanned};

/// Plans the signer's signature. Signing is no oracle: only what is a revocation of this lock is
/// signed, only where the signer has a say, and only on top of genuine signatures.
pub fn plan(ground: Ground<'_>, which: &Which, signer: &dyn Signer) -> Result<Step, NotPlanned> {
    let authority = ground.authority()?;
    let aum = genuine(meant(ground, which)?)?;
    let examined = examine(ground.rows, authority, &aum)?;
    has_a_say(ground, signer.public(), examined.fork_point)?;
    // Which of the keys were meant, a blob does not say.
    record(ground, cosign(aum, signer)?, &About::default())
}
