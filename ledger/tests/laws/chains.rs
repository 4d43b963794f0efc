//! Spec 14.1, laws 3 to 11, 13 and 14: chains, forks and synchronization.

use ledger::lock::revocation::fork_point;
use ledger::lock::signatures::Signer;
use ledger::lock::sync::{missing_aums, missing_page, offer};
use ledger::lock::{Aum, AumKind, Key, Sealed};
use proptest::prelude::*;

use crate::model::Model;
use crate::trees::{KEYS, Node, genesis, id, key, signed, steps, tree};

/// Another ancestors-first order: each AUM with the rank that the numbers give it, but never
/// before its parent.
fn reordered(aums: &[Sealed], ranks: &[u16]) -> Vec<Sealed> {
    let mut left: Vec<&Sealed> = aums[1..].iter().collect();
    let mut order = Vec::new();
    let mut known = vec![aums[0].hash()];
    let mut at = 0;
    while !left.is_empty() {
        let ready: Vec<usize> =
            (0..left.len()).filter(|i| known.contains(&left[*i].parent_hash().unwrap())).collect();
        let rank = ranks.get(at % ranks.len().max(1)).copied().unwrap_or(0);
        let next = left.remove(ready[usize::from(rank) % ready.len()]);
        known.push(next.hash());
        order.push(next.clone());
        at += 1;
    }
    order
}

