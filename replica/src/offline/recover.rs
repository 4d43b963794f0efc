//! Recovering a group of which most members are lost for good: what the survivors have goes on,
//! with one new member.
//!
//! Which entries were acknowledged cannot be told any more. Of the survivors the one whose log ends
//! last (by term, then by index) has everything that was, if any of them has: so all of that log is
//! applied, committed or not. What somebody may have been told is done stays done; in exchange
//! something may come to be recorded of which nobody was told.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::history::{Cause, Event, Fold, SignedProposal, Verdict, members, records};
use ledger::rows::raft::{EntryKind, Position};

use super::incarnation::{
    Building, NotBegun, Refounded, beside, hold, io, is_complete, parent, sync_directory,
};
use super::{Facts, Offline};
use crate::core::applier::pointer;
use crate::core::{LogEntry, Saved};
use crate::disk::from_log::FromLog;
use crate::disk::{identity, log};
use crate::keys::LockKeyChoice;

/// Records that are taken in together.
const BATCH_RECORDS: usize = 2048;
/// What belongs to the machine and not to the member, and goes on.
const KEPT: &[&str] = &["keys/lock.key", "peer-port", "local-disable"];

/// What stands in a log beyond the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where.
    pub position: Position,
    /// What it would record, such as `node-added`.
    pub kind: &'static str,
    /// The request.
    pub request: String,
}

/// A data directory that survived.
#[derive(Debug)]
pub struct Survivor {
    /// The directory.
    pub dir: PathBuf,
    /// What it says of its replica.
    pub facts: Facts,
    /// The last position in its log.
    pub last: Position,
    /// What only its log has, and what is lost because another log is taken.
    pub lost: Vec<Waiting>,
    saved: Saved,
    offline: Offline,
    _held: File,
}

/// What a recovery would do.
#[derive(Debug)]
pub struct Plan {
    /// The directories, the one to recover first.
    pub survivors: Vec<Survivor>,
    /// The one whose log is taken: its place among them.
    pub log: usize,
    /// The one whose records are taken: they reach furthest.
    pub records: usize,
    /// What that log has beyond those records.
    pub waiting: Vec<Waiting>,
    /// Voters of the group that are not among the directories.
    pub absent: Vec<u64>,
    /// Whether the directories are those of a majority, so that nothing need be recovered.
    pub majority: bool,
    /// The name of the new member.
    pub name: String,
    entries: Vec<LogEntry>,
}

/// What there is to do.
#[derive(Debug)]
pub enum Planned {
    /// This.
    Plan(Box<Plan>),
    /// Nothing: the incarnation has begun already.
    Done {
        /// Which one.
        incarnation: u64,
    },
}

/// An incarnation that a recovery has begun.
#[derive(Debug)]
pub struct Recovered {
    /// The incarnation.
    pub begun: Refounded,
    /// Entries beyond the records that were recorded.
    pub sealed: u64,
    /// Entries beyond the records that were recorded already, or that the rules refuse.
    pub passed_over: u64,
    /// Where the former directory is.
    pub before: PathBuf,
}

/// Looks at the data directories, and finds out what is to be taken from which.
pub fn plan(dir: &Path, with: &[PathBuf]) -> Result<Planned, NotBegun> {
    if let Some(incarnation) = finish(dir)? {
        return Ok(Planned::Done { incarnation });
    }
    let mut survivors = vec![survivor(dir)?];
    if let Some(incarnation) = begun_already(&survivors[0])? {
        return Ok(Planned::Done { incarnation });
    }
    for other in with {
        let same =
            |known: &Survivor| fs::canonicalize(&known.dir).ok() == fs::canonicalize(other).ok();
        if survivors.iter().any(same) {
            let what = format!("{} is named twice", other.display());
            return Err(NotBegun::refused(what, "Name each directory once."));
        }
        survivors.push(survivor(other)?);
    }
    let first = survivors[0].facts.identity;
    for survivor in &survivors {
        let identity = survivor.facts.identity;
        if identity.cluster != first.cluster {
            return Err(NotBegun::refused(
                format!("{} belongs to another group", survivor.dir.display()),
                "Name the data directories of one group.",
            ));
        }
        if identity.incarnation != first.incarnation {
            return Err(NotBegun::refused(
                format!(
                    "{} lived in incarnation {}, {} in {}",
                    survivor.dir.display(),
                    identity.incarnation,
                    dir.display(),
                    first.incarnation
                ),
                "What an earlier incarnation has was given up when the later one began: leave it \
                 out, and keep it as evidence.",
            ));
        }
    }
    let name = members::member(survivors[0].offline.rows(), log::names(&first).1)?
        .map(|member| member.details.name)
        .ok_or_else(|| Fault::new(format!("{} does not know its own member", dir.display())))?;
    let records = most(&survivors, |survivor| survivor.facts.records);
    agree(&survivors, records)?;
    // A log that has led to records which nobody has any more does not go on from those that are.
    let here = survivors[records].facts.records;
    let goes_on = |survivor: &Survivor| from_log(survivor).records() <= here;
    let log =
        most(&survivors, |survivor| (goes_on(survivor), survivor.last.term, survivor.last.index));
    let whole = goes_on(&survivors[log]);
    let from = stands_at(&survivors[log], &survivors[records])?;
    let taken: BTreeMap<u64, u64> = std::iter::once(survivors[log].saved.base)
        .chain(survivors[log].saved.entries.iter().map(|entry| entry.position))
        .map(|position| (position.index, position.term))
        .collect();
    let entries: Vec<LogEntry> = survivors[log].saved.entries.to_vec();
    let entries: Vec<LogEntry> =
        entries.into_iter().filter(|entry| whole && entry.position.index > from).collect();
    for survivor in &mut survivors {
        let lost = survivor.saved.entries.iter().filter(|entry| {
            let Position { index, term } = entry.position;
            index > from && taken.get(&index) != Some(&term)
        });
        survivor.lost = lost.filter_map(waiting).collect();
    }
    let group = &survivors[log].saved.group;
    let here = |id: &u64| survivors.iter().any(|survivor| survivor.facts.identity.replica == *id);
    let absent: Vec<u64> = group.voters.iter().copied().filter(|id| !here(id)).collect();
    let majority = !group.voters.is_empty() && absent.len() * 2 < group.voters.len();
    let waiting = entries.iter().filter_map(waiting).collect();
    Ok(Planned::Plan(Box::new(Plan {
        survivors,
        log,
        records,
        waiting,
        absent,
        majority,
        name,
        entries,
    })))
}

