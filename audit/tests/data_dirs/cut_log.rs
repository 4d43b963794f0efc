//! Logs that were cut: a proposal that was handed on twice may have left its first entry behind, and
//! proves nothing then. Records in a row that have their entries and are of a minute do.

use audit::report::Report;
use ledger::history::{Event, NewNode, NodeId, Record, SignedProposal, roster};
use ledger::ids::NodeKey;
use ledger::rows::raft::{self, Ahead};

use super::catching_up::ahead;
use super::directory::{Directory, Row, entry_of, last_entry, log_of};
use super::history::{Told, history};
use super::resuming::{Desk, resumed};
use super::{audit, ids};

/// The first record whose entry the logs still have.
const FROM: u64 = 8;

/// A node that anybody may add.
fn node(name: String, key: u16) -> Event {
    let mut node_key = [0x5e; 32];
    node_key[..2].copy_from_slice(&key.to_be_bytes());
    let node_key = NodeKey(node_key);
    let (lock_key, signature, auth_key) = (None, None, None);
    Event::NodeAdded(NewNode { name, node_key, lock_key, own: false, signature, auth_key })
}

/// A history and so many nodes more.
fn history_and(nodes: u16) -> Told {
    let mut group = history();
    for number in 0..nodes {
        group.apply(node(format!("more{number}"), number));
    }
    group
}

/// The rows of a log that was cut before the first of these records' entries.
fn cut(group: &Told, entries: &[&SignedProposal]) -> Vec<Row> {
    let whole = 2..=last_entry(group) + 1;
    let mut rows: Vec<Row> =
        whole.map(|index| (raft::RAFT_LOG, raft::log_key(index).to_vec(), None)).collect();
    rows.extend(log_of(entry_of(FROM) - 1, entries.iter().map(|proposal| proposal.bytes())));
    rows
}

/// What these records came from.
fn proposals<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<&'a SignedProposal> {
    records.into_iter().map(Record::proposal).collect()
}

/// A proposal that was never recorded, with a request ID of its own.
fn unrecorded(group: &mut Told, event: Event) -> SignedProposal {
    let mut proposal = group.proposal(event);
    proposal.request = format!("unrecorded-{}", proposal.request).parse().unwrap();
    proposal.last_index += 10_000;
    SignedProposal::sign(&proposal, &group.member).unwrap()
}

/// Writes such a log, and the promise that it reaches its end.
fn write_log(directory: &Directory, group: &Told, entries: &[&SignedProposal]) {
    directory.write(&cut(group, entries));
    directory.write_files(entry_of(FROM) - 1 + entries.len() as u64);
}

/// An audit of a copy of a directory that has such a log.
fn audited(whole: &Directory, group: &Told, entries: &[&SignedProposal]) -> Report {
    let directory = whole.copied();
    write_log(&directory, group, entries);
    audit(&directory)
}

