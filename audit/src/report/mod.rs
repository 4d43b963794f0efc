//! The outcome of an audit, and its forms.

mod json;
mod text;

use ledger::history::{FoldHash, RecordHash};
use ledger::ids::{AumHash, LockKey};

use crate::checks::{Finding, Headcount};
use crate::source::Kind;
use crate::trust_anchor::Anchored;
use crate::verdict::Verdict;

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
    /// What was found.
    pub findings: Vec<Finding>,
    /// What could not be checked. Never changes the verdict.
    pub unchecked: Vec<Unchecked>,
    /// Why the verdict is undecidable, if it is and not for want of an anchor.
    pub undecided: Vec<String>,
    /// What records say, if the source has them.
    pub ledger: Option<LedgerFacts>,
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
    /// Proposals in the replica's log that have not been judged yet.
    pub waiting: u64,
    /// The process that is using the data directory.
    pub holder: Option<u32>,
}

/// `tlpub:` and hex, for keys of any length.
pub(crate) fn tlpub(public: Option<&[u8]>) -> String {
    let public = public.unwrap_or_default();
    match public.try_into() {
        Ok(key) => LockKey(key).to_tlpub(),
        Err(_) => format!("tlpub:{}", data_encoding::HEXLOWER.encode(public)),
    }
}
