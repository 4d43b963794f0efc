//! The state that a history ends in: who outweighs whom, and how near the limits are.

use ledger::limits::MAX_KEYS;

use super::Finding;
use super::catalog::{CAPACITY_KEYS, CAPACITY_WALK, KEY_OUTWEIGHS};
use crate::replay::{Replayed, Root};

/// AUMs that the original client walks when it opens a chain, at most (spec 5.6).
const ORIGINAL_WALK: u64 = 2000;

/// Findings about the end of one chain.
pub(crate) fn standing(replayed: &Replayed, root: &Root, findings: &mut Vec<Finding>) {
    let keys = root.state.keys();
    let total = keys.iter().fold(0u64, |sum, key| sum.saturating_add(key.votes));
    for key in keys {
        let Some(id) = key.lock_key() else { continue };
        let rest = total - key.votes;
        if key.votes > rest && keys.len() > 1 {
            let message =
                format!("a key with {} votes outweighs all others, {rest} together", key.votes);
            findings.push(Finding::new(&KEY_OUTWEIGHS, message).key(id));
        }
    }
    if keys.len() * 5 >= MAX_KEYS * 4 {
        let message = format!("{} of at most {MAX_KEYS} keys are trusted", keys.len());
        findings.push(Finding::new(&CAPACITY_KEYS, message));
    }
    if root.length * 5 >= ORIGINAL_WALK * 4 {
        let message = format!(
            "{} AUMs from the oldest to the head; the original client opens at most {ORIGINAL_WALK}",
            root.length
        );
        let head = replayed.nodes[root.head].aum.hash();
        findings.push(Finding::new(&CAPACITY_WALK, message).aum(head));
    }
}
