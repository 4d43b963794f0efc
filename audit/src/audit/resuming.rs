//! Going on from where a history ended the last time, or saying why that is impossible.

use ::ledger::Fault;
use ::ledger::formats::tlog::{Checkpoint, Note, origin};
use ::ledger::history::{LogKey, merkle};
use ::ledger::rows::Rows;

use super::{Audited, Options, unreadable};
use crate::checks::Finding;
use crate::checks::catalog::{HEAD_ROOT, HEAD_STALE};
use crate::evidence::{Contradiction, Head, signed_by};
use crate::notebook::{Continuity, Kept, Onward, Recalled, continuity};
use crate::observations::{Claimed, Observations};
use crate::records::{Replay, Start};
use crate::report::{Report, Unchecked};
use crate::scratch::Scratch;
use crate::source::Kind;
use crate::trust_anchor::Anchored;
use crate::verdict::judge;

/// Where an audit begins.
pub(super) enum Begin {
    /// With record 0, or after the records that are remembered.
    At(Box<Start>),
    /// Nowhere: the source does not go on from what is remembered.
    Nowhere(Box<Audited>),
}

impl Options<'_> {
    /// Whether records that were verified before can be passed over: nobody asks what happened in
    /// them, or for one of them, or for evidence made of all.
    fn passes_over(&self, keep: bool) -> bool {
        !keep && !self.keeps_chronicle() && self.anchors.head.is_none()
    }

    /// What is remembered and can be used.
    pub(super) fn recall(&self, keep: bool) -> Result<Option<Recalled>, Fault> {
        match self.notebook.filter(|_| self.passes_over(keep)) {
            Some(notebook) => notebook.recall(),
            None => Ok(None),
        }
    }

    /// The beginning with record 0.
    pub(super) fn afresh(&self, keep: bool, claimed: Option<Claimed>) -> Result<Start, Fault> {
        let rows = match self.notebook.filter(|_| self.passes_over(keep)) {
            Some(notebook) => notebook.scratch()?,
            None => Scratch::new(self.tmp.clone()),
        };
        let seen = Observations::new(self.anchors.head, claimed).keeping(self.keeps_chronicle());
        Ok(Start { rows, seen, time_ms: None, resumed: None })
    }

    /// The state at the end of a history that holds, if it is to be remembered.
    pub(super) fn keep(
        &self,
        replay: Replay,
        report: &Report,
        backwards: &[Finding],
        head: Option<&Head>,
        keep: bool,
    ) -> Option<Kept> {
        self.notebook.filter(|_| self.passes_over(keep))?;
        let end = report.end().filter(|_| matches!(report.exit_code, 0 | 4))?;
        let note = head.and_then(|head| head.note.as_ref());
        Kept::of(replay, &end, report.verified, backwards, note)
    }
}

