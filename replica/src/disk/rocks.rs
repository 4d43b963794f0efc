//! The database. This file alone names RocksDB.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use ledger::rows::{RowIter, Rows, Table};
use ledger::{Ailment, Fault};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRawIteratorWithThreadMode,
    DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, InfoLogger, LogLevel, Options,
    ReadOptions, Snapshot, WriteBatch, WriteOptions,
};

use super::ailment::of_system_text;
use super::{Batch, Disk, Durable, Step, framing, tables};

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
    db: Arc<Opened>,
}

/// The open database, and the first damage that anybody has met in it.
struct Opened {
    db: DB,
    damage: OnceLock<String>,
    /// Behind the database: it is closed before this says so.
    closed: Closed,
}

/// Says that it is gone.
struct Closed(Arc<AtomicBool>);

/// How many databases this process has open.
static OPEN: Mutex<usize> = Mutex::new(0);
/// One was closed.
static CLOSED: Condvar = Condvar::new();

fn open_ones() -> MutexGuard<'static, usize> {
    // A number cannot be left half changed.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Closed {
    fn not_yet() -> Self {
        *open_ones() += 1;
        Closed(Arc::default())
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        *open_ones() -= 1;
        CLOSED.notify_all();
    }
}

/// Waits until this process has no database open, at most so long; says whether it has none. Before
/// that it should not end: RocksDB's own state goes first, and a thread that still uses it then
/// aborts the process.
pub fn all_closed(within: Duration) -> bool {
    let waited = CLOSED.wait_timeout_while(open_ones(), within, |open| *open > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
}

impl Opened {
    fn new(db: DB) -> Arc<Self> {
        Arc::new(Opened { db, damage: OnceLock::new(), closed: Closed::not_yet() })
    }

    fn watched(self: &Arc<Self>) -> Watched {
        Watched { opened: Arc::downgrade(self), closed: self.closed.0.clone() }
    }

    /// The fault of a read, which everybody else is to hear of if it is damage.
    fn read_fault(&self, table: Table, error: rocksdb::Error) -> Fault {
        let fault = database_fault(format!("read the table `{}`", table.0), error);
        if fault.ailment() == Ailment::Damaged {
            let _ = self.damage.set(fault.to_string());
        }
        fault
    }
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rocks").field(&self.db.db.path()).finish()
    }
}

