//! A replica's data directory: the database and the two small files beside it.
//!
//! Nothing is written, created, locked or renamed in it. A daemon may be running in it: then the
//! rows are those of one moment.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::history::{ClusterId, ReplicaId};
use ledger::rows::raft::{IDENTITY, Identity, RAFT_STATE};
use ledger::rows::watermark::{FILE_BYTES, Watermark};
use ledger::rows::{RowIter, Rows, Table, tables};

use crate::checks::Finding;
use crate::checks::catalog::REPLICA_IDENTITY;
use crate::guard::{Guard, Guarded};
use crate::records::Stored;
use crate::rocks::{ReadOnly, holder};

/// Records that are read at once.
const PAGE_RECORDS: usize = 512;
/// Bytes of the identity file that are looked at.
const IDENTITY_BYTES: u64 = 4096;

/// Bytes of a signed head that are looked at.
const HEAD_BYTES: u64 = 1 << 20;

/// A data directory, open for reading.
pub(crate) struct DataDir {
    dir: PathBuf,
    /// All its rows at one moment.
    pub(crate) rows: Opened,
    /// What was promised at that moment or before; none if the file is missing or damaged.
    pub(crate) watermark: Option<Watermark>,
    /// The process that is running in it, if one is.
    pub(crate) holder: Option<u32>,
}

/// The rows of a database that was opened here or in another process.
pub(crate) enum Opened {
    Here(ReadOnly),
    Elsewhere(Guarded),
}

impl Opened {
    fn open(dir: &Path, busy: bool, guard: Option<&Guard>) -> Result<Self, Fault> {
        match guard {
            Some(guard) => Guarded::open(guard, dir, busy).map(Opened::Elsewhere),
            None => ReadOnly::open(dir, busy).map(Opened::Here),
        }
    }

    /// Why the other process cannot be asked any more, if that is so.
    pub(crate) fn lost(&self) -> Option<String> {
        match self {
            Opened::Here(_) => None,
            Opened::Elsewhere(rows) => rows.lost(),
        }
    }
}

impl Rows for Opened {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Opened::Here(rows) => rows.get(table, key),
            Opened::Elsewhere(rows) => rows.get(table, key),
        }
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        match self {
            Opened::Here(rows) => rows.scan(table, keys),
            Opened::Elsewhere(rows) => rows.scan(table, keys),
        }
    }
}

impl DataDir {
    /// Opens a data directory, in another process if a guard says how.
    pub(crate) fn open(dir: &Path, guard: Option<&Guard>) -> Result<Self, Fault> {
        let holder = holder(dir);
        // Before the rows: a daemon that goes on writing keeps its promises in them.
        let watermark = watermark(dir);
        let rows = Opened::open(dir, holder.is_some(), guard).map_err(|fault| match holder {
            Some(pid) => Fault::new(format!("{fault} (process {pid} is using it: ask its socket)")),
            None => fault,
        })?;
        Ok(DataDir { dir: dir.to_owned(), rows, watermark, holder })
    }

    /// A data directory for whose rows somebody answers that is no process of ours.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn answered(dir: &Path, rows: Guarded) -> Self {
        let (rows, watermark) = (Opened::Elsewhere(rows), watermark(dir));
        DataDir { dir: dir.to_owned(), rows, watermark, holder: None }
    }

    /// Its records from one on, ascending.
    pub(crate) fn records(
        &self,
        first: u64,
    ) -> impl Iterator<Item = Result<Stored, Fault>> + Send + '_ {
        // From the beginning also what is no index.
        let from = if first == 0 { Vec::new() } else { first.to_be_bytes().to_vec() };
        Records { rows: &self.rows, from: Some(from), page: Vec::new().into_iter() }
    }

    /// The bytes of one record.
    pub(crate) fn record(&self, index: u64) -> Option<Vec<u8>> {
        self.rows.get(tables::RECORDS, &index.to_be_bytes()).ok().flatten()
    }

    /// Whether the identity file, the database and record 0 are of one replica and ledger.
    pub(crate) fn identity(&self, cluster: Option<ClusterId>, findings: &mut Vec<Finding>) {
        let row = match self.rows.get(RAFT_STATE, IDENTITY) {
            Ok(Some(row)) => Identity::from_row(&row).ok(),
            _ => None,
        };
        let Some(row) = row else {
            let message = "the database does not say whose it is, or its word is damaged";
            findings.push(Finding::new(&REPLICA_IDENTITY, message));
            return;
        };
        if cluster.is_some_and(|cluster| cluster.0 != row.cluster) {
            let message = "the database says that it belongs to another ledger than its records";
            findings.push(Finding::new(&REPLICA_IDENTITY, message));
        }
        let text = format!(
            "lockstep identity 1\ncluster {}\nreplica {}\nincarnation {}\n",
            ClusterId(row.cluster),
            ReplicaId(row.replica),
            row.incarnation
        );
        let file = read_start(&self.dir.join("identity"), IDENTITY_BYTES);
        if file.as_deref() != Some(text.as_bytes()) {
            let message = "the identity file is missing, damaged, or of another replica than the \
                           database";
            findings.push(Finding::new(&REPLICA_IDENTITY, message));
        }
    }
}

/// The rows of the records' table, page by page, so that another thread can read them.
struct Records<'a> {
    rows: &'a Opened,
    /// The first key of the next page; none at the end.
    from: Option<Vec<u8>>,
    page: std::vec::IntoIter<Stored>,
}

impl Records<'_> {
    fn turn(&mut self) -> Result<(), Fault> {
        let Some(from) = self.from.take() else { return Ok(()) };
        let mut page = Vec::new();
        for row in self.rows.scan(tables::RECORDS, &from[..]..&[][..])?.take(PAGE_RECORDS) {
            let (mut key, bytes) = row?;
            let index = key.as_slice().try_into().ok().map(u64::from_be_bytes);
            page.push(Stored { index, bytes, shown: None });
            // The next key after this one.
            key.push(0);
            self.from = Some(key);
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Stored, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty()
            && let Err(fault) = self.turn()
        {
            self.from = None;
            return Some(Err(fault));
        }
        self.page.next().map(Ok)
    }
}

fn watermark(dir: &Path) -> Option<Watermark> {
    let bytes = read_start(&dir.join("watermark"), FILE_BYTES as u64)?;
    Watermark::from_file(&bytes).map(|(_, mark)| mark)
}

/// The signed head that a daemon leaves beside its database.
pub(crate) fn head_beside(dir: &Path) -> Option<Vec<u8>> {
    read_start(&dir.join("checkpoint"), HEAD_BYTES)
}

/// The first bytes of a regular file.
fn read_start(path: &Path, bytes: u64) -> Option<Vec<u8>> {
    if !path.is_file() {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(bytes).read_to_end(&mut start)).ok()?;
    Some(start)
}
