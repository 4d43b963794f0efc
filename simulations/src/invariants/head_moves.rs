use ledger::ids::AumHash;

use super::truth::Truth;
use super::{Broken, broken};

/// How a head has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Not at all.
    Stays,
    /// To a descendant.
    Forward,
    /// Through a fork that a better sibling has won.
    Fork,
}

/// The head moves only to a descendant, or to the better side of a fork.
///
/// Reason: nobody may take back what the tailnet has agreed on, unless with more votes.
/// Source: spec 14.1 law 8.
pub fn head_moves_by_the_rules(
    truth: &Truth,
    name: &str,
    before: AumHash,
    after: AumHash,
) -> Result<Move, Broken> {
    if before == after {
        return Ok(Move::Stays);
    }
    let (mut old, mut new) = (truth.line(&before), truth.line(&after));
    let mut left = None;
    let mut taken = None;
    // Both lines end in what they have in common.
    while let (Some(a), Some(b)) = (old.last(), new.last()) {
        if a != b {
            (left, taken) = (Some(*a), Some(*b));
            break;
        }
        old.pop();
        new.pop();
    }
    let fail = |what: &str| {
        let what = format!("{name} went from {before} to {after}: {what}");
        Err(broken("head_moves_by_the_rules", what))
    };
    match (left, taken) {
        (Some(left), Some(taken)) => {
            if truth.parent(&left).is_none() {
                fail("to another lock")
            } else if truth.preference(&taken) > truth.preference(&left) {
                fail("the side that it left is preferred")
            } else {
                Ok(Move::Fork)
            }
        }
        _ if old.is_empty() => Ok(Move::Forward),
        _ => fail("backwards"),
    }
}
