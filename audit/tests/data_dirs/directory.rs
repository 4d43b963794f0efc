//! A data directory as a replica writes it, from a group's rows, to be changed and looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ledger::history::Record;
use ledger::rows::{Rows, Table, raft, tables};
pub(crate) use ledger::testing::entry_of;
use ledger::testing::{self, Group, replica_files};
use rocksdb::{ColumnFamilyDescriptor, DB, Options};
use tempfile::TempDir;

use super::history::Told;

/// A data directory that is gone when this is dropped.
pub(crate) struct Directory {
    /// Open since the first change: what was changed is in the write-ahead log.
    db: RefCell<Option<DB>>,
    dir: TempDir,
}

/// A row of a database: table, key and, unless it is to be deleted, value.
pub(crate) type Row = (Table, Vec<u8>, Option<Vec<u8>>);

impl Directory {
    /// The directory of a replica that has recorded this history and stopped.
    pub(crate) fn of(group: &Told) -> Self {
        Self::of_group(group)
    }

    /// As [`of`](Self::of).
    pub(crate) fn of_group(group: &Group) -> Self {
        let directory = Self::empty();
        let db = open(directory.path());
        put(&db, &all_rows(group));
        for table in every_table() {
            db.flush_cf(db.cf_handle(table.0).unwrap()).unwrap();
        }
        drop(db);
        directory.write_files(last_entry(group));
        directory
    }

    fn empty() -> Self {
        Directory { db: RefCell::new(None), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes rows of the database.
    pub(crate) fn write(&self, rows: &[Row]) {
        let mut db = self.db.borrow_mut();
        put(db.get_or_insert_with(|| open(self.path())), rows);
    }

    /// The watermark and identity files of a replica whose log ends at `last`.
    pub(crate) fn write_files(&self, last: u64) {
        for (name, bytes) in replica_files(last) {
            fs::write(self.path().join(name), bytes).unwrap();
        }
    }

    /// What a crash leaves of the same: nothing in table files, all in the write-ahead log.
    pub(crate) fn as_left_by_a_crash(&self, group: &Told) -> Directory {
        let running = tempfile::tempdir().unwrap();
        let db = open(running.path());
        for row in all_rows(group) {
            put(&db, &[row]);
        }
        let crashed = Self::empty();
        copy(running.path(), crashed.path());
        crashed.write_files(last_entry(group));
        crashed
    }

    /// A copy, to be changed.
    pub(crate) fn copied(&self) -> Directory {
        let copied = Self::empty();
        copy(self.path(), copied.path());
        copied
    }
}

fn every_table() -> impl Iterator<Item = Table> {
    tables::ALL.iter().chain(raft::TABLES).copied()
}

fn open(dir: &Path) -> DB {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = every_table().map(|t| ColumnFamilyDescriptor::new(t.0, Options::default()));
    DB::open_cf_descriptors(&options, dir.join("db"), families).unwrap()
}

fn put(db: &DB, rows: &[Row]) {
    for (table, key, value) in rows {
        let family = db.cf_handle(table.0).unwrap();
        match value {
            Some(value) => db.put_cf(family, key, value).unwrap(),
            None => db.delete_cf(family, key).unwrap(),
        }
    }
}

pub(crate) fn last_entry(group: &Group) -> u64 {
    entry_of(group.fold.next_index()) - 1
}

/// Every row of a replica: the group's tables, and the log from which the records came.
pub(crate) fn all_rows(group: &Group) -> Vec<Row> {
    let mut rows = table_rows(group);
    rows.extend(log_rows(&group.records(), 0));
    rows
}

/// The rows of the group's tables.
pub(crate) fn table_rows(group: &Group) -> Vec<Row> {
    let mut rows = Vec::new();
    for table in tables::ALL {
        for row in group.rows.scan(*table, &[][..]..&[][..]).unwrap() {
            let (key, value) = row.unwrap();
            rows.push((*table, key, Some(value)));
        }
    }
    rows
}

/// The rows of a log from which these records came, cut before record `from`.
pub(crate) fn log_rows(records: &[Record], from: u64) -> Vec<Row> {
    puts(testing::log_rows(records, from))
}

/// The rows of a log that was cut behind the entry `base`; the data of what it still has.
pub(crate) fn log_of<'a>(base: u64, data: impl Iterator<Item = &'a [u8]>) -> Vec<Row> {
    puts(testing::log_of(base, data))
}

fn puts(rows: Vec<(Table, Vec<u8>, Vec<u8>)>) -> Vec<Row> {
    rows.into_iter().map(|(table, key, value)| (table, key, Some(value))).collect()
}

/// Copies a directory, file by file.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Everything that is to be seen of a file or directory but when it was last read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    content: Vec<u8>,
    mode: u32,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Every file and directory below `dir`, and `dir` itself.
pub(crate) fn every_file(dir: &Path) -> BTreeMap<String, Look> {
    fn walk(path: PathBuf, root: &Path, found: &mut BTreeMap<String, Look>) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        let look = Look {
            content,
            mode: metadata.mode(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        found.insert(name, look);
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                walk(entry.unwrap().path(), root, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir.to_owned(), dir, &mut found);
    found
}
