//! RocksDB: a replica's database, read without changing a byte of it, and scratch space for long
//! histories. Alone names rocksdb.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ledger::Fault;
use ledger::rows::log_files::{self, CURRENT};
use ledger::rows::{RowIter, Rows, Table, tables};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIteratorWithThreadMode, DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, InfoLogger,
    IngestExternalFileOptions, LogLevel, Options, ReadOptions, SstFileWriter,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The database's directory within a data directory.
const ROWS_DIR: &str = "db";
/// Bytes of blocks of scratch tables kept in memory.
const BLOCK_CACHE_BYTES: usize = 16 << 20;
/// The same of a database that is audited, which is read from front to back.
const AUDITED_CACHE_BYTES: usize = 4 << 20;
/// Bytes of one block of a scratch table: so large that there are few to list.
const SCRATCH_BLOCK_BYTES: usize = 16 << 10;
/// Scratch files that are open at a time.
const SCRATCH_FILES: i32 = 256;
/// Bytes that a scan reads ahead.
const READAHEAD_BYTES: usize = 1 << 20;
/// Bytes that a scan of scratch tables reads ahead in each of many files.
const SCRATCH_READAHEAD_BYTES: usize = 64 << 10;
/// Rows on their way to a scratch table, beside the database's own files.
const INCOMING: &str = "incoming";
/// Bytes of a name of a file, at most.
const NAME_BYTES: u64 = 256;
/// How often a directory that a daemon is writing to is opened again. On a busy machine files go away
/// between two looks time after time.
const ATTEMPTS: usize = 20;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a directory looks like a replica's data directory, perhaps a damaged one.
pub(crate) fn is_data_dir(dir: &Path) -> bool {
    dir.join(ROWS_DIR).join(CURRENT).is_file()
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
        if !dir.join(CURRENT).is_file() {
            return Err(Fault::new(format!("{} is no database: it has no CURRENT", dir.display())));
        }
        let mut left = if busy { ATTEMPTS } else { 1 };
        loop {
            left -= 1;
            match Self::try_open(&dir) {
                Err(_) if left > 0 => thread::sleep(PAUSE),
                result => return result,
            }
        }
    }

    fn try_open(dir: &Path) -> Result<Self, Fault> {
        if let Some((file, at)) = endless_record(dir)
            .map_err(|e| Fault::from_error(format!("look through {}", dir.display()), e))?
        {
            return Err(Fault::new(format!(
                "{} is damaged: no record of a replica's database has the type of that at byte {at}",
                file.display()
            )));
        }
        let fault = |e| Fault::from_error(format!("open the database {}", dir.display()), e);
        let mut options = Options::default();
        silence(&mut options);
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_allow_mmap_reads(false);
        // Every file is opened now: whoever writes to the database may delete some later.
        options.set_max_open_files(-1);
        let cache = Cache::new_lru_cache(AUDITED_CACHE_BYTES);
        let families = DB::list_cf(&options, dir).map_err(fault)?;
        let families = families
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors_read_only(&options, dir, families, false);
        Ok(ReadOnly { db: db.map_err(fault)? })
    }
}

/// The first record in the files of a database that RocksDB would read for ever.
fn endless_record(dir: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let mut current = String::new();
    File::open(dir.join(CURRENT))?.take(NAME_BYTES).read_to_string(&mut current)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| log_files::is_read(name, &current)) {
            continue;
        }
        let mut file = match File::open(entry.path()) {
            // Whoever writes to it needed it no longer.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?,
        };
        if let Some(at) = log_files::endless_record(|to| file.read(to))? {
            return Ok(Some((entry.path(), at)));
        }
    }
    Ok(None)
}

impl Rows for ReadOnly {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.db, table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        scan(&self.db, table, keys, READAHEAD_BYTES)
    }
}

