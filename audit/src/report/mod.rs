//! The outcome of an audit, and its forms.

mod facts;
mod html;
mod json;
pub(crate) mod lines;
mod sarif;
mod text;

use ledger::formats::tlog::{Checkpoint, origin};
use ledger::history::{FoldHash, LogKey, RecordHash};
use ledger::ids::{AumHash, LockKey};

use crate::accept::Accepted;
use crate::checks::{Finding, Headcount};
use crate::chronicle::Chronicle;
use crate::source::Kind;
use crate::trust_anchor::Anchored;
use crate::verdict::Verdict;

pub use facts::Vouched;
pub(crate) use facts::{Grounds, vouched};

/// A fact that the source cannot show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    /// Its stable identifier.
    pub id: &'static str,
    /// Why it could not be checked.
    pub reason: String,
}

/// A trusted key as it stands at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key in hex, whatever its length: the original does not check that (spec W7).
    pub key: String,
    /// Its votes.
    pub votes: u64,
}

/// Everything that an audit found out.
#[derive(Debug)]
pub struct Report {
    /// The source as the user named it.
    pub source: String,
    /// Its form, if it could be told.
    pub kind: Option<Kind>,
    /// SHA-256 of the source, if it is one file.
    pub sha256: Option<[u8; 32]>,
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code that says so.
    pub exit_code: u8,
    /// What the trust anchors say.
    pub anchored: Anchored,
    /// The AUM that the chain begins with here.
    pub oldest: Option<AumHash>,
    /// The recomputed head.
    pub head: Option<AumHash>,
    /// The state ID.
    pub state_id: Option<(u64, u64)>,
    /// AUMs present, each counted once.
    pub aums: u64,
    /// AUMs present that were verified.
    pub verified: u64,
    /// Locks, one after the other, that the source shows.
    pub epochs: u64,
    /// Keys trusted at the head, in the order of the state.
    pub trusted_keys: Vec<TrustedKey>,
    /// What was found, and not accepted.
    pub findings: Vec<Finding>,
    /// What was found and accepted.
    pub accepted: Vec<Accepted>,
    /// What vouches for what.
    pub vouched: Vec<Vouched>,
    /// What could not be checked. Never changes the verdict.
    pub unchecked: Vec<Unchecked>,
    /// Why the verdict is undecidable, if it is and not for want of an anchor.
    pub undecided: Vec<String>,
    /// What records say, if the source has them.
    pub ledger: Option<LedgerFacts>,
    /// Everything that happened, if it was asked for.
    pub chronicle: Option<Chronicle>,
}

impl Report {
    /// The end of the history, to be remembered until the next audit; none if it does not hold or
    /// has no records.
    pub fn end(&self) -> Option<Checkpoint> {
        let facts = self.ledger.as_ref().filter(|_| self.verdict == Verdict::Holds)?;
        let (size, root) = (facts.verified_records, facts.root);
        Some(Checkpoint { origin: origin(&facts.origin?), size, root })
    }
}

/// What only records can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFacts {
    /// The hash of record 0, which identifies the ledger.
    pub origin: Option<RecordHash>,
    /// Records present.
    pub records: u64,
    /// Records verified, from 0 on. What follows speaks of these.
    pub verified_records: u64,
    /// The root of the Merkle tree over their hashes.
    pub root: [u8; 32],
    /// The hash of the last one.
    pub record_hash: Option<RecordHash>,
    /// The fold hash after it.
    pub fold_hash: FoldHash,
    /// The lock after it: `on`, `off`, or `never initialized`.
    pub lock: &'static str,
    /// The nodes of the roster while the lock is on.
    pub nodes: Headcount,
    /// Log keys that members have or had, in the order of their records.
    pub log_keys: Vec<LogKey>,
    /// A checkpoint that came with the source, if there was one.
    pub checkpoint: Option<SeenCheckpoint>,
    /// Proposals in the replica's log that have not been judged yet.
    pub waiting: u64,
    /// The process that is using the data directory.
    pub holder: Option<u32>,
    /// How many of the verified records an earlier audit has verified, and this one has not.
    pub resumed: Option<u64>,
}

/// A checkpoint that came with a source, or that somebody remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCheckpoint {
    /// The records that it covers.
    pub size: u64,
    /// Keys whose signatures on it hold, as verifier keys.
    pub signers: Vec<String>,
}

/// `tlpub:` and hex, for keys of any length.
pub(crate) fn tlpub(public: Option<&[u8]>) -> String {
    let public = public.unwrap_or_default();
    match public.try_into() {
        Ok(key) => LockKey(key).to_tlpub(),
        Err(_) => format!("tlpub:{}", data_encoding::HEXLOWER.encode(public)),
    }
}
