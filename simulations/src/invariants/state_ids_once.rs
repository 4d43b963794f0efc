use std::collections::BTreeSet;

use ledger::history::{Epoch, Fold, adoption, lifecycle};
use ledger::rows::Rows;

use super::{Broken, broken, faulty};

/// No two epochs have the same state ID, but for locks that were followed, which live on elsewhere.
///
/// Reason: a state ID is what local-disable and spent secrets are told apart by; a lock with a
/// used one could be ended with a secret that everybody knows. Source: spec 9; docs/ledger-format.md
/// on epochs.
pub fn state_ids_are_used_once(rows: &dyn Rows, fold: &Fold) -> Result<(), Broken> {
    const NAME: &str = "state_ids_are_used_once";
    let mut used = BTreeSet::new();
    for number in 1..=fold.epoch().map_or(0, |epoch| epoch.0) {
        let entry = lifecycle::epoch(rows, Epoch(number)).map_err(faulty(NAME))?;
        let entry = entry.ok_or_else(|| broken(NAME, format!("epoch {number} is missing")))?;
        let adoption = adoption::of(rows, Epoch(number)).map_err(faulty(NAME))?;
        if adoption.is_some_and(|adoption| adoption.followed) {
            continue;
        }
        if !used.insert(entry.state_id) {
            return Err(broken(NAME, format!("epoch {number} has a used state ID")));
        }
    }
    Ok(())
}
