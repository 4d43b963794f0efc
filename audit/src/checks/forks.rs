//! Where the chain forked, which branch won, and why.

use ledger::lock::AumKind;

use super::Finding;
use super::catalog::{FORK_RESOLVED, FORK_TIE, REVOCATION_LOST, REVOCATION_WON};
use crate::replay::Replayed;

/// Findings about every fork between verified AUMs. Each names the sibling that it is about.
pub(crate) fn forks(replayed: &Replayed, findings: &mut Vec<Finding>) {
    for (i, parent) in replayed.nodes.iter().enumerate() {
        let siblings: Vec<(usize, u64)> = replayed.verified_children(i).collect();
        let Some(winner) = replayed.active_child(i).filter(|_| siblings.len() > 1) else {
            continue;
        };
        let at = parent.aum.hash();
        let weight = |node| siblings.iter().find(|(n, _)| *n == node).map_or(0, |(_, w)| *w);
        let best = siblings.iter().filter(|(n, _)| *n != winner).map(|(_, w)| *w).max();
        let (won, lost) = (weight(winner), best.unwrap_or(0));
        let of = |node: usize, finding: Finding| {
            let node = &replayed.nodes[node];
            finding.aum(node.aum.hash()).at(&node.place)
        };
        let message = format!(
            "at {at} the chain forks into {} branches; this {} (weight {won}) won over weight {lost}",
            siblings.len(),
            replayed.nodes[winner].aum.kind,
        );
        findings.push(of(winner, Finding::new(&FORK_RESOLVED, message)));
        if won == lost {
            let removes = |node: usize| replayed.nodes[node].aum.kind == AumKind::REMOVE_KEY;
            let tied = siblings.iter().filter(|(n, w)| *n != winner && *w == won);
            let why = if removes(winner) && tied.clone().all(|(n, _)| !removes(*n)) {
                "it removes a key"
            } else {
                "its hash is the lowest"
            };
            let message =
                format!("at {at} several branches weigh {won}; this one won because {why}");
            findings.push(of(winner, Finding::new(&FORK_TIE, message)));
        }
        for &(node, weight) in &siblings {
            // Only beside a sibling can a checkpoint that drops keys be told from a change.
            let departs = replayed.nodes[node].departs;
            let Some(departs) = departs.filter(|d| (d.removed, d.added, d.changed) != (0, 0, 0))
            else {
                continue;
            };
            let (check, outcome) =
                if node == winner { (&REVOCATION_WON, "won") } else { (&REVOCATION_LOST, "lost") };
            let message = format!(
                "a checkpoint of weight {weight} that goes back to {at} {outcome}: against that \
                 point {} keys gone, {} new",
                departs.removed, departs.added
            );
            findings.push(of(node, Finding::new(check, message)));
        }
    }
}
