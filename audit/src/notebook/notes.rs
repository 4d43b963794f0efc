//! What is kept of an audit beside the derived rows.

use ledger::formats::tlog::{Checkpoint, Note};
use serde::{Deserialize, Serialize};

use super::seen::Seen;
use crate::checks::Finding;
use crate::checks::catalog::RECORD_TIME_BACKWARDS;
use crate::records::Replay;

/// The form of the notes. Another version of the program may see other things in the same records.
const SCHEMA: &str = concat!("lockstep.audit.notes/2 ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notes {
    schema: String,
    /// Origin, size and root: the content of the file that names them.
    end: String,
    /// The hash of the last record.
    pub(super) record: String,
    /// The fold hash after it.
    pub(super) fold: String,
    /// A hash over the files of the rows that are no tables, in hex; empty until they are written.
    pub(super) files: String,
    /// The time in it.
    pub(super) time_ms: Option<u64>,
    /// AUMs that were verified.
    pub(super) aums: u64,
    /// A checkpoint up to there that a log key has signed, if the source had one.
    pub(super) head: Option<String>,
    /// Records that bear an earlier time than the one before, and what was said of them.
    backwards: Vec<(u64, String)>,
    pub(super) seen: Seen,
}

impl Notes {
    /// None before record 0.
    pub(super) fn of(
        replay: &Replay,
        end: &Checkpoint,
        aums: u64,
        findings: &[Finding],
        head: Option<&Note>,
    ) -> Option<Self> {
        let backwards = findings.iter().filter(|f| f.check.id == RECORD_TIME_BACKWARDS.id);
        Some(Notes {
            schema: SCHEMA.to_owned(),
            end: end.to_string(),
            record: replay.fold.last_hash()?.to_string(),
            fold: replay.fold.fold_hash().to_string(),
            files: String::new(),
            time_ms: replay.time_ms,
            aums,
            head: head.map(ToString::to_string),
            backwards: backwards.filter_map(|f| Some((f.record?, f.message.clone()))).collect(),
            seen: Seen::of(&replay.seen)?,
        })
    }

    /// Whether they are of this end, and of a form that is understood.
    pub(super) fn fit(&self, end: &Checkpoint) -> bool {
        self.schema == SCHEMA && self.end == end.to_string()
    }

    /// What was found in single records.
    pub(super) fn found(&self) -> impl Iterator<Item = Finding> {
        self.backwards.iter().map(|(record, message)| {
            Finding::new(&RECORD_TIME_BACKWARDS, message.as_str()).record(*record)
        })
    }
}
