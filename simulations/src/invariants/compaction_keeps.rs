use std::collections::BTreeSet;

use ledger::ids::AumHash;
use ledger::lock::{AumKind, Authority};

use super::truth::Truth;
use super::{Broken, broken};

/// Compaction keeps the head and the state, and everything that is left descends from the oldest
/// AUM, which is a checkpoint.
///
/// Reason: old AUMs may go, but not what is agreed; and the node must be able to open again.
/// Source: spec 14.1 law 12, 7.3.
pub fn compaction_keeps_the_head(
    truth: &Truth,
    name: &str,
    before: &Authority,
    after: &Authority,
    left: &BTreeSet<AumHash>,
) -> Result<(), Broken> {
    let fail = |what: String| Err(broken("compaction_keeps_the_head", format!("{name}: {what}")));
    if before.head() != after.head() || before.state() != after.state() {
        return fail(format!("the head {} is now {}", before.head(), after.head()));
    }
    let oldest = after.oldest().hash;
    if truth.of(&oldest).is_none_or(|judged| judged.aum.kind != AumKind::CHECKPOINT) {
        return fail(format!("the oldest AUM, {oldest}, is no checkpoint"));
    }
    match left.iter().find(|hash| !truth.line(hash).contains(&oldest)) {
        Some(stray) => fail(format!("{stray} does not descend from the oldest AUM, {oldest}")),
        None => Ok(()),
    }
}
