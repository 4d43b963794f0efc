//! Auditing records: a replica's data directory, or what a running daemon serves.

use std::path::Path;

use ::ledger::Fault;
use ::ledger::formats::tlog::{Checkpoint, Tile};
use ::ledger::history::{Fold, Record, roster};

use super::resuming::{Begin, begin, own_head};
use super::summing_up::{Ends, report};
use super::{Audited, Options, compare_lock, unreadable};
use crate::checks::catalog::{CACHE_DIFFERS, RECORD_TIME_BACKWARDS};
use crate::checks::{self, Finding};
use crate::evidence::{Bundle, Evidence, Filling, compare_files, compare_head};
use crate::log_tail::{LogTail, RECALLED, Rest};
use crate::notebook::{Onward, TreeOfTiles};
use crate::observations::Claimed;
use crate::records::{Replay, Start, Stored, replay};
use crate::replica_log::ReplicaLog;
use crate::report::Report;
use crate::source::{Backup, DataDir, Kind, Shown, head_beside};

/// Records in order, as they are fetched.
pub type RecordsFrom<'a> = Box<dyn Iterator<Item = Result<Stored, Fault>> + Send + 'a>;

/// What a running daemon serves: its records, and what it says of them.
pub struct Live<'a> {
    /// Its records from one on.
    pub records: Box<dyn Fn(u64) -> RecordsFrom<'a> + 'a>,
    /// Its last record before they were fetched, and the hashes there.
    pub claimed: Option<Claimed>,
    /// The lock at that record, as its status shows it.
    pub shown: Option<Shown>,
    /// Its transparency log, if it serves one.
    pub log: Option<LiveLog<'a>>,
}

/// Fetches the signed note over so many records.
type FetchHead<'a> = Box<dyn Fn(u64) -> Result<Vec<u8>, Fault> + 'a>;
/// Fetches a tile of the tree over the record hashes.
type FetchTile<'a> = Box<dyn Fn(&Tile) -> Result<Vec<u8>, Fault> + 'a>;

/// The transparency log of a running daemon.
pub struct LiveLog<'a> {
    /// The signed note over so many records.
    pub head: FetchHead<'a>,
    /// A tile of the tree over the record hashes.
    pub tile: FetchTile<'a>,
}

impl Live<'static> {
    /// Records that were fetched already, from 0 on, of a daemon that says nothing of them.
    pub fn of(records: Vec<Result<Stored, Fault>>) -> Self {
        let records = std::sync::Arc::new(records);
        let from = move |first: u64| -> RecordsFrom<'static> {
            let (records, first) = (records.clone(), usize::try_from(first).unwrap_or(usize::MAX));
            Box::new((first..records.len()).map(move |at| match &records[at] {
                Ok(stored) => Ok(stored.clone()),
                Err(fault) => Err(Fault::new(fault.to_string())),
            }))
        };
        Live { records: Box::new(from), claimed: None, shown: None, log: None }
    }
}

impl std::fmt::Debug for LiveLog<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveLog").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("claimed", &self.claimed).finish_non_exhaustive()
    }
}

/// Audits a replica's data directory. It is only read, whatever state it is in, and byte for byte
/// the same afterwards.
pub fn verify_data_dir(name: &str, dir: &Path, options: &Options<'_>) -> Report {
    audit_data_dir(name, dir, options, false).report
}

/// As [`verify_data_dir`]; `keep` asks for the evidence too.
pub fn audit_data_dir(name: &str, dir: &Path, options: &Options<'_>, keep: bool) -> Audited {
    match DataDir::open(dir, options.guard.as_ref()) {
        Ok(opened) => audit_opened(name, dir, &opened, options, keep),
        Err(fault) => failed(name, Kind::DataDir, &fault),
    }
}

/// As [`audit_data_dir`], of a directory for whose rows somebody answers over `to` and `from` as
/// the process does that opens one ([`crate::guard`]): for tests.
#[cfg(any(test, feature = "testing"))]
pub fn audit_answers(
    name: &str,
    dir: &Path,
    to: impl std::io::Write + Send + 'static,
    from: impl std::io::Read + Send + 'static,
    options: &Options<'_>,
    keep: bool,
) -> Audited {
    match crate::guard::Guarded::over(None, Box::new(to), Box::new(from), Default::default()) {
        Ok(rows) => audit_opened(name, dir, &DataDir::answered(dir, rows), options, keep),
        Err(fault) => failed(name, Kind::DataDir, &fault),
    }
}

