use std::collections::BTreeSet;

use ledger::ids::AumHash;
use ledger::lock::Authority;

use super::truth::Truth;
use super::{Broken, broken};

/// The head is where fork resolution leads from the oldest AUM through all that is stored, and
/// the state at it is what following the rules gives.
///
/// Reason: nodes find their head step by step, with indexes; the rules say it of the whole set.
/// Source: spec 5.1, 5.2, 5.4, and 14.1 laws 5 and 11.
pub fn head_is_where_the_rules_lead(
    truth: &Truth,
    name: &str,
    authority: &Authority,
    stored: &BTreeSet<AumHash>,
) -> Result<(), Broken> {
    const NAME: &str = "head_is_where_the_rules_lead";
    let expected = truth.active(authority.oldest().hash, stored);
    if authority.head() != expected {
        let (head, aums) = (authority.head(), stored.len());
        let what = format!("{name} is at {head}, its {aums} AUMs lead to {expected}");
        return Err(broken(NAME, what));
    }
    match truth.state(&expected) {
        Some(state) if state == authority.state() => Ok(()),
        _ => Err(broken(NAME, format!("{name} has another state at {expected}"))),
    }
}
