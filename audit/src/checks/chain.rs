//! What is wrong with AUMs: their bytes, signatures, signers, parents and transitions.

use ledger::Refusal;
use ledger::lock::{Aum, NotAdmitted};

use super::catalog::{
    AUM_NONCANONICAL, AUM_PARENT, AUM_SIGNATURE, AUM_SIGNER, AUM_STATIC, AUM_TRANSITION,
    AUM_UNSIGNED, CHECKPOINT_DISABLEMENT, CHECKPOINT_NOT_SUM, ROOT_ASSUMED, ROOT_KIND,
};
use super::{Check, Finding};
use crate::replay::{Departure, Node, Replayed, Standing};
use crate::source::Found;

/// Findings about bytes that are no AUM.
pub(crate) fn unreadable(found: &[Found], findings: &mut Vec<Finding>) {
    for found in found {
        if let Err(error) = &found.aum {
            findings.push(Finding::new(&AUM_NONCANONICAL, error.to_string()).at(&found.place));
        }
    }
}

/// Findings about single AUMs, in the order of the source.
pub(crate) fn chain(replayed: &Replayed, findings: &mut Vec<Finding>) {
    for (i, node) in replayed.nodes.iter().enumerate() {
        match &node.standing {
            Standing::Rejected(refusal) => {
                let (check, message) = rejection(refusal, &node.aum);
                findings.push(about(node, Finding::new(check, message)));
            }
            Standing::Unrooted if node.parent.is_none() => findings.push(gap(node)),
            Standing::Verified { root, .. } => {
                let root = &replayed.roots[*root];
                if root.assumed && root.node == i {
                    let message = "the chain begins here with a checkpoint; what came before it \
                                   is not in the source, so it is taken as it stands";
                    findings.push(about(node, Finding::new(&ROOT_ASSUMED, message)));
                }
            }
            _ => {}
        }
        if let Some(departs) = node.departs {
            let forked =
                node.parent.is_some_and(|parent| replayed.verified_children(parent).count() > 1);
            let place = |finding| about(node, finding);
            findings.extend(departure(departs, forked).map(place));
        }
    }
}

fn about(node: &Node, finding: Finding) -> Finding {
    finding.aum(node.aum.hash()).at(&node.place)
}

fn gap(node: &Node) -> Finding {
    let parent = node.aum.parent_hash().map(|hash| hash.to_string()).unwrap_or_default();
    let message = format!("its parent {parent} is not in the source, nor is any state before it");
    about(node, Finding::new(&AUM_PARENT, message))
}

/// Which rule an AUM broke.
pub(super) fn rejection(refusal: &Refusal, aum: &Aum) -> (&'static Check, String) {
    let text = refusal.to_string();
    match refusal {
        Refusal::Invalid(_) => (&AUM_STATIC, text),
        Refusal::BadClaim(_) => (&AUM_SIGNATURE, text),
        Refusal::NotAdmitted(NotAdmitted::Unsigned) => (&AUM_UNSIGNED, text),
        Refusal::NotAdmitted(NotAdmitted::UntrustedSigner { .. }) => (&AUM_SIGNER, text),
        Refusal::NotAdmitted(NotAdmitted::NoParent) if aum.parent.is_none() => {
            let message = format!("a {} has no parent; a chain begins with a checkpoint", aum.kind);
            (&ROOT_KIND, message)
        }
        _ => (&AUM_TRANSITION, text),
    }
}

/// Findings about a checkpoint that is not the plain sum of what came before. Where it stands
/// beside a sibling it may be a revocation, which [`super::forks`] reports instead.
pub(crate) fn departure(departs: Departure, forked: bool) -> impl Iterator<Item = Finding> {
    let Departure { removed, added, changed, disablement } = departs;
    let not_sum = (!forked && departs.keys()).then(|| {
        let message = format!(
            "the checkpoint is not the sum of what came before: {removed} keys gone, {added} \
             new, {changed} changed"
        );
        Finding::new(&CHECKPOINT_NOT_SUM, message)
    });
    let disablement = disablement.then(|| {
        let message = "the checkpoint replaces the disablement values";
        Finding::new(&CHECKPOINT_DISABLEMENT, message)
    });
    not_sum.into_iter().chain(disablement)
}