fn informed(aums: &[Sealed], rest: &[Sealed], batch: usize) -> Node {
    let mut node = Node::new(&aums[0]);
    for batch in rest.chunks(batch) {
        node.inform(batch).unwrap();
    }
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// 3 to 5, 9, 14: in any order and any batches, with duplicates or without, the same head,
    /// state and stored set; and the same again when opened.
    #[test]
    fn order_batches_and_duplicates_do_not_matter(
        steps in steps(40),
        ranks in prop::collection::vec(any::<u16>(), 40),
        batch in 1..9usize,
    ) {
        let aums = tree(&steps);
        let model = Model::new(&aums);
        let order = reordered(&aums, &ranks);
        let mut node = informed(&aums, &order, batch);
        node.check_against(&model);
        let other = informed(&aums, &aums[1..], usize::MAX);
        other.check_against(&model);
        node.inform(&aums).unwrap();
        node.check_against(&model);
    }

    /// 7, 8, 10, 11: siblings are totally ordered; state, weight and ancestors at any AUM are what
    /// a walk finds; the state keeps its bounds.
    #[test]
    fn indexes_say_what_walks_find(steps in steps(120)) {
        let aums = tree(&steps);
        let model = Model::new(&aums);
        let node = informed(&aums, &aums[1..], 16);
        let chain = node.chain();
        for aum in &aums {
            let hash = aum.hash();
            let line = model.line(&hash);
            let known = chain.node(&hash).unwrap().unwrap();
            prop_assert_eq!(known.height as usize, line.len() - 1);
            let state = chain.state_at(&hash).unwrap().unwrap();
            prop_assert_eq!(&state, &model.state_at(&hash));
            prop_assert_eq!(state.state_id(), (1, 2));
            prop_assert!(!state.keys().is_empty());
            prop_assert!(state.keys().iter().all(|key| key.check().is_ok()));
            if hash != model.root {
                prop_assert_eq!(known.weight, model.weight(aum));
            }
            prop_assert_eq!(chain.children(&hash).unwrap(), model.children(&hash));
            for (height, ancestor) in line.iter().rev().enumerate() {
                prop_assert_eq!(chain.ancestor_at(&hash, height as u64).unwrap(), Some(*ancestor));
            }
            prop_assert_eq!(chain.ancestor_at(&hash, line.len() as u64).unwrap(), None);
            for other in &aums {
                let below = line.contains(&other.hash());
                prop_assert_eq!(chain.is_ancestor(&other.hash(), &hash).unwrap(), below);
            }
            let back: Vec<_> = chain.back_from(hash).map(|aum| aum.unwrap().hash()).collect();
            prop_assert_eq!(back, line);
        }
    }

    /// A revocation's fork point is the one that the search from the head back finds.
    #[test]
    fn the_fork_point_is_what_a_search_finds(
        steps in steps(80), revoked in 1u8..32, our in 0..KEYS,
    ) {
        let aums = tree(&steps);
        let model = Model::new(&aums);
        let node = informed(&aums, &aums[1..], 16);
        let keys: Vec<_> = (0..KEYS).filter(|n| revoked & 1 << n != 0).map(id).collect();
        let our = key(our).public();
        let found = fork_point(&node.rows, &node.authority, &keys, &our);
        if keys.iter().any(|key| node.authority.state().key(key).is_some()) {
            prop_assert_eq!(found.unwrap(), model.fork_point(&keys, &our));
        } else {
            prop_assert!(found.is_err());
        }
    }

    /// 6, 13: whatever part of a tree two nodes have, what they send each other can be taken, and
    /// one exchange makes their heads equal.
    #[test]
    fn one_exchange_makes_heads_equal(
        steps in steps(60), has_a in any::<u64>(), has_b in any::<u64>(),
    ) {
        let aums = tree(&steps);
        let part = |bits: u64| -> Vec<Sealed> {
            let mut part = vec![aums[0].clone()];
            for (i, aum) in aums.iter().enumerate().skip(1) {
                let parent = aum.parent_hash().unwrap();
                if bits >> (i % 64) & 7 != 0 && part.iter().any(|p| p.hash() == parent) {
                    part.push(aum.clone());
                }
            }
            part
        };
        let node_of = |part: &[Sealed]| informed(&aums, &part[1..], 8);
        let (mut a, mut b) = (node_of(&part(has_a)), node_of(&part(has_b)));
        let offers = [&a, &b].map(|node| offer(&node.rows, &node.authority).unwrap());
        for (node, offer) in [&a, &b].iter().zip(&offers) {
            let model = Model::new(&node.stored_aums(&aums));
            prop_assert_eq!(offer.head, model.head());
            prop_assert_eq!(&offer.ancestors, &model.checkpoints_below(&offer.head, 1000));
        }
        let for_b = missing_aums(&a.rows, &a.authority, &offers[1]).unwrap();
        let for_a = missing_aums(&b.rows, &b.authority, &offers[0]).unwrap();
        for (node, sent) in [(&mut a, for_a), (&mut b, for_b)] {
            if !sent.is_empty() {
                node.inform(&sent).unwrap();
            }
            node.check_reopened();
        }
        prop_assert_eq!(a.authority.head(), b.authority.head());
        prop_assert_eq!(a.authority.state(), b.authority.state());
    }

    /// Page by page a node gets what it would get at once: it asks again after each.
    #[test]
    fn pages_add_up(
        steps in steps(60), known in any::<prop::sample::Index>(),
        most in 1..5u64, most_bytes in 0..1000usize,
    ) {
        let aums = tree(&steps);
        let full = informed(&aums, &aums[1..], 16);
        let mut node = informed(&aums, &aums[1..1 + known.index(aums.len())], 16);
        let mut at_once = node.clone();
        let remote = offer(&node.rows, &node.authority).unwrap();
        let all = missing_aums(&full.rows, &full.authority, &remote).unwrap();
        if !all.is_empty() {
            at_once.inform(&all).unwrap();
        }
        for _ in 0..=aums.len() {
            let remote = offer(&node.rows, &node.authority).unwrap();
            let page =
                missing_page(&full.rows, &full.authority, &remote, most, most_bytes).unwrap();
            prop_assert!(page.len() as u64 <= most);
            let bytes: usize = page.iter().map(|aum| aum.bytes().len()).sum();
            prop_assert!(page.len() < 2 || bytes <= most_bytes);
            if page.is_empty() {
                break;
            }
            node.inform(&page).unwrap();
        }
        prop_assert_eq!(node.authority.head(), full.authority.head());
        prop_assert_eq!(node.authority.head(), at_once.authority.head());
    }

    /// 9: a batch with something bad in it leaves nothing behind, wherever the bad AUM stands.
    #[test]
    fn a_refused_batch_leaves_no_trace(steps in steps(30), at in any::<prop::sample::Index>()) {
        let aums = tree(&steps);
        let mut node = Node::new(&aums[0]);
        let before = (node.stored(), node.authority.head());
        let mut batch = aums[1..].to_vec();
        let stranger = signed(Aum::new(AumKind::NO_OP, Some(aums[0].hash())), [99]);
        batch.insert(at.index(batch.len() + 1), stranger);
        prop_assert!(node.inform(&batch).is_err());
        prop_assert_eq!((node.stored(), node.authority.head()), before);
        node.check_reopened();
    }
}

impl Node {
    fn stored_aums(&self, aums: &[Sealed]) -> Vec<Sealed> {
        let stored = self.stored();
        aums.iter().filter(|aum| stored.contains(&aum.hash())).cloned().collect()
    }
}

/// AddKey has no limit of its own (spec 3.4), so what was accepted must stay readable.
#[test]
fn more_keys_than_any_message_holds() {
    let first = genesis();
    let mut aums = vec![first];
    for n in 0..4200u32 {
        let mut aum = Aum::new(AumKind::ADD_KEY, Some(aums.last().unwrap().hash()));
        let mut public = [7; 32];
        public[..4].copy_from_slice(&n.to_be_bytes());
        aum.key = Some(Key::ed25519(ledger::ids::LockKey(public), 1));
        aums.push(signed(aum, [0]));
    }
    let node = informed(&aums, &aums[1..], 1000);
    assert_eq!(node.authority.state().keys().len(), 4203);
    node.check_reopened();
}
