//! Where derived rows are made anew: in memory, and on disk once there are too many.
//!
//! What was changed last stays in memory, so that a row which changes again and again, or comes and
//! goes, is written once or never. The rest goes to disk as files of sorted rows, which are made
//! once, beside the fold, and never merged: next to nothing of it is read before the end.

mod filter;
mod recent;
mod tree;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ledger::Fault;
use ledger::history::requests;
use ledger::rows::{Changes, RowIter, Rows, Table, overlaid, tables};

use self::filter::Filter;
use self::recent::Recent;
use crate::rocks::Temporary;

/// Bytes of rows that are kept in memory, besides as many at most that are being written.
const MEMORY_BYTES: usize = 24 << 20;

/// The derived tables of a history. Records themselves are not kept.
pub(crate) struct Scratch {
    /// Below which directory it goes to disk; none for the system's choice.
    parent: Option<PathBuf>,
    recent: Recent,
    leaving: Option<Leaving>,
    disk: Option<Disk>,
}

/// Changes that a thread is writing to disk, and that are looked for here until it is done.
struct Leaving {
    changes: Arc<Recent>,
    /// None if it has failed: then they stay here.
    writer: Option<JoinHandle<Result<(), Fault>>>,
}

/// Rows on disk.
struct Disk {
    rows: Arc<Temporary>,
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
        Scratch { parent, recent: Recent::default(), leaving: None, disk: None }
    }

    /// The tables in a directory of the caller's, which stays.
    pub(crate) fn at(dir: &Path) -> Result<Self, Fault> {
        let disk = Disk { rows: Arc::new(Temporary::at(dir)?), filter: None };
        let mut scratch = Scratch::new(None);
        scratch.disk = Some(disk);
        Ok(scratch)
    }

    /// Waits until the disk has everything, of tables that stay.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.spill(std::mem::take)?;
        self.wait()
    }

    /// Applies changes.
    pub(crate) fn apply(&mut self, changes: Changes) -> Result<(), Fault> {
        for (table, key, value) in changes {
            if value.is_some() || self.may_be_below(table, &key) {
                self.recent.set(table, key, value);
            } else {
                self.recent.forget(table, &key);
            }
        }
        if self.recent.bytes() > MEMORY_BYTES {
            self.spill(Recent::take_largest)?;
        }
        Ok(())
    }

    /// Lets a thread write what is taken out of the changes in memory to disk, after those before.
    /// Whatever fails, each change can be read.
    fn spill(&mut self, take: impl FnOnce(&mut Recent) -> Recent) -> Result<(), Fault> {
        self.wait()?;
        let disk = match &mut self.disk {
            Some(disk) => disk,
            none => {
                let rows = Arc::new(Temporary::create(self.parent.as_deref())?);
                none.insert(Disk { rows, filter: Some(Filter::new()) })
            }
        };
        let changes = Arc::new(take(&mut self.recent));
        if let Some(filter) = &mut disk.filter {
            changes.note(filter);
        }
        let (rows, to_write) = (disk.rows.clone(), changes.clone());
        let leaving = self.leaving.insert(Leaving { changes, writer: None });
        let writer = thread::Builder::new()
            .name("scratch".to_owned())
            .spawn(move || to_write.write_to(&rows))
            .map_err(|e| Fault::from_error("start a thread that writes scratch tables", e))?;
        leaving.writer = Some(writer);
        Ok(())
    }

    /// Waits until what is leaving is on disk.
    fn wait(&mut self) -> Result<(), Fault> {
        let Some(leaving) = &mut self.leaving else { return Ok(()) };
        let failed = || Err(Fault::new("scratch tables could not be written"));
        match leaving.writer.take() {
            Some(writer) => writer.join().unwrap_or_else(|_| failed())?,
            None => return failed(),
        }
        self.leaving = None;
        Ok(())
    }

    /// Whether there may be such a row besides those that changed last.
    fn may_be_below(&self, table: Table, key: &[u8]) -> bool {
        // What is leaving is in the filter already.
        self.disk.as_ref().is_some_and(|disk| disk.may_have(table, key))
    }
}

impl Drop for Scratch {
    /// The directory is gone with what is written to it, not some time after.
    fn drop(&mut self) {
        let _ = self.wait();
    }
}

impl Rows for Scratch {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let leaving = self.leaving.as_ref().map(|leaving| &*leaving.changes);
        let mut in_memory = std::iter::once(&self.recent).chain(leaving);
        if let Some(changed) = in_memory.find_map(|changes| changes.get(table, key)) {
            return Ok(changed);
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
        let mut below: RowIter<'_> = match &self.disk {
            Some(disk) if table != tables::REQUESTS || disk.may_have_requests(&keys) => {
                disk.rows.scan(table, keys.clone())?
            }
            _ => return Ok(self.recent.rows(table, keys)),
        };
        if let Some(leaving) = &self.leaving {
            below = overlaid(below, leaving.changes.range(table, keys.clone()));
        }
        Ok(overlaid(below, self.recent.range(table, keys)))
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
            scratch.apply(draft.finish()).unwrap();
            made += 1;
        }
        assert!(made > 20);
        // What is small stays in memory.
        assert_eq!(scratch.recent.tables(), [tables::ROSTER]);
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
            assert_eq!(scratch.get(tables::MERKLE, &[3]).unwrap(), Some(big.clone()));
            assert_eq!(scratch.get(tables::ROSTER, &[0]).unwrap(), None);
            assert_eq!(scratch.get(tables::ROSTER, &[3]).unwrap(), Some(vec![3]));
            scratch.flush().unwrap();
        }
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_written_can_be_read() {
        let mut scratch = Scratch::new(Some("/nowhere".into()));
        let nothing = Memory::new();
        let (big, mut made) = (vec![7; 1 << 20], 0);
        loop {
            let mut draft = Draft::on(&nothing);
            draft.put(tables::ROSTER, vec![made], big.clone());
            made += 1;
            if scratch.apply(draft.finish()).is_err() {
                break;
            }
        }
        assert!(made > 20);
        assert!(scratch.flush().is_err());
        assert_eq!(keys(&scratch, tables::ROSTER), (0..made).map(|n| vec![n]).collect::<Vec<_>>());
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