fn audit_opened(
    name: &str,
    dir: &Path,
    opened: &DataDir,
    options: &Options<'_>,
    keep: bool,
) -> Audited {
    let kind = Kind::DataDir;
    let audited = Filled::new(keep, options).and_then(|filled| {
        let mut findings = Vec::new();
        let log = ReplicaLog::read(&opened.rows, &mut findings);
        log.promised(opened.watermark, &mut findings);
        let mut tail = LogTail::of(log);
        let head = head_beside(dir);
        let begin = match options.recall(keep)? {
            None => Begin::At(Box::new(options.afresh(keep, None)?)),
            Some(recalled) => {
                let last = opened.record(recalled.end.size.saturating_sub(1));
                let fold = Fold::open(&opened.rows).ok();
                let source = Onward {
                    size: fold.as_ref().map_or(0, Fold::next_index),
                    root: fold.as_ref().map(Fold::merkle_root).unwrap_or_default(),
                    tree: &opened.rows,
                    first: opened.record(0),
                    last,
                    head: head.clone(),
                };
                let begin = begin(name, kind, recalled, &source, options, &mut findings)?;
                if let Begin::At(start) = &begin
                    && let Some(resumed) = &start.resumed
                {
                    let before = resumed.size.saturating_sub(RECALLED)..resumed.size;
                    let before = before.filter_map(|index| opened.record(index));
                    tail.skip_to(before.filter_map(|record| Record::decode(&record).ok()));
                }
                begin
            }
        };
        let start = match begin {
            Begin::At(start) => *start,
            Begin::Nowhere(audited) => return Ok(*audited),
        };
        let first = start.resumed.as_ref().map_or(0, |resumed| resumed.size);
        let records = opened.records(first);
        let mut replay = filled.replay(records, start, &mut tail, options, &mut findings)?;
        let mut rest = Rest::default();
        if replay.is_whole() && replay.unread.is_none() {
            rest = tail.after(&replay.fold, &*replay.rows, &mut findings)?;
            let doing = "records replayed; comparing derived rows of";
            options.progress.tell(doing, replay.present);
            let touched = replay.resumed.as_ref().and_then(|resumed| resumed.touched.as_ref());
            match touched {
                Some(keys) => checks::touched(keys, &*replay.rows, &opened.rows, &mut findings)?,
                None => checks::derived(&*replay.rows, &opened.rows, &mut findings)?,
            }
        }
        if let Some(last) = rest.fetching {
            let why = format!("the replica has yet to fetch those up to {last} from the others");
            replay.unread.get_or_insert(Fault::new(why));
        }
        opened.identity(replay.fold.cluster(), &mut findings);
        let head = own_head(head.as_deref(), &replay, &mut findings)?;
        let evidence = filled.evidence(&replay)?;
        let backwards = backwards(&findings);
        let ends = Ends { compared: None, head: head.as_ref() };
        let mut report = report(name, kind, &mut replay, ends, findings, options)?;
        if let Some(facts) = &mut report.ledger {
            facts.waiting = rest.waiting;
            facts.holder = opened.holder;
        }
        let kept = options.keep(replay, &report, &backwards, head.as_ref(), keep);
        Ok(Audited { report, evidence, kept })
    });
    match opened.rows.lost() {
        // Whatever was found since is about that, and not about the directory.
        Some(lost) => failed(name, kind, &Fault::new(lost)),
        None => audited.unwrap_or_else(|fault| failed(name, kind, &fault)),
    }
}

/// Audits what a running daemon serves.
pub fn verify_live(name: &str, live: Live<'_>, options: &Options<'_>) -> Report {
    audit_live(name, live, options, false).report
}