/// Begins the incarnation. The former directory stays, under another name.
pub fn carry_out(
    plan: Plan,
    lock: &LockKeyChoice,
    progress: &dyn Fn(u64),
) -> Result<Recovered, NotBegun> {
    let dir = plan.survivors[0].dir.clone();
    let new = beside(&dir, ".recovering");
    if is_complete(&new)
        && identity::read(&new)?.is_some_and(|made| {
            let former = plan.survivors[0].facts.identity;
            made.cluster == former.cluster && made.incarnation == former.incarnation + 1
        })
    {
        // Complete, but it never got its name: survivors may have gone on since.
        fs::remove_dir_all(&new).map_err(io("deleting", &new))?;
    }
    let mut building = Building::create(&new)?;
    let mut batch = Vec::new();
    for record in plan.survivors[plan.records].offline.records(0)? {
        batch.push(record?.bytes().to_vec());
        if batch.len() == BATCH_RECORDS {
            building.replay(&batch)?;
            batch.clear();
            progress(building.fold.next_index());
        }
    }
    building.replay(&batch)?;
    let facts = &plan.survivors[plan.records].facts;
    if building.fold.last_hash() != facts.record_hash
        || building.fold.fold_hash() != facts.fold_hash
    {
        return Err(NotBegun::refused(
            format!(
                "{} does not hold what its records come to",
                plan.survivors[plan.records].dir.display()
            ),
            "It is damaged: leave it out if there is another one ('lockstep audit verify' says more).",
        ));
    }
    let verdicts = building.admit(&plan.entries)?;
    let sealed = verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Sealed(_)));
    let sealed = sealed.count() as u64;
    let passed_over = verdicts.len() as u64 - sealed;
    keep(&dir, &new)?;
    let begun = building.begin(Cause::Recovered, &plan.name, lock)?;
    let before = former_name(&dir, begun.incarnation.saturating_sub(1));
    if fs::symlink_metadata(&before).is_ok() {
        return Err(NotBegun::refused(
            format!("{} is in the way", before.display()),
            "Move it away.",
        ));
    }
    fs::rename(&dir, &before).map_err(io("renaming", &dir))?;
    fs::rename(&new, &dir).map_err(io("renaming", &new))?;
    sync_directory(parent(&dir))?;
    Ok(Recovered { begun: Refounded { dir, ..begun }, sealed, passed_over, before })
}

/// Where the directory of an incarnation is once the next has begun.
fn former_name(dir: &Path, incarnation: u64) -> PathBuf {
    beside(dir, &format!(".before-incarnation-{}", incarnation.saturating_add(1)))
}

/// Gives a complete directory its name, if an earlier run had no time to.
fn finish(dir: &Path) -> Result<Option<u64>, NotBegun> {
    let new = beside(dir, ".recovering");
    if fs::symlink_metadata(dir).is_ok() || !is_complete(&new) {
        return Ok(None);
    }
    let Some(identity) = identity::read(&new)? else { return Ok(None) };
    if !former_name(dir, identity.incarnation.saturating_sub(1)).is_dir() {
        return Ok(None);
    }
    fs::rename(&new, dir).map_err(io("renaming", &new))?;
    sync_directory(parent(dir))?;
    Ok(Some(identity.incarnation))
}

