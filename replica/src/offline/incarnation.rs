//! A data directory in the making: records go in, and then an incarnation begins behind them.
//!
//! It is made under another name and gets its own only when it is complete and synced. Until then a
//! marker lies in it, by which whoever begins again knows that it may be deleted.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::Fault;
use ledger::history::{
    Actor, Begun, Cause, ClusterId, Event, Fold, Founder, MemberKey, Proposal, Record, RecordHash,
    ReplicaId, RequestId, SignedProposal, Verdict, Who, requests,
};
use ledger::lock::signatures::{Signer, Unverified, decode_each_and_verify, verify_one};
use ledger::rows::Draft;
use ledger::rows::raft::{Identity, Position};
use rustix::fs::{FlockOperation, flock};

use crate::core::applier::{Applied, apply};
use crate::core::{LogEntry, Saved};
use crate::disk::rocks::Rocks;
use crate::disk::{Batch, Disk, Durable, ROWS_DIR, recovery};
use crate::keys::{KeyFileError, Keys, LockKeyChoice, Start};
use crate::local_api::{own, random_request_id};
use crate::node::{Threads, check};
use crate::operations::enrol;

/// Lies in a directory that is not complete.
const MARKER: &str = "unfinished";
/// The rules from which on there are incarnations.
const RULES: u32 = 2;
/// Entries that are admitted together.
const BATCH_ENTRIES: usize = 1024;

/// Why no incarnation began. What was there before is as it was, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// A disk or what it holds.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The system refused an operation.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What was given does not do.
    #[error("{what}")]
    Refused {
        /// Why not.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

impl NotBegun {
    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            NotBegun::Refused { remedy, .. } => Some(remedy),
            NotBegun::Io { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "Name a file or directory that is there.",
                io::ErrorKind::IsADirectory => "Name a file, not a directory.",
                io::ErrorKind::AlreadyExists => "Name one that is not there yet.",
                _ => "Make the place readable and writable for this user, or choose another.",
            }),
            NotBegun::Fault(_) | NotBegun::Key(_) => None,
        }
    }

    pub(super) fn refused(what: impl Into<String>, remedy: &'static str) -> Self {
        NotBegun::Refused { what: what.into(), remedy }
    }
}

pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NotBegun + use<> {
    let path = path.to_owned();
    move |source| NotBegun::Io { doing, path, source }
}

/// An incarnation that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refounded {
    /// Where its only member is.
    pub dir: PathBuf,
    /// The cluster.
    pub cluster: ClusterId,
    /// The new incarnation.
    pub incarnation: u64,
    /// Its only member.
    pub replica: ReplicaId,
    /// The records that it goes on from.
    pub records: u64,
    /// The record with which it begins.
    pub index: u64,
    /// That record's hash.
    pub hash: RecordHash,
    /// Under which it was recorded.
    pub request: RequestId,
}

/// `DIR` with something behind its name.
pub(super) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Keeps a daemon from starting in a directory, or says that one is running.
pub(super) fn hold(dir: &Path) -> Result<File, NotBegun> {
    let held = File::open(dir).map_err(io("opening", dir))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        NotBegun::refused(format!("a daemon is running in {}", dir.display()), "Stop it first.")
    })?;
    Ok(held)
}

/// The directory in which a path lies.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn sync_directory(dir: &Path) -> Result<(), NotBegun> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("syncing", dir))
}

/// A directory in the making.
pub(super) struct Building {
    pub(super) dir: PathBuf,
    disk: Rocks,
    pub(super) fold: Fold,
}

impl Building {
    /// Makes it anew; what an earlier attempt left there is deleted.
    pub(super) fn create(dir: &Path) -> Result<Self, NotBegun> {
        match fs::symlink_metadata(dir) {
            Ok(_) if is_left_over(dir)? => {
                fs::remove_dir_all(dir).map_err(io("deleting", dir))?;
            }
            Ok(_) => {
                return Err(NotBegun::refused(
                    format!("{} is in the way", dir.display()),
                    "Look at what it is, and move it away.",
                ));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("looking at", dir)(error)),
        }
        fs::DirBuilder::new().mode(0o700).create(dir).map_err(io("creating", dir))?;
        let marker = dir.join(MARKER);
        fs::write(&marker, "this directory is not complete\n").map_err(io("writing", &marker))?;
        let disk = Rocks::open(&dir.join(ROWS_DIR))?;
        let fold = Fold::open(&disk.view())?;
        Ok(Building { dir: dir.to_owned(), disk, fold })
    }

    /// Takes the next records in, with all of their signatures checked.
    pub(super) fn replay(&mut self, records: &[Vec<u8>]) -> Result<(), NotBegun> {
        let view = self.disk.view();
        let mut fold = self.fold.clone();
        let mut draft = Draft::on(&view);
        let decode = |records: &[Vec<u8>]| Record::decode_each(records.iter().map(Vec::as_slice));
        for record in decode_each_and_verify(records, decode, &Threads::all()) {
            let index = fold.next_index();
            let broken = |why: &dyn std::fmt::Display| {
                NotBegun::refused(
                    format!("record {index} does not hold: {why}"),
                    "Take another backup or data directory; 'lockstep audit verify' says more.",
                )
            };
            let record = record.map_err(|refusal| broken(&refusal))?;
            match fold.replay(&mut draft, &record)? {
                Verdict::Sealed(_) => {}
                Verdict::Refused(refusal) => return Err(broken(&refusal)),
                Verdict::Repeated { .. } => return Err(broken(&"it repeats an earlier one")),
            }
        }
        let mut batch = Batch::new();
        batch.absorb(draft.finish());
        self.disk.commit(batch, Durable::Later)?;
        self.fold = fold;
        Ok(())
    }

