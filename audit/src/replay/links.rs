//! How the AUMs of a source hang together.

use std::collections::BTreeMap;

use ledger::ids::AumHash;
use ledger::lock::Sealed;

/// The AUMs that are known, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<AumHash, usize>);

impl Known {
    /// The node of an AUM.
    pub(super) fn find(&self, hash: AumHash) -> Option<usize> {
        self.0.get(&hash).copied()
    }
}

/// Every AUM once, as a node with a number, and its parent and children.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Where each stood first among the AUMs that were found, in their order.
    pub(super) first: Vec<usize>,
    /// The node of its parent, if present.
    pub(super) parents: Vec<Option<usize>>,
    /// The nodes that name it as their parent, in the order of their hashes.
    pub(super) children: Vec<Vec<usize>>,
    pub(super) known: Known,
}

impl Links {
    pub(super) fn among(aums: &[&Sealed]) -> Links {
        let mut links = Links::default();
        for (at, aum) in aums.iter().enumerate() {
            let next = links.first.len();
            if *links.known.0.entry(aum.hash()).or_insert(next) == next {
                links.first.push(at);
            }
        }
        let parent = |at: &usize| {
            let hash = aums[*at].parent_hash()?;
            // Mostly it is the one before.
            let before = at.checked_sub(1).filter(|before| aums[*before].hash() == hash);
            let before = before.and_then(|before| links.first.binary_search(&before).ok());
            before.or_else(|| links.known.find(hash))
        };
        links.parents = links.first.iter().map(parent).collect();
        links.children.resize_with(links.first.len(), Vec::new);
        for (node, parent) in links.parents.iter().enumerate() {
            if let Some(parent) = parent {
                links.children[*parent].push(node);
            }
        }
        for children in links.children.iter_mut().filter(|children| children.len() > 1) {
            children.sort_unstable_by_key(|child| aums[links.first[*child]].hash());
        }
        links
    }
}
