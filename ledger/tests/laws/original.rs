//! What the original does where ours differs by rule, flaws included, written from spec 5.4 and
//! 7.3: ours agrees with it, except where the rules in docs/differences.md say so.

use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::AumHash;
use ledger::lock::compaction::{Options, compact};
use ledger::lock::forks::{NotOpened, open};
use ledger::lock::{AumKind, Sealed, State};
use ledger::rows::Draft;
use proptest::prelude::*;

use crate::trees::{Node, steps, tree};

type Aums = BTreeMap<AumHash, Sealed>;

fn by_hash(aums: &[Sealed]) -> Aums {
    aums.iter().map(|aum| (aum.hash(), aum.clone())).collect()
}

fn children(aums: &Aums, of: &AumHash) -> Vec<AumHash> {
    let children = aums.values().filter(|aum| aum.parent_hash() == Some(*of));
    children.map(|aum| aum.hash()).collect()
}

/// Spec 7.3: where the chain begins and what is left, or nothing if the original gives up.
fn compacted(
    aums: &Aums,
    head: AumHash,
    min_chain: usize,
    young: &BTreeSet<AumHash>,
) -> Option<(AumHash, BTreeSet<AumHash>)> {
    let stored = |hash: &AumHash| aums.contains_key(hash);
    let parent = |hash: &AumHash| aums[hash].parent_hash();
    let mut kept = young.clone();
    let mut older = BTreeSet::new();

    // 2. The active chain.
    let mut at = head;
    let mut short = None;
    for _ in 0..min_chain {
        kept.insert(at);
        match parent(&at) {
            Some(below) if stored(&below) => at = below,
            _ => {
                short = Some(at);
                break;
            }
        }
    }
    let mut oldest = match short {
        Some(end) => end,
        None => {
            loop {
                kept.insert(at);
                let checkpoint = aums[&at].kind == AumKind::CHECKPOINT;
                if checkpoint && (!young.contains(&at) || parent(&at).is_none()) {
                    break;
                }
                // "searching for compaction target": its parent is missing, or it has none.
                at = parent(&at).filter(stored)?;
            }
            let mut below = parent(&at);
            while let Some(hash) = below {
                older.insert(hash);
                below = aums.get(&hash).and_then(|aum| aum.parent_hash());
            }
            at
        }
    };

    // 3. Descendants of what is kept.
    let mut left: Vec<AumHash> = kept.iter().copied().collect();
    while let Some(hash) = left.pop() {
        left.extend(children(aums, &hash).into_iter().filter(|child| kept.insert(*child)));
    }

    // 4. Down to where the branches meet.
    let mut moved = false;
    for start in kept.clone() {
        if start == oldest {
            continue;
        }
        let mut at = start;
        loop {
            // "reached genesis AUM without intersecting with candidate ancestor"
            let below = parent(&at)?;
            if kept.contains(&below) {
                break;
            }
            if older.contains(&below) {
                let mut between = oldest;
                while between != below {
                    kept.insert(between);
                    between = parent(&between).filter(stored)?;
                }
                kept.insert(below);
                // What is not stored cannot be begun at.
                stored(&below).then_some(())?;
                (oldest, moved) = (below, true);
                break;
            }
            kept.insert(below);
            at = below;
        }
    }
    while moved && aums[&oldest].kind != AumKind::CHECKPOINT {
        oldest = parent(&oldest).filter(stored)?;
        kept.insert(oldest);
    }
    Some((oldest, kept))
}

