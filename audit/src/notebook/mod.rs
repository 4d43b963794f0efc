//! What an auditor keeps between two audits, so that the next one costs what is new.
//!
//! `FILE` names the end of the history: origin, size and root. `FILE.state/` beside it has, in a
//! directory named after that end, the derived rows there (`rows/`, of the records only those by which
//! later ones are judged) and
//! what was seen on the way (`notes.json`). Both are the auditor's own: nothing in them comes from a
//! source unverified, and they are used only where they fit `FILE`, hash by hash. `FILE` is replaced
//! last, so that a crash leaves the old state or the new one.

mod continuity;
mod notes;
mod seen;
mod tiles;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ledger::Fault;
use ledger::formats::tlog::{BadCheckpoint, Checkpoint, Note};
use ledger::history::{Fold, LogKey};
use ledger::rows::{Rows, tables};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::checks::Finding;
use crate::evidence::Contradiction;
use crate::observations::Observations;
use crate::records::{Replay, Resumed, Start};
use crate::rocks::{hash_beside_tables, twin};
use crate::scratch::Scratch;

pub(crate) use continuity::{Continuity, Onward, continuity};
use notes::Notes;
pub(crate) use tiles::TreeOfTiles;

/// Bytes of the file that names the end, at most.
const FILE_BYTES: u64 = 4096;
/// Bytes of what was seen, at most.
const NOTES_BYTES: u64 = 64 << 20;
/// The directory of the derived rows.
const ROWS: &str = "rows";
/// The file of what was seen.
const NOTES: &str = "notes.json";
/// What the names of two contradicting heads have between that of the notebook and their own.
const CONTRADICTION: &str = ".contradiction-";
/// Files of contradicting heads, at most.
const CONTRADICTIONS: usize = 64;
/// Where the next state is made.
const WORK: &str = "work";

/// What an auditor keeps between two audits.
#[derive(Debug)]
pub struct Notebook {
    file: PathBuf,
    state: PathBuf,
    end: Option<Checkpoint>,
    /// Held while the notebook is open, so that two audits do not write to one.
    _lock: File,
    _dir: Option<TempDir>,
}