/// Decides where to begin, by what the source shows.
pub(super) fn begin(
    name: &str,
    kind: Kind,
    recalled: Recalled,
    source: &Onward<'_>,
    options: &Options<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Begin, Fault> {
    let end = recalled.end.clone();
    let value = format!("{} at {} records", end.origin, end.size);
    let resume = "resume";
    let stop =
        |anchored, findings| Ok(Begin::Nowhere(nowhere(name, kind, anchored, findings, options)));
    match continuity(&recalled, source)? {
        Continuity::GoesOn => Ok(Begin::At(Box::new(recalled.start(findings)?))),
        Continuity::Unclear => {
            // Its copy of the rows makes room for new ones.
            drop(recalled);
            Ok(Begin::At(Box::new(options.afresh(false, None)?)))
        }
        Continuity::OtherLog(found) => {
            stop(Anchored::Contradicted { kind: resume, value, found }, Vec::new())
        }
        Continuity::Ends(size) => {
            let message =
                format!("{} records were verified the last time; {size} are here", end.size);
            let finding = Finding::new(&HEAD_STALE, message);
            stop(Anchored::Unknown { kind: resume, value }, vec![finding])
        }
        Continuity::Contradicts(heads) => {
            let finding = contradicted(end.size, heads.as_deref(), options)?;
            let found = "other records up to there".to_owned();
            stop(Anchored::Contradicted { kind: resume, value, found }, vec![finding])
        }
    }
}

/// The finding that the remembered records are others now. Both heads are kept as evidence.
pub(super) fn contradicted(
    size: u64,
    heads: Option<&Contradiction>,
    options: &Options<'_>,
) -> Result<Finding, Fault> {
    let message =
        format!("the first {size} records are not those that were verified the last time");
    let (Some(heads), Some(notebook)) = (heads, options.notebook) else {
        return Ok(Finding::new(&HEAD_ROOT, message));
    };
    let Some(path) = notebook.contradiction(heads)? else {
        let message = format!("{message}; of such heads enough are kept beside what is remembered");
        return Ok(Finding::new(&HEAD_ROOT, message));
    };
    let message = format!("{message}; both heads, and the proof, are kept in {}", path.display());
    let file = Some(path.to_string_lossy().into_owned());
    Ok(Finding { file, ..Finding::new(&HEAD_ROOT, message) })
}

/// The report on a source that does not go on from what is remembered. Nothing in it was verified.
fn nowhere(
    name: &str,
    kind: Kind,
    anchored: Anchored,
    findings: Vec<Finding>,
    options: &Options<'_>,
) -> Box<Audited> {
    let reason = "no record was looked at, since the source does not go on from where the history \
                  ended the last time; without --resume it is audited from the beginning";
    let undecided = vec!["It does not go on from where it ended the last time".to_owned()];
    let (verdict, exit_code) = judge(&findings, true, &anchored, options.demands);
    let report = Report {
        findings,
        verdict,
        exit_code,
        anchored,
        undecided,
        unchecked: vec![Unchecked { id: "records", reason: reason.to_owned() }],
        ..unreadable(name, Some(kind), reason)
    };
    Box::new(Audited { report, evidence: None, kept: None })
}

/// The head that came with a source, if a log key on record has signed it. One that is not of these
/// records is a finding.
pub(super) fn own_head(
    bytes: Option<&[u8]>,
    replay: &Replay,
    findings: &mut Vec<Finding>,
) -> Result<Option<Head>, Fault> {
    let (Some(bytes), Some(record_0)) = (bytes, &replay.seen.origin) else { return Ok(None) };
    let Ok((checkpoint, note)) = Checkpoint::of_note(bytes) else { return Ok(None) };
    let own = origin(record_0);
    let log_keys: Vec<LogKey> = replay.seen.log_keys.iter().map(|(_, key)| *key).collect();
    let of_ours = checkpoint.origin == own && signed_by(&note, &own, &log_keys);
    if !of_ours || checkpoint.size > replay.fold.next_index() {
        return Ok(None);
    }
    if merkle::root_at(&*replay.rows, checkpoint.size)? != checkpoint.root {
        let message = format!(
            "a log key has signed another root over the first {} records than they have",
            checkpoint.size
        );
        findings.push(Finding::new(&HEAD_ROOT, message));
        return Ok(None);
    }
    Ok(Some(Head { checkpoint, note: Some(note) }))
}

/// The heads of a history that was replayed from the beginning and is not the remembered one.
pub(super) fn heads_apart(
    end: &Checkpoint,
    own: Checkpoint,
    note: Option<(&Checkpoint, &Note)>,
    rows: &dyn Rows,
) -> Result<Option<Contradiction>, Fault> {
    let ours = || Head::unsigned(end.clone());
    if let Some((checkpoint, note)) = note.filter(|(signed, _)| signed.size >= end.size) {
        let theirs = Head { checkpoint: checkpoint.clone(), note: Some(note.clone()) };
        if let Some(found) = Contradiction::between(ours(), theirs, Some(rows))? {
            return Ok(Some(found));
        }
    }
    Contradiction::between(ours(), Head::unsigned(own), Some(rows))
}
