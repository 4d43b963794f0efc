//! What a replica knows at one moment.

use ledger::history::Fold;
use ledger::rows::Rows;

/// The fold and the rows after the same record. Never changes.
pub struct View {
    applied: u64,
    fold: Fold,
    rows: Box<dyn Rows + Send + Sync>,
}

impl View {
    pub(super) fn new(applied: u64, fold: Fold, rows: Box<dyn Rows + Send + Sync>) -> Self {
        View { applied, fold, rows }
    }

    /// The fold of all records so far.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The rows after the last of these records.
    pub fn rows(&self) -> &dyn Rows {
        &*self.rows
    }

    /// The Raft log index applied last. It rises also where no record is added.
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("applied", &self.applied).finish_non_exhaustive()
    }
}
