//! The record chain: whatever happens, records alone determine everything.

use std::collections::BTreeMap;

use ledger::history::{
    Fold, KNOWN_RULES, Record, SignedProposal, Verdict, merkle, records as stored, requests,
};
use ledger::lock::signatures::{OneCore, Unverified, Verified, verify_all, verify_one};
use ledger::rows::{Changes, Draft, Memory, Rows, Table, tables};
use ledger::testing::Group;
use proptest::prelude::*;

use crate::door_moves;
use crate::moves::{moves, played_under, records};

type Dump = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// All rows of all tables.
pub fn dump(rows: &dyn Rows) -> Dump {
    let mut dump = Dump::new();
    for table in tables::ALL {
        for row in rows.scan(*table, &[][..]..&[][..]).unwrap() {
            let (key, value) = row.unwrap();
            dump.insert((table.0, key), value);
        }
    }
    dump
}

/// Everything that a fold holds.
fn shown(fold: &Fold) -> String {
    format!("{fold:?}")
}

fn verified<T: ledger::lock::signatures::Signed + Clone + Send + Sync>(
    items: &[T],
) -> Vec<Verified<T>> {
    let items = items.iter().cloned().map(Unverified::new).collect();
    verify_all(items, &OneCore).into_iter().map(Result::unwrap).collect()
}

/// Replays records onto nothing, some at a time; the sizes of the batches repeat.
pub fn replayed(records: &[Record], batches: &[usize]) -> (Memory, Fold) {
    let mut rows = Memory::new();
    let mut fold = Fold::open(&rows).unwrap();
    let mut left = records;
    for size in batches.iter().cycle() {
        let (batch, rest) = left.split_at((*size).clamp(1, left.len().max(1)).min(left.len()));
        let mut draft = Draft::on(&rows);
        for record in verified(batch) {
            let verdict = fold.replay(&mut draft, &record).unwrap();
            assert_eq!(verdict, Verdict::Sealed(record.get().clone()));
        }
        let changes = draft.finish();
        rows.apply(changes);
        left = rest;
        if left.is_empty() {
            return (rows, fold);
        }
    }
    (rows, fold)
}

