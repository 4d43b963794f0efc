//! An overlay of changes that reads its own writes.

use std::iter::Peekable;
use std::ops::Range;

use super::few::KeyMap;
use super::memory::is_empty;
use super::{RowIter, Rows, Table};
use crate::Fault;

/// The changed rows of one table: puts (`Some`) and deletes (`None`), ordered by key.
type TableChanges = KeyMap<Option<Vec<u8>>>;

/// Puts (`Some`) and deletes (`None`), ordered by table and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ascending, without empty tables.
    tables: Vec<(Table, TableChanges)>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether a row of that table is put or deleted.
    pub fn touch(&self, table: Table) -> bool {
        self.of(table).is_some()
    }

    /// The number of rows put or deleted.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// The changes in order, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.tables.iter().flat_map(|(table, rows)| {
            rows.iter().map(|(key, value)| (*table, key.as_slice(), value.as_deref()))
        })
    }

    /// What changes in a table, if anything does.
    fn of(&self, table: Table) -> Option<&TableChanges> {
        let at = self.tables.binary_search_by_key(&table, |(table, _)| *table).ok()?;
        Some(&self.tables[at].1)
    }

    /// What changes in a table, which does not stay empty.
    fn of_mut(&mut self, table: Table) -> &mut TableChanges {
        let found = self.tables.binary_search_by_key(&table, |(table, _)| *table);
        let at = found.unwrap_or_else(|at| {
            self.tables.insert(at, (table, TableChanges::default()));
            at
        });
        &mut self.tables[at].1
    }

    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.of_mut(table).insert(key, value);
    }
}

impl IntoIterator for Changes {
    type Item = (Table, Vec<u8>, Option<Vec<u8>>);
    type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.tables.into_iter().flat_map(|(table, rows)| {
            rows.into_iter().map(move |(key, value)| (table, key, value))
        }))
    }
}

/// Changes on top of a view that nobody else sees until they are applied.
///
/// A draft on a draft makes a step that can be dropped as a whole: a refused event leaves no trace.
pub struct Draft<'a> {
    base: &'a dyn Rows,
    changes: Changes,
    left_out: &'static [Table],
}

impl<'a> Draft<'a> {
    /// An empty draft on `base`.
    pub fn on(base: &'a dyn Rows) -> Self {
        Draft { base, changes: Changes::default(), left_out: &[] }
    }

    /// A draft in which the rows of some tables stay as they are, whatever is put: for whoever has
    /// no use for what would change there, and knows that nothing in the draft is judged by it
    /// ([`is_read_again`](crate::history::records::is_read_again)).
    pub fn leaving_out(base: &'a dyn Rows, left_out: &'static [Table]) -> Self {
        Draft { base, changes: Changes::default(), left_out }
    }

    /// Whether the rows of a table stay as they are, whatever is put.
    pub fn leaves_out(&self, table: Table) -> bool {
        self.left_out.contains(&table)
    }

    /// Sets a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        if !self.leaves_out(table) {
            self.changes.set(table, key.into(), Some(value.into()));
        }
    }

    /// Removes a row, if it is there.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        if !self.leaves_out(table) {
            self.changes.set(table, key.into(), None);
        }
    }

    /// Adds the changes of a finished draft that stood on this one.
    pub fn absorb(&mut self, changes: Changes) {
        for (table, rows) in changes.tables {
            if self.leaves_out(table) {
                continue;
            }
            let ours = self.changes.of_mut(table);
            if ours.len() >= rows.len() {
                for (key, value) in rows {
                    ours.insert(key, value);
                }
                continue;
            }
            // The fewer rows move: those that came before give way to those that come now.
            for (key, value) in std::mem::replace(ours, rows) {
                if ours.get(&key).is_none() {
                    ours.insert(key, value);
                }
            }
        }
    }

    /// The changes, as data.
    pub fn finish(self) -> Changes {
        self.changes
    }
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl Rows for Draft<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.changes.of(table).and_then(|rows| rows.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        if is_empty(&keys) {
            return Ok(Box::new(std::iter::empty()));
        }
        let Some(changed) = self.changes.of(table) else {
            return self.base.scan(table, keys);
        };
        let over = changed.range(keys.clone()).map(|(key, value)| (key.clone(), value.clone()));
        Ok(overlaid(self.base.scan(table, keys)?, over))
    }
}

