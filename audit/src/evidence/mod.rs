//! Evidence: a verified ledger in the ecosystem's own formats, to be checked anywhere.
//!
//! A bundle is an archive of `aums/<HASH>`, `checkpoint`, `record/<N>`, the tiles of the Merkle
//! tree over the record hashes (c2sp.org/tlog-tiles), and `vkeys`.

mod bundle;
mod check;
mod contradiction;
mod numbers;
mod prove;
mod spool;
mod ustar;
mod write;

use std::sync::Arc;

use ledger::Fault;
use ledger::formats::tlog::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyType, Note, Standing, VerifierKey, origin,
};
use ledger::history::merkle::{self, MerkleHash};
use ledger::history::{LogKey, Record, RecordHash};

use crate::scratch::Scratch;

pub use bundle::Bundle;
pub(crate) use bundle::is_bundle;
pub(crate) use check::{Compared, compare_files, compare_head};
pub use contradiction::{Contradiction, Head};
pub use prove::{NotShown, Shown, check_proof};
pub(crate) use spool::Filling;
use spool::Spool;
pub use write::Written;

/// The file of the signed checkpoint.
const CHECKPOINT: &str = "checkpoint";
/// The file of the verifier keys.
const VKEYS: &str = "vkeys";
/// What records' files begin with.
const RECORD: &str = "record/";
/// What AUMs' files begin with.
const AUMS: &str = "aums/";

