//! Spec 14.1, law 12: what compaction keeps.

use ledger::lock::AumKind;
use ledger::lock::compaction::{Compacted, Options, compact};
use ledger::lock::revocation::fork_point;
use ledger::lock::signatures::Signer;
use ledger::rows::Draft;
use proptest::prelude::*;

use crate::model::Model;
use crate::trees::{Node, id, key, steps, tree};

fn compacted(node: &mut Node, options: Options, young: &dyn Fn(&[u8; 32]) -> bool) -> Compacted {
    let mut draft = Draft::on(&node.rows);
    let age = |hash: &ledger::ids::AumHash| if young(&hash.0) { 0 } else { options.min_age };
    let done = compact(&mut node.authority, &mut draft, options, &age).unwrap();
    let changes = draft.finish();
    node.rows.apply(changes);
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Head, state, openability and all young AUMs stay; all that stays descends from the oldest,
    /// a checkpoint; a second run deletes nothing more; and every question about what is left has
    /// the answer that it had.
    #[test]
    fn compaction_keeps_what_matters(
        steps in steps(100), min_chain in 1..8usize, few_young in 0..40u8,
    ) {
        let aums = tree(&steps);
        let mut node = Node::new(&aums[0]);
        if aums.len() > 1 {
            node.inform(&aums[1..]).unwrap();
        }
        let before = node.clone();
        let young = |hash: &[u8; 32]| hash[0] < few_young;
        let options = Options { min_chain, min_age: 10 };
        let done = compacted(&mut node, options, &young);

        prop_assert_eq!(node.authority.head(), before.authority.head());
        prop_assert_eq!(node.authority.state(), before.authority.state());
        prop_assert_eq!(node.authority.oldest().hash, done.oldest);
        node.check_reopened();
        let stored = node.stored();
        prop_assert!(done.deleted.iter().all(|hash| !stored.contains(hash) && !young(&hash.0)));
        prop_assert_eq!(stored.len() + done.deleted.len(), aums.len());
        let model = Model::new(&aums);
        let chain = node.chain();
        for hash in &stored {
            prop_assert!(chain.is_ancestor(&done.oldest, hash).unwrap());
            prop_assert_eq!(chain.state_at(hash).unwrap().unwrap(), model.state_at(hash));
        }
        let oldest = chain.aum(&done.oldest).unwrap().unwrap();
        prop_assert_eq!(oldest.kind, AumKind::CHECKPOINT);

        let again = compacted(&mut node, options, &young);
        prop_assert_eq!(again.deleted, Vec::new());
        prop_assert_eq!(again.oldest, done.oldest);
    }

    /// After compaction chains grow, and fork points are found, as if they had begun there.
    #[test]
    fn a_compacted_chain_is_a_chain(older in steps(80), newer in steps(140), our in 0..3u8) {
        let mut all = older.clone();
        all.extend(newer);
        let aums = tree(&all);
        let at = tree(&older).len();
        let mut node = Node::new(&aums[0]);
        if at > 1 {
            node.inform(&aums[1..at]).unwrap();
        }
        compacted(&mut node, Options { min_chain: 3, min_age: 10 }, &|_| false);
        for aum in &aums[at..] {
            // Some fork off where nothing is left.
            let _ = node.inform(std::slice::from_ref(aum));
        }
        let stored = node.stored();
        let oldest = node.authority.oldest().hash;
        let left: Vec<_> = aums
            .iter()
            .filter(|aum| stored.contains(&aum.hash()))
            .cloned()
            .collect();
        let mut model = Model::new(&left);
        model.root = oldest;
        node.check_against(&model);
        let our = key(our).public();
        for n in 0..4 {
            let keys = [id(n)];
            if node.authority.state().key(&keys[0]).is_some() {
                let found = fork_point(&node.rows, &node.authority, &keys, &our).unwrap();
                prop_assert_eq!(found, model.fork_point(&keys, &our));
            }
        }
    }
}