/// Spec 5.4, 1-3: the oldest AUM of the active chain. `lossy`: the mark of a chain is that of the
/// candidate that was looked at last (weakness W10).
fn active_root(aums: &Aums, hint: Option<AumHash>, lossy: bool) -> Option<AumHash> {
    let heads = aums.keys().filter(|hash| children(aums, hash).is_empty());
    let mut marks = BTreeMap::new();
    for head in heads {
        let (mut at, mut marked) = (*head, false);
        while let Some(below) = aums[&at].parent_hash().filter(|below| aums.contains_key(below)) {
            at = below;
            marked |= Some(at) == hint;
        }
        let mark = marks.entry(at).or_insert(false);
        *mark = marked || *mark && !lossy;
    }
    match marks.len() {
        1 => marks.into_keys().next(),
        _ => marks.into_iter().find(|(_, marked)| *marked).map(|(root, _)| root),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Rule `compaction-keeps`: ours is the original's compaction; where that gives up, the oldest
    /// AUM is young, and ours goes on beginning there.
    #[test]
    fn compaction_is_the_originals(
        steps in steps(90), first in any::<prop::sample::Index>(), whole in any::<bool>(),
        min_chain in 1..8usize, few_young in 0..60u8, orderly in any::<bool>(),
    ) {
        let all = tree(&steps);
        let begins = |aum: &&Sealed| {
            State::at_checkpoint(aum).is_some_and(|state| state.admits_bootstrap(aum).is_ok())
        };
        let checkpoints: Vec<&Sealed> = all.iter().filter(begins).collect();
        let first = if whole { &all[0] } else { checkpoints[first.index(checkpoints.len())] };
        let mut node = Node::new(first);
        for aum in &all {
            // What does not descend from the first is refused.
            let _ = node.inform(std::slice::from_ref(aum));
        }
        let stored = node.stored();
        let aums: Aums =
            by_hash(&all).into_iter().filter(|(hash, _)| stored.contains(hash)).collect();
        // The newest, or some here and there, as clocks that were set back make them.
        let newest = all.len() * usize::from(60 - few_young) / 60;
        let is_young = |aum: &Sealed| match orderly {
            true => all.iter().skip(newest).any(|other| other.hash() == aum.hash()),
            false => aum.hash().0[0] < few_young,
        };
        let young: BTreeSet<AumHash> =
            aums.values().filter(|aum| is_young(aum)).map(|aum| aum.hash()).collect();
        let expected = compacted(&aums, node.authority.head(), min_chain, &young);

        let mut draft = Draft::on(&node.rows);
        let options = Options { min_chain, min_age: 10 };
        let age = |hash: &AumHash| if young.contains(hash) { 9 } else { 10 };
        let done = compact(&mut node.authority, &mut draft, options, &age).unwrap();
        let changes = draft.finish();
        node.rows.apply(changes);
        match expected {
            Some((oldest, kept)) => {
                prop_assert_eq!(done.oldest, oldest);
                prop_assert_eq!(node.stored(), kept.into_iter().collect::<Vec<_>>());
            }
            None => {
                prop_assert!(young.contains(&first.hash()), "the rule's predicate");
                prop_assert_eq!(done.oldest, first.hash());
            }
        }
        node.check_reopened();
    }

    /// Rule `marks-combined`: ours opens what the original opens, to the same chain, and besides
    /// only what that fails to open because a mark was lost.
    #[test]
    fn opening_is_the_originals(
        steps in steps(40), dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        hint in any::<prop::sample::Index>(),
    ) {
        let all = tree(&steps);
        let mut aums = by_hash(&all);
        for at in dropped {
            aums.remove(&all[at.index(all.len())].hash());
        }
        let hints: Vec<Option<AumHash>> =
            all.iter().map(|aum| Some(aum.hash())).chain([None]).collect();
        let hint = hints[hint.index(hints.len())];
        let (original, combined) =
            (active_root(&aums, hint, true), active_root(&aums, hint, false));
        prop_assert!(original.is_none() || original == combined);
        match open(&aums, hint) {
            Ok(opened) => prop_assert_eq!(Some(opened.oldest), combined),
            Err(NotOpened::SeveralChains) => {
                prop_assert_eq!(combined, None);
                prop_assert_eq!(original, None);
            }
            Err(NotOpened::Empty) => prop_assert!(aums.is_empty()),
            // The chain is found; that it cannot begin there comes after.
            Err(_) => prop_assert!(combined.is_some()),
        }
    }
}
