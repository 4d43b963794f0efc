//! Where derived rows are made anew: in memory, and on disk once there are too many.
//!
//! What was changed last stays in memory, so that a row which changes again and again, or comes and
//! goes, is written once or never. The rest goes to disk as files of sorted rows, which are made
//! once and never merged: next to nothing of it is read before the end.

mod filter;
mod recent;

use std::ops::Range;
use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::history::requests;
use ledger::rows::{Changes, RowIter, Rows, Table, overlaid, tables};

use self::filter::Filter;
use self::recent::Recent;
use crate::rocks::Temporary;

/// Bytes of rows that are kept in memory.
const MEMORY_BYTES: usize = 32 << 20;

/// The derived tables of a history. Records themselves are not kept.
pub(crate) struct Scratch {
    /// Below which directory it goes to disk; none for the system's choice.
    parent: Option<PathBuf>,
    recent: Recent,
    disk: Option<Disk>,
}

/// Rows on disk.
struct Disk {
    rows: Temporary,
    /// Which there may be; none if they are from an earlier audit, and not known.
    filter: Option<Filter>,
}

impl Disk {
    fn may_have(&self, table: Table, key: &[u8]) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_have(table, key))
    }

    /// Whether there may be rows of requests in a range. The fold asks for one request at a time
    /// and for each record, nearly always in vain.
    fn may_have_requests(&self, keys: &Range<&[u8]>) -> bool {
        !requests::is_one(keys) || self.may_have(tables::REQUESTS, keys.start)
    }
}

impl Scratch {
    /// Empty tables.
    pub(crate) fn new(parent: Option<PathBuf>) -> Self {
        Scratch { parent, recent: Recent::default(), disk: None }
    }

    /// The tables in a directory of the caller's, which stays.
    pub(crate) fn at(dir: &Path) -> Result<Self, Fault> {
        let disk = Disk { rows: Temporary::at(dir)?, filter: None };
        Ok(Scratch { parent: None, recent: Recent::default(), disk: Some(disk) })
    }

    /// Waits until the disk has everything, of tables that stay.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.spill(&self.recent.all())
    }

    /// Applies changes, but those of the records.
    pub(crate) fn apply(&mut self, mut changes: Changes) -> Result<(), Fault> {
        changes.discard(tables::RECORDS);
        for (table, key, value) in changes {
            if value.is_some() || self.may_be_on_disk(table, &key) {
                self.recent.set(table, key, value);
            } else {
                self.recent.forget(table, &key);
            }
        }
        if self.recent.bytes() > MEMORY_BYTES {
            self.spill(&self.recent.largest())?;
        }
        Ok(())
    }

    /// Moves changes from memory to disk.
    fn spill(&mut self, tables: &[Table]) -> Result<(), Fault> {
        let disk = match &mut self.disk {
            Some(disk) => disk,
            none => {
                let rows = Temporary::create(self.parent.as_deref())?;
                none.insert(Disk { rows, filter: Some(Filter::new()) })
            }
        };
        for table in tables {
            let Some(changed) = self.recent.of(*table) else { continue };
            let rows = changed.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
            disk.rows.append(*table, rows)?;
            if let Some(filter) = &mut disk.filter {
                changed.keys().for_each(|key| filter.insert(*table, key));
            }
            self.recent.drop_table(*table);
        }
        Ok(())
    }

    fn may_be_on_disk(&self, table: Table, key: &[u8]) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.may_have(table, key))
    }
}

impl Rows for Scratch {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(changed) = self.recent.get(table, key) {
            return Ok(changed.clone());
        }
        match &self.disk {
            Some(disk) if disk.may_have(table, key) => disk.rows.get(table, key),
            _ => Ok(None),
        }
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        if !keys.end.is_empty() && keys.end <= keys.start {
            return Ok(Box::new(std::iter::empty()));
        }
        let nothing = || -> RowIter<'_> { Box::new(std::iter::empty()) };
        let on_disk = match &self.disk {
            Some(disk) if table != tables::REQUESTS || disk.may_have_requests(&keys) => {
                disk.rows.scan(table, keys.clone())?
            }
            _ => nothing(),
        };
        Ok(overlaid(on_disk, self.recent.range(table, keys)))
    }
}

