//! What every [`Disk`] must do: one suite, run on RocksDB and on the disk in memory.

use ledger::rows::{Rows, Table, raft, tables};

use super::{Batch, Disk, Durable};

fn batch(steps: &[(Table, &str, Option<&str>)]) -> Batch {
    let mut batch = Batch::new();
    for (table, key, value) in steps {
        match value {
            Some(value) => batch.put(*table, *key, *value),
            None => batch.steps.push(super::Step::Delete(*table, (*key).into())),
        }
    }
    batch
}

fn listed(rows: &dyn Rows, table: Table, from: &str, to: &str) -> Vec<String> {
    let rows = rows.scan(table, from.as_bytes()..to.as_bytes()).expect("a scan");
    rows.map(|row| {
        let (key, value) = row.expect("a row");
        format!("{}={}", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value))
    })
    .collect()
}

/// Runs the suite on an empty disk. Panics where the disk does not conform.
pub fn check(disk: &impl Disk) {
    let (a, b) = (tables::RECORDS, raft::RAFT_LOG);

    let empty = disk.view();
    assert_eq!(empty.get(a, b"k").expect("a read"), None, "an empty disk has no rows");
    assert!(listed(&empty, a, "", "").is_empty(), "an empty disk lists nothing");

    let first = [(a, "1", Some("x")), (a, "3", Some("z")), (b, "2", Some("other"))];
    disk.commit(batch(&first), Durable::Later).expect("a commit");
    assert_eq!(empty.get(a, b"1").expect("a read"), None, "a view does not change");
    let view = disk.view();
    assert_eq!(view.get(a, b"1").expect("a read"), Some(b"x".to_vec()));
    assert_eq!(view.get(a, b"2").expect("a read"), None, "tables are apart");
    assert_eq!(listed(&view, a, "", ""), ["1=x", "3=z"]);
    assert_eq!(listed(&view, a, "1", "3"), ["1=x"], "the end is excluded");
    assert_eq!(listed(&view, a, "2", ""), ["3=z"], "the start need not exist");
    assert!(listed(&view, a, "3", "1").is_empty(), "a range may be empty");
    assert!(listed(&view, a, "3", "3").is_empty());

    // Later steps win, whatever they are.
    let mut second = batch(&[(a, "2", Some("first")), (a, "2", Some("second")), (a, "1", None)]);
    second.put(a, "9", "gone");
    second.delete_range(a, "5", "99");
    // No row lies between these, and none is removed.
    second.delete_range(a, "9", "0");
    second.delete_range(a, "0", "");
    second.put(a, "6", "kept");
    disk.commit(second, Durable::Now).expect("a commit");
    assert_eq!(listed(&view, a, "", ""), ["1=x", "3=z"], "a view does not change");
    assert_eq!(listed(&disk.view(), a, "", ""), ["2=second", "3=z", "6=kept"]);

    // A range may span any bytes; its end is excluded.
    let mut third = Batch::new();
    third.put(b, [0xff, 0xff], "last");
    third.put(b, [0], "zero");
    third.delete_range(b, [0], [0xff, 0xff]);
    disk.commit(third, Durable::Now).expect("a commit");
    let rows: Vec<_> = disk
        .view()
        .scan(b, b"".as_slice()..b"")
        .expect("a scan")
        .map(|row| row.expect("a row").0)
        .collect();
    assert_eq!(rows, [vec![0xff, 0xff]]);

    // An empty batch is a way to sync what came before.
    disk.commit(Batch::new(), Durable::Now).expect("a commit");
    let clone = disk.clone();
    clone.commit(batch(&[(a, "3", None)]), Durable::Later).expect("a commit");
    assert_eq!(listed(&disk.view(), a, "", ""), ["2=second", "6=kept"], "clones are one disk");
}

#[cfg(test)]
mod tests {
    use super::super::{memory::MemoryDisk, rocks::Rocks};
    use super::*;

    #[test]
    fn rocksdb_conforms() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Rocks::open(dir.path()).unwrap();
        check(&disk);
        drop(disk);
        // What was written is there again.
        let disk = Rocks::open(dir.path()).unwrap();
        assert_eq!(listed(&disk.view(), tables::RECORDS, "", ""), ["2=second", "6=kept"]);
    }

    #[test]
    fn the_disk_in_memory_conforms() {
        check(&MemoryDisk::new());
    }
}
