//! The state that a history ends in: who outweighs whom, and how near the limits are.

use ledger::ids::AumHash;
use ledger::limits::{KEYS_WARNING, MAX_KEYS};
use ledger::lock::State;

use super::Finding;
use super::catalog::{CAPACITY_KEYS, CAPACITY_WALK, DISABLEMENT_FEW, KEY_OUTWEIGHS};

/// AUMs that the original client walks when it opens a chain, at most (spec 5.6).
const ORIGINAL_WALK: u64 = 2000;

/// Disablement values with which the loss of one secret is no disaster.
const ENOUGH_DISABLEMENT_VALUES: usize = 2;

/// Findings about the end of a chain of `length` AUMs: the state at its head.
pub(crate) fn standing(state: &State, head: AumHash, length: u64, findings: &mut Vec<Finding>) {
    let keys = state.keys();
    let total = keys.iter().fold(0u64, |sum, key| sum.saturating_add(key.votes));
    for key in keys {
        let Some(id) = key.lock_key() else { continue };
        let rest = total.saturating_sub(key.votes);
        if key.votes > rest && keys.len() > 1 {
            let message =
                format!("a key with {} votes outweighs all others, {rest} together", key.votes);
            findings.push(Finding::new(&KEY_OUTWEIGHS, message).key(id));
        }
    }
    if keys.len() >= KEYS_WARNING {
        let message = format!("{} of at most {MAX_KEYS} keys are trusted", keys.len());
        findings.push(Finding::new(&CAPACITY_KEYS, message));
    }
    let values = state.disablement_values().count();
    if values < ENOUGH_DISABLEMENT_VALUES {
        let message = format!("the lock can be switched off by {values} secret only");
        findings.push(Finding::new(&DISABLEMENT_FEW, message).aum(head));
    }
    if length.saturating_mul(5) >= ORIGINAL_WALK * 4 {
        let message = format!(
            "{length} AUMs from the oldest to the head; the original client opens at most \
             {ORIGINAL_WALK}"
        );
        findings.push(Finding::new(&CAPACITY_WALK, message).aum(head));
    }
}
