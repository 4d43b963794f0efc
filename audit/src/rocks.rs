//! RocksDB: a replica's database, read without changing a byte of it, and scratch space for long
//! histories. Alone names rocksdb.

use std::fs;
use std::ops::Range;
use std::path::Path;

use ledger::Fault;
use ledger::rows::{Changes, RowIter, Rows, Table, tables};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRawIteratorWithThreadMode,
    DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, FlushOptions, InfoLogger, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};
use tempfile::TempDir;

/// The database's directory within a data directory.
const ROWS_DIR: &str = "db";
/// Bytes of table blocks kept in memory.
const BLOCK_CACHE_BYTES: usize = 16 << 20;
/// Bytes of one scratch table's rows in memory before they are written to a file.
const SCRATCH_BUFFER_BYTES: usize = 4 << 20;
/// Bytes of all scratch tables' rows in memory.
const SCRATCH_BUFFERS_BYTES: usize = 24 << 20;
/// Bytes that a scan reads ahead.
const READAHEAD_BYTES: usize = 1 << 20;
/// How often a directory that a daemon is writing to is opened again.
const ATTEMPTS: usize = 5;

/// Whether a directory looks like a replica's data directory, perhaps a damaged one.
pub(crate) fn is_data_dir(dir: &Path) -> bool {
    dir.join(ROWS_DIR).join("CURRENT").is_file()
        || (dir.join("watermark").is_file() && dir.join("identity").is_file())
}

/// The process that has the database of a data directory open for writing, as far as this system
/// tells. Looks at the kernel's list of locks: taking the lock would keep a daemon from starting.
pub(crate) fn holder(dir: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(dir.join(ROWS_DIR).join("LOCK")).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: POSIX  ADVISORY  WRITE 4711 fe:00:263 0 EOF`
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, access) = (words.next()?, words.next()?, words.next()?);
        let process = words.next()?.parse().ok()?;
        let locked = words.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        (kind == "POSIX" && access == "WRITE" && locked == inode).then_some(process)
    })
}

/// All rows of a replica's database as it lies there.
pub(crate) struct ReadOnly {
    db: DB,
}

impl ReadOnly {
    /// Opens the database of a data directory. What only the write-ahead log holds is read too,
    /// into memory. If `busy`, somebody writes to it meanwhile, and files may vanish while they are
    /// being opened; once open, all rows are of one moment.
    pub(crate) fn open(dir: &Path, busy: bool) -> Result<Self, Fault> {
        let dir = dir.join(ROWS_DIR);
        // The crate would create the directory.
        if !dir.join("CURRENT").is_file() {
            return Err(Fault::new(format!("{} is no database: it has no CURRENT", dir.display())));
        }
        let mut left = if busy { ATTEMPTS } else { 1 };
        loop {
            left -= 1;
            match Self::try_open(&dir) {
                Err(_) if left > 0 => {}
                result => return result,
            }
        }
    }

    fn try_open(dir: &Path) -> Result<Self, Fault> {
        let fault = |e| Fault::from_error(format!("open the database {}", dir.display()), e);
        let mut options = Options::default();
        silence(&mut options);
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_allow_mmap_reads(false);
        // Every file is opened now: whoever writes to the database may delete some later.
        options.set_max_open_files(-1);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = DB::list_cf(&options, dir).map_err(fault)?;
        let families = families
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors_read_only(&options, dir, families, false);
        Ok(ReadOnly { db: db.map_err(fault)? })
    }
}

impl Rows for ReadOnly {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.db, table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        scan(&self.db, table, keys)
    }
}

/// Tables on disk that are gone when this is dropped, unless they were made in a place of their own.
pub(crate) struct Temporary {
    // Before the directory, which is deleted with what the database still has open.
    db: DB,
    _dir: Option<TempDir>,
}

impl Temporary {
    /// Empty tables in a new directory below `parent`, or where the system keeps such things.
    pub(crate) fn create(parent: Option<&Path>) -> Result<Self, Fault> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("lockstep-audit-");
        let dir = match parent {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let dir = dir.map_err(|e| Fault::from_error("create a scratch directory", e))?;
        let db = Self::open(dir.path())?;
        Ok(Temporary { db, _dir: Some(dir) })
    }

    /// The tables in a directory of the caller's, which stays; made if they are not there.
    pub(crate) fn at(dir: &Path) -> Result<Self, Fault> {
        Ok(Temporary { db: Self::open(dir)?, _dir: None })
    }

    fn open(dir: &Path) -> Result<DB, Fault> {
        let mut options = Options::default();
        silence(&mut options);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(SCRATCH_BUFFERS_BYTES);
        options.set_max_open_files(256);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = std::iter::once(DEFAULT_COLUMN_FAMILY_NAME)
            .chain(tables::ALL.iter().map(|t| t.0))
            .map(|name| {
                let mut options = family_options(&cache);
                options.set_write_buffer_size(SCRATCH_BUFFER_BYTES);
                ColumnFamilyDescriptor::new(name, options)
            });
        DB::open_cf_descriptors(&options, dir, families)
            .map_err(|e| Fault::from_error("open a scratch database", e))
    }

    /// Writes to table files what is in memory only, and waits until the disk has it.
    pub(crate) fn flush(&self) -> Result<(), Fault> {
        let families: Vec<_> =
            tables::ALL.iter().filter_map(|table| self.db.cf_handle(table.0)).collect();
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(|e| Fault::from_error("write the scratch database to disk", e))
    }

    /// Applies changes. Nothing here has to survive a crash.
    pub(crate) fn apply(&self, changes: Changes) -> Result<(), Fault> {
        let mut batch = WriteBatch::default();
        for (table, key, value) in changes {
            let family = self
                .db
                .cf_handle(table.0)
                .ok_or_else(|| Fault::new(format!("no scratch table {}", table.0)))?;
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db
            .write_opt(batch, &options)
            .map_err(|e| Fault::from_error("write to the scratch database", e))
    }
}

impl Rows for Temporary {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.db, table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        scan(&self.db, table, keys)
    }
}

/// A second database with the same content: its table files, which never change, are shared, and
/// the few small files beside them are copied. Nobody may have the first one open for writing.
pub(crate) fn twin(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let to = to.join(&name);
        let shared = path.extension().is_some_and(|extension| extension == "sst");
        if name == "LOCK" || !entry.file_type()?.is_file() {
            continue;
        }
        if !shared || fs::hard_link(&path, &to).is_err() {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

/// With a logger of ours RocksDB creates no LOG file of its own.
fn silence(options: &mut Options) {
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options
}

fn get(db: &DB, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    // A version before ours may lack the table.
    let Some(family) = db.cf_handle(table.0) else { return Ok(None) };
    db.get_cf(family, key).map_err(|e| read_fault(table, e))
}

fn scan<'a>(db: &'a DB, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'a>, Fault> {
    let empty = !keys.end.is_empty() && keys.end <= keys.start;
    let Some(family) = db.cf_handle(table.0).filter(|_| !empty) else {
        return Ok(Box::new(std::iter::empty()));
    };
    let mut options = ReadOptions::default();
    if keys.end.is_empty() {
        // To the end of a table: whoever asks for that reads on.
        options.set_readahead_size(READAHEAD_BYTES);
        options.fill_cache(false);
    } else {
        options.set_iterate_upper_bound(keys.end);
    }
    let mut rows = db.raw_iterator_cf_opt(family, options);
    rows.seek(keys.start);
    Ok(Box::new(Scan { rows, table, over: false }))
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
    Fault::from_error(format!("read table `{}`", table.0), error)
}
