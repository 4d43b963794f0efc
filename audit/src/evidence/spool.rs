//! Records beside the replay: kept in a file without a name, to be read again by index.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::Fault;

use crate::records::Stored;

/// Records, by index from 0 on.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// Where each begins, and where the last ends.
    offsets: Vec<u64>,
}

impl Spool {
    pub(super) fn len(&self) -> u64 {
        self.offsets.len() as u64 - 1
    }

    /// The bytes of a record that is there.
    pub(super) fn get(&self, index: u64) -> Result<Vec<u8>, Fault> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let bounds = self.offsets.get(at).zip(self.offsets.get(at.saturating_add(1)));
        let (from, to) = bounds.ok_or_else(|| Fault::new(format!("no record {index}")))?;
        let mut bytes = vec![0; (to - from) as usize];
        self.file
            .read_exact_at(&mut bytes, *from)
            .map_err(|error| Fault::from_error("read a scratch file", error))?;
        Ok(bytes)
    }
}

/// A spool while it is filled by the thread that reads the source.
#[derive(Debug, Clone)]
pub(crate) struct Filling(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    out: BufWriter<File>,
    offsets: Vec<u64>,
}

impl Filling {
    /// An empty one, in a directory or where the system keeps such things.
    pub(crate) fn new(tmp: Option<&Path>) -> Result<Self, Fault> {
        let file = match tmp {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        };
        let file = file.map_err(|error| Fault::from_error("create a scratch file", error))?;
        let state = State { out: BufWriter::new(file), offsets: vec![0] };
        Ok(Filling(Arc::new(Mutex::new(state))))
    }

    /// The records as they pass, each kept if it stands in its place.
    pub(crate) fn tee<I>(
        &self,
        records: I,
    ) -> impl Iterator<Item = Result<Stored, Fault>> + Send + use<I>
    where
        I: Iterator<Item = Result<Stored, Fault>> + Send,
    {
        let shared = self.clone();
        records.map(move |stored| {
            let stored = stored?;
            let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            if stored.index == Some(state.offsets.len() as u64 - 1) {
                let written = state.out.write_all(&stored.bytes);
                written.map_err(|error| Fault::from_error("write a scratch file", error))?;
                let end = state.offsets.last().copied().unwrap_or_default();
                state.offsets.push(end + stored.bytes.len() as u64);
            }
            Ok(stored)
        })
    }

    /// What was kept.
    pub(super) fn done(&self) -> Result<Spool, Fault> {
        let fault = |error: std::io::Error| Fault::from_error("write a scratch file", error);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.out.flush().map_err(fault)?;
        let file = state.out.get_ref().try_clone().map_err(fault)?;
        Ok(Spool { file, offsets: std::mem::take(&mut state.offsets) })
    }
}
