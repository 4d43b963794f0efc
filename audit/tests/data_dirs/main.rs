//! Data directories: a whole one holds and is left as it was; whatever was changed in one, or lost
//! from it, is noticed.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its directory has failed")]

mod catching_up;
mod cut_log;
mod damage;
mod directory;
mod history;
mod resuming;
mod tampering;

use std::collections::BTreeSet;

use audit::report::Report;
use audit::trust_anchor::Anchors;
use audit::verdict::Verdict;
use audit::{Options, verify_data_dir};
use ledger::history::merkle;
use ledger::ids::AumHash;

use directory::{Directory, every_file};
use history::history;

fn audit(directory: &Directory) -> Report {
    verify_data_dir("dir", directory.path(), &Options::default())
}

fn ids(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.check.id).collect()
}

#[test]
fn a_whole_directory_holds_and_says_what_its_records_say() {
    let group = history();
    let directory = Directory::of(&group);
    let report = audit(&directory);
    assert_eq!((report.verdict, report.exit_code), (Verdict::Holds, 0), "{:#?}", report.findings);
    let facts = report.ledger.as_ref().unwrap();
    let records = group.records();
    assert_eq!(facts.origin, Some(records[0].hash()));
    assert_eq!(
        (facts.records, facts.verified_records),
        (records.len() as u64, group.fold.next_index())
    );
    assert_eq!(facts.record_hash, records.last().map(|record| record.hash()));
    assert_eq!(facts.fold_hash, group.fold.fold_hash());
    assert_eq!(facts.root, merkle::root_at(&group.rows, group.fold.next_index()).unwrap());
    assert_eq!((facts.lock, facts.waiting, facts.holder), ("on", 0, None));
    let authority = group.fold.authority().unwrap();
    assert_eq!(report.head, Some(authority.head()));
    assert_eq!(report.oldest, Some(authority.oldest().hash));
    assert_eq!(report.state_id, Some(authority.state().state_id()));
    assert_eq!(report.epochs, 2);
    let keys: Vec<_> = report.trusted_keys.iter().map(|key| (key.key.clone(), key.votes)).collect();
    let trusted = authority.state().keys().iter();
    let trusted: Vec<_> =
        trusted.map(|key| (key.lock_key().unwrap().to_tlpub(), key.votes)).collect();
    assert_eq!(keys, trusted);
    assert_eq!((facts.nodes.admitted, facts.nodes.locked_out), (3, 2));
    let found = ids(&report);
    for id in [
        "node.locked-out",
        "node.wrapping-shared",
        "key.preauth-unused",
        "fork.resolved",
        "revocation.won",
        "record.time-backwards",
        "follow.alarm",
    ] {
        assert!(found.contains(id), "{id}: {found:?}");
    }
    let unchecked: Vec<_> = report.unchecked.iter().map(|item| item.id).collect();
    assert_eq!(unchecked, ["freshness", "anchor"]);
    let aums: u64 = records.iter().map(|r| r.proposal().proposal().event.aums().len() as u64).sum();
    assert_eq!((report.aums, report.verified), (aums, aums));
}

/// Names, contents, sizes, modes and times of every file and directory.
#[test]
fn nothing_in_the_directory_changes() {
    let group = history();
    let closed = Directory::of(&group);
    // What a crash leaves: everything is in the write-ahead log.
    let crashed = closed.as_left_by_a_crash(&group);
    for directory in [closed, crashed] {
        let before = every_file(directory.path());
        for _ in 0..2 {
            assert_eq!(audit(&directory).exit_code, 0);
        }
        assert_eq!(every_file(directory.path()), before);
    }
}

#[test]
fn what_only_the_write_ahead_log_holds_is_read() {
    let group = history();
    let directory = Directory::of(&group).as_left_by_a_crash(&group);
    let tables = |name: &String| name.ends_with(".sst");
    assert!(!every_file(directory.path()).keys().any(tables));
    let report = audit(&directory);
    assert_eq!(report.exit_code, 0, "{:#?}", report.findings);
    assert_eq!(report.ledger.unwrap().records, group.fold.next_index());
}

#[test]
fn anchors_may_name_records_and_every_epoch() {
    let group = history();
    let directory = Directory::of(&group);
    let code = |genesis: Option<AumHash>, head: Option<AumHash>, state_id| {
        let anchors = Anchors { genesis, head, state_id, ..Anchors::default() };
        let options = Options { anchors, ..Options::default() };
        verify_data_dir("dir", directory.path(), &options).exit_code
    };
    let records = group.records();
    let aums: Vec<AumHash> = records
        .iter()
        .flat_map(|record| record.proposal().proposal().event.aums())
        .map(|aum| aum.hash())
        .collect();
    let other = AumHash([7; 32]);
    for (hash, expected) in [
        (AumHash(records[0].hash().0), 0),
        (aums[0], 0),
        (group.fold.authority().unwrap().oldest().hash, 0),
        (aums[1], 5),
        (other, 5),
    ] {
        assert_eq!(code(Some(hash), None, None), expected, "{hash}");
    }
    for (hash, expected) in [
        (AumHash(records[3].hash().0), 0),
        (group.fold.authority().unwrap().head(), 0),
        (aums[1], 0),
        (other, 5),
    ] {
        assert_eq!(code(None, Some(hash), None), expected, "{hash}");
    }
    assert_eq!(code(None, None, Some((1, 0))), 0);
    assert_eq!(code(None, None, Some((2, 0))), 0);
    assert_eq!(code(None, None, Some((3, 0))), 5);
    // The branch that the revocation undid.
    let beaten = *group.undone.first().unwrap();
    let anchors = Anchors { head: Some(beaten), ..Anchors::default() };
    let options = Options { anchors, ..Options::default() };
    let report = verify_data_dir("dir", directory.path(), &options);
    assert_eq!(report.exit_code, 5);
    assert!(ids(&report).contains("head.rewritten"));
}

#[test]
fn a_directory_without_records_decides_nothing() {
    let group = ledger::testing::Group::unfounded();
    let report = audit(&Directory::of_group(&group));
    assert_eq!((report.verdict, report.exit_code), (Verdict::Undecidable, 3));
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("db")).unwrap();
    let report = verify_data_dir("dir", other.path(), &Options::default());
    assert_eq!((report.verdict, report.exit_code), (Verdict::Undecidable, 3));
    assert!(ids(&report).contains("source.unreadable"));
    assert_eq!(std::fs::read_dir(other.path().join("db")).unwrap().count(), 0);
}