impl Rocks {
    /// Opens the database in `dir`, and creates it or its missing tables if need be. Only one
    /// process at a time can.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        framing::check(dir)?;
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
            .map_err(|e| database_fault(format!("open the database {}", dir.display()), e))?;
        Ok(Rocks { db: Opened::new(db) })
    }

    /// The same database for somebody who does not keep it open.
    pub fn watched(&self) -> Watched {
        self.db.watched()
    }

    /// Opens the database in `dir` for reading, without changing a byte of it: it may lie on a
    /// read-only file system and may come from a crash. Nobody may write to it meanwhile.
    pub fn open_read_only(dir: &Path) -> Result<RocksView, Fault> {
        Self::open_reading(dir, true)
    }

    /// The same, of a database of which files may be damaged or gone: what can be read in it is what
    /// was written, since every block has its checksum.
    pub fn open_damaged(dir: &Path) -> Result<RocksView, Fault> {
        Self::open_reading(dir, false)
    }

    fn open_reading(dir: &Path, all_files: bool) -> Result<RocksView, Fault> {
        framing::check(dir)?;
        let what = || format!("open the database {} for reading", dir.display());
        let mut options = Options::default();
        // With a logger of ours RocksDB creates no LOG file of its own.
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
        options.set_paranoid_checks(all_files);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_open_files(OPEN_FILES);
        // An older directory may lack tables that later versions added.
        let families = DB::list_cf(&options, dir).map_err(|e| database_fault(what(), e))?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = families
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors_read_only(&options, dir, families, false)
            .map_err(|e| database_fault(what(), e))?;
        Ok(RocksView::of(Opened::new(db)))
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
        let db = &self.db.db;
        let mut write = WriteBatch::default();
        for step in batch.steps {
            match step {
                Step::Put(table, key, value) => write.put_cf(family(db, table)?, key, value),
                Step::Delete(table, key) => write.delete_cf(family(db, table)?, key),
                Step::DeleteRange(table, from, to) => {
                    write.delete_range_cf(family(db, table)?, from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync == Durable::Now);
        db.write_opt(write, &options).map_err(|e| database_fault("write to the database", e))
    }

    fn damage(&self) -> Option<Fault> {
        let what = self.db.damage.get()?;
        Some(Fault::new(what.clone()).of(Ailment::Damaged))
    }
}

fn family(db: &DB, table: Table) -> Result<&rocksdb::ColumnFamily, Fault> {
    db.cf_handle(table.0)
        .ok_or_else(|| Fault::new(format!("the database has no table `{}`", table.0)))
}

self_cell::self_cell!(
    /// A snapshot, and the database that it must not outlive.
    struct Pinned {
        owner: Arc<Opened>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// All rows of a database at one moment.
pub struct RocksView {
    pinned: Pinned,
}

impl RocksView {
    /// The database for somebody who wants to know when it is closed.
    pub fn watched(&self) -> Watched {
        self.pinned.borrow_owner().watched()
    }

    fn of(db: Arc<Opened>) -> Self {
        RocksView { pinned: Pinned::new(db, |opened| opened.db.snapshot()) }
    }
}

impl std::fmt::Debug for RocksView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RocksView").field(&self.pinned.borrow_owner().db.path()).finish()
    }
}

impl Rows for RocksView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let opened = self.pinned.borrow_owner();
        let Some(family) = opened.db.cf_handle(table.0) else {
            return Ok(None);
        };
        let row = self.pinned.borrow_dependent().get_cf(family, key);
        row.map_err(|e| opened.read_fault(table, e))
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        let empty = !keys.end.is_empty() && keys.end <= keys.start;
        let opened: &Opened = self.pinned.borrow_owner();
        let family = opened.db.cf_handle(table.0).filter(|_| !empty);
        let Some(family) = family else {
            return Ok(Box::new(std::iter::empty()));
        };
        let mut options = ReadOptions::default();
        if !keys.end.is_empty() {
            options.set_iterate_upper_bound(keys.end);
        }
        let mut rows = self.pinned.borrow_dependent().raw_iterator_cf_opt(family, options);
        rows.seek(keys.start);
        Ok(Box::new(Scan { opened, rows, table, over: false }))
    }
}

struct Scan<'a> {
    opened: &'a Opened,
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
        self.rows.status().err().map(|e| Err(self.opened.read_fault(self.table, e)))
    }
}

/// A database that somebody looks through who does not keep it open.
pub struct Watched {
    opened: Weak<Opened>,
    closed: Arc<AtomicBool>,
}

/// How far somebody has come who looks through a database: a table, and a key in it.
pub type ScrubPlace = (usize, Vec<u8>);

/// What came of looking through a part of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// There is more from here on.
    Further(ScrubPlace),
    /// All of it is sound.
    Done,
    /// It is closed, or damaged, which [`Disk::damage`] says from now on.
    Over,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    /// Whether it is closed: nobody reads from it any more either.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Reads about so many bytes of rows from a place on, or from the beginning. The blocks take no
    /// place in the cache.
    pub fn scrub(&self, from: Option<ScrubPlace>, bytes: usize) -> Scrubbed {
        let Some(opened) = self.opened.upgrade() else { return Scrubbed::Over };
        let (mut at, mut start) = from.unwrap_or_default();
        let mut left = bytes;
        while let Some(table) = tables().nth(at) {
            let Some(family) = opened.db.cf_handle(table.0) else { return Scrubbed::Over };
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            let mut rows = opened.db.raw_iterator_cf_opt(family, options);
            rows.seek(&start);
            while let Some((key, value)) = rows.item() {
                let size = key.len() + value.len();
                if size > left && left < bytes {
                    return Scrubbed::Further((at, key.to_vec()));
                }
                left = left.saturating_sub(size);
                rows.next();
            }
            if let Err(error) = rows.status() {
                let fault = opened.read_fault(table, error);
                tracing::error!(%fault, "found damage in the database");
                return Scrubbed::Over;
            }
            (at, start) = (at + 1, Vec::new());
        }
        Scrubbed::Done
    }
}

