//! What the tables' keys and values mean, apart from any database.
//!
//! A backend (RocksDB in production, [`Memory`] elsewhere) keeps bytes in ordered tables; what
//! they say is decided here and in the modules that own a table. All tables but `records` are
//! derived: they can be dropped and folded again from the records.

mod draft;
mod few;
pub mod log_files;
mod memory;
pub mod raft;
pub mod tables;
pub mod watermark;

use std::cmp::Ordering;
use std::ops::Range;

pub use draft::{Changes, Draft, overlaid};
pub use memory::Memory;

use crate::Fault;

/// An ordered table of byte keys and byte values; in RocksDB a column family of that name.
///
/// Tables are ordered by their names. The number is what a name begins with: whoever looks up a row
/// looks up its table first, and two numbers are compared in no time.
#[derive(Debug, Clone, Copy)]
pub struct Table(pub &'static str, u64);

impl Table {
    /// The table of that name.
    pub const fn named(name: &'static str) -> Self {
        let (bytes, mut start, mut at) = (name.as_bytes(), 0, 0);
        while at < size_of::<u64>() {
            let byte = if at < bytes.len() { bytes[at] } else { 0 };
            start = start << 8 | byte as u64;
            at += 1;
        }
        Table(name, start)
    }
}

impl Ord for Table {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.1.cmp(&other.1) {
            Ordering::Equal if std::ptr::eq(self.0, other.0) => Ordering::Equal,
            Ordering::Equal => self.0.cmp(other.0),
            different => different,
        }
    }
}

impl PartialOrd for Table {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Table {}

/// The rows of a scan, ascending by key.
pub type RowIter<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), Fault>> + 'a>;

/// A consistent view of all tables.
pub trait Rows {
    /// The value at `key`, if there is one.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// The rows whose keys lie in `keys` (start included, end excluded; an empty end is no end),
    /// in ascending order of their bytes.
    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault>;
}

/// The end of the range of keys that begin with `prefix`: empty (no end) if there is none.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_ordered_as_their_names() {
        let mut all: Vec<Table> = tables::ALL.iter().chain(raft::TABLES).copied().collect();
        all.extend(["", "a", "roster_n", "roster_names\0", "é"].map(Table::named));
        // The same name at another place.
        all.push(Table::named(String::from("roster_names").leak()));
        for one in &all {
            for other in &all {
                assert_eq!(one.cmp(other), one.0.cmp(other.0), "{one:?} {other:?}");
                assert_eq!(one == other, one.0 == other.0);
            }
        }
    }
}
