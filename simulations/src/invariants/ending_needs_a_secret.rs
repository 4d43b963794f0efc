use ledger::lock::State;

use super::truth::Truth;
use super::{Broken, broken};

/// A node ends its lock only by a secret whose value is in the state that it had, and that the
/// operator has revealed.
///
/// Reason: otherwise whoever answers the node could let everybody in. Source: spec 9, 14.1 law 18.
pub fn ending_needs_a_secret(truth: &Truth, name: &str, before: &State) -> Result<(), Broken> {
    if truth.may_end(before) {
        return Ok(());
    }
    let what = format!("{name} has ended its lock, but none of its secrets was revealed");
    Err(broken("ending_needs_a_secret", what))
}
