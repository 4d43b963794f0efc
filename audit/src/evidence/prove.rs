//! Checking a proof that somebody hands over, with nothing but keys that are trusted.

use ledger::formats::tlog::{
    Checkpoint, Note, Proof, Standing, VerifierKey, begins_with, root_of_inclusion,
};
use ledger::history::merkle::{MerkleHash, leaf};
use ledger::history::{Record, RecordHash};

use super::{Contradiction, Evidence, NoEvidence};

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The log.
    pub origin: String,
    /// The records that its checkpoint covers.
    pub size: u64,
    /// The keys that have signed the checkpoint, of those that are known.
    pub signers: Vec<VerifierKey>,
    /// What is in the log, if that was shown.
    pub record: Option<(u64, RecordHash)>,
    /// The size of the log that it began with, if that was shown.
    pub old: Option<u64>,
    /// Whether it was shown that the log is not what it was: the heads at `old` and at `size`
    /// cannot both be true.
    pub contradicts: bool,
}

/// Why a proof shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    /// It is no proof.
    #[error(transparent)]
    Malformed(#[from] ledger::formats::tlog::BadProof),
    /// It does not add up.
    #[error("the proof does not hold: {0}")]
    Wrong(&'static str),
    /// A known key's signature on the checkpoint does not hold.
    #[error("a signature on the checkpoint does not hold")]
    Forged,
    /// It adds up, but nothing says whose it is, or something is missing to decide.
    #[error("{0}")]
    Undecided(&'static str),
    /// It is of another log than the keys.
    #[error("the proof is of {0}, not of the log that the keys name")]
    OtherLog(String),
    /// The history that it was compared with cannot say.
    #[error(transparent)]
    NoEvidence(#[from] NoEvidence),
}

/// Checks a proof, or two heads that contradict each other. `keys` are trusted; `old` is an earlier checkpoint's size and root; `evidence` a
/// history that was verified, whose log keys are trusted too and whose tree must be the proof's.
pub fn check_proof(
    bytes: &[u8],
    keys: &[VerifierKey],
    old: Option<(u64, MerkleHash)>,
    evidence: Option<&Evidence>,
) -> Result<Shown, NotShown> {
    if Contradiction::looks_like(bytes) {
        let found = Contradiction::parse(bytes)
            .ok_or(NotShown::Wrong("it is no file of two heads that contradict each other"))?;
        return check_contradiction(&found, keys, old, evidence);
    }
    match Proof::parse(bytes)? {
        Proof::Inclusion(proof) => {
            let (checkpoint, signers) = head(&proof.checkpoint, keys, evidence)?;
            let extra = proof.extra.ok_or(NotShown::Undecided(
                "the proof has no record with it, so it is about an unknown leaf",
            ))?;
            let record = Record::decode(&extra)
                .map_err(|_| NotShown::Wrong("what is with it is no record"))?;
            if record.index() != proof.index {
                return Err(NotShown::Wrong("the record says that it has another index"));
            }
            let leaf = leaf(&record.hash().0);
            let root = root_of_inclusion(leaf, proof.index, checkpoint.size, &proof.hashes);
            if root != Some(checkpoint.root) {
                return Err(NotShown::Wrong("record and path do not lead to the signed root"));
            }
            whose(&signers)?;
            let record = Some((proof.index, record.hash()));
            let Checkpoint { origin, size, .. } = checkpoint;
            Ok(Shown { origin, size, signers, record, old: None, contradicts: false })
        }
        Proof::Consistency(proof) => {
            let (checkpoint, signers) = head(&proof.checkpoint, keys, evidence)?;
            let old_root = match (old, evidence) {
                (Some((size, root)), _) if size == proof.old => root,
                (Some(_), _) => return Err(NotShown::Wrong("it begins at another size")),
                (None, Some(evidence)) => evidence.root_at(proof.old)?,
                (None, None) => {
                    return Err(NotShown::Undecided(
                        "the earlier checkpoint is needed to check that the log only grew",
                    ));
                }
            };
            let (new, before) = ((checkpoint.size, &checkpoint.root), (proof.old, &old_root));
            if !begins_with(new, before, &proof.hashes) {
                return Err(NotShown::Wrong("the later tree does not begin with the earlier one"));
            }
            whose(&signers)?;
            let Checkpoint { origin, size, .. } = checkpoint;
            let old = Some(proof.old);
            Ok(Shown { origin, size, signers, record: None, old, contradicts: false })
        }
    }
}

/// Two heads of one log. Each has to be vouched for: by a key of the log, or because it is the one
/// that the auditor remembers.
fn check_contradiction(
    found: &Contradiction,
    keys: &[VerifierKey],
    old: Option<(u64, MerkleHash)>,
    evidence: Option<&Evidence>,
) -> Result<Shown, NotShown> {
    let Checkpoint { origin, size, .. } = &found.larger.checkpoint;
    let log = keys.iter().find(|key| key.name().starts_with("lockstep/"));
    if log.is_some_and(|log| log.name() != origin)
        || evidence.is_some_and(|evidence| evidence.origin() != *origin)
    {
        return Err(NotShown::OtherLog(origin.clone()));
    }
    match found.shows() {
        Some(true) => {}
        Some(false) => return Err(NotShown::Wrong("the two heads do not contradict each other")),
        None => {
            let why = "the file holds two heads, but not the proof that they contradict each other";
            return Err(NotShown::Undecided(why));
        }
    }
    let mut known = keys.to_vec();
    known.extend(evidence.map(|evidence| evidence.vkeys(evidence.size())).unwrap_or_default());
    let mut signers = Vec::new();
    for head in [&found.smaller, &found.larger] {
        let mut vouched = old == Some((head.checkpoint.size, head.checkpoint.root));
        for key in &known {
            match head.note.as_ref().map_or(Standing::Absent, |note| note.by(key)) {
                Standing::Signed(_) => {
                    vouched = true;
                    if !signers.contains(key) {
                        signers.push(key.clone());
                    }
                }
                Standing::Absent => {}
                Standing::Forged => return Err(NotShown::Forged),
            }
        }
        if !vouched {
            return Err(NotShown::Undecided(
                "the two heads contradict each other, but nobody who is known here vouches for both",
            ));
        }
    }
    let old = Some(found.smaller.checkpoint.size);
    Ok(Shown { origin: origin.clone(), size: *size, signers, record: None, old, contradicts: true })
}

fn whose(signers: &[VerifierKey]) -> Result<(), NotShown> {
    if signers.is_empty() {
        return Err(NotShown::Undecided(
            "it is consistent, but whose? No key that is known here has signed the checkpoint",
        ));
    }
    Ok(())
}

/// The checkpoint of a proof, and which known keys have signed it.
fn head(
    note: &Note,
    keys: &[VerifierKey],
    evidence: Option<&Evidence>,
) -> Result<(Checkpoint, Vec<VerifierKey>), NotShown> {
    let checkpoint = Checkpoint::of_text(note.text())
        .map_err(|_| NotShown::Wrong("its checkpoint is malformed"))?;
    let log = keys.iter().find(|key| key.name().starts_with("lockstep/"));
    if log.is_some_and(|log| log.name() != checkpoint.origin) {
        return Err(NotShown::OtherLog(checkpoint.origin));
    }
    let mut known = keys.to_vec();
    if let Some(evidence) = evidence {
        if evidence.origin() != checkpoint.origin {
            return Err(NotShown::OtherLog(checkpoint.origin));
        }
        if evidence.root_at(checkpoint.size)? != checkpoint.root {
            return Err(NotShown::Wrong("its checkpoint signs another history than this one"));
        }
        known.extend(evidence.vkeys(checkpoint.size));
    }
    let mut signers = Vec::new();
    for key in &known {
        match note.by(key) {
            Standing::Signed(_) if !signers.contains(key) => signers.push(key.clone()),
            Standing::Signed(_) | Standing::Absent => {}
            Standing::Forged => return Err(NotShown::Forged),
        }
    }
    Ok((checkpoint, signers))
}
