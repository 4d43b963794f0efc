//! Changes that are in memory only, over the rows on disk.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use ledger::rows::Table;

/// Bytes that a row in memory takes besides its own.
const ROW_BYTES: usize = 120;

/// The changed rows of one table: puts (`Some`) and deletes (`None`), ordered by key.
pub(super) type Changed = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The changed rows of all tables.
#[derive(Default)]
pub(super) struct Recent {
    tables: BTreeMap<Table, (Changed, usize)>,
    bytes: usize,
}

impl Recent {
    /// Bytes that they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a row, or notes that the one on disk is deleted.
    pub(super) fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        let (rows, bytes) = self.tables.entry(table).or_default();
        let len = value.as_ref().map_or(0, Vec::len);
        let new = ROW_BYTES + key.len() + len;
        let old = match rows.insert(key, value) {
            Some(old) => new - len + old.map_or(0, |old| old.len()),
            None => 0,
        };
        *bytes = *bytes + new - old;
        self.bytes = self.bytes + new - old;
    }

    /// Removes a row that is not on disk.
    pub(super) fn forget(&mut self, table: Table, key: &[u8]) {
        let Some((rows, bytes)) = self.tables.get_mut(&table) else { return };
        if let Some(old) = rows.remove(key) {
            let old = ROW_BYTES + key.len() + old.map_or(0, |old| old.len());
            *bytes -= old;
            self.bytes -= old;
        }
    }

    /// The change of a row, if it has changed.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.tables.get(&table)?.0.get(key)
    }

    /// The changes of a range that is not empty, ascending.
    pub(super) fn range(
        &self,
        table: Table,
        keys: Range<&[u8]>,
    ) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + use<'_> {
        let start = Bound::Included(keys.start.to_vec());
        let end = match keys.end {
            [] => Bound::Unbounded,
            end => Bound::Excluded(end.to_vec()),
        };
        let rows = self.tables.get(&table).map(|(rows, _)| rows.range((start, end)));
        rows.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()))
    }

    /// The changes of one table.
    pub(super) fn of(&self, table: Table) -> Option<&Changed> {
        self.tables.get(&table).map(|(rows, _)| rows)
    }

    /// Drops the changes of one table, which are elsewhere now.
    pub(super) fn drop_table(&mut self, table: Table) {
        if let Some((_, bytes)) = self.tables.remove(&table) {
            self.bytes -= bytes;
        }
    }

    /// The tables with the most changes, which are worth the most when they are dropped: what is
    /// read and changed again and again is in small ones.
    pub(super) fn largest(&self) -> Vec<Table> {
        let most = self.tables.values().map(|(_, bytes)| *bytes).max().unwrap_or_default();
        let large = self.tables.iter().filter(|(_, (_, bytes))| bytes.saturating_mul(4) >= most);
        large.map(|(table, _)| *table).collect()
    }

    /// All tables with changes.
    pub(super) fn all(&self) -> Vec<Table> {
        self.tables.keys().copied().collect()
    }
}