#[cfg(test)]
mod tests {
    use ledger::rows::{Draft, Memory};

    use super::*;

    fn keys(scratch: &Scratch, table: Table) -> Vec<Vec<u8>> {
        scratch.scan(table, &[][..]..&[][..]).unwrap().map(|row| row.unwrap().0).collect()
    }

    #[test]
    fn rows_move_to_disk_and_the_directory_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(Some(parent.path().to_owned()));
        let nothing = Memory::new();
        let big = vec![7; 1 << 20];
        let mut made = 0;
        while scratch.disk.is_none() {
            let mut draft = Draft::on(&nothing);
            draft.put(tables::MERKLE, vec![made], big.clone());
            draft.put(tables::ROSTER, vec![made], vec![made]);
            draft.put(tables::RECORDS, vec![made], vec![made]);
            scratch.apply(draft.finish()).unwrap();
            made += 1;
        }
        assert!(made > 20);
        // What is small stays in memory.
        assert_eq!(scratch.recent.all(), [tables::ROSTER]);
        scratch.flush().unwrap();
        assert_eq!(scratch.recent.bytes(), 0);
        let mut draft = Draft::on(&nothing);
        draft.put(tables::ROSTER, vec![made], vec![made]);
        draft.delete(tables::ROSTER, vec![0]);
        scratch.apply(draft.finish()).unwrap();
        for _ in 0..2 {
            assert_eq!(
                keys(&scratch, tables::MERKLE),
                (0..made).map(|n| vec![n]).collect::<Vec<_>>()
            );
            assert_eq!(
                keys(&scratch, tables::ROSTER),
                (1..=made).map(|n| vec![n]).collect::<Vec<_>>()
            );
            assert_eq!(keys(&scratch, tables::RECORDS), Vec::<Vec<u8>>::new());
            assert_eq!(scratch.get(tables::MERKLE, &[3]).unwrap(), Some(big.clone()));
            assert_eq!(scratch.get(tables::ROSTER, &[0]).unwrap(), None);
            assert_eq!(scratch.get(tables::ROSTER, &[3]).unwrap(), Some(vec![3]));
            scratch.flush().unwrap();
        }
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_row_that_comes_and_goes_leaves_nothing() {
        let mut scratch = Scratch::new(None);
        let nothing = Memory::new();
        for _ in 0..2 {
            let mut draft = Draft::on(&nothing);
            draft.put(tables::ROSTER_NODE_KEYS, b"key", b"1");
            scratch.apply(draft.finish()).unwrap();
            assert_eq!(keys(&scratch, tables::ROSTER_NODE_KEYS), [b"key"]);
            let mut draft = Draft::on(&nothing);
            draft.delete(tables::ROSTER_NODE_KEYS, b"key");
            scratch.apply(draft.finish()).unwrap();
            assert_eq!(scratch.recent.bytes(), 0);
            assert_eq!(keys(&scratch, tables::ROSTER_NODE_KEYS), Vec::<Vec<u8>>::new());
        }
    }

    #[test]
    fn a_request_is_found_wherever_its_rows_are() {
        let mut scratch = Scratch::new(None);
        let nothing = Memory::new();
        let part = |part: u8| [b"request\0\0\0\0".as_slice(), &[part]].concat();
        let found = |scratch: &Scratch, id: &str| -> usize {
            let (start, end) = (format!("{id}\0\0\0\0\0"), format!("{id}\x01"));
            scratch.scan(tables::REQUESTS, start.as_bytes()..end.as_bytes()).unwrap().count()
        };
        for n in 0..3 {
            let mut draft = Draft::on(&nothing);
            draft.put(tables::REQUESTS, part(n), b"1");
            scratch.apply(draft.finish()).unwrap();
            assert_eq!(found(&scratch, "request"), usize::from(n) + 1);
            scratch.flush().unwrap();
            assert_eq!(found(&scratch, "request"), usize::from(n) + 1);
            assert_eq!([found(&scratch, "reques"), found(&scratch, "requests")], [0, 0]);
        }
    }
}