/// Why a notebook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadNotebook {
    /// It does not say where a history ended.
    #[error("{path}: {error}")]
    End {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: BadCheckpoint,
    },
    /// Another process is using it.
    #[error("{0}: another audit is using it")]
    Busy(PathBuf),
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Notebook {
    /// Opens the notebook that `file` names; it need not be there yet.
    pub fn open(file: &Path) -> Result<Self, BadNotebook> {
        let io = |path: &Path, error| BadNotebook::Io { path: path.to_owned(), error };
        let end = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(file, error)),
            Ok(open) => {
                let mut text = String::new();
                open.take(FILE_BYTES).read_to_string(&mut text).map_err(|e| io(file, e))?;
                let bad = |error| BadNotebook::End { path: file.to_owned(), error };
                Some(Checkpoint::of_text(&text).map_err(bad)?)
            }
        };
        let state = suffixed(file, ".state");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
        made.map_err(|error| io(&state, error))?;
        let path = state.join("lock");
        let lock = File::create(&path).map_err(|error| io(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(BadNotebook::Busy(file.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(io(&path, error)),
        }
        let notebook = Notebook { file: file.to_owned(), state, end, _lock: lock, _dir: None };
        notebook.tidy().map_err(|error| io(&notebook.state, error))?;
        Ok(notebook)
    }

    /// One that is gone when it is dropped, below `parent` or where the system keeps such things.
    pub fn temporary(parent: Option<&Path>) -> Result<Self, BadNotebook> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("lockstep-audit-");
        let dir = match parent {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let path = || parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let dir = dir.map_err(|error| BadNotebook::Io { path: path(), error })?;
        let mut notebook = Notebook::open(&dir.path().join("end"))?;
        notebook._dir = Some(dir);
        Ok(notebook)
    }

    /// Where the history ended, if one was verified.
    pub fn end(&self) -> Option<&Checkpoint> {
        self.end.as_ref()
    }

    /// Deletes what an audit that was cut short has left.
    fn tidy(&self) -> io::Result<()> {
        let keep = self.end.as_ref().map(name);
        for entry in fs::read_dir(&self.state)? {
            let entry = entry?;
            let of_ours = entry.file_name().to_str().is_some_and(is_name);
            if of_ours && entry.file_name().to_str() != keep.as_deref() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// The remembered state, in a new working copy; none if there is none that fits the file.
    pub(crate) fn recall(&self) -> Result<Option<Recalled>, Fault> {
        let Some(end) = &self.end else { return Ok(None) };
        let dir = self.state.join(name(end));
        let Some(notes) = read_notes(&dir).filter(|notes| notes.fit(end)) else {
            return Ok(None);
        };
        // Before RocksDB reads them.
        if hash_beside_tables(&dir.join(ROWS)).ok().map(|hash| HEXLOWER.encode(&hash))
            != Some(notes.files.clone())
        {
            return Ok(None);
        }
        let rows = Scratch::at(&self.work(Some(&dir.join(ROWS)))?)?;
        let fold = Fold::open(&rows)?;
        let fits = fold.next_index() == end.size
            && fold.merkle_root() == end.root
            && fold.last_hash().is_some_and(|hash| hash.to_string() == notes.record)
            && fold.fold_hash().to_string() == notes.fold;
        let Some(seen) = notes.seen.restore().filter(|_| fits) else { return Ok(None) };
        Ok(Some(Recalled { end: end.clone(), rows, seen, notes }))
    }

    /// Where rows of a first audit are made, so that they can stay.
    pub(crate) fn scratch(&self) -> Result<Scratch, Fault> {
        Scratch::at(&self.work(None)?)
    }

    /// An empty place for rows, or one with a copy of others.
    fn work(&self, of: Option<&Path>) -> Result<PathBuf, Fault> {
        let work = self.state.join(WORK);
        let made = || {
            if work.exists() {
                fs::remove_dir_all(&work)?;
            }
            let rows = work.join(ROWS);
            DirBuilder::new().recursive(true).mode(0o700).create(&rows)?;
            if let Some(of) = of {
                twin(of, &rows)?;
            }
            Ok(rows)
        };
        made().map_err(|error: io::Error| {
            Fault::from_error(
                format!("make a scratch directory in {}", self.state.display()),
                error,
            )
        })
    }

    /// Remembers the end of a history that holds, and the state there if it was kept.
    pub fn remember(&mut self, end: &Checkpoint, kept: Option<Kept>) -> Result<(), BadNotebook> {
        let state = self.state.clone();
        let io = |error| BadNotebook::Io { path: state.clone(), error };
        if let Some(kept) = kept {
            if self.end.as_ref() == Some(end) && self.state.join(name(end)).exists() {
                // Nothing is new: what was kept is no other than what is there.
                drop(kept);
                return self.tidy().map_err(io);
            }
            let Kept { mut rows, mut notes } = kept;
            rows.flush().map_err(|fault| io(io::Error::other(fault.to_string())))?;
            // Closed before its directory gets another name.
            drop(rows);
            let work = self.state.join(WORK);
            let mut put = || {
                notes.files = HEXLOWER.encode(&hash_beside_tables(&work.join(ROWS))?);
                let mut file = File::create(work.join(NOTES))?;
                serde_json::to_writer(&mut file, &notes)?;
                file.sync_all()?;
                File::open(&work)?.sync_all()?;
                let to = self.state.join(name(end));
                if to.exists() {
                    fs::remove_dir_all(&to)?;
                }
                fs::rename(&work, &to)?;
                File::open(&self.state)?.sync_all()
            };
            put().map_err(io)?;
        }
        replace(&self.file, end.to_string().as_bytes())
            .map_err(|error| BadNotebook::Io { path: self.file.clone(), error })?;
        self.end = Some(end.clone());
        self.tidy().map_err(io)
    }

    /// Keeps two heads that contradict each other, and says where; none if so many are kept already
    /// that one more says nothing new: a watch sees a log that goes on another way grow and grow.
    pub(crate) fn contradiction(&self, heads: &Contradiction) -> Result<Option<PathBuf>, Fault> {
        let text = heads.to_string();
        let hash = HEXLOWER.encode(&Sha256::digest(&text)[..8]);
        let stem = suffixed(&self.file, CONTRADICTION);
        let path = suffixed(&stem, &format!("{hash}.json"));
        let fault =
            |error| Fault::from_error(format!("write the evidence {}", path.display()), error);
        if !path.exists() {
            if beside(&stem).map_err(fault)? >= CONTRADICTIONS {
                return Ok(None);
            }
            replace(&path, text.as_bytes()).map_err(fault)?;
        }
        Ok(Some(path))
    }
}

impl Drop for Notebook {
    fn drop(&mut self) {
        // Of an audit that was not remembered; what stays is deleted the next time.
        let _ = fs::remove_dir_all(self.state.join(WORK));
    }
}

/// What was remembered of the records before those that are new.
pub(crate) struct Recalled {
    pub(crate) end: Checkpoint,
    pub(crate) rows: Scratch,
    seen: Observations,
    notes: Notes,
}

impl Recalled {
    /// The last record that was verified, by its hash.
    pub(crate) fn record(&self) -> &str {
        &self.notes.record
    }

    /// What a log key has signed of it.
    pub(crate) fn head(&self) -> Option<&str> {
        self.notes.head.as_deref()
    }

    /// Log keys that members had.
    fn log_keys(&self) -> Vec<LogKey> {
        self.seen.log_keys.iter().map(|(_, key)| *key).collect()
    }

    /// To go on from there. What was found in single records is found still.
    pub(crate) fn start(self, findings: &mut Vec<Finding>) -> Result<Start, Fault> {
        findings.extend(self.notes.found());
        // The fold's own scalars are compared in any case: its hash is over all rows.
        let scalars = self.rows.scan(tables::HISTORY, &[][..]..&[][..])?;
        let touched =
            scalars.map(|row| Ok((tables::HISTORY, row?.0))).collect::<Result<_, Fault>>()?;
        let (size, aums) = (self.end.size, self.notes.aums);
        let epoch = Fold::open(&self.rows)?.epoch().map_or(0, |epoch| epoch.0);
        let resumed = Some(Resumed { size, aums, epoch, touched: Some(touched) });
        let Recalled { rows, seen, notes, .. } = self;
        Ok(Start { rows, seen, time_ms: notes.time_ms, resumed })
    }
}

/// The state at the end of a history that was verified, to be remembered.
pub struct Kept {
    rows: Scratch,
    notes: Notes,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("record", &self.notes.record).finish_non_exhaustive()
    }
}

impl Kept {
    /// From a replay that has ended well. None if somebody else still reads its rows.
    pub(crate) fn of(
        replay: Replay,
        end: &Checkpoint,
        aums: u64,
        findings: &[Finding],
        head: Option<&Note>,
    ) -> Option<Self> {
        let notes = Notes::of(&replay, end, aums, findings, head)?;
        Some(Kept { rows: Arc::into_inner(replay.rows)?, notes })
    }
}

/// The directory of a state.
fn name(end: &Checkpoint) -> String {
    format!("{}-{}", end.size, BASE32_NOPAD.encode(&end.root[..10]))
}

/// Whether a directory is one that we have made: nothing else is ever deleted.
fn is_name(name: &str) -> bool {
    name == WORK
        || name.split_once('-').is_some_and(|(size, root)| {
            size.parse::<u64>().is_ok()
                && BASE32_NOPAD.decode(root.as_bytes()).is_ok_and(|root| root.len() == 10)
        })
}

fn read_notes(dir: &Path) -> Option<Notes> {
    let file = File::open(dir.join(NOTES)).ok()?;
    let mut bytes = Vec::new();
    file.take(NOTES_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How many files have a name that begins with that of `stem`, beside which they lie.
fn beside(stem: &Path) -> io::Result<usize> {
    let (Some(dir), Some(name)) = (stem.parent(), stem.file_name()) else { return Ok(0) };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let found = entry?.file_name();
        count += usize::from(found.as_encoded_bytes().starts_with(name.as_encoded_bytes()));
    }
    Ok(count)
}

/// Replaces a file whole, so that a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = suffixed(path, ".new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
