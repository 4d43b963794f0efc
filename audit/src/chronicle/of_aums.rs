//! The chronicle of a source of AUMs alone: each AUM is something that happened, in the order of
//! the chain.

use super::describe::{change, signed_by, upper};
use super::{AumStanding, AumStory, ChainStory, Chronicle, Entry};
use crate::replay::{Node, Replayed, Standing};

/// The chronicle of everything that was replayed; `chosen` is the root that the report is about.
pub(crate) fn of_aums(replayed: &Replayed, chosen: Option<usize>) -> Chronicle {
    let mut chronicle = Chronicle::default();
    let mut roots: Vec<usize> =
        (0..replayed.nodes.len()).filter(|node| replayed.nodes[*node].parent.is_none()).collect();
    // The chain that the report is about comes last, as the current epoch of a ledger does.
    let last = chosen.map(|root| replayed.roots[root].node);
    roots.sort_by_key(|root| Some(*root) == last);
    for (epoch, root) in (1..).zip(roots) {
        let mut aums = Vec::new();
        let mut open = vec![root];
        while let Some(at) = open.pop() {
            let node = &replayed.nodes[at];
            let active = replayed.active_child(at);
            open.extend(node.children.iter().filter(|child| Some(**child) != active));
            open.extend(active);
            aums.push(story(node, chronicle.entries.len()));
            chronicle.entries.push(entry(node, chronicle.entries.len() as u64));
        }
        let assumed = replayed.nodes[root].aum.parent_hash().is_some();
        chronicle.chains.push(ChainStory::new(epoch, assumed, aums));
    }
    chronicle
}

fn story(node: &Node, entry: usize) -> AumStory {
    let (standing, weight) = match &node.standing {
        Standing::Verified { weight, .. } => (AumStanding::Verified, *weight),
        Standing::Rejected(refusal) => (AumStanding::Rejected(refusal.to_string()), 0),
        Standing::OnRejected => (AumStanding::OnRejected, 0),
        Standing::Unrooted => (AumStanding::Unrooted, 0),
    };
    AumStory {
        aum: node.aum.clone(),
        entry,
        standing,
        weight,
        parent: None,
        children: Vec::new(),
        active: false,
        departs: node.departs,
    }
}

fn entry(node: &Node, number: u64) -> Entry {
    let aum = &node.aum;
    Entry {
        number,
        hash: None,
        time_ms: None,
        actor: None,
        kind: aum.kind.to_string(),
        what: format!("{}, {}.", upper(&change(aum)), signed_by(aum)),
        aums: vec![aum.hash()],
        keys: super::of_records::keys_of(aum),
        nodes: Vec::new(),
        let_in: Vec::new(),
        locked_out: Vec::new(),
    }
}
