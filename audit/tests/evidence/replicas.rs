//! Several replicas: where they differ first, and which of them follow the rules.

use audit::compare_replicas;
use ledger::history::{Event, MemberDetails};
use ledger::testing::Group;

use super::{Options, history, ids, live};

/// A group that goes on in its own way after some common records.
fn went_on(name: &str) -> Group {
    let mut group = Group::new();
    group.add_node("laptop", 0x21);
    let details = MemberDetails { name: name.into(), ..group.details() };
    group.apply(Event::MemberChanged(details));
    group
}

#[test]
fn the_first_record_that_differs_is_named() {
    let (ours, theirs) = (went_on("one"), went_on("two"));
    let options = Options::default();
    let mut audited = live(&ours);
    compare_replicas(&mut audited, &[live(&theirs)], &options).unwrap();
    assert_eq!(audited.report.exit_code, 1);
    let finding =
        audited.report.findings.iter().find(|f| f.check.id == "replica.diverged").unwrap();
    assert_eq!(finding.record, Some(2));
    assert!(
        finding.message.contains("this one follows") && finding.message.contains("one follows")
    );

    // A replica that is behind is no other history.
    let mut audited = live(&ours);
    let behind = {
        let mut group = Group::new();
        group.add_node("laptop", 0x21);
        live(&group)
    };
    compare_replicas(&mut audited, &[behind, live(&ours)], &options).unwrap();
    assert_eq!(audited.report.exit_code, 0, "{:?}", ids(&audited));

    // One without records decides nothing.
    let mut audited = live(&ours);
    compare_replicas(&mut audited, &[live(&Group::unfounded())], &options).unwrap();
    assert_eq!(audited.report.exit_code, 3);
    let whole = history();
    let mut audited = live(&whole);
    compare_replicas(&mut audited, &[live(&ours)], &options).unwrap();
    assert_eq!(audited.report.exit_code, 1);
}
