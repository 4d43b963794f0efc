use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use replica::offline::Offline;

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
