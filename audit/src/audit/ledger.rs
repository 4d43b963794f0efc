//! Auditing records: a replica's data directory, or what a running daemon serves.

use std::path::Path;

use ::ledger::Fault;
use ::ledger::history::roster;

use super::summing_up::report;
use super::{Options, compare_lock, unreadable};
use crate::checks::catalog::CACHE_DIFFERS;
use crate::checks::{self, Finding};
use crate::evidence::{Bundle, Evidence, Filling, compare_files, compare_head};
use crate::log_tail::{LogTail, Rest};
use crate::observations::{Claimed, Observations};
use crate::records::{Replay, Stored, replay};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::source::{Backup, DataDir, Kind, Shown};

/// What a running daemon serves: its records, and what it says of them.
pub struct Live<'a> {
    /// Its records from 0 on, in order, as they are fetched.
    pub records: Box<dyn Iterator<Item = Result<Stored, Fault>> + Send + 'a>,
    /// Its last record before they were fetched, and the hashes there.
    pub claimed: Option<Claimed>,
    /// The lock at that record, as its status shows it.
    pub shown: Option<Shown>,
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("claimed", &self.claimed).finish_non_exhaustive()
    }
}

/// A report, and the ledger that it is about, if that was asked for and there is one.
#[derive(Debug)]
pub struct Audited {
    /// The report.
    pub report: Report,
    /// The records that were verified, to make evidence of.
    pub evidence: Option<Evidence>,
}

/// Audits a replica's data directory. It is only read, whatever state it is in, and byte for byte
/// the same afterwards.
pub fn verify_data_dir(name: &str, dir: &Path, options: &Options<'_>) -> Report {
    data_dir(name, dir, options, false).report
}

/// As [`verify_data_dir`], and keeps the evidence.
pub fn data_dir_evidence(name: &str, dir: &Path, options: &Options<'_>) -> Audited {
    data_dir(name, dir, options, true)
}

