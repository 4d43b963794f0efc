//! Who is a member follows from the records, and what holds of members holds for ever.

use std::collections::{BTreeMap, BTreeSet};

use ledger::history::members::{self, Member, Standing};
use ledger::history::{Event, Fold, KNOWN_RULES, ReplicaId, Verdict, invitations, roster};
use ledger::limits::{INVITATIONS_OPEN, MEMBERS_AT_ONCE};
use ledger::testing::Group;
use proptest::prelude::*;

use crate::history::{dump, replayed, same_as};
use crate::member_moves::{founded, moves};
use crate::moves::records;

/// What is on record of members.
fn all(group: &Group) -> BTreeMap<ReplicaId, Member> {
    let all = members::list(&group.rows).unwrap();
    all.into_iter().map(|member| (member.id, member)).collect()
}

/// What holds at any time.
fn holds(group: &Group) {
    let all = all(group);
    let live: Vec<&Member> =
        all.values().filter(|m| !matches!(m.standing, Standing::Removed(_))).collect();
    assert!(live.iter().any(|member| member.standing == Standing::Voter));
    assert!(live.len() <= MEMBERS_AT_ONCE);
    assert!(invitations::unused(&group.rows).unwrap().len() <= INVITATIONS_OPEN);
    assert_eq!(members::live(&group.rows).unwrap().iter().collect::<Vec<_>>(), live);
    let active: Vec<Member> = live.iter().copied().filter(|m| m.is_active()).cloned().collect();
    assert!(active.iter().all(|member| member.details.rules >= group.fold.rules()));
    assert_eq!(members::active(&group.rows).unwrap(), active);
    assert_eq!(group.fold.next_replica().0, all.len() as u64 + 1);

    // One key is one member's, for one purpose; but for the lock key with which a machine goes on.
    let mut keys = BTreeSet::new();
    for member in all.values() {
        assert!(keys.insert(member.member_key.0), "{member:?}");
        assert!(keys.insert(member.details.log_key.0), "{member:?}");
        let lock = member.details.lock_key.filter(|_| member.is_active());
        assert!(lock.is_none_or(|key| keys.insert(key.0)), "{member:?}");
        let found = members::by_member_key(&group.rows, member.member_key).unwrap();
        assert_eq!(found.as_ref(), Some(member));
    }
    // A machine and its member know of each other, and a removed member has none.
    for member in all.values() {
        if let Some(node) = member.node {
            assert!(!matches!(member.standing, Standing::Removed(_)));
            assert_eq!(group.node(node).member, Some(member.id));
        }
    }
    for node in roster::list(&group.rows).unwrap() {
        if let Some(member) = node.member {
            assert_eq!(all[&member].node, Some(node.id));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A refusal leaves no trace; the records alone determine everything, incarnations included.
    #[test]
    fn records_determine_who_is_a_member(
        rules in 1..=KNOWN_RULES, moves in moves(80), batch in 1..9usize,
    ) {
        let (mut group, _) = founded(rules);
        for one in &moves {
            let (rows, fold) = (dump(&group.rows), format!("{:?}", group.fold));
            if let Some(made) = one.make(&mut group)
                && !matches!(made.verdict, Verdict::Sealed(_))
            {
                prop_assert_eq!(dump(&group.rows), rows);
                prop_assert_eq!(format!("{:?}", group.fold), fold);
            }
            let opened = Fold::open(&group.rows).unwrap();
            prop_assert_eq!(format!("{opened:?}"), format!("{:?}", group.fold));
        }
        let (rows, fold) = replayed(&records(&group), &[batch]);
        same_as(&group, &rows, &fold);
    }

    /// A number is one member's for ever, and so is its key; who is removed never returns, and does
    /// nothing; nor does who waits. An invitation lets in one.
    #[test]
    fn what_holds_of_members_holds_for_ever(rules in 1..=KNOWN_RULES, moves in moves(80)) {
        let (mut group, _) = founded(rules);
        holds(&group);
        let mut used = BTreeSet::new();
        for one in &moves {
            let (before, incarnation) = (all(&group), group.fold.incarnation());
            let next = group.fold.next_replica();
            let Some(made) = one.make(&mut group) else { continue };
            holds(&group);
            let now = all(&group);
            for (id, member) in &before {
                let known = &now[id];
                prop_assert_eq!(known.member_key, member.member_key);
                prop_assert_eq!(known.enrolled, member.enrolled);
                if let Standing::Removed(_) = member.standing {
                    prop_assert_eq!(known, member);
                }
            }
            let new: Vec<&Member> = now.values().filter(|m| !before.contains_key(&m.id)).collect();
            let proposal = made.signed.proposal();
            let Verdict::Sealed(record) = &made.verdict else {
                prop_assert!(new.is_empty());
                continue;
            };
            match &proposal.event {
                Event::MemberJoined(joined) => {
                    prop_assert!(new.len() == 1 && new[0].id == next);
                    prop_assert_eq!(new[0].member_key, joined.member_key);
                    prop_assert!(used.insert((incarnation, joined.invitation)));
                }
                Event::IncarnationBegun(begun) => {
                    prop_assert!(made.begins);
                    prop_assert!(new.len() == 1 && new[0].id == next);
                    prop_assert_eq!(new[0].member_key, begun.founder.member_key);
                    prop_assert_eq!(group.fold.incarnation(), incarnation + 1);
                    let index = record.index();
                    let left = now.values().filter(|m| m.standing != Standing::Removed(index));
                    prop_assert!(left.filter(|m| m.is_active()).count() == 1);
                    continue;
                }
                _ => prop_assert!(new.is_empty()),
            }
            prop_assert_eq!(group.fold.incarnation(), incarnation);
            prop_assert!(!made.begins);
            prop_assert!(before[&proposal.actor.member].is_active());
            prop_assert_eq!(before[&proposal.actor.member].member_key, made.signed.key());
        }
    }
}