pub fn same_as(group: &Group, rows: &Memory, fold: &Fold) {
    assert_eq!(dump(rows), dump(&group.rows));
    assert_eq!(shown(fold), shown(&group.fold));
    assert_eq!(fold.fold_hash(), group.fold.fold_hash());
    assert_eq!(fold.merkle_root(), group.fold.merkle_root());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A proposal that is not sealed leaves rows and fold as they were, and what is sealed can be
    /// opened again as it stands.
    #[test]
    fn a_refusal_leaves_no_trace_and_a_record_can_be_opened(moves in moves(40)) {
        let mut group = Group::new();
        for one in &moves {
            let (rows, fold) = (dump(&group.rows), shown(&group.fold));
            let next = group.fold.next_index();
            match one.make(&mut group) {
                Some((signed, Verdict::Sealed(record))) => {
                    prop_assert_eq!(record.index(), next);
                    prop_assert_eq!(record.proposal(), &signed);
                    prop_assert_eq!(group.fold.last_hash(), Some(record.hash()));
                    let kept = stored::record(&group.rows, next).unwrap();
                    prop_assert_eq!(kept, Some(record));
                }
                _ => {
                    prop_assert_eq!(dump(&group.rows), rows);
                    prop_assert_eq!(shown(&group.fold), fold);
                }
            }
            prop_assert_eq!(shown(&Fold::open(&group.rows).unwrap()), shown(&group.fold));
        }
    }

    /// Replaying the records gives the same rows and fold, however many are replayed at a time; so
    /// does admitting their proposals again, among all the others that were refused.
    #[test]
    fn records_determine_everything(
        moves in moves(50), batches in prop::collection::vec(1..9usize, 1..4),
    ) {
        let (group, made) = played_under(KNOWN_RULES, &moves);
        let records = records(&group);
        for batches in [&[1][..], &batches, &[records.len()]] {
            let (rows, fold) = replayed(&records, batches);
            same_as(&group, &rows, &fold);
        }

        let mut rows = Memory::new();
        let mut fold = Fold::open(&rows).unwrap();
        let mut draft = Draft::on(&rows);
        for (signed, verdict) in &made {
            if let Ok(signed) = verify_one(Unverified::new(signed.clone())) {
                prop_assert_eq!(&fold.admit(&mut draft, &signed).unwrap(), verdict);
            }
        }
        let changes = draft.finish();
        rows.apply(changes);
        same_as(&group, &rows, &fold);
    }

    /// So it is with histories aimed at the door, whatever rules they begin with: what is final and
    /// what has been counted follow from the records.
    #[test]
    fn records_determine_everything_at_the_door(
        rules in 1..=KNOWN_RULES, moves in door_moves::moves(40), batch in 1..9usize,
    ) {
        let (mut group, _) = door_moves::founded(rules);
        for one in &moves {
            for event in one.events(&group) {
                one.make(&mut group, event);
            }
        }
        let (rows, fold) = replayed(&records(&group), &[batch]);
        same_as(&group, &rows, &fold);
    }

    /// All other tables are derived: without them they can be folded again from the records.
    #[test]
    fn derived_tables_can_be_dropped(moves in moves(40)) {
        let (group, _) = played_under(KNOWN_RULES, &moves);
        let mut left = Memory::new();
        let mut only = Draft::on(&left);
        for ((table, key), value) in dump(&group.rows) {
            if table == tables::RECORDS.0 {
                only.put(tables::RECORDS, key, value);
            }
        }
        let changes = only.finish();
        left.apply(changes);
        let records: Vec<Record> =
            stored::from(&left, 0).unwrap().map(|record| record.unwrap()).collect();
        let mut fold = Fold::open(&left).unwrap();
        let mut draft = Draft::on(&left);
        for record in verified(&records) {
            let verdict = fold.replay(&mut draft, &record).unwrap();
            prop_assert!(matches!(verdict, Verdict::Sealed(_)));
        }
        let changes = draft.finish();
        left.apply(changes);
        same_as(&group, &left, &fold);
    }

    /// Whoever keeps no records but those that are read again comes to the same.
    #[test]
    fn most_records_need_not_be_kept(rules in 1..=KNOWN_RULES, moves in door_moves::moves(40)) {
        let (mut group, _) = door_moves::founded(rules);
        for one in &moves {
            for event in one.events(&group) {
                one.make(&mut group, event);
            }
        }
        let mut rows = Memory::new();
        let mut fold = Fold::open(&rows).unwrap();
        for record in verified(&records(&group)) {
            let left_out: &[Table] =
                if stored::is_read_again(record.get()) { &[] } else { &[tables::RECORDS] };
            let mut draft = Draft::leaving_out(&rows, left_out);
            let verdict = fold.replay(&mut draft, &record).unwrap();
            prop_assert!(matches!(verdict, Verdict::Sealed(_)));
            let changes = draft.finish();
            rows.apply(changes);
        }
        let derived = |rows: &Memory| {
            let mut dump = dump(rows);
            dump.retain(|(table, _), _| *table != tables::RECORDS.0);
            dump
        };
        prop_assert_eq!(derived(&rows), derived(&group.rows));
        prop_assert_eq!(shown(&fold), shown(&group.fold));
    }

    /// A record is taken at its place and nowhere else, and what is recorded is not again.
    #[test]
    fn a_record_has_one_place(moves in moves(30), at in any::<prop::sample::Index>()) {
        let (group, _) = played_under(KNOWN_RULES, &moves);
        let records = records(&group);
        let at = at.index(records.len());
        let (rows, mut fold) = replayed(&records[..at], &[at.max(1)]);
        let before = shown(&fold);
        for (i, record) in verified(&records).iter().enumerate() {
            if i != at {
                let mut draft = Draft::on(&rows);
                let verdict = fold.replay(&mut draft, record).unwrap();
                prop_assert!(matches!(verdict, Verdict::Refused(_)), "{} at {}", i, at);
                prop_assert_eq!(draft.finish(), Changes::default());
                prop_assert_eq!(shown(&fold), before.as_str());
            }
        }
    }

    /// Each request part is recorded once, for ever, and found by its ID.
    #[test]
    fn requests_are_found_for_ever(moves in moves(40)) {
        let (mut group, _) = played_under(KNOWN_RULES, &moves);
        let mut seen = BTreeMap::new();
        for record in records(&group) {
            let proposal = record.proposal().proposal().clone();
            let part = (proposal.request.clone(), proposal.part);
            prop_assert_eq!(seen.insert(part, record.index()), None);
            let parts = requests::parts(&group.rows, &proposal.request).unwrap();
            let found = parts.iter().find(|found| found.part == proposal.part).unwrap();
            prop_assert_eq!((found.index, found.digest), (record.index(), proposal.digest));
            prop_assert!(parts.windows(2).all(|pair| pair[0].part < pair[1].part));

            let (before, again) = (dump(&group.rows), record.proposal().clone());
            let repeated = Verdict::Repeated { index: record.index(), hash: record.hash() };
            prop_assert_eq!(group.admit_signed(again), repeated);
            prop_assert_eq!(dump(&group.rows), before);
        }
    }

    /// What is decoded is encoded to the same bytes.
    #[test]
    fn records_are_their_own_encoding(moves in moves(40)) {
        let (group, made) = played_under(KNOWN_RULES, &moves);
        for record in group.records() {
            let decoded = Record::decode(record.bytes()).unwrap();
            prop_assert_eq!(&decoded, &record);
            prop_assert_eq!(Record::hash_of(record.bytes()), record.hash());
        }
        for (signed, _) in made {
            let decoded = SignedProposal::decode(signed.bytes()).unwrap();
            prop_assert_eq!(&decoded, &signed);
            let proposal = signed.proposal();
            let again = ledger::history::Proposal::decode(&proposal.to_cbor()).unwrap();
            prop_assert_eq!(&again, proposal);
        }
    }

    /// The tree is that of RFC 6962 over the record hashes, and its proofs convince a verifier.
    #[test]
    fn the_tree_is_that_of_the_rfc(moves in moves(60), pick in any::<[prop::sample::Index; 2]>()) {
        let (group, _) = played_under(KNOWN_RULES, &moves);
        let leaves: Vec<[u8; 32]> =
            group.records().iter().map(|record| merkle::leaf(&record.hash().0)).collect();
        let size = leaves.len();
        prop_assert_eq!(group.fold.merkle_root(), tree(&leaves));
        let old = 1 + pick[0].index(size);
        let index = pick[1].index(old);
        let (old_size, whole) = (old as u64, size as u64);
        prop_assert_eq!(merkle::root_at(&group.rows, old_size).unwrap(), tree(&leaves[..old]));
        let path = merkle::inclusion_proof(&group.rows, index as u64, old_size).unwrap();
        prop_assert!(included(leaves[index], index, old, &path, tree(&leaves[..old])));
        let path = merkle::consistency_proof(&group.rows, old_size, whole).unwrap();
        prop_assert!(consistent(old, size, tree(&leaves[..old]), tree(&leaves), &path));
    }
}

/// MTH of RFC 6962, 2.1.
fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => merkle::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            merkle::inner(&tree(left), &tree(right))
        }
    }
}

/// RFC 9162, 2.1.3.2.
fn included(leaf: [u8; 32], index: usize, size: usize, path: &[[u8; 32]], root: [u8; 32]) -> bool {
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = merkle::inner(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = merkle::inner(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// RFC 9162, 2.1.4.2.
fn consistent(
    old: usize,
    new: usize,
    old_root: [u8; 32],
    new_root: [u8; 32],
    path: &[[u8; 32]],
) -> bool {
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    let mut path = path.to_vec();
    if old.is_power_of_two() {
        path.insert(0, old_root);
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let Some((first, steps)) = path.split_first() else { return false };
    let (mut of_old, mut of_new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            of_old = merkle::inner(step, &of_old);
            of_new = merkle::inner(step, &of_new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            of_new = merkle::inner(&of_new, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && of_old == old_root && of_new == new_root
}
