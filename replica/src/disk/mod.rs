//! What a replica keeps: rows in an ordered store, and small files beside it.
//!
//! A data directory holds
//!
//! | path | what | owner |
//! | --- | --- | --- |
//! | `db/` | the database: every table of `ledger::rows` and the Raft log | [`rocks`] |
//! | `identity` | whose directory this is | [`identity`] |
//! | `watermark` | how far the log must reach | [`watermark`] |
//! | `neighbours` | who the others are | [`neighbours`] |
//! | `db.damaged/` | the database as it was before it was mended last | `node::mend` |
//! | `local-disable` | which locks are set aside on this machine | [`local_disable`] |
//!
//! The log, recovery and apply batches stand above [`Disk`], so that they run on a simulated disk
//! too. Every implementation passes `conformance`.

pub(crate) mod ailment;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod framing;
pub mod from_log;
pub mod identity;
pub mod local_disable;
pub mod log;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod neighbours;
pub mod recovery;
pub mod rocks;
pub mod space;
pub mod watermark;

use ledger::Fault;
use ledger::rows::{Changes, Rows, Table};

/// Name of the database within a data directory.
pub const ROWS_DIR: &str = "db";

/// An ordered store whose writes are atomic and whose crashes leave a prefix of them.
pub trait Disk: Clone + Send + Sync + 'static {
    /// All rows at one moment.
    type View: Rows + Send + Sync + 'static;

    /// The rows as they are now, unaffected by later commits.
    fn view(&self) -> Self::View;

    /// Writes a batch: all of it or nothing. When a synced commit returns, it and every commit
    /// before it survive a power cut. After a failed one nothing may be acknowledged any more.
    fn commit(&self, batch: Batch, sync: Durable) -> Result<(), Fault>;

    /// The first damage that anybody has met since it was opened, whoever read it.
    fn damage(&self) -> Option<Fault> {
        None
    }
}

/// When a commit must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Before the call returns.
    Now,
    /// With the next synced commit, or whenever the system gets to it.
    Later,
}

/// One step of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sets a row.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Removes a row, if it is there.
    Delete(Table, Vec<u8>),
    /// Removes the rows from the first key (included) to the second (excluded).
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

/// Changes that are written together, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The steps; a later one wins.
    pub steps: Vec<Step>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.steps.push(Step::Put(table, key.into(), value.into()));
    }

    /// Removes a row, if it is there.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.steps.push(Step::Delete(table, key.into()));
    }

    /// Removes the rows from `from` (included) to `to` (excluded); none if `to` is not behind it.
    pub fn delete_range(&mut self, table: Table, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        let (from, to) = (from.into(), to.into());
        // RocksDB would fail the whole batch.
        if from < to {
            self.steps.push(Step::DeleteRange(table, from, to));
        }
    }

    /// Adds the steps of another batch behind its own.
    pub fn append(&mut self, mut other: Batch) {
        self.steps.append(&mut other.steps);
    }

    /// Adds what a finished draft has collected.
    pub fn absorb(&mut self, changes: Changes) {
        self.steps.extend(changes.into_iter().map(|(table, key, value)| match value {
            Some(value) => Step::Put(table, key, value),
            None => Step::Delete(table, key),
        }));
    }
}

/// Every table of a replica's database.
pub fn tables() -> impl Iterator<Item = Table> {
    ledger::rows::tables::ALL.iter().chain(ledger::rows::raft::TABLES).copied()
}