/// The fault of an operation that the database refused.
fn database_fault(what: impl Into<String>, error: rocksdb::Error) -> Fault {
    let ailment = match error.kind() {
        ErrorKind::Corruption => Ailment::Damaged,
        ErrorKind::IOError => of_system_text(error.as_ref()),
        _ => Ailment::Unknown,
    };
    Fault::from_error(what, error).of(ailment)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ledger::rows::tables;

    use super::*;

    /// A database whose rows are in tables, one of which is damaged.
    fn damaged() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..2_u8 {
            let disk = Rocks::open(dir.path()).unwrap();
            let mut batch = Batch::new();
            for row in 0..=255_u8 {
                batch.put(tables::RECORDS, [number, row], [row; 300]);
            }
            disk.commit(batch, Durable::Now).unwrap();
        }
        // Opening it writes what is in its log to a table.
        drop(Rocks::open(dir.path()).unwrap());
        let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        let table = files.filter(|path| path.extension().is_some_and(|end| end == "sst")).max();
        let table = table.unwrap();
        let mut bytes = fs::read(&table).unwrap();
        // Not in its first block, which is read before any row of the other table.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&table, bytes).unwrap();
        dir
    }

    #[test]
    fn damage_is_never_read_and_everybody_hears_of_it() {
        let dir = damaged();
        let disk = Rocks::open(dir.path()).unwrap();
        assert!(disk.damage().is_none(), "nobody has looked yet");
        let view = disk.view();
        let mut rows = view.scan(tables::RECORDS, b"".as_slice()..b"".as_slice()).unwrap();
        let fault = rows.find_map(Result::err).unwrap();
        assert_eq!(fault.ailment(), Ailment::Damaged, "{fault}");
        assert!(disk.damage().unwrap().to_string().contains("`records`"));
        let read = Rocks::open_damaged(dir.path()).unwrap();
        let sound = read.scan(tables::RECORDS, b"".as_slice()..b"".as_slice()).unwrap();
        assert!(sound.flatten().all(|(key, value)| value == [key[1]; 300]));
    }

    #[test]
    fn whoever_looks_through_it_finds_damage_and_keeps_nothing_open() {
        let dir = damaged();
        let disk = Rocks::open(dir.path()).unwrap();
        let watched = disk.watched();
        let (mut place, mut parts) = (None, 0);
        while let Scrubbed::Further(next) = watched.scrub(place, 4096) {
            (place, parts) = (Some(next), parts + 1);
        }
        assert!(disk.damage().is_some() && parts > 0, "{parts}");
        assert!(!watched.is_closed());
        let view = disk.view();
        drop(disk);
        assert!(!watched.is_closed(), "somebody still reads");
        assert!(!all_closed(Duration::ZERO));
        drop(view);
        assert!(watched.is_closed());
        assert_eq!(watched.scrub(None, 4096), Scrubbed::Over);

        let dir = tempfile::tempdir().unwrap();
        let disk = Rocks::open(dir.path()).unwrap();
        let mut batch = Batch::new();
        batch.put(tables::RECORDS, [1], vec![0; 10_000]);
        batch.put(tables::RECORDS, [2], vec![0; 10_000]);
        disk.commit(batch, Durable::Now).unwrap();
        // Rows that are longer than a piece are passed one at a time.
        let Scrubbed::Further(next) = disk.watched().scrub(None, 4096) else { panic!("all of it") };
        assert_eq!(disk.watched().scrub(Some(next), 4096), Scrubbed::Done);
    }
}