/// The incarnation that begins with the last record, if one does: nobody has used it since.
fn begun_already(survivor: &Survivor) -> Result<Option<u64>, Fault> {
    let rows = survivor.offline.rows();
    let Some(last) = survivor.facts.records.checked_sub(1) else { return Ok(None) };
    let record = records::record(rows, last)?;
    let begins = record.is_some_and(|record| {
        matches!(record.proposal().proposal().event, Event::IncarnationBegun(_))
    });
    Ok(begins.then_some(Fold::open(rows)?.incarnation()))
}

fn survivor(dir: &Path) -> Result<Survivor, NotBegun> {
    let damaged = |why: String| {
        NotBegun::refused(
            format!("{} cannot be relied on: {why}", dir.display()),
            "Leave it out if there is another one; otherwise restore a backup ('lockstep cluster \
             restore').",
        )
    };
    let held = hold(dir)?;
    let offline = Offline::open(dir).map_err(|fault| damaged(fault.to_string()))?;
    let facts = offline.facts().map_err(|fault| damaged(fault.to_string()))?;
    let fold = Fold::open(offline.rows())?;
    let saved = log::load(offline.rows(), pointer(&fold))?;
    saved.check().map_err(|fault| damaged(fault.to_string()))?;
    if !facts.identity_file {
        return Err(damaged("its identity file is missing or another replica's".to_owned()));
    }
    if !facts.promise_kept {
        return Err(damaged(match facts.watermark {
            None => "its watermark is missing".to_owned(),
            Some(mark) => format!(
                "its log ends at {} of term {}, but its watermark promises {} of term {}",
                facts.last_index,
                saved.last().term,
                mark.last_index,
                mark.last_term
            ),
        }));
    }
    let (dir, last) = (dir.to_owned(), saved.last());
    Ok(Survivor { dir, facts, last, lost: Vec::new(), saved, offline, _held: held })
}

/// The place of the first survivor for which this is the most.
fn most<K: Ord>(survivors: &[Survivor], key: impl Fn(&Survivor) -> K) -> usize {
    let places = survivors.iter().enumerate();
    places.max_by_key(|(place, survivor)| (key(survivor), Reverse(*place))).map_or(0, |(at, _)| at)
}

fn from_log(survivor: &Survivor) -> FromLog {
    FromLog::new(survivor.saved.applied, survivor.saved.ahead, survivor.facts.records)
}

/// The index in a survivor's log up to which another one's records are what came of it.
fn stands_at(log: &Survivor, records: &Survivor) -> Result<u64, Fault> {
    let applied = log.saved.applied;
    let entries = log.saved.entries.iter().filter(|entry| entry.position.index > applied);
    let (rows, here) = (records.offline.rows(), records.facts.records);
    Ok(applied + from_log(log).count(rows, here, entries)? as u64)
}

/// Whether the records of all are the beginning of those that reach furthest.
fn agree(survivors: &[Survivor], longest: usize) -> Result<(), NotBegun> {
    let rows = survivors[longest].offline.rows();
    for survivor in survivors {
        let Some(last) = survivor.facts.records.checked_sub(1) else { continue };
        let hash = records::record(rows, last)?.map(|record| record.hash());
        if hash != survivor.facts.record_hash {
            return Err(NotBegun::refused(
                format!(
                    "{} and {} hold different histories",
                    survivor.dir.display(),
                    survivors[longest].dir.display()
                ),
                "Find out which is right ('lockstep audit verify DIR --replica OTHER'), and leave \
                 the other out.",
            ));
        }
    }
    Ok(())
}

fn waiting(entry: &LogEntry) -> Option<Waiting> {
    if entry.kind != EntryKind::Proposal || entry.data.is_empty() {
        return None;
    }
    let position = entry.position;
    Some(match SignedProposal::decode(&entry.data) {
        Ok(signed) => {
            let proposal = signed.proposal();
            let (kind, request) = (proposal.event.kind_name(), proposal.request.to_string());
            Waiting { position, kind, request }
        }
        Err(_) => Waiting { position, kind: "unreadable", request: String::new() },
    })
}

/// Copies what belongs to the machine.
fn keep(from: &Path, to: &Path) -> Result<(), NotBegun> {
    let keys = to.join("keys");
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
        .create(&keys)
        .map_err(io("creating", &keys))?;
    for name in KEPT {
        let (from, to) = (from.join(name), to.join(name));
        let mut source = match File::open(&from) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io("opening", &from)(error)),
        };
        let copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
        let mut copy = copy.map_err(io("creating", &to))?;
        std::io::copy(&mut source, &mut copy)
            .and_then(|_| copy.sync_all())
            .map_err(io("writing", &to))?;
    }
    Ok(())
}
