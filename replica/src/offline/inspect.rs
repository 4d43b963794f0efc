//! What a data directory holds, without changing a byte of it.
//!
//! The directory may lie on a read-only file system, and may be what a crash or a power cut left.
//! If a replica is running in it, what is read may be torn.

use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::history::{Fold, FoldHash, Record, RecordHash, records};
use ledger::rows::Rows;
use ledger::rows::raft::{Group, HardState, Identity};
use ledger::rows::watermark::Watermark;

use crate::core::applier::pointer;
use crate::disk::rocks::{Rocks, RocksView};
use crate::disk::{ROWS_DIR, identity, log, watermark};

/// A data directory, open for reading.
#[derive(Debug)]
pub struct Offline {
    dir: PathBuf,
    rows: RocksView,
}

/// What a data directory says of the replica that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, by its database.
    pub identity: Identity,
    /// The identity file beside the database says the same.
    pub identity_file: bool,
    /// Term, vote and commit index.
    pub hard: HardState,
    /// The members of the group.
    pub group: Group,
    /// The first index in the Raft log; one more than the last if the log is empty.
    pub first_index: u64,
    /// The last index in the Raft log.
    pub last_index: u64,
    /// The last index that was applied. Behind it the log may hold proposals that become records
    /// at the next start.
    pub applied: u64,
    /// The number of records.
    pub records: u64,
    /// The last record's hash.
    pub record_hash: Option<RecordHash>,
    /// The fold hash after it.
    pub fold_hash: FoldHash,
    /// How far the replica has promised to keep its log, if the file is there.
    pub watermark: Option<Watermark>,
    /// Whether the log keeps that promise.
    pub promise_kept: bool,
}

impl Offline {
    /// Opens a data directory for reading.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        if !dir.join(ROWS_DIR).is_dir() {
            return Err(Fault::new(format!("{} holds no replica", dir.display())));
        }
        let rows = Rocks::open_read_only(&dir.join(ROWS_DIR))?;
        Ok(Offline { dir: dir.to_owned(), rows })
    }

    /// The rows as they were written last.
    pub fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    /// The records from `from` on, in order.
    pub fn records(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<Record, Fault>> + '_, Fault> {
        records::from(&self.rows, from)
    }

    /// What it says of its replica.
    pub fn facts(&self) -> Result<Facts, Fault> {
        let identity = log::identity(&self.rows)?
            .ok_or_else(|| Fault::new(format!("{} holds no replica", self.dir.display())))?;
        let fold = Fold::open(&self.rows)?;
        let saved = log::load(&self.rows, pointer(&fold))?;
        let watermark = watermark::read(&self.dir)?;
        let reached = saved.promise();
        Ok(Facts {
            identity,
            identity_file: identity::read(&self.dir)? == Some(identity),
            hard: saved.hard,
            first_index: saved.base.index.saturating_add(1),
            last_index: saved.last().index,
            applied: saved.applied,
            group: saved.group,
            records: fold.next_index(),
            record_hash: fold.last_hash(),
            fold_hash: fold.fold_hash(),
            watermark,
            promise_kept: watermark.is_some_and(|mark| mark.kept_by(&reached)),
        })
    }
}
