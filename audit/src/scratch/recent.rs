//! Changes that are in memory only, over the rows on disk.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use ledger::Fault;
use ledger::rows::{RowIter, Table, tables};

use super::filter::Filter;
use super::tree::Tree;
use crate::rocks::Temporary;

/// Bytes that a row in memory takes besides its own.
const ROW_BYTES: usize = 120;

/// The changed rows of one table: puts (`Some`) and deletes (`None`), ordered by key.
type Changed = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The changed rows of all tables.
#[derive(Default)]
pub(super) struct Recent {
    tables: BTreeMap<Table, (Changed, usize)>,
    bytes: usize,
    /// The rows of the Merkle tree, as long as all of them came in order; its table is absent then.
    tree: Tree,
}

impl Recent {
    /// Bytes that they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.tree.bytes()
    }

    /// Puts a row, or notes that the one on disk is deleted.
    pub(super) fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        if table == tables::MERKLE && !self.tables.contains_key(&table) {
            if value.as_ref().is_some_and(|value| self.tree.push(&key, value)) {
                return;
            }
            for (key, hash) in std::mem::take(&mut self.tree).rows() {
                self.insert(table, key.to_vec(), Some(hash.to_vec()));
            }
        }
        self.insert(table, key, value);
    }

    fn insert(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
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
        if table == tables::MERKLE && self.tree.get(key).is_some() {
            // Nobody takes rows from the tree; if somebody does, it is a table like any other.
            self.set(table, key.to_vec(), None);
        }
        let Some((rows, bytes)) = self.tables.get_mut(&table) else { return };
        if let Some(old) = rows.remove(key) {
            let old = ROW_BYTES + key.len() + old.map_or(0, |old| old.len());
            *bytes -= old;
            self.bytes -= old;
        }
    }

    /// The change of a row, if it has changed.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Option<Vec<u8>>> {
        if let Some((rows, _)) = self.tables.get(&table) {
            return rows.get(key).cloned();
        }
        let hash = Some(&self.tree).filter(|_| table == tables::MERKLE)?.get(key)?;
        Some(Some(hash.to_vec()))
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
        let of_tree = (table == tables::MERKLE).then(|| self.tree.range(keys));
        let of_tree = of_tree.into_iter().flatten();
        let rows = self.tables.get(&table).map(|(rows, _)| rows.range((start, end)));
        of_tree
            .map(|(key, hash)| (key.to_vec(), Some(hash.to_vec())))
            .chain(rows.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())))
    }

    /// The rows of a range, if there are no others below these.
    pub(super) fn rows(&self, table: Table, keys: Range<&[u8]>) -> RowIter<'_> {
        Box::new(self.range(table, keys).filter_map(|(key, value)| Some(Ok((key, value?)))))
    }

    /// Takes out the tables with the most changes, which are worth the most when they leave: what
    /// is read and changed again and again is in small ones.
    pub(super) fn take_largest(&mut self) -> Recent {
        let of_tree = self.tree.bytes();
        let of_tables = self.tables.values().map(|(_, bytes)| *bytes);
        let most = of_tables.chain([of_tree]).max().unwrap_or_default();
        let is_large = |bytes: usize| bytes.saturating_mul(4) >= most;
        let mut taken = Recent::default();
        if is_large(of_tree) {
            taken.tree = std::mem::take(&mut self.tree);
        }
        taken.tables = self.tables.extract_if(.., |_, (_, bytes)| is_large(*bytes)).collect();
        taken.bytes = taken.tables.values().map(|(_, bytes)| *bytes).sum();
        self.bytes -= taken.bytes;
        taken
    }

    /// Notes all rows in a filter.
    pub(super) fn note(&self, filter: &mut Filter) {
        // Of the tree's rows it knows nothing.
        for (table, (rows, _)) in &self.tables {
            rows.keys().for_each(|key| filter.insert(*table, key));
        }
    }

    /// Writes all changes to disk.
    pub(super) fn write_to(&self, disk: &Temporary) -> Result<(), Fault> {
        for (table, (rows, _)) in &self.tables {
            if !rows.is_empty() {
                disk.append(*table, rows.iter().map(|(key, value)| (key, value.as_deref())))?;
            }
        }
        if !self.tree.is_empty() {
            let rows = self.tree.rows().map(|(key, hash)| (key, Some(hash.as_slice())));
            disk.append(tables::MERKLE, rows)?;
        }
        Ok(())
    }

    /// The tables with changes.
    #[cfg(test)]
    pub(super) fn tables(&self) -> Vec<Table> {
        let of_tree = Some(tables::MERKLE).filter(|_| !self.tree.is_empty());
        self.tables.keys().copied().chain(of_tree).collect()
    }
}