/// A ledger whose records were verified, from which evidence can be made.
pub struct Evidence {
    rows: Arc<Scratch>,
    records: Spool,
    /// The records that were verified.
    size: u64,
    record_0: RecordHash,
    /// Log keys that members have or had, each once, and the records that brought them.
    log_keys: Vec<(u64, LogKey)>,
    /// A checkpoint that came with the source and holds.
    checkpoint: Option<(Checkpoint, Note)>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Whether one of these log keys has signed a note under the ledger's name.
pub(crate) fn signed_by(note: &Note, origin: &str, log_keys: &[LogKey]) -> bool {
    log_keys.iter().any(|key| {
        VerifierKey::new(origin, KeyType::Ed25519, key.0)
            .is_ok_and(|key| matches!(note.by(&key), Standing::Signed(_)))
    })
}

/// Why there is no such evidence.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidence {
    /// The records are not that many.
    #[error("there are {size} verified records; {asked} were asked for")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// How many there are.
        size: u64,
    },
    /// A proof has to be for a signed checkpoint.
    #[error("there is no signed checkpoint for it: none came with the source")]
    NoCheckpoint,
    /// The checkpoint is of another history.
    #[error("the checkpoint is not one of this history: {0}")]
    OtherHistory(&'static str),
    /// It is no checkpoint.
    #[error(transparent)]
    BadCheckpoint(#[from] ledger::formats::tlog::BadCheckpoint),
    /// The system failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Writing failed.
    #[error("writing it: {0}")]
    Io(#[from] std::io::Error),
}

impl Evidence {
    pub(crate) fn new(
        rows: Arc<Scratch>,
        records: &Filling,
        size: u64,
        record_0: RecordHash,
        log_keys: Vec<(u64, LogKey)>,
    ) -> Result<Self, Fault> {
        let records = records.done()?;
        let size = size.min(records.len());
        Ok(Evidence { rows, records, size, record_0, log_keys, checkpoint: None })
    }

    /// A checkpoint came with the source and holds.
    pub(crate) fn found(&mut self, seen: &Compared) {
        self.checkpoint = Some((seen.checkpoint.clone(), seen.note.clone()));
    }

    /// The number of verified records.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The number of records in their places, verified or not.
    pub(crate) fn present(&self) -> u64 {
        self.records.len()
    }

    /// The first record that is another in another replica; none as far as both reach.
    pub(crate) fn first_difference(&self, other: &Evidence) -> Result<Option<u64>, Fault> {
        for index in 0..self.present().min(other.present()) {
            if self.records.get(index)? != other.records.get(index)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The identity of the ledger in checkpoints.
    pub fn origin(&self) -> String {
        origin(&self.record_0)
    }

    /// The root of the tree over the first records.
    pub fn root_at(&self, size: u64) -> Result<MerkleHash, NoEvidence> {
        self.has(size)?;
        Ok(merkle::root_at(&*self.rows, size)?)
    }

    /// The bytes of a record.
    pub fn record(&self, index: u64) -> Result<Vec<u8>, NoEvidence> {
        self.has(index.saturating_add(1))?;
        Ok(self.records.get(index)?)
    }

    fn has(&self, size: u64) -> Result<(), NoEvidence> {
        if size > self.size {
            return Err(NoEvidence::Beyond { asked: size, size: self.size });
        }
        Ok(())
    }

    /// Keys that members have or had to sign checkpoints within the first records, each once.
    pub fn vkeys(&self, size: u64) -> Vec<VerifierKey> {
        let origin = self.origin();
        let within = self.log_keys.iter().filter(|(record, _)| *record < size);
        // The origin is a name without spaces or pluses.
        let key = |key: &LogKey| VerifierKey::new(&origin, KeyType::Ed25519, key.0).ok();
        within.filter_map(|(_, log_key)| key(log_key)).collect()
    }

    fn decoded(&self, index: u64) -> Result<Record, NoEvidence> {
        let record = Record::decode(&self.record(index)?);
        Ok(record.map_err(|error| Fault::from_error(format!("read record {index}"), error))?)
    }

    /// Takes a checkpoint that somebody got elsewhere. It has to be of this history, and signed by
    /// one of its log keys.
    pub fn use_checkpoint(&mut self, bytes: &[u8]) -> Result<(), NoEvidence> {
        let (checkpoint, note) = Checkpoint::of_note(bytes)?;
        if checkpoint.origin != self.origin() {
            return Err(NoEvidence::OtherHistory("it names another origin"));
        }
        if checkpoint.root != self.root_at(checkpoint.size)? {
            return Err(NoEvidence::OtherHistory("its root is not that of these records"));
        }
        let keys = self.vkeys(checkpoint.size);
        if !keys.iter().any(|key| matches!(note.by(key), Standing::Signed(_))) {
            return Err(NoEvidence::OtherHistory("no log key of this ledger has signed it"));
        }
        self.checkpoint = Some((checkpoint, note));
        Ok(())
    }

    /// The checkpoint, if there is one for a tree no larger than this.
    fn checkpoint_for(&self, size: u64) -> Option<&(Checkpoint, Note)> {
        self.checkpoint.as_ref().filter(|(checkpoint, _)| checkpoint.size <= size)
    }

    /// Proof that a record is in the tree of the checkpoint, with the record as extra data.
    pub fn inclusion(&self, index: u64) -> Result<InclusionProof, NoEvidence> {
        let (checkpoint, note) = self.checkpoint.as_ref().ok_or(NoEvidence::NoCheckpoint)?;
        if index >= checkpoint.size {
            return Err(NoEvidence::Beyond {
                asked: index.saturating_add(1),
                size: checkpoint.size,
            });
        }
        Ok(InclusionProof {
            extra: Some(self.record(index)?),
            index,
            hashes: merkle::inclusion_proof(&*self.rows, index, checkpoint.size)?,
            checkpoint: note.clone(),
        })
    }

    /// Proof that the tree of the checkpoint begins with the tree of `old` leaves.
    pub fn consistency(&self, old: u64) -> Result<ConsistencyProof, NoEvidence> {
        let (checkpoint, note) = self.checkpoint.as_ref().ok_or(NoEvidence::NoCheckpoint)?;
        if old > checkpoint.size {
            return Err(NoEvidence::Beyond { asked: old, size: checkpoint.size });
        }
        let hashes = match old {
            0 => Vec::new(),
            old => merkle::consistency_proof(&*self.rows, old, checkpoint.size)?,
        };
        Ok(ConsistencyProof { old, hashes, checkpoint: note.clone() })
    }
}