/// The rows of a scan with changes over them: puts (`Some`) and deletes (`None`) of keys in its
/// range, ascending.
pub fn overlaid<'a>(
    base: RowIter<'a>,
    over: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + 'a,
) -> RowIter<'a> {
    Box::new(Merged { base: base.peekable(), over: over.peekable() })
}

/// Two ascending streams in one; the overlay wins, and its deletes hide rows of the base.
struct Merged<'a, O: Iterator> {
    base: Peekable<RowIter<'a>>,
    over: Peekable<O>,
}

impl<O: Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>> Iterator for Merged<'_, O> {
    type Item = Result<(Vec<u8>, Vec<u8>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let base_first = match (self.base.peek(), self.over.peek()) {
                (None, None) => return None,
                (Some(_), None) | (Some(Err(_)), _) => true,
                (None, Some(_)) => false,
                (Some(Ok((base, _))), Some((over, _))) => base < over,
            };
            if base_first {
                return self.base.next();
            }
            let (key, value) = self.over.next()?;
            self.base.next_if(|row| matches!(row, Ok((base, _)) if *base == key));
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, tables};
    use super::*;

    fn keys(rows: &dyn Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
        rows.scan(tables::AUMS, b"".as_slice()..b"").unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn tables_that_are_left_out_stay_as_they_are() {
        let mut memory = Memory::new();
        let mut draft = Draft::on(&memory);
        draft.put(tables::AUMS, "a", "1");
        let changes = draft.finish();
        memory.apply(changes);
        let mut draft = Draft::leaving_out(&memory, &[tables::AUMS]);
        draft.put(tables::AUMS, "b", "2");
        draft.delete(tables::AUMS, "a");
        let mut step = Draft::on(&draft);
        step.put(tables::AUMS, "c", "3");
        step.put(tables::CHAINS, "d", "4");
        let changes = step.finish();
        draft.absorb(changes);
        assert_eq!(keys(&draft), [(b"a".to_vec(), b"1".to_vec())]);
        let changes = draft.finish();
        assert!(!changes.touch(tables::AUMS) && changes.touch(tables::CHAINS));
    }

    #[test]
    fn a_draft_reads_its_own_writes_and_hides_what_it_deletes() {
        let mut memory = Memory::new();
        let mut draft = Draft::on(&memory);
        draft.put(tables::AUMS, "a", "1");
        draft.put(tables::AUMS, "c", "3");
        draft.put(tables::MERKLE, "z", "other table");
        let changes = draft.finish();
        memory.apply(changes);

        let mut outer = Draft::on(&memory);
        outer.put(tables::AUMS, "b", "2");
        outer.delete(tables::AUMS, "a");
        let mut inner = Draft::on(&outer);
        inner.put(tables::AUMS, "c", "33");
        inner.put(tables::AUMS, "a", "again");
        assert_eq!(
            keys(&inner),
            [("a", "again"), ("b", "2"), ("c", "33")].map(|(k, v)| (k.into(), v.into()))
        );
        assert_eq!(inner.get(tables::AUMS, b"a").unwrap(), Some(b"again".to_vec()));
        drop(inner);
        assert_eq!(keys(&outer), [("b", "2"), ("c", "3")].map(|(k, v)| (k.into(), v.into())));
        assert_eq!(outer.get(tables::AUMS, b"a").unwrap(), None);
        let changes = outer.finish();
        memory.apply(changes);
        assert_eq!(keys(&memory), [("b", "2"), ("c", "3")].map(|(k, v)| (k.into(), v.into())));
    }
}
