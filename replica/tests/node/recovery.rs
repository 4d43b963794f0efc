use std::fs;
use std::path::Path;

use ledger::Ailment;
use ledger::rows::raft::Ahead;
use ledger::rows::watermark::Watermark;
use replica::disk::recovery::{Fresh, StartError, recover};
use replica::disk::rocks::Rocks;
use replica::disk::watermark::WatermarkFile;
use replica::disk::{Batch, Disk, Durable, ROWS_DIR, identity, log, watermark};

use super::*;

/// A data directory with three records, stopped in order.
async fn used() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    for number in 1..=2 {
        applied(node.handle().submit(joins(number)).await);
    }
    node.stop().await.unwrap();
    dir
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_old_identity_on_a_fresh_disk_is_refused() {
    let dir = used().await;
    fs::remove_dir_all(dir.path().join(ROWS_DIR)).unwrap();
    let error = start(dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::FreshDisk { .. }), "{error}");
    assert!(!dir.path().join(ROWS_DIR).exists(), "nothing was created");
}

#[tokio::test]
async fn a_lost_identity_or_watermark_is_noticed() {
    for file in [identity::FILE, watermark::FILE] {
        let dir = used().await;
        fs::remove_file(dir.path().join(file)).unwrap();
        let error = start(dir.path()).await.unwrap_err();
        assert!(matches!(error, StartError::LostFile { .. }), "{error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[tokio::test]
async fn the_database_of_another_replica_is_refused() {
    let (dir, other) = (used().await, used().await);
    fs::copy(other.path().join(identity::FILE), dir.path().join(identity::FILE)).unwrap();
    let error = start(dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::OtherIdentity { .. }), "{error}");
}

#[tokio::test]
async fn a_replica_short_of_its_watermark_does_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let early = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    applied(node.handle().submit(joins(1)).await);
    node.stop().await.unwrap();
    copy(&dir.path().join(ROWS_DIR), early.path());
    let node = start(dir.path()).await.unwrap();
    applied(node.handle().submit(joins(2)).await);
    node.stop().await.unwrap();
    // The disk comes back as it was before the last record.
    fs::remove_dir_all(dir.path().join(ROWS_DIR)).unwrap();
    copy(early.path(), &dir.path().join(ROWS_DIR));
    let error = start(dir.path()).await.unwrap_err();
    let StartError::Short { promised, found, .. } = &error else { panic!("{error}") };
    assert!(!promised.kept_by(found));
    assert!(error.to_string().contains("has lost what was acknowledged"), "{error}");
    assert!(!error.remedy().is_empty());
}

#[tokio::test]
async fn a_damaged_wal_that_hides_synced_writes_is_noticed() {
    let dir = used().await;
    // The newest log file has everything since the start; spoil a byte in its middle.
    let mut wals: Vec<_> = fs::read_dir(dir.path().join(ROWS_DIR))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    wals.sort();
    let wal = wals.pop().expect("a log with what was written");
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&wal, bytes).unwrap();
    let error = start(dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::Short { .. } | StartError::Fault(_)), "{error}");
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_goes_on() {
    // Only the database was created, and it was not even filled.
    let dir = tempfile::tempdir().unwrap();
    drop(replica::disk::rocks::Rocks::open(&dir.path().join(ROWS_DIR)).unwrap());
    start(dir.path()).await.unwrap().stop().await.unwrap();

    // The database was filled, but the identity file was not written.
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = None;
    for _ in 0..2 {
        let fresh = Fresh::Founder(ledger::history::ClusterId([3; 16]));
        let recovered = recover(dir.path(), fresh).unwrap();
        let identity = recovered.identity;
        assert_eq!(*cluster.get_or_insert(identity.cluster), identity.cluster);
        drop(recovered);
        fs::remove_file(dir.path().join(identity::FILE)).unwrap();
    }
    let node = start(dir.path()).await.unwrap();
    assert_eq!(Some(node.handle().cluster().0), cluster);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn an_empty_directory_is_not_taken_for_a_replica() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::alone(dir.path(), Arc::new(key(1)), None);
    let error = Node::start(options).await.unwrap_err();
    assert!(matches!(error, StartError::Empty { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was created");
}

#[tokio::test]
async fn two_replicas_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    let error = start(dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::Fault(_)), "{error}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_watermark_further_on_is_a_promise_whatever_the_log_says() {
    let dir = used().await;
    let mark = watermark::read(dir.path()).unwrap().unwrap();
    let mut file = WatermarkFile::open(dir.path()).unwrap();
    let further = Watermark { last_index: mark.last_index + 1, ..mark };
    file.write(&further, Durable::Now).unwrap();
    drop(file);
    let error = start(dir.path()).await.unwrap_err();
    assert!(matches!(error, StartError::Short { .. }), "{error}");
}

/// Records that were damaged may have come back from somebody who has made others of them.
#[tokio::test]
async fn a_record_that_is_not_the_one_that_its_log_has_led_to_is_damage() {
    let dir = used().await;
    let rocks = Rocks::open(&dir.path().join(ROWS_DIR)).unwrap();
    let index = log::load(&rocks.view(), None).unwrap().applied;
    let mut batch = Batch::new();
    log::ahead(&mut batch, Some(&Ahead { index, record: 1, hash: [7; 32] }));
    rocks.commit(batch, Durable::Now).unwrap();
    drop(rocks);
    let error = start(dir.path()).await.unwrap_err();
    let StartError::Fault(fault) = &error else { panic!("{error}") };
    assert_eq!(fault.ailment(), Ailment::Damaged, "{error}");
    assert!(error.to_string().contains("record 1 is another one"), "{error}");
}
