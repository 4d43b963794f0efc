//! Rows in memory: for tests, the audit of small sources, and client nodes.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use super::{Changes, RowIter, Rows, Table};
use crate::Fault;

/// Tables held in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Memory {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies what a [`Draft`](super::Draft) has collected.
    pub fn apply(&mut self, changes: Changes) {
        for (table, key, value) in changes {
            let rows = self.tables.entry(table).or_default();
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
}

/// A range as ordered maps have it.
pub(super) fn bounds(keys: Range<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let end = if keys.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(keys.end) };
    (Bound::Included(keys.start), end)
}

/// Whether the range is empty because its end does not come after its start.
pub(super) fn is_empty(keys: &Range<&[u8]>) -> bool {
    !keys.end.is_empty() && keys.end <= keys.start
}

impl Rows for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        match self.tables.get(&table) {
            Some(rows) if !is_empty(&keys) => {
                let rows = rows.range::<[u8], _>(bounds(keys));
                Ok(Box::new(rows.map(|(k, v)| Ok((k.clone(), v.clone())))))
            }
            _ => Ok(Box::new(std::iter::empty())),
        }
    }
}
