use ledger::ids::AumHash;
use ledger::lock::State;

use super::{Broken, broken};

/// A revocation that loses changes neither head nor state.
///
/// Reason: whoever has not the votes must not be able to do anything by trying. Source: spec 10,
/// issue "a losing revocation changes nothing".
pub fn a_losing_revocation_changes_nothing(
    before: (AumHash, &State),
    after: (AumHash, &State),
) -> Result<(), Broken> {
    if before == after {
        return Ok(());
    }
    let what = format!("it lost, but the head went from {} to {}", before.0, after.0);
    Err(broken("a_losing_revocation_changes_nothing", what))
}
