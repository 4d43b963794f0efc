//! Where a chain forked, which branch won, and why.

use ledger::ids::AumHash;
use ledger::lock::AumKind;

use super::Finding;
use super::catalog::{FORK_RESOLVED, FORK_TIE, REVOCATION_LOST, REVOCATION_WON};
use crate::replay::{Departure, Replayed};
use crate::source::Place;

/// A fork between verified AUMs.
pub(crate) struct Fork {
    /// The AUM that all branches go on from.
    pub(crate) at: AumHash,
    /// Its children, preferred first (spec 5.2). At least two.
    pub(crate) siblings: Vec<Sibling>,
}

/// The first AUM of a branch.
pub(crate) struct Sibling {
    pub(crate) aum: AumHash,
    pub(crate) place: Place,
    pub(crate) kind: AumKind,
    pub(crate) weight: u64,
    /// How it differs from the sum of what came before, if it is a checkpoint that does.
    pub(crate) departs: Option<Departure>,
}

/// Every fork between verified AUMs, in the order of the source.
pub(crate) fn forks_of(replayed: &Replayed) -> impl Iterator<Item = Fork> {
    replayed.nodes.iter().enumerate().filter_map(|(i, parent)| {
        let mut siblings: Vec<(usize, u64)> = replayed.verified_children(i).collect();
        if siblings.len() < 2 {
            return None;
        }
        siblings.sort_by_key(|sibling| replayed.rank(*sibling));
        let sibling = |(node, weight): (usize, u64)| {
            let node = &replayed.nodes[node];
            Sibling {
                aum: node.aum.hash(),
                place: node.place.clone(),
                kind: node.aum.kind,
                weight,
                departs: node.departs,
            }
        };
        let siblings = siblings.into_iter().map(sibling).collect();
        Some(Fork { at: parent.aum.hash(), siblings })
    })
}

/// Findings about a fork. Each names the sibling that it is about.
pub(crate) fn fork(fork: &Fork, findings: &mut Vec<Finding>) {
    let Fork { at, siblings } = fork;
    let [winner, next, ..] = siblings.as_slice() else { return };
    let of = |sibling: &Sibling, finding: Finding| finding.aum(sibling.aum).at(&sibling.place);
    let message = format!(
        "at {at} the chain forks into {} branches; this {} (weight {}) won over weight {}",
        siblings.len(),
        winner.kind,
        winner.weight,
        next.weight,
    );
    findings.push(of(winner, Finding::new(&FORK_RESOLVED, message)));
    if winner.weight == next.weight {
        let removes = |sibling: &Sibling| sibling.kind == AumKind::REMOVE_KEY;
        let why = if removes(winner) && !removes(next) {
            "it removes a key"
        } else {
            "its hash is the lowest"
        };
        let message =
            format!("at {at} several branches weigh {}; this one won because {why}", winner.weight);
        findings.push(of(winner, Finding::new(&FORK_TIE, message)));
    }
    for (place, sibling) in siblings.iter().enumerate() {
        // Only beside a sibling can a checkpoint that drops keys be told from a change.
        let Some(departs) = sibling.departs.filter(|departs| departs.keys()) else { continue };
        let (check, outcome) =
            if place == 0 { (&REVOCATION_WON, "won") } else { (&REVOCATION_LOST, "lost") };
        let message = format!(
            "a checkpoint of weight {} that goes back to {at} {outcome}: against that point {} \
             keys gone, {} new",
            sibling.weight, departs.removed, departs.added
        );
        findings.push(of(sibling, Finding::new(check, message)));
    }
}
