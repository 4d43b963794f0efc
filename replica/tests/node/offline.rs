use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ledger::history::records;
use ledger::rows::raft::{Ahead, EntryKind, HardState, Position, RecordPointer};
use replica::core::{Installed, LogEntry, LogWrite, Saved};
use replica::disk::rocks::Rocks;
use replica::disk::{Batch, Disk, Durable, ROWS_DIR, log};
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

/// A data directory with so many proposals recorded, and the proposal of one more, which only another
/// one has.
async fn one_short(recorded: u64) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    for number in 1..=recorded {
        applied(node.handle().submit(joins(number)).await);
    }
    node.stop().await.unwrap();
    let other = tempfile::tempdir().unwrap();
    copy(dir.path(), other.path());
    let node = start(other.path()).await.unwrap();
    let last = applied(node.handle().submit(joins(recorded + 1)).await);
    let record = records::record(node.handle().view().rows(), last).unwrap().unwrap();
    let proposal = record.proposal().bytes().to_vec();
    node.stop().await.unwrap();
    (dir, proposal)
}

/// Opens a stopped directory's database, and reads its log.
fn opened(dir: &Path) -> (Rocks, Saved) {
    let rocks = Rocks::open(&dir.join(ROWS_DIR)).unwrap();
    let saved = log::load(&rocks.view(), None).unwrap();
    (rocks, saved)
}

/// What appends a proposal to a log, in a term of its own.
fn appended(saved: &Saved, proposal: Vec<u8>) -> Batch {
    let last = saved.last();
    let position = Position { index: last.index + 1, term: last.term + 1 };
    let hard = HardState { term: position.term, ..saved.hard };
    log::write(&LogWrite {
        entries: vec![LogEntry { position, kind: EntryKind::Proposal, data: proposal }],
        previous_last: last.index,
        hard: Some(hard),
        ..LogWrite::default()
    })
}

fn waiting(dir: &Path, with: &[PathBuf]) -> Vec<String> {
    let Planned::Plan(plan) = plan(dir, with).unwrap() else { panic!("nothing is done yet") };
    plan.waiting.iter().map(|waiting| waiting.request.clone()).collect()
}

/// The log of a survivor whose records were ahead of it was taken for no use: what only that log had
/// was lost.
#[tokio::test]
async fn a_log_that_records_are_ahead_of_is_recovered_too() {
    let (dir, proposal) = one_short(5).await;
    let (rocks, saved) = opened(dir.path());
    let led_to = records::record(&rocks.view(), 3).unwrap().unwrap();
    let entry = saved.entries.iter().find(|entry| entry.data == led_to.proposal().bytes());
    let index = entry.unwrap().position.index;
    let mut batch = appended(&saved, proposal);
    log::applied(&mut batch, index);
    let ahead = Ahead { index, record: 3, hash: led_to.hash().0 };
    log::ahead(&mut batch, Some(&ahead));
    rocks.commit(batch, Durable::Now).unwrap();
    drop(rocks);
    assert_eq!(waiting(dir.path(), &[]), ["join-6"], "records 4 and on have their entries");
}

/// A member had offered one of them the right record at a log index that is not its own: what another
/// one's log has up to that index was taken for applied, and lost.
#[tokio::test]
async fn a_survivor_that_was_misled_hides_nothing_in_another_ones_log() {
    let (dir, proposal) = one_short(5).await;
    let misled = tempfile::tempdir().unwrap();
    copy(dir.path(), misled.path());
    let (rocks, saved) = opened(misled.path());
    let at = Position { index: saved.last().index + 100, ..saved.last() };
    let group = saved.group.clone();
    // What is there.
    let record = RecordPointer { record: 5, hash: [0; 32], fold: [0; 32] };
    let write = LogWrite {
        hard: Some(HardState { commit: at.index, ..saved.hard }),
        installed: Some(Installed { at, group, record }),
        ..LogWrite::default()
    };
    rocks.commit(log::write(&write), Durable::Now).unwrap();
    drop(rocks);
    let (rocks, saved) = opened(dir.path());
    rocks.commit(appended(&saved, proposal), Durable::Now).unwrap();
    drop(rocks);
    assert_eq!(waiting(dir.path(), &[misled.path().to_owned()]), ["join-6"]);
}
