//! Rules are activated one by one, once every member can execute them; who cannot stops there.

use ledger::Refusal;
use ledger::history::{Event, EventRefusal, Fold, KNOWN_RULES, MemberDetails, SignedProposal};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::rows::{Changes, Draft};
use ledger::testing::Group;

#[test]
fn rules_follow_each_other_once_all_members_can_execute_them() {
    let mut group = Group::new();
    let active = group.fold.rules();
    for asked in [0, active, active + 2, u32::MAX] {
        let not_next = EventRefusal::RulesNotNext { asked, active };
        assert_eq!(group.refuse(Event::RulesActivated(asked)), Refusal::Event(not_next));
    }
    let refusal = group.refuse(Event::RulesActivated(active + 1));
    assert!(matches!(refusal, Refusal::Event(EventRefusal::RulesNotSupported { .. })));
    let none = MemberDetails { rules: 0, ..group.details() };
    assert!(matches!(
        group.refuse(Event::MemberChanged(none)),
        Refusal::Event(EventRefusal::Shape(_))
    ));
    assert_eq!(group.fold.rules(), active);
}

/// A program that is too old must neither go on nor refuse what others admit.
#[test]
fn unknown_rules_stop_the_replica_and_change_nothing() {
    let mut group = Group::new();
    let next = KNOWN_RULES + 1;
    let newer = MemberDetails { rules: next, ..group.details() };
    group.apply(Event::MemberChanged(newer));
    let proposal = group.proposal(Event::RulesActivated(next));
    let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
    let verified = verify_one(Unverified::new(signed)).unwrap();
    let before = format!("{:?}", group.fold);
    let mut draft = Draft::on(&group.rows);
    let fault = group.fold.admit(&mut draft, &verified).unwrap_err();
    assert!(fault.to_string().contains("install a newer version"), "{fault}");
    assert_eq!(draft.finish(), Changes::default());
    assert_eq!(format!("{:?}", group.fold), before);
    assert_eq!(format!("{:?}", Fold::open(&group.rows).unwrap()), before);
}
