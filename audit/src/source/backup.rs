//! A backup: records one after the other, and what they are to come to.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::{Mutex, PoisonError};

use ledger::Fault;
use ledger::formats::record_stream::{Broken, End, Head, MAGIC, RecordStream};

use crate::hashed::Hashed;
use crate::records::Stored;

/// Whether a file that begins so is a backup.
pub(crate) fn is_backup(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// A backup, to be read once.
pub struct Backup {
    read: Mutex<Reading>,
}

struct Reading {
    from: Hashed<Box<dyn Read + Send>>,
    stream: Option<RecordStream>,
    next: u64,
    over: bool,
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").finish_non_exhaustive()
    }
}

impl Backup {
    pub(crate) fn of_file(file: File) -> Self {
        Self::of(BufReader::new(file))
    }

    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self::of(Cursor::new(bytes))
    }

    fn of(from: impl Read + Send + 'static) -> Self {
        let from = Hashed::new(Box::new(from) as Box<dyn Read + Send>);
        let read = Reading { from, stream: None, next: 0, over: false };
        Backup { read: Mutex::new(read) }
    }

    /// Its records, ascending.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<Stored, Fault>> + Send + '_ {
        std::iter::from_fn(|| self.reading(Reading::next))
    }

    /// What precedes and what follows its records, once they are read to the end.
    pub(crate) fn edges(&self) -> Option<(Head, End)> {
        self.reading(|reading| {
            let stream = reading.stream.as_ref()?;
            Some((stream.head(), stream.end()?))
        })
    }

    /// SHA-256 of the whole file, if it can be read to its end.
    pub(crate) fn sha256(&self) -> Option<[u8; 32]> {
        self.reading(|reading| reading.from.finish())
    }

    fn reading<T>(&self, f: impl FnOnce(&mut Reading) -> T) -> T {
        f(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reading {
    fn next(&mut self) -> Option<Result<Stored, Fault>> {
        if self.over {
            return None;
        }
        let next = self.read();
        self.over = !matches!(next, Ok(Some(_)));
        let fault = |broken| Fault::from_error("the backup", broken);
        next.map_err(fault).transpose()
    }

    fn read(&mut self) -> Result<Option<Stored>, Broken<io::Error>> {
        let from = &mut self.from;
        let mut read = |count: usize| {
            // No more than a record's limit is asked for.
            let mut bytes = Vec::with_capacity(count);
            Read::take(&mut *from, count as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(RecordStream::open(&mut read)?),
        };
        let Some(bytes) = stream.next_bytes(&mut read)? else { return Ok(None) };
        let index = Some(self.next);
        self.next += 1;
        Ok(Some(Stored { index, bytes, shown: None }))
    }
}
