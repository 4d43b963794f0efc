//! Logs that were cut: a proposal that was handed on twice may have left its first entry behind, and
//! proves nothing then. Many records in a row that have their entries do.

use ledger::history::{Event, NodeId, Record};
use ledger::rows::raft;

use super::directory::{Directory, Row, entry_of, last_entry, log_of};
use super::history::{Told, history};
use super::{audit, ids};

/// The first record whose entry the logs still have.
const FROM: u64 = 8;

/// A history and so many changes more.
fn history_and(changes: u8) -> Told {
    let mut group = history();
    for change in 0..changes {
        group.add_node(&format!("more{change}"), 0x60 + change);
    }
    group
}

/// The rows of a log that was cut before the first of these records' entries.
fn cut(group: &Told, entries: &[&Record]) -> Vec<Row> {
    let whole = 2..=last_entry(group) + 1;
    let mut rows: Vec<Row> =
        whole.map(|index| (raft::RAFT_LOG, raft::log_key(index).to_vec(), None)).collect();
    let data = entries.iter().map(|record| record.proposal().bytes());
    rows.extend(log_of(entry_of(FROM) - 1, data));
    rows
}

/// Writes such a log, and the promise that it reaches its end.
fn write_log(directory: &Directory, group: &Told, entries: &[&Record]) {
    directory.write(&cut(group, entries));
    directory.write_files(entry_of(FROM) - 1 + entries.len() as u64);
}

#[test]
fn what_was_handed_on_again_behind_the_cut_proves_nothing() {
    let group = history();
    let records = group.records();
    let whole = Directory::of(&group);
    let kept = || records[FROM as usize..].iter();
    for again in [&[1][..], &[3], &[FROM as usize - 1], &[2, 3], &[3, 2], &[1, 4, 5]] {
        for at in [0, 1, 3] {
            let mut entries: Vec<&Record> = kept().collect();
            let again = again.iter().map(|record| &records[*record]);
            entries.splice(at..at, again.clone());
            let directory = whole.copied();
            write_log(&directory, &group, &entries);
            let report = audit(&directory);
            let again: Vec<u64> = again.map(Record::index).collect();
            assert_eq!(report.exit_code, 0, "{again:?} at {at}: {:?}", report.findings);
        }
    }
    // Neither if it is not applied yet, nor if nothing else is left.
    let (last, first) = (records.last().unwrap(), &records[2]);
    for entries in [&[last][..], &[first], &[first, last], &[first, first]] {
        let directory = whole.copied();
        write_log(&directory, &group, entries);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 0, "{entries:?}: {:?}", report.findings);
        directory.write(&[(
            raft::RAFT_STATE,
            raft::APPLIED.to_vec(),
            Some(raft::applied_row(entry_of(FROM) - 1)),
        )]);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 0, "{entries:?} waiting: {:?}", report.findings);
    }
}

#[test]
fn behind_many_records_with_entries_one_without_is_noticed() {
    let group = history_and(90);
    let records = group.records();
    let whole = Directory::of(&group);
    let entries: Vec<&Record> = records[FROM as usize..].iter().collect();
    write_log(&whole, &group, &entries);
    let report = audit(&whole);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
    for lost in [80, entries.len() - 1] {
        let directory = whole.copied();
        let mut entries = entries.clone();
        entries.remove(lost);
        write_log(&directory, &group, &entries);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1, "{lost}");
        assert!(ids(&report).contains("record.unlogged"), "{lost}: {:?}", report.findings);
    }
    // The other way round: an entry that should have become a record.
    let mut more = history_and(90);
    more.apply(Event::NodeRemoved(NodeId(3)));
    let entries: Vec<Record> = more.records()[FROM as usize..].to_vec();
    for at in [40, 70, entries.len() - 1] {
        let directory = whole.copied();
        let mut entries: Vec<&Record> = entries.iter().collect();
        let removal = entries.pop().unwrap();
        entries.insert(at, removal);
        write_log(&directory, &group, &entries);
        let report = audit(&directory);
        assert_eq!(report.exit_code, 1, "{at}");
        assert!(ids(&report).contains("record.missing"), "{at}: {:?}", report.findings);
    }
}
