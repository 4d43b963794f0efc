use ledger::ids::AumHash;
use ledger::limits::FINAL_AFTER;

use super::truth::Truth;
use super::{Broken, broken};

/// An AUM becomes final only with most votes of the final AUM before: by keys that have each gone
/// on from it, or by a revocation that they have signed. It is on the line, and the line below it
/// is left only by such a revocation.
///
/// Reason: otherwise a minority could make final what it has done, or undo what others have built.
/// Source: docs/door.md.
pub fn final_needs_most_votes(
    truth: &Truth,
    before: AumHash,
    after: AumHash,
    head: AumHash,
) -> Result<(), Broken> {
    let fail = |what: &str| {
        let what = format!("final {before}, then {after}, head {head}: {what}");
        Err(broken("final_needs_most_votes", what))
    };
    let line = truth.line(&head);
    if !line.contains(&after) {
        return fail("it is not on the line");
    }
    if before == after {
        return Ok(());
    }
    let Some(state) = truth.state(&before) else { return fail("there is no state") };
    let all: u64 = state.keys().iter().map(|key| key.votes).sum();
    let above: Vec<_> = line.iter().take_while(|hash| **hash != after).collect();
    let has_signed = |hash: &AumHash, id: &[u8]| {
        let by = truth.of(hash).into_iter().flat_map(|judged| &judged.aum.signatures);
        by.into_iter().any(|by| by.key_id.as_deref() == Some(id))
    };
    let (mut gone_on, mut revoke) = (0, 0);
    for key in state.keys() {
        let Some(id) = key.id() else { continue };
        if above.iter().filter(|hash| has_signed(hash, id)).count() >= FINAL_AFTER {
            gone_on += key.votes;
        }
        if has_signed(&after, id) {
            revoke += key.votes;
        }
    }
    let went_on = line.contains(&before) && gone_on * 2 > all;
    // Of several revocations in a row only the last is known here, and all are of checkpoints.
    let revoked = truth.of(&after).is_some_and(|judged| judged.aum.state.is_some());
    if went_on || revoked && revoke * 2 > all {
        return Ok(());
    }
    fail("most votes have neither gone on nor signed it")
}
