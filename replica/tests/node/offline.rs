use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ledger::history::records;
use ledger::rows::raft::{Ahead, EntryKind, Position};
use replica::core::{LogEntry, LogWrite};
use replica::disk::rocks::Rocks;
use replica::disk::{Disk, Durable, ROWS_DIR, log};
use replica::offline::Offline;
use replica::offline::recover::{Planned, plan};

use super::recovery::copy;
use super::*;

/// Every file below a directory with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.insert(entry.path(), Vec::new());
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn read_without_a_trace(dir: &Path, want: &[String]) {
    let before = files(dir);
    let offline = Offline::open(dir).unwrap();
    assert_eq!(requests(offline.rows()), want);
    assert_eq!(offline.records(1).unwrap().count(), want.len() - 1);
    let facts = offline.facts().unwrap();
    assert_eq!(facts.records, want.len() as u64);
    assert!(facts.identity_file && facts.promise_kept, "{facts:?}");
    assert!(facts.applied <= facts.hard.commit && facts.hard.commit <= facts.last_index);
    drop(offline);
    assert!(files(dir) == before, "not a byte changes");
}

#[tokio::test]
async fn a_stopped_and_a_crashed_directory_are_read_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    let mut want = vec!["group-created".to_owned()];
    for number in 1..=50 {
        applied(node.handle().submit(joins(number)).await);
        want.push(format!("join-{number}"));
    }
    // What the directory holds at this moment is what a kill would leave.
    let crashed = tempfile::tempdir().unwrap();
    copy(dir.path(), crashed.path());
    read_without_a_trace(crashed.path(), &want);
    node.stop().await.unwrap();
    read_without_a_trace(dir.path(), &want);

    // Opening again writes the log into files; those are read as well.
    start(dir.path()).await.unwrap().stop().await.unwrap();
    read_without_a_trace(dir.path(), &want);
    start(crashed.path()).await.unwrap().stop().await.unwrap();
    read_without_a_trace(crashed.path(), &want);
}

#[test]
fn a_directory_without_a_replica_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Offline::open(dir.path()).is_err());
    assert_eq!(files(dir.path()).len(), 0);
}

/// The log of a survivor whose records were ahead of it was taken for no use: what only that log had
/// was lost.
#[tokio::test]
async fn a_log_that_records_are_ahead_of_is_recovered_too() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    for number in 1..=5 {
        applied(node.handle().submit(joins(number)).await);
    }
    node.stop().await.unwrap();
    // Another one has heard of one thing more.
    let other = tempfile::tempdir().unwrap();
    copy(dir.path(), other.path());
    let node = start(other.path()).await.unwrap();
    let last = applied(node.handle().submit(joins(6)).await);
    let record = records::record(node.handle().view().rows(), last).unwrap().unwrap();
    let proposal = record.proposal().bytes().to_vec();
    node.stop().await.unwrap();

    let rocks = Rocks::open(&dir.path().join(ROWS_DIR)).unwrap();
    let saved = log::load(&rocks.view(), None).unwrap();
    let led_to = records::record(&rocks.view(), 3).unwrap().unwrap();
    let entry = saved.entries.iter().find(|entry| entry.data == led_to.proposal().bytes());
    let index = entry.unwrap().position.index;
    let position = Position { index: saved.last().index + 1, term: saved.last().term };
    let entry = LogEntry { position, kind: EntryKind::Proposal, data: proposal };
    let (entries, previous_last) = (vec![entry], saved.last().index);
    let mut batch = log::write(&LogWrite { entries, previous_last, ..LogWrite::default() });
    log::applied(&mut batch, index);
    let ahead = Ahead { index, record: 3, hash: led_to.hash().0 };
    log::ahead(&mut batch, Some(&ahead));
    rocks.commit(batch, Durable::Now).unwrap();
    drop(rocks);

    let Planned::Plan(plan) = plan(dir.path(), &[]).unwrap() else { panic!("nothing is done yet") };
    let waiting: Vec<_> = plan.waiting.iter().map(|waiting| waiting.request.as_str()).collect();
    assert_eq!(waiting, ["join-6"], "records 4 and on have their entries");
}
