//! Replicas whose records are, or will be, ahead of their log: those that were behind fetch records
//! from the others.

use audit::verdict::Verdict;
use audit::{Options, verify_data_dir};
use ledger::history::Record;
use ledger::rows::raft::{AHEAD, APPLIED, Ahead, RAFT_LOG, RAFT_STATE, applied_row, log_key};
use ledger::testing::Group;

use super::directory::{Directory, Row, entry_of, last_entry, log_rows};
use super::history::history;

/// The row that says that a log, applied up to that entry, has led to that record and no further.
pub(super) fn ahead(index: u64, last: &Record) -> Row {
    let row = Ahead { index, record: last.index(), hash: last.hash().0 }.to_row();
    (RAFT_STATE, AHEAD.to_vec(), Some(row))
}

fn found(directory: &Directory) -> (Verdict, u8, Vec<&'static str>) {
    let report = verify_data_dir("dir", directory.path(), &Options::default());
    let ids = report.findings.iter().map(|finding| finding.check.id);
    let of_rows =
        |id: &&str| ["record.", "log.", "cache.", "source."].iter().any(|of| id.starts_with(of));
    let ids = ids.filter(of_rows).filter(|id| *id != "record.time-backwards").collect();
    (report.verdict, report.exit_code, ids)
}

#[test]
fn records_that_came_from_the_others_need_no_log() {
    let group = history();
    let records = group.records();
    let last = records.last().unwrap();
    let applied = last.index() as usize - 3;
    let directory = Directory::of(&group);
    let mut rows = log_rows(&records[..=applied], 0);
    for record in &records[applied + 1..] {
        rows.push((RAFT_LOG, log_key(entry_of(record.index())).to_vec(), None));
    }
    directory.write(&rows);
    directory.write_files(entry_of(applied as u64));
    // Without a word about it somebody has put them there.
    let (verdict, code, ids) = found(&directory);
    assert_eq!((verdict, code, ids), (Verdict::Broken, 1, vec!["record.unlogged"]));
    directory.write(&[ahead(entry_of(applied as u64), &records[applied])]);
    assert_eq!(found(&directory), (Verdict::Holds, 0, vec![]));
    // The log may have some of their entries, which are never applied again.
    let not_applied = (RAFT_STATE, APPLIED.to_vec(), Some(applied_row(entry_of(applied as u64))));
    let mut rows = log_rows(&records[..=applied + 2], 0);
    rows.push(not_applied);
    directory.write(&rows);
    directory.write_files(entry_of(applied as u64 + 2));
    assert_eq!(found(&directory), (Verdict::Holds, 0, vec![]));
}

#[test]
fn records_that_are_yet_to_be_fetched_were_not_taken_out() {
    let mut group = Group::new();
    group.add_node("laptop", 0x21);
    let directory = Directory::of_group(&group);
    let before = group.fold.next_index();
    for byte in 0x22..0x25 {
        group.add_node(&format!("node{byte}"), byte);
    }
    let records = group.records();
    directory.write(&log_rows(&records, 0));
    directory.write_files(last_entry(&group));
    let (verdict, code, ids) = found(&directory);
    assert_eq!((verdict, code, ids), (Verdict::Broken, 1, vec!["record.missing"]));
    directory.write(&[ahead(last_entry(&group), records.last().unwrap())]);
    let (verdict, code, ids) = found(&directory);
    assert_eq!((verdict, code, ids), (Verdict::Undecidable, 3, vec!["source.unreadable"]));
    let report = verify_data_dir("dir", directory.path(), &Options::default());
    let text = report.to_text();
    assert!(text.contains(&format!("The records from {before} on")), "{text}");
}
