//! The database. This file alone names RocksDB.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ledger::Fault;
use ledger::rows::{RowIter, Rows, Table};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRawIteratorWithThreadMode,
    DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, InfoLogger, LogLevel, Options, ReadOptions,
    Snapshot, WriteBatch, WriteOptions,
};

use super::{Batch, Disk, Durable, Step, tables};

/// Bytes of table blocks kept in memory.
const BLOCK_CACHE_BYTES: usize = 32 << 20;
/// Bytes of one table's rows in memory before they are written to a file.
const TABLE_BUFFER_BYTES: usize = 8 << 20;
/// Bytes of all tables' rows in memory.
const ALL_BUFFERS_BYTES: usize = 48 << 20;
/// Bytes of write-ahead logs before the tables that hold them back are written to files.
const WAL_BYTES: u64 = 64 << 20;
/// Table files kept open.
const OPEN_FILES: i32 = 256;

/// A RocksDB database with a column family per table.
#[derive(Clone)]
pub struct Rocks {
    db: Arc<DB>,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rocks").field(&self.db.path()).finish()
    }
}

impl Rocks {
    /// Opens the database in `dir`, and creates it or its missing tables if need be. Only one
    /// process at a time can.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Our warnings go where the daemon's go; no LOG files that nobody reads.
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |level, text| {
            match level {
                LogLevel::Error | LogLevel::Fatal => {
                    tracing::error!(target: "rocksdb", "{}", text.trim_end());
                }
                LogLevel::Warn => tracing::warn!(target: "rocksdb", "{}", text.trim_end()),
                // Headers, a thousand lines of settings at each start, pass every level.
                _ => tracing::trace!(target: "rocksdb", "{}", text.trim_end()),
            }
        }));
        options.set_paranoid_checks(true);
        // After an ordinary crash the WAL ends in the middle of an unsynced write: stop there.
        // That this drops what was synced behind a damaged record is why there is a watermark.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_recycle_log_file_num(0);
        options.set_allow_mmap_writes(false);
        options.set_allow_mmap_reads(false);
        options.set_max_open_files(OPEN_FILES);
        options.set_max_background_jobs(2);
        options.set_db_write_buffer_size(ALL_BUFFERS_BYTES);
        options.set_max_total_wal_size(WAL_BYTES);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = std::iter::once(DEFAULT_COLUMN_FAMILY_NAME)
            .chain(tables().map(|table| table.0))
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors(&options, dir, families)
            .map_err(|e| Fault::from_error(format!("open the database {}", dir.display()), e))?;
        Ok(Rocks { db: Arc::new(db) })
    }

    /// Opens the database in `dir` for reading, without changing a byte of it: it may lie on a
    /// read-only file system and may come from a crash. Nobody may write to it meanwhile.
    pub fn open_read_only(dir: &Path) -> Result<RocksView, Fault> {
        let what = || format!("open the database {} for reading", dir.display());
        let mut options = Options::default();
        // With a logger of ours RocksDB creates no LOG file of its own.
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_open_files(OPEN_FILES);
        // An older directory may lack tables that later versions added.
        let families = DB::list_cf(&options, dir).map_err(|e| Fault::from_error(what(), e))?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = families
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors_read_only(&options, dir, families, false)
            .map_err(|e| Fault::from_error(what(), e))?;
        Ok(RocksView::of(Arc::new(db)))
    }
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(TABLE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options
}

impl Disk for Rocks {
    type View = RocksView;

    fn view(&self) -> RocksView {
        RocksView::of(self.db.clone())
    }

    fn commit(&self, batch: Batch, sync: Durable) -> Result<(), Fault> {
        let mut write = WriteBatch::default();
        for step in batch.steps {
            match step {
                Step::Put(table, key, value) => write.put_cf(family(&self.db, table)?, key, value),
                Step::Delete(table, key) => write.delete_cf(family(&self.db, table)?, key),
                Step::DeleteRange(table, from, to) => {
                    write.delete_range_cf(family(&self.db, table)?, from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync == Durable::Now);
        self.db
            .write_opt(write, &options)
            .map_err(|e| Fault::from_error("write to the database", e))
    }
}

fn family(db: &DB, table: Table) -> Result<&rocksdb::ColumnFamily, Fault> {
    db.cf_handle(table.0)
        .ok_or_else(|| Fault::new(format!("the database has no table `{}`", table.0)))
}

self_cell::self_cell!(
    /// A snapshot, and the database that it must not outlive.
    struct Pinned {
        owner: Arc<DB>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// All rows of a database at one moment.
pub struct RocksView {
    pinned: Pinned,
}

impl RocksView {
    fn of(db: Arc<DB>) -> Self {
        RocksView { pinned: Pinned::new(db, |db| db.snapshot()) }
    }
}

impl std::fmt::Debug for RocksView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RocksView").field(&self.pinned.borrow_owner().path()).finish()
    }
}

impl Rows for RocksView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let Some(family) = self.pinned.borrow_owner().cf_handle(table.0) else {
            return Ok(None);
        };
        self.pinned.borrow_dependent().get_cf(family, key).map_err(|e| read_fault(table, e))
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        let empty = !keys.end.is_empty() && keys.end <= keys.start;
        let family = self.pinned.borrow_owner().cf_handle(table.0).filter(|_| !empty);
        let Some(family) = family else {
            return Ok(Box::new(std::iter::empty()));
        };
        let mut options = ReadOptions::default();
        if !keys.end.is_empty() {
            options.set_iterate_upper_bound(keys.end);
        }
        let mut rows = self.pinned.borrow_dependent().raw_iterator_cf_opt(family, options);
        rows.seek(keys.start);
        Ok(Box::new(Scan { rows, table, over: false }))
    }
}

struct Scan<'a> {
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    table: Table,
    over: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if let Some((key, value)) = self.rows.item() {
            let row = (key.to_vec(), value.to_vec());
            self.rows.next();
            return Some(Ok(row));
        }
        self.over = true;
        self.rows.status().err().map(|e| Err(read_fault(self.table, e)))
    }
}

fn read_fault(table: Table, error: rocksdb::Error) -> Fault {
    Fault::from_error(format!("read the table `{}`", table.0), error)
}
