//! What the tables' keys and values mean, apart from any database.
//!
//! A backend (RocksDB in production, [`Memory`] elsewhere) keeps bytes in ordered tables; what
//! they say is decided here and in the modules that own a table. All tables but `records` are
//! derived: they can be dropped and folded again from the records.

mod draft;
mod memory;
pub mod raft;
pub mod tables;
pub mod watermark;

use std::ops::Range;

pub use draft::{Changes, Draft, overlaid};
pub use memory::Memory;

use crate::Fault;

/// An ordered table of byte keys and byte values; in RocksDB a column family of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table(pub &'static str);

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
