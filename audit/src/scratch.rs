//! Where derived rows are made anew: in memory, and on disk once there are too many.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::rows::{Changes, Draft, Memory, RowIter, Rows, Table, tables};

use crate::rocks::Temporary;

/// Bytes of rows that are kept in memory.
const MEMORY_BYTES: usize = 32 << 20;
/// Bytes that a row in memory takes besides its own.
const ROW_BYTES: usize = 150;
/// Rows that move from memory to disk at once.
const MOVED_ROWS: usize = 10_000;

/// The derived tables of a history. Records themselves are not kept.
pub(crate) struct Scratch {
    /// Below which directory it goes to disk; none for the system's choice.
    parent: Option<PathBuf>,
    rows: Place,
    /// Bytes written to memory so far; those that were deleted since count too.
    bytes: usize,
}

enum Place {
    Memory(Memory),
    Disk(Temporary),
}

impl Scratch {
    /// Empty tables.
    pub(crate) fn new(parent: Option<PathBuf>) -> Self {
        Scratch { parent, rows: Place::Memory(Memory::new()), bytes: 0 }
    }

    /// The tables in a directory of the caller's, which stays.
    pub(crate) fn at(dir: &Path) -> Result<Self, Fault> {
        Ok(Scratch { parent: None, rows: Place::Disk(Temporary::at(dir)?), bytes: 0 })
    }

    /// Waits until the disk has everything, if it is on disk.
    pub(crate) fn flush(&self) -> Result<(), Fault> {
        match &self.rows {
            Place::Disk(disk) => disk.flush(),
            Place::Memory(_) => Ok(()),
        }
    }

    /// Applies changes, but those of the records.
    pub(crate) fn apply(&mut self, mut changes: Changes) -> Result<(), Fault> {
        changes.discard(tables::RECORDS);
        let memory = match &mut self.rows {
            Place::Disk(disk) => return disk.apply(changes),
            Place::Memory(memory) => memory,
        };
        for (_, key, value) in changes.iter() {
            self.bytes += ROW_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        }
        memory.apply(changes);
        if self.bytes > MEMORY_BYTES {
            let disk = Temporary::create(self.parent.as_deref())?;
            move_all(memory, &disk)?;
            self.rows = Place::Disk(disk);
        }
        Ok(())
    }

    fn rows(&self) -> &dyn Rows {
        match &self.rows {
            Place::Memory(memory) => memory,
            Place::Disk(disk) => disk,
        }
    }
}

fn move_all(memory: &Memory, disk: &Temporary) -> Result<(), Fault> {
    let nothing = Memory::new();
    for table in tables::ALL {
        let mut rows = memory.scan(*table, &[][..]..&[][..])?.peekable();
        while rows.peek().is_some() {
            let mut draft = Draft::on(&nothing);
            for row in rows.by_ref().take(MOVED_ROWS) {
                let (key, value) = row?;
                draft.put(*table, key, value);
            }
            disk.apply(draft.finish())?;
        }
    }
    Ok(())
}

impl Rows for Scratch {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.rows().get(table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        self.rows().scan(table, keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_to_disk_and_the_directory_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(Some(parent.path().to_owned()));
        let nothing = Memory::new();
        let big = vec![7; 1 << 20];
        let mut made = 0;
        while matches!(scratch.rows, Place::Memory(_)) {
            let mut draft = Draft::on(&nothing);
            draft.put(tables::MERKLE, vec![made], big.clone());
            draft.put(tables::ROSTER, vec![made], vec![made]);
            draft.put(tables::RECORDS, vec![made], vec![made]);
            scratch.apply(draft.finish()).unwrap();
            made += 1;
        }
        assert!(made > 20);
        let mut draft = Draft::on(&nothing);
        draft.put(tables::ROSTER, vec![made], vec![made]);
        draft.delete(tables::ROSTER, vec![0]);
        scratch.apply(draft.finish()).unwrap();
        let keys = |table| -> Vec<Vec<u8>> {
            scratch.scan(table, &[][..]..&[][..]).unwrap().map(|row| row.unwrap().0).collect()
        };
        assert_eq!(keys(tables::MERKLE), (0..made).map(|n| vec![n]).collect::<Vec<_>>());
        assert_eq!(keys(tables::ROSTER), (1..=made).map(|n| vec![n]).collect::<Vec<_>>());
        assert_eq!(keys(tables::RECORDS), Vec::<Vec<u8>>::new());
        assert_eq!(scratch.get(tables::MERKLE, &[3]).unwrap(), Some(big));
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
