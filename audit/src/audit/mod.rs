//! One audit from source to report.

mod aums;
mod conclude;
mod ledger;
mod resuming;
mod summing_up;

use std::path::PathBuf;

use ::ledger::ids::AumHash;
use ::ledger::lock::{Key, State};

use crate::accept::Acceptances;
use crate::checks::Finding;
use crate::checks::catalog::{CACHE_DIFFERS, SOURCE_UNREADABLE};
use crate::evidence::Evidence;
use crate::guard::Guard;
use crate::notebook::{Kept, Notebook};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::report::{Report, TrustedKey, tlpub};
use crate::source::{Kind, Shown};
use crate::trust_anchor::{Anchored, Anchors};
use crate::verdict::{Demands, Verdict};

pub use aums::{verified_history, verify_aums};
#[cfg(any(test, feature = "testing"))]
pub use ledger::audit_answers;
pub use ledger::{
    Live, LiveLog, RecordsFrom, audit_data_dir, audit_live, verify_backup, verify_bundle,
    verify_data_dir, verify_live,
};

/// What the auditor brings along.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// Hashes known from elsewhere.
    pub anchors: Anchors,
    /// What is demanded beyond the rules.
    pub demands: Demands,
    /// Where long histories may have scratch files; the system's place if not given.
    pub tmp: Option<PathBuf>,
    /// What is demanded of the history itself.
    pub policy: Option<Policy>,
    /// What the auditor has looked at and accepts.
    pub accept: Option<Acceptances>,
    /// The auditor's clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Whether everything that happened is to be kept for questions and reports.
    pub chronicle: bool,
    /// What was kept of the audit before, and where the state of this one is kept.
    pub notebook: Option<&'a Notebook>,
    /// How a data directory is opened in another process; in this one if not given.
    pub guard: Option<Guard>,
    /// Whom to tell how far the work is.
    pub progress: Progress<'a>,
}

impl Options<'_> {
    /// Whether everything that happened has to be kept.
    fn keeps_chronicle(&self) -> bool {
        self.chronicle || self.policy.is_some()
    }
}

/// A report, and the ledger that it is about, if that was asked for and there is one.
#[derive(Debug)]
pub struct Audited {
    /// The report.
    pub report: Report,
    /// The records that were verified, to make evidence of.
    pub evidence: Option<Evidence>,
    /// The state at their end, to be remembered; with [`Options::notebook`].
    pub kept: Option<Kept>,
}

impl From<Report> for Audited {
    fn from(report: Report) -> Self {
        Audited { report, evidence: None, kept: None }
    }
}

/// The report on a source that cannot be read at all.
pub fn unreadable(name: &str, kind: Option<Kind>, reason: &str) -> Report {
    Report {
        source: name.to_owned(),
        kind,
        sha256: None,
        verdict: Verdict::Undecidable,
        exit_code: 3,
        anchored: Anchored::No,
        oldest: None,
        head: None,
        state_id: None,
        aums: 0,
        verified: 0,
        epochs: 0,
        trusted_keys: Vec::new(),
        findings: vec![Finding::new(&SOURCE_UNREADABLE, reason)],
        accepted: Vec::new(),
        vouched: Vec::new(),
        unchecked: Vec::new(),
        undecided: vec![reason.to_owned()],
        ledger: None,
        chronicle: None,
    }
}

fn trusted_keys(state: &State) -> Vec<TrustedKey> {
    let key = |key: &Key| TrustedKey { key: tlpub(key.public.as_deref()), votes: key.votes };
    state.keys().iter().map(key).collect()
}

/// Whether a status shows the head and the trusted keys that the history gives.
fn compare_lock(shown: &Shown, is: Option<(AumHash, &State)>, findings: &mut Vec<Finding>) {
    let mut differs = |message: String| findings.push(Finding::new(&CACHE_DIFFERS, message));
    let head = is.map(|(head, _)| head);
    if shown.head != head {
        let text = |head: Option<AumHash>| head.map_or("none".to_owned(), |head| head.to_string());
        let (shown, is) = (text(shown.head), text(head));
        differs(format!("the status shows head {shown}; the history gives {is}"));
    }
    let keys = is.map(|(_, state)| state.keys()).unwrap_or_default().iter();
    let keys: Vec<_> = keys.filter_map(|key| Some((key.lock_key()?, key.votes))).collect();
    if shown.trusted_keys != keys {
        differs("the status shows other trusted keys or votes than the history gives".to_owned());
    }
}