/// As [`verify_live`]; `keep` asks for the evidence too.
pub fn audit_live(name: &str, live: Live<'_>, options: &Options<'_>, keep: bool) -> Audited {
    let kind = Kind::Daemon;
    let Live { records, claimed, shown, log } = live;
    let audited = Filled::new(keep, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let size = claimed.map_or(0, |claimed| claimed.index.saturating_add(1));
        let log = log.filter(|_| options.notebook.is_some() && size > 0);
        // A daemon that does not sign one is audited all the same.
        let head = log.as_ref().and_then(|log| (log.head)(size).ok());
        let begin = match (options.recall(keep)?, &log) {
            (Some(recalled), Some(log)) => {
                let signed = head.as_deref().and_then(|head| Checkpoint::of_note(head).ok());
                let signed = signed.filter(|(signed, _)| signed.size == size);
                let one = |index| records(index).next()?.ok().map(|stored| stored.bytes);
                let source = Onward {
                    // Without a head nothing is clear.
                    size: signed.as_ref().map_or(0, |(signed, _)| signed.size),
                    root: signed.map(|(signed, _)| signed.root).unwrap_or_default(),
                    tree: &TreeOfTiles::new(size, &*log.tile),
                    first: one(0),
                    last: one(recalled.end.size.saturating_sub(1)),
                    head: head.clone(),
                };
                begin(name, kind, recalled, &source, options, &mut findings)?
            }
            _ => Begin::At(Box::new(options.afresh(keep, None)?)),
        };
        let mut start = match begin {
            Begin::At(start) => *start,
            Begin::Nowhere(audited) => return Ok(*audited),
        };
        let first = start.resumed.as_ref().map_or(0, |resumed| resumed.size);
        // Of records that are passed over nothing is known but what is so at their end.
        let of_end = |claimed: &Claimed| claimed.index.saturating_add(1) >= first;
        start.seen = start.seen.claiming(claimed.filter(of_end));
        if let Some(index) = first.checked_sub(1)
            && claimed.is_some_and(|claimed| claimed.index == index)
        {
            let fold = Fold::open(&start.rows)?;
            let is = |hash| Claimed { index, hash, fold_hash: fold.fold_hash() };
            start.seen.instead = fold.last_hash().map(is);
        }
        let records = records(first);
        let mut replay = filled.replay(records, start, &mut no_tail, options, &mut findings)?;
        compare_claims(&replay, shown.as_ref(), &mut findings)?;
        let head = own_head(head.as_deref(), &replay, &mut findings)?;
        let evidence = filled.evidence(&replay)?;
        let backwards = backwards(&findings);
        let ends = Ends { compared: None, head: head.as_ref() };
        let report = report(name, kind, &mut replay, ends, findings, options)?;
        let kept = options.keep(replay, &report, &backwards, head.as_ref(), keep);
        Ok(Audited { report, evidence, kept })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

/// What was found in single records, which the next audit does not see again.
fn backwards(findings: &[Finding]) -> Vec<Finding> {
    let backwards = |finding: &&Finding| finding.check.id == RECORD_TIME_BACKWARDS.id;
    findings.iter().filter(backwards).cloned().collect()
}

/// Audits an evidence bundle: its records, and whether everything else in it follows from them.
pub fn verify_bundle(name: &str, bundle: &Bundle, options: &Options<'_>) -> Audited {
    let kind = Kind::Bundle;
    let audited = Filled::new(true, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let mut replay = filled.replay(
            bundle.records(),
            options.afresh(true, None)?,
            &mut no_tail,
            options,
            &mut findings,
        )?;
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
        let ends = Ends { compared: compared.as_ref(), head: None };
        let mut report = report(name, kind, &mut replay, ends, findings, options)?;
        report.sha256 = bundle.sha256();
        Ok(Audited { report, evidence, kept: None })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

/// Audits a backup: its records, and whether they come to what it says. `keep` asks for the
/// evidence too.
pub fn verify_backup(name: &str, backup: &Backup, options: &Options<'_>, keep: bool) -> Audited {
    let kind = Kind::Backup;
    let audited = Filled::new(keep, options).and_then(|filled| {
        let (mut findings, mut no_tail) = (Vec::new(), LogTail::default());
        let mut replay = filled.replay(
            backup.records(),
            options.afresh(true, None)?,
            &mut no_tail,
            options,
            &mut findings,
        )?;
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
        let ends = Ends { compared: None, head: None };
        let mut report = report(name, kind, &mut replay, ends, findings, options)?;
        report.sha256 = backup.sha256();
        Ok(Audited { report, evidence, kept: None })
    });
    audited.unwrap_or_else(|fault| failed(name, kind, &fault))
}

fn failed(name: &str, kind: Kind, fault: &Fault) -> Audited {
    unreadable(name, Some(kind), &fault.to_string()).into()
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
        start: Start,
        tail: &mut LogTail,
        options: &Options<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<Replay, Fault>
    where
        I: Iterator<Item = Result<Stored, Fault>> + Send,
    {
        let progress = &options.progress;
        match &self.0 {
            Some(filling) => replay(filling.tee(records), start, tail, progress, findings),
            None => replay(records, start, tail, progress, findings),
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