    /// Admits entries of a Raft log, as the group would have, and returns what became of the
    /// proposals among them.
    pub(super) fn admit(
        &mut self,
        entries: &[LogEntry],
    ) -> Result<Vec<(Position, Verdict)>, Fault> {
        let mut all = Vec::new();
        for entries in entries.chunks(BATCH_ENTRIES) {
            let checked = check(entries, &Threads::all());
            let view = self.disk.view();
            let of = checked.iter().map(|(position, checked)| (*position, checked));
            let Applied { fold, changes, verdicts } = apply(&self.fold, &view, of)?;
            let mut batch = Batch::new();
            batch.absorb(changes);
            self.disk.commit(batch, Durable::Later)?;
            self.fold = fold;
            all.extend(verdicts);
        }
        Ok(all)
    }

    /// Begins the incarnation. When this returns the directory is complete and survives a power
    /// cut, still under the name that it was made with.
    pub(super) fn begin(
        mut self,
        cause: Cause,
        name: &str,
        lock: &LockKeyChoice,
    ) -> Result<Refounded, NotBegun> {
        let (Some(cluster), Some(last)) = (self.fold.cluster(), self.fold.last_hash()) else {
            return Err(Fault::new("there are no records to begin from").into());
        };
        if self.fold.rules() < RULES {
            return Err(NotBegun::refused(
                format!(
                    "the ledger is under rules {}, and incarnations come with rules {RULES}",
                    self.fold.rules()
                ),
                "Start a daemon of this version in the group once: it raises the rules.",
            ));
        }
        let keys = Keys::open(&self.dir, Start::First, lock)?;
        let own = own(&keys, keys.node.public());
        let details = enrol::details(name, own, None, self.fold.known());
        let replica = self.fold.next_replica();
        let member_key = MemberKey(keys.member.public().0);
        let records = self.fold.next_index();
        let founder = Founder { id: replica, member_key, details };
        let begun = Begun { cause, founder, last: (records.saturating_sub(1), last) };
        let request = random_request_id()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let incarnation = self.fold.incarnation().saturating_add(1);
        let proposal = Proposal {
            cluster,
            incarnation,
            last_index: records,
            request: request.clone(),
            digest: requests::digest("begin", cause.name().as_bytes()),
            part: 0,
            actor: Actor { member: replica, who: Who::Member, name: name.to_owned() },
            time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            event: Event::IncarnationBegun(Box::new(begun)),
        };
        let refused = |refusal| Fault::from_error("begin the incarnation", refusal);
        let signed = SignedProposal::sign(&proposal, &*keys.member).map_err(refused)?;
        let signed = verify_one(Unverified::new(signed)).map_err(refused)?;
        let view = self.disk.view();
        let mut draft = Draft::on(&view);
        let record = match self.fold.begin_incarnation(&mut draft, &signed)? {
            Verdict::Sealed(record) => record,
            Verdict::Refused(refusal) => return Err(refused(refusal).into()),
            Verdict::Repeated { .. } => {
                return Err(Fault::new("a request ID was drawn twice").into());
            }
        };
        let mut batch = Batch::new();
        batch.absorb(draft.finish());
        drop(view);
        self.disk.commit(batch, Durable::Now)?;
        let identity = Identity { cluster: cluster.0, replica: replica.0, incarnation };
        let saved = Saved::founded(replica);
        recovery::begin_in(&self.dir, self.disk, identity, saved)
            .map_err(|error| Fault::from_error("complete the directory", error))?;
        let marker = self.dir.join(MARKER);
        fs::remove_file(&marker).map_err(io("removing", &marker))?;
        sync_directory(&self.dir)?;
        let (index, hash) = (record.index(), record.hash());
        let dir = self.dir;
        Ok(Refounded { dir, cluster, incarnation, replica, records, index, hash, request })
    }
}

/// Whether an earlier attempt has left this: it is marked, or nothing is in it.
fn is_left_over(dir: &Path) -> Result<bool, NotBegun> {
    if !dir.is_dir() {
        return Ok(false);
    }
    Ok(dir.join(MARKER).exists() || is_empty(dir)?)
}

/// Whether nothing is in a directory.
pub(super) fn is_empty(dir: &Path) -> Result<bool, NotBegun> {
    Ok(fs::read_dir(dir).map_err(io("reading", dir))?.next().is_none())
}

/// Whether a directory that was made beside another one is complete, and only its name is not.
pub(super) fn is_complete(dir: &Path) -> bool {
    dir.is_dir() && !dir.join(MARKER).exists() && dir.join(crate::disk::identity::FILE).exists()
}