#[test]
fn what_was_handed_on_again_behind_the_cut_proves_nothing() {
    let group = history();
    let records = group.records();
    let whole = Directory::of(&group);
    let kept = || records[FROM as usize..].iter();
    for again in [&[1][..], &[3], &[FROM as usize - 1], &[2, 3], &[3, 2], &[1, 4, 5]] {
        for at in [0, 1, 3] {
            let mut entries = proposals(kept());
            let again = again.iter().map(|record| &records[*record]);
            entries.splice(at..at, proposals(again.clone()));
            let report = audited(&whole, &group, &entries);
            let again: Vec<u64> = again.map(Record::index).collect();
            assert_eq!(report.exit_code, 0, "{again:?} at {at}: {:?}", report.findings);
        }
    }
    // Neither if it is not applied yet, nor if nothing else is left.
    let (last, first) = (records.last().unwrap(), &records[2]);
    for entries in [&[last][..], &[first], &[first, last], &[first, first]] {
        let directory = whole.copied();
        write_log(&directory, &group, &proposals(entries.iter().copied()));
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

/// All that waits is handed on again when the leader changes, of which the log may have lost a part.
#[test]
fn a_batch_that_was_handed_on_again_across_the_cut_proves_nothing() {
    let group = history_and(40);
    let records = group.records();
    let whole = Directory::of(&group);
    let from = records.len() - 20;
    for (first, last) in [(from - 5, from + 5), (from - 9, from), (from - 1, from + 19)] {
        for behind in [last, last + 1, records.len()] {
            let behind = behind.min(records.len());
            let mut entries = proposals(&records[from..behind]);
            entries.extend(proposals(&records[first..last]));
            entries.extend(proposals(&records[behind..]));
            let report = audited(&whole, &group, &entries);
            assert_eq!(report.exit_code, 0, "{first}..{last} {behind}: {:?}", report.findings);
        }
    }
}

/// An entry was refused for what a record did that came from an entry which is gone.
#[test]
fn what_was_refused_before_it_was_handed_on_again_is_not_missing() {
    let mut group = history_and(37);
    let refused = unrecorded(&mut group, node("taken".into(), 999));
    let refused = &refused;
    let from = group.records().len();
    group.apply(node("free".into(), 2001));
    group.apply(node("taken".into(), 2002));
    group.apply(node("other".into(), 2003));
    for lifted in [false, true] {
        if lifted {
            // At the end nothing is against it any more.
            let taken = roster::by_name(&group.rows, "taken").unwrap().unwrap();
            group.apply(Event::NodeRemoved(taken.id));
            group.apply(node("last".into(), 2004));
        }
        let records = group.records();
        let all = proposals(&records[from..]);
        let [free, taken, rest @ ..] = all.as_slice() else { panic!("{records:?}") };
        let whole = Directory::of(&group);
        for begin in [&[refused, taken][..], &[free, refused, taken], &[taken, refused]] {
            let report = audited(&whole, &group, &[begin, rest].concat());
            assert_eq!(report.exit_code, 0, "{lifted} {begin:?}: {:?}", report.findings);
        }
    }
}

/// Entries before the last copy of the record before it are of an earlier time.
#[test]
fn what_a_later_copy_has_behind_it_was_judged_before() {
    let mut group = history_and(10);
    let depends = unrecorded(&mut group, node("taken".into(), 999));
    let from = group.records().len();
    group.apply(node("first".into(), 2001));
    group.apply(node("second".into(), 2002));
    let records = group.records();
    let [first, second] = [&records[from], &records[from + 1]].map(Record::proposal);
    // As if the first of `second` and the other had been refused for what came to be undone.
    let entries = [second, &depends, second, first];
    let report = audited(&Directory::of(&group), &group, &entries);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
}

#[test]
fn behind_many_records_with_entries_one_without_is_noticed() {
    let group = history_and(100);
    let records = group.records();
    let whole = Directory::of(&group);
    let entries = proposals(&records[FROM as usize..]);
    write_log(&whole, &group, &entries);
    let report = audit(&whole);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
    for lost in [80, entries.len() - 1] {
        let mut entries = entries.clone();
        entries.remove(lost);
        let report = audited(&whole, &group, &entries);
        assert_eq!(report.exit_code, 1, "{lost}");
        assert!(ids(&report).contains("record.unlogged"), "{lost}: {:?}", report.findings);
    }
    // The other way round: an entry that should have become a record.
    let mut more = history_and(100);
    more.apply(Event::NodeRemoved(NodeId(3)));
    let entries: Vec<Record> = more.records()[FROM as usize..].to_vec();
    for at in [40, 80, entries.len() - 1] {
        let mut entries = proposals(&entries);
        let removal = entries.pop().unwrap();
        entries.insert(at, removal);
        let report = audited(&whole, &group, &entries);
        assert_eq!(report.exit_code, 1, "{at}");
        assert!(ids(&report).contains("record.missing"), "{at}: {:?}", report.findings);
    }
}

/// What was looked at before counts as well.
#[test]
fn an_audit_that_goes_on_knows_the_entries_of_before() {
    let mut group = history_and(100);
    let directory = Directory::of(&group);
    let records = group.records();
    let entries = proposals(&records[FROM as usize..]);
    write_log(&directory, &group, &entries);
    let desk = Desk::new();
    assert_eq!(desk.audit(&directory).exit_code, 0);
    group.apply(node("behind".into(), 9999));
    let directory = Directory::of(&group);
    write_log(&directory, &group, &entries);
    let report = desk.audit(&directory);
    assert_eq!((report.exit_code, resumed(&report)), (1, Some(records.len() as u64)));
    assert!(ids(&report).contains("record.unlogged"), "{:?}", report.findings);
}

/// A replica that was behind has all the records, and its log is that of before.
#[test]
fn what_was_refused_before_the_others_went_on_is_not_missing() {
    let mut group = history_and(40);
    let refused = unrecorded(&mut group, node("more20".into(), 999));
    let refused = &refused;
    let taken = roster::by_name(&group.rows, "more20").unwrap().unwrap();
    let before = group.records();
    let desk = Desk::new();
    let whole = Directory::of(&group);
    assert_eq!(desk.audit(&whole).exit_code, 0);
    group.apply(Event::NodeRemoved(taken.id));
    let all = proposals(&before);
    let [.., first, second] = all.as_slice() else { panic!("{before:?}") };
    let (first, second) = (*first, *second);
    let directory = Directory::of(&group);
    write_log(&directory, &group, &[first, refused, second, refused]);
    directory.write(&[ahead(entry_of(FROM) + 3, before.last().unwrap())]);
    let report = audit(&directory);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
    let report = desk.audit(&directory);
    assert_eq!((report.exit_code, resumed(&report)), (0, Some(before.len() as u64)));
    // What is remembered came from the others itself.
    group.apply(node("next".into(), 1000));
    let directory = Directory::of(&group);
    write_log(&directory, &group, &[first, refused, second, refused]);
    directory.write(&[ahead(entry_of(FROM) + 3, before.last().unwrap())]);
    let report = desk.audit(&directory);
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);
}

/// Whoever can write to the disk could have a row say that the last records came from the others.
#[test]
fn no_row_hides_what_was_applied_and_taken_out() {
    let (group, mut more) = (history_and(10), history_and(10));
    more.apply(Event::NodeRemoved(NodeId(3)));
    let (records, all) = (group.records(), more.records());
    let entries = proposals(&all[FROM as usize..]);
    let applied = entry_of(FROM) - 1 + entries.len() as u64;
    let found = |row: Row| {
        let directory = Directory::of(&group);
        write_log(&directory, &group, &entries);
        directory.write(&[row]);
        audit(&directory)
    };
    for record in records.iter().rev().take(5) {
        let report = found(ahead(applied, record));
        assert_eq!(report.exit_code, 1, "{record:?}");
        assert!(ids(&report).contains("record.missing"), "{:?}", report.findings);
    }
    // A replica refuses to start with what does not fit.
    let last = records.last().unwrap();
    let other = Ahead { index: applied, record: last.index(), hash: [0; 32] };
    let other = (raft::RAFT_STATE, raft::AHEAD.to_vec(), Some(other.to_row()));
    for row in [ahead(applied - 1, last), other] {
        let report = found(row);
        assert_eq!(report.exit_code, 1);
        let found = ids(&report);
        assert!(found.contains("log.damaged") && !found.contains("record.truncated"), "{found:?}");
    }
}