fn data_dir(name: &str, dir: &Path, options: &Options<'_>, keep: bool) -> Audited {
    let kind = Kind::DataDir;
    let opened = match DataDir::open(dir) {
        Ok(opened) => opened,
        Err(fault) => return failed(name, kind, &fault),
    };
    let audited = Filled::new(keep, options).and_then(|filled| {
        let mut findings = Vec::new();
        let mut tail = LogTail::read(&opened.rows, &mut findings);
        tail.promised(opened.watermark, &mut findings);
        let mut replay =
            filled.replay(opened.records(), None, &mut tail, options, &mut findings)?;
        let mut rest = Rest::default();
        if replay.is_whole() && replay.unread.is_none() {
            rest = tail.after(&replay.fold, &*replay.rows, &mut findings)?;
            let doing = "records replayed; comparing derived rows of";
            options.progress.tell(doing, replay.present);
            checks::derived(&*replay.rows, &opened.rows, &mut findings)?;
        }
        opened.identity(replay.fold.cluster(), &mut findings);
        let evidence = filled.evidence(&replay)?;
        let mut report = report(name, kind, &mut replay, None, findings, options)?;
        if let Some(facts) = &mut report.ledger {
            facts.waiting = rest.waiting;
            facts.holder = opened.holder;
        }
        Ok(Audited { report, evidence })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

/// Audits what a running daemon serves.
pub fn verify_live(name: &str, live: Live<'_>, options: &Options<'_>) -> Report {
    daemon(name, live, options, false).report
}

/// As [`verify_live`], and keeps the evidence.
pub fn live_evidence(name: &str, live: Live<'_>, options: &Options<'_>) -> Audited {
    daemon(name, live, options, true)
}

fn daemon(name: &str, live: Live<'_>, options: &Options<'_>, keep: bool) -> Audited {
    let kind = Kind::Daemon;
    let Live { records, claimed, shown } = live;
    let audited = Filled::new(keep, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let mut replay = filled.replay(records, claimed, &mut no_tail, options, &mut findings)?;
        compare_claims(&replay, shown.as_ref(), &mut findings)?;
        let evidence = filled.evidence(&replay)?;
        let report = report(name, kind, &mut replay, None, findings, options)?;
        Ok(Audited { report, evidence })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

/// Audits an evidence bundle: its records, and whether everything else in it follows from them.
pub fn verify_bundle(name: &str, bundle: &Bundle, options: &Options<'_>) -> Audited {
    let kind = Kind::Bundle;
    let audited = Filled::new(true, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let mut replay =
            filled.replay(bundle.records(), None, &mut no_tail, options, &mut findings)?;
        let mut evidence = filled.evidence(&replay)?;
        let mut compared = None;
        if let Some(evidence) = &mut evidence {
            let fault = |error| Fault::from_error("compare the bundle", error);
            compare_files(bundle, evidence, &mut findings).map_err(fault)?;
            let witnesses = &options.anchors.vkeys;
            compared = compare_head(bundle, evidence, witnesses, &mut findings).map_err(fault)?;
            if let Some(seen) = compared.as_ref().filter(|seen| seen.holds) {
                evidence.found(seen);
            }
        }
        let mut report = report(name, kind, &mut replay, compared.as_ref(), findings, options)?;
        report.sha256 = bundle.sha256();
        Ok(Audited { report, evidence })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

/// Audits a backup: its records, and whether they come to what it says. `keep` asks for the
/// evidence too.
pub fn verify_backup(name: &str, backup: &Backup, options: &Options<'_>, keep: bool) -> Audited {
    let kind = Kind::Backup;
    let audited = Filled::new(keep, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let mut replay =
            filled.replay(backup.records(), None, &mut no_tail, options, &mut findings)?;
        if let Some((head, end)) = backup.edges().filter(|_| replay.is_whole()) {
            let fold = &replay.fold;
            let mut differs = |what: &str| {
                let message = format!("the backup names another {what} than its records give");
                findings.push(Finding::new(&CACHE_DIFFERS, message));
            };
            if fold.cluster() != Some(head.cluster) {
                differs("cluster");
            }
            if fold.incarnation() != head.incarnation {
                differs("incarnation");
            }
            if fold.fold_hash() != end.fold {
                differs("fold hash");
            }
        }
        let evidence = filled.evidence(&replay)?;
        let report = report(name, kind, &mut replay, None, findings, options)?;
        Ok(Audited { report, evidence })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

fn failed(name: &str, kind: Kind, fault: &Fault) -> Audited {
    Audited { report: unreadable(name, Some(kind), &fault.to_string()), evidence: None }
}

/// Where the records are kept meanwhile, if evidence is to be made of them.
struct Filled(Option<Filling>);

impl Filled {
    fn new(keep: bool, options: &Options<'_>) -> Result<Self, Fault> {
        let filling = keep.then(|| Filling::new(options.tmp.as_deref()));
        Ok(Filled(filling.transpose()?))
    }

    /// Replays records, and keeps them as they pass.
    fn replay<I>(
        &self,
        records: I,
        claimed: Option<Claimed>,
        tail: &mut LogTail,
        options: &Options<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<Replay, Fault>
    where
        I: Iterator<Item = Result<Stored, Fault>> + Send,
    {
        let seen = Observations::new(options.anchors.head, claimed);
        let seen = seen.keeping(options.keeps_chronicle());
        let scratch = Scratch::new(options.tmp.clone());
        let progress = &options.progress;
        match &self.0 {
            Some(filling) => replay(filling.tee(records), scratch, seen, tail, progress, findings),
            None => replay(records, scratch, seen, tail, progress, findings),
        }
    }

    fn evidence(&self, replay: &Replay) -> Result<Option<Evidence>, Fault> {
        let (Some(filling), Some(record_0)) = (&self.0, replay.seen.origin) else {
            return Ok(None);
        };
        let rows = replay.rows.clone();
        let log_keys = replay.seen.log_keys.clone();
        Evidence::new(rows, filling, replay.fold.next_index(), record_0, log_keys).map(Some)
    }
}

/// Whether a daemon says of its history what its records give.
fn compare_claims(
    replay: &Replay,
    shown: Option<&Shown>,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let Some(claimed) = replay.seen.claimed() else { return Ok(()) };
    let mut differs = |message: String| findings.push(Finding::new(&CACHE_DIFFERS, message));
    match replay.seen.instead {
        Some(is) if is == claimed => {}
        Some(is) => differs(format!(
            "the daemon says that record {} has hash {} and fold hash {}; they are {} and {}",
            claimed.index, claimed.hash, claimed.fold_hash, is.hash, is.fold_hash
        )),
        None if replay.is_whole() && replay.unread.is_none() => differs(format!(
            "the daemon says that record {} is its last; it served only {}",
            claimed.index, replay.present
        )),
        None => {}
    }
    let same_moment = replay.fold.last_hash() == Some(claimed.hash) && replay.is_whole();
    let Some(shown) = shown.filter(|_| same_moment) else { return Ok(()) };
    compare_lock(shown, replay.fold.authority().map(|a| (a.head(), a.state())), findings);
    for node in &shown.nodes {
        let ours = roster::by_node_key(&*replay.rows, node.node_key)?;
        let same = ours.is_some_and(|ours| {
            // A signature that lets nobody in need not be shown.
            let signed =
                ours.signature == node.signature || (!node.admitted && node.signature.is_none());
            ours.standing.is_in() == node.admitted && signed
        });
        if !same {
            let message = format!(
                "the status shows {} as {}, with a signature or without; by the records it is not \
                 so",
                node.name,
                if node.admitted { "let in" } else { "locked out" }
            );
            findings.push(Finding::new(&CACHE_DIFFERS, message).node(node.node_key));
        }
    }
    Ok(())
}
