//! A data directory as a replica writes it, from a group's rows, to be changed and looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ledger::history::{Record, ReplicaId};
use ledger::rows::raft::{self, Group as Members, HardState, Identity, Position};
use ledger::rows::watermark::{FILE_BYTES, Watermark, slot_offset};
use ledger::rows::{Rows, Table, tables};
use ledger::testing::Group;
use rocksdb::{ColumnFamilyDescriptor, DB, Options};
use tempfile::TempDir;

use super::history::Told;

/// The term of every entry of the log here.
const TERM: u64 = 2;

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
        let mark = Watermark { term: TERM, vote: 1, last_term: TERM, last_index: last };
        let mut bytes = vec![0; FILE_BYTES];
        for sequence in [6, 7] {
            let slot = mark.to_slot(sequence);
            let at = slot_offset(sequence) as usize;
            bytes[at..at + slot.len()].copy_from_slice(&slot);
        }
        fs::write(self.path().join("watermark"), bytes).unwrap();
        let identity = format!(
            "lockstep identity 1\ncluster {}\nreplica {}\nincarnation 1\n",
            Group::CLUSTER,
            ReplicaId(1)
        );
        fs::write(self.path().join("identity"), identity).unwrap();
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

/// The index of the entry from which a record came: the first entry is the leader's own.
pub(crate) fn entry_of(record: u64) -> u64 {
    record + 3
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
    let own: &[&[u8]] = if from == 0 { &[b""] } else { &[] };
    let base = if from == 0 { 1 } else { entry_of(from) - 1 };
    let data = records[from as usize..].iter().map(|record| record.proposal().bytes());
    log_of(base, own.iter().copied().chain(data))
}

/// The rows of a log that was cut behind the entry `base`; the data of what it still has.
pub(crate) fn log_of<'a>(base: u64, data: impl Iterator<Item = &'a [u8]>) -> Vec<Row> {
    let data: Vec<&[u8]> = data.collect();
    let last = base + data.len() as u64;
    let mut rows = Vec::new();
    let mut state = |key: &[u8], value: Vec<u8>| {
        rows.push((raft::RAFT_STATE, key.to_vec(), Some(value)));
    };
    let base = Position { index: base, term: if base == 1 { 1 } else { TERM } };
    let identity = Identity { cluster: Group::CLUSTER.0, replica: 1, incarnation: 1 };
    let members = Members { voters: vec![1], ..Members::default() };
    state(raft::IDENTITY, identity.to_row());
    state(raft::BASE, base.to_row());
    state(raft::HARD, HardState { term: TERM, vote: 1, commit: last }.to_row());
    state(raft::GROUP, members.to_row());
    state(raft::APPLIED, raft::applied_row(last));
    for (index, data) in (base.index + 1..).zip(data) {
        let row = raft::entry_row(TERM, raft::EntryKind::Proposal, data);
        rows.push((raft::RAFT_LOG, raft::log_key(index).to_vec(), Some(row)));
    }
    rows
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