/// Tables on disk that are gone when this is dropped, unless they were made in a place of their own.
pub(crate) struct Temporary {
    // Before the directory, which is deleted with what the database still has open.
    db: DB,
    cache: Cache,
    incoming: PathBuf,
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
        let mut made = Self::open(dir.path(), false)?;
        made._dir = Some(dir);
        Ok(made)
    }

    /// The tables in a directory of the caller's, which stays; made if they are not there.
    pub(crate) fn at(dir: &Path) -> Result<Self, Fault> {
        Self::open(dir, true)
    }

    /// Files of tables that stay are merged now and then, since more come each time.
    fn open(dir: &Path, merging: bool) -> Result<Self, Fault> {
        let mut options = Options::default();
        silence(&mut options);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(SCRATCH_FILES);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = std::iter::once(DEFAULT_COLUMN_FAMILY_NAME)
            .chain(tables::ALL.iter().map(|t| t.0))
            .map(|name| {
                let mut options = scratch_options(&cache);
                options.set_disable_auto_compactions(!merging);
                ColumnFamilyDescriptor::new(name, options)
            });
        let db = DB::open_cf_descriptors(&options, dir, families)
            .map_err(|e| Fault::from_error("open a scratch database", e))?;
        Ok(Temporary { db, cache, incoming: dir.join(INCOMING), _dir: None })
    }

    /// Adds a file of one table's puts (`Some`) and deletes (`None`), at least one and ascending,
    /// and waits until the disk has it.
    pub(crate) fn append<'r>(
        &self,
        table: Table,
        rows: impl Iterator<Item = (impl AsRef<[u8]>, Option<&'r [u8]>)>,
    ) -> Result<(), Fault> {
        let family = self
            .db
            .cf_handle(table.0)
            .ok_or_else(|| Fault::new(format!("no scratch table {}", table.0)))?;
        let write = || {
            let options = scratch_options(&self.cache);
            let mut file = SstFileWriter::create(&options);
            file.open(&self.incoming)?;
            for (key, value) in rows {
                match value {
                    Some(value) => file.put(key, value)?,
                    None => file.delete(key)?,
                }
            }
            file.finish()?;
            let mut options = IngestExternalFileOptions::default();
            options.set_move_files(true);
            self.db.ingest_external_file_cf_opts(family, &options, vec![&self.incoming])
        };
        write().map_err(|e| Fault::from_error("write to the scratch database", e))
    }
}

impl Rows for Temporary {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.db, table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        scan(&self.db, table, keys, SCRATCH_READAHEAD_BYTES)
    }
}

/// A second database with the same content: its table files, which never change, are shared, and
/// the few small files beside them are copied. Nobody may have the first one open for writing.
pub(crate) fn twin(from: &Path, to: &Path) -> io::Result<()> {
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

/// A hash over the files of a database that are no tables: those have checksums in each block, but
/// there is damage to the list of the tables at which RocksDB goes round in a circle.
pub(crate) fn hash_beside_tables(dir: &Path) -> io::Result<[u8; 32]> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let table = entry.path().extension().is_some_and(|extension| extension == "sst");
        if !table && entry.file_name() != "LOCK" && entry.file_type()?.is_file() {
            files.push((entry.file_name(), entry.path()));
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for (name, path) in files {
        for part in [name.as_encoded_bytes(), &fs::read(path)?] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().into())
}

/// With a logger of ours RocksDB creates no LOG file of its own.
fn silence(options: &mut Options) {
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
}

fn family_options(cache: &Cache) -> Options {
    with_blocks(&block_options(cache))
}

/// Nearly all of what is in scratch tables are hashes, which do not get smaller.
fn scratch_options(cache: &Cache) -> Options {
    let mut blocks = block_options(cache);
    blocks.set_block_size(SCRATCH_BLOCK_BYTES);
    let mut options = with_blocks(&blocks);
    options.set_compression_type(DBCompressionType::None);
    options
}

fn block_options(cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    blocks
}

fn with_blocks(blocks: &BlockBasedOptions) -> Options {
    let mut options = Options::default();
    options.set_block_based_table_factory(blocks);
    options
}

fn get(db: &DB, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    // A version before ours may lack the table.
    let Some(family) = db.cf_handle(table.0) else { return Ok(None) };
    db.get_cf(family, key).map_err(|e| read_fault(table, e))
}

fn scan<'a>(
    db: &'a DB,
    table: Table,
    keys: Range<&[u8]>,
    readahead: usize,
) -> Result<RowIter<'a>, Fault> {
    let empty = !keys.end.is_empty() && keys.end <= keys.start;
    let Some(family) = db.cf_handle(table.0).filter(|_| !empty) else {
        return Ok(Box::new(std::iter::empty()));
    };
    let mut options = ReadOptions::default();
    if keys.end.is_empty() {
        // To the end of a table: whoever asks for that reads on.
        options.set_readahead_size(readahead);
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
