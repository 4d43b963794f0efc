//! A chain whose every AUM was verified, in an order in which it can be taken in.

use ledger::ids::AumHash;
use ledger::lock::{Sealed, State};

use crate::replay::Replayed;

/// A whole chain as a source holds it, losing branches included.
#[derive(Debug, Clone)]
pub struct History {
    /// The root, then all others, each after its parent; the active branch comes without a gap.
    pub aums: Vec<Sealed>,
    /// Whether something came before the root that is not in the source.
    pub assumed: bool,
    /// The end of the active branch.
    pub head: AumHash,
    /// The state there.
    pub state: State,
    /// AUMs on the active branch, both ends included.
    pub active: u64,
    /// Branches that lost: AUMs off the active branch on which nothing is built.
    pub losing: u64,
    /// Whether the source lists one branch and cannot show others.
    pub one_branch: bool,
}

impl History {
    pub(crate) fn of(replayed: &Replayed, root: usize, one_branch: bool) -> Self {
        let chosen = &replayed.roots[root];
        let mut aums = Vec::new();
        let mut ends = 0;
        let mut open = vec![chosen.node];
        while let Some(node) = open.pop() {
            aums.push(replayed.nodes[node].aum.clone());
            let active = replayed.active_child(node);
            let verified = replayed.verified_children(node).map(|(child, _)| child);
            // The last one is taken next.
            open.extend(verified.filter(|child| Some(*child) != active));
            open.extend(active);
            ends += u64::from(active.is_none());
        }
        History {
            aums,
            assumed: chosen.assumed,
            head: replayed.nodes[chosen.head].aum.hash(),
            state: chosen.state.clone(),
            active: chosen.length,
            losing: ends.saturating_sub(1),
            one_branch,
        }
    }

    /// The root.
    pub fn root(&self) -> Option<&Sealed> {
        self.aums.first()
    }
}

#[cfg(test)]
mod tests {
    use ledger::testing::{Chains, genesis, key};

    use super::*;
    use crate::replay::replay;
    use crate::source::{Found, Place};

    #[test]
    fn each_aum_comes_after_its_parent_and_the_active_branch_first() {
        let signer = key(1);
        let root = genesis(1, &[(&signer, 1)]);
        let chains = Chains::of("G -> A -> B -> C\n A -> D -> E\n G -> F -> H", &root, &signer);
        let mut found: Vec<Sealed> = chains.all();
        found.insert(3, root.clone());
        let found = found.into_iter().map(|aum| Found { aum: Ok(aum), place: Place::default() });
        let replayed = replay(found.collect());
        let history = History::of(&replayed, 0, false);
        assert_eq!(history.root().map(Sealed::hash), Some(root.hash()));
        assert_eq!((history.aums.len(), history.losing, history.assumed), (8, 2, false));
        let active = usize::try_from(history.active).unwrap();
        assert_eq!(history.aums[active - 1].hash(), history.head);
        for (place, aum) in history.aums.iter().enumerate().skip(1) {
            let parent = aum.parent_hash().unwrap();
            assert!(history.aums[..place].iter().any(|before| before.hash() == parent));
        }
    }
}
