//! Replaying records, from nothing but their bytes, by the same fold that admitted them.
//!
//! As many threads as there are cores read, decode and check signatures, each a batch of its own,
//! a few batches ahead of the fold.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ledger::history::records::is_read_again;
use ledger::history::{Fold, Record, RecordHash};
use ledger::lock::signatures::{
    Cores, FamiliarKeys, Job, OneCore, Verified, decode_each_and_verify,
};
use ledger::rows::{Changes, Draft, Rows, Table, tables};
use ledger::{Fault, Refusal};

use crate::checks::{Finding, records as checks};
use crate::cores::AllCores;
use crate::log_tail::LogTail;
use crate::observations::Observations;
use crate::progress::Progress;
use crate::scratch::Scratch;

/// Tables that are left alone while records are replayed: the records are where they come from, and
/// the fold's own row is put once, at the end.
const LEFT_OUT: &[Table] = &[tables::RECORDS, tables::HISTORY];
/// The same while a record is replayed by which later ones are judged.
const LEFT_OUT_OF_KEPT: &[Table] = &[tables::HISTORY];
/// Records of one batch, at most: their signatures are as many as are checked together.
const BATCH_RECORDS: usize = 2048;
/// Records of one batch, at least: signatures that are checked in fewer cost more each.
const LEAST_BATCH_RECORDS: usize = 256;
/// Records that are in memory at a time, about. What is decoded takes some 3 KB for each.
const RECORDS_AHEAD: usize = 6 * BATCH_RECORDS;
/// Bytes of records that are in memory at a time, about.
const BYTES_AHEAD: usize = 16 << 20;
/// Changed rows that are remembered one by one, at most.
const TOUCHED_ROWS: usize = 200_000;
/// Batches that wait for the fold, at most, besides those that are being checked.
const BATCHES_AHEAD: usize = 4;

/// A record as the source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where the source puts it; none if that is no index.
    pub index: Option<u64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The hash that the source shows with it, if it shows one.
    pub shown: Option<RecordHash>,
}

/// What a replay comes to.
pub(crate) struct Replay {
    /// The fold after the last record that it admitted.
    pub(crate) fold: Fold,
    /// The derived rows there.
    pub(crate) rows: Arc<Scratch>,
    /// Records present.
    pub(crate) present: u64,
    /// AUMs in records that were not admitted.
    pub(crate) unverified_aums: u64,
    /// What the records tell besides.
    pub(crate) seen: Observations,
    /// Why there may be more records than were read.
    pub(crate) unread: Option<Fault>,
    /// The time in the last record.
    pub(crate) time_ms: Option<u64>,
    /// Where it began, if not at record 0.
    pub(crate) resumed: Option<Resumed>,
}

/// Where a replay begins.
pub(crate) struct Start {
    /// The derived rows there; none at record 0.
    pub(crate) rows: Scratch,
    /// What was seen up to there, and what is looked out for.
    pub(crate) seen: Observations,
    /// The time in the record before.
    pub(crate) time_ms: Option<u64>,
    /// What is known of the records before that are not looked at again.
    pub(crate) resumed: Option<Resumed>,
}

/// Records that an earlier audit has verified, and what those after them change.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// How many records were verified then.
    pub(crate) size: u64,
    /// AUMs that were verified then, and since in the epochs that had begun then.
    pub(crate) aums: u64,
    /// The last of these epochs; of an adoption that was under way nothing is counted.
    pub(crate) epoch: u32,
    /// Rows that the records since have put or deleted; none if there are too many to remember.
    pub(crate) touched: Option<BTreeSet<(Table, Vec<u8>)>>,
}

impl Resumed {
    /// Whether the epoch at the beginning of a row's key had begun.
    fn had_begun(&self, key: &[u8]) -> bool {
        key.first_chunk().is_some_and(|epoch| u32::from_be_bytes(*epoch) <= self.epoch)
    }

    /// A record is over; `rows` are as they were before it.
    fn note(&mut self, changes: &Changes, rows: &dyn Rows) -> Result<(), Fault> {
        for (table, key, value) in changes.iter() {
            if table == tables::AUM_NODES
                && self.had_begun(key)
                && value.is_some()
                && rows.get(table, key)?.is_none()
            {
                self.aums += 1;
            }
            // A record in the source is what was replayed.
            if let Some(touched) = self.touched.as_mut().filter(|_| table != tables::RECORDS) {
                touched.insert((table, key.to_vec()));
            }
        }
        self.touched.take_if(|touched| touched.len() > TOUCHED_ROWS);
        Ok(())
    }
}

impl Replay {
    /// Whether every record present was admitted.
    pub(crate) fn is_whole(&self) -> bool {
        self.fold.next_index() == self.present
    }
}

/// A record, decoded and with its signatures checked.
struct Checked {
    /// Without its bytes if it is well.
    stored: Stored,
    /// The hash of its bytes, whatever they are.
    hash: RecordHash,
    record: Result<Verified<Record>, Refusal>,
}

impl Checked {
    /// The tables that are left alone while it is replayed.
    fn left_out(&self) -> &'static [Table] {
        match &self.record {
            Ok(record) if is_read_again(record.get()) => LEFT_OUT_OF_KEPT,
            _ => LEFT_OUT,
        }
    }
}

struct Batch {
    records: Vec<Checked>,
    /// Why nothing follows, although the source has not ended.
    broken: Option<Fault>,
}

/// Replays records in the order of the source.
pub(crate) fn replay<I>(
    records: I,
    start: Start,
    tail: &mut LogTail,
    progress: &Progress<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Replay, Fault>
where
    I: Iterator<Item = Result<Stored, Fault>> + Send,
{
    let Start { mut rows, seen, time_ms, mut resumed } = start;
    let fold = Fold::open(&rows)?;
    let first = fold.next_index();
    let mut walk = Walk {
        next: first,
        prev: Prev::Known(fold.last_hash()),
        present: first,
        fold,
        time_ms,
        stopped: false,
        unverified_aums: 0,
        seen,
    };
    let mut unread = None;
    let cores = AllCores.count();
    let (order, batches) = sync_channel(BATCHES_AHEAD);
    let source = Mutex::new(Source::new(records, order, cores));
    let own_core = OwnCore(FamiliarKeys::new());
    thread::scope(|scope| {
        // Inside, so that the threads notice when nobody takes batches any more.
        let batches = batches;
        for _ in 0..cores {
            scope.spawn(|| check_ahead(&source, &own_core));
        }
        // A thread that ends without its batch has panicked, and so does the scope.
        for batch in batches.iter().map_while(|batch: Receiver<Batch>| batch.recv().ok()) {
            unread = batch.broken;
            for record in batch.records {
                let mut draft = Draft::leaving_out(&rows, record.left_out());
                let folded = walk.take(&mut draft, record, tail, findings);
                // What was folded before a fault is whole: the fold and its rows stay together.
                let changes = draft.finish();
                let noted = match &mut resumed {
                    Some(resumed) => resumed.note(&changes, &rows),
                    None => Ok(()),
                };
                let kept = noted.and_then(|()| rows.apply(changes));
                if let Err(fault) = folded.and(kept) {
                    unread = Some(fault);
                    break;
                }
            }
            progress.tell("records replayed", walk.present);
            if unread.is_some() {
                break;
            }
        }
    });
    let Walk { fold, present, unverified_aums, seen, time_ms, .. } = walk;
    if fold.next_index() > first {
        let mut draft = Draft::on(&rows);
        fold.save(&mut draft);
        let scalars = draft.finish();
        // They are kept even if others before them could not be written to disk.
        if let Err(fault) = rows.apply(scalars) {
            unread.get_or_insert(fault);
        }
    }
    let rows = Arc::new(rows);
    Ok(Replay { fold, rows, present, unverified_aums, seen, unread, time_ms, resumed })
}

/// Where batches come from, one after the other.
struct Source<I> {
    records: I,
    /// Takes where each batch will come out, in their order; none when there are no more.
    order: Option<SyncSender<Receiver<Batch>>>,
    most_records: usize,
    most_bytes: usize,
}

/// Records that were read and not looked at.
struct Unchecked {
    records: Vec<Stored>,
    broken: Option<Fault>,
}

impl<I: Iterator<Item = Result<Stored, Fault>>> Source<I> {
    /// For so many threads.
    fn new(records: I, order: SyncSender<Receiver<Batch>>, threads: usize) -> Self {
        let batches = threads + BATCHES_AHEAD + 1;
        let most_records = (RECORDS_AHEAD / batches).clamp(LEAST_BATCH_RECORDS, BATCH_RECORDS);
        Source { records, order: Some(order), most_records, most_bytes: BYTES_AHEAD / batches }
    }

    /// The next batch, and where its check is to go; none if the source has ended or nobody takes
    /// batches any more.
    fn next(&mut self) -> Option<(Unchecked, SyncSender<Batch>)> {
        let order = self.order.take()?;
        let (mut records, mut bytes, mut broken) = (Vec::new(), 0, None);
        while records.len() < self.most_records && bytes < self.most_bytes {
            match self.records.next() {
                Some(Ok(stored)) => {
                    bytes += stored.bytes.len();
                    records.push(stored);
                }
                Some(Err(fault)) => {
                    broken = Some(fault);
                    break;
                }
                None => break,
            }
        }
        let over = broken.is_some() || records.is_empty();
        let (send, receive) = sync_channel(1);
        order.send(receive).ok()?;
        self.order = Some(order).filter(|_| !over);
        Some((Unchecked { records, broken }, send))
    }
}

/// What each thread has to check with: itself, and the keys that all of them have met.
struct OwnCore(FamiliarKeys);

impl Cores for OwnCore {
    fn count(&self) -> usize {
        1
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        OneCore.run_beside(own, jobs);
    }

    fn familiar(&self) -> Option<&FamiliarKeys> {
        Some(&self.0)
    }
}

/// Reads and checks batch after batch until the source ends or nobody takes them any more.
fn check_ahead<I>(source: &Mutex<Source<I>>, own_core: &OwnCore)
where
    I: Iterator<Item = Result<Stored, Fault>>,
{
    loop {
        // A panic in the source ends the scope.
        let next = source.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((Unchecked { records, broken }, send)) = next else { return };
        let decode = |records: &[Stored]| {
            Record::decode_each(records.iter().map(|stored| stored.bytes.as_slice()))
        };
        let checked = decode_each_and_verify(&records, decode, own_core);
        let records = records.into_iter().zip(checked).map(|(mut stored, record)| {
            let hash = match &record {
                // It has the same bytes.
                Ok(record) => {
                    stored.bytes = Vec::new();
                    record.get().hash()
                }
                Err(_) => Record::hash_of(&stored.bytes),
            };
            Checked { stored, hash, record }
        });
        // Nobody takes it if the fold has stopped before.
        let _ = send.send(Batch { records: records.collect(), broken });
    }
}

/// The hash of the record before the next one.
enum Prev {
    /// It is known; there is none before record 0.
    Known(Option<RecordHash>),
    /// The record before is missing.
    Missing,
}

/// A walk through the records.
struct Walk {
    fold: Fold,
    /// Where the next record belongs.
    next: u64,
    prev: Prev,
    /// The time of the record before.
    time_ms: Option<u64>,
    /// Whether a record was not admitted: what follows is only looked at by itself.
    stopped: bool,
    present: u64,
    unverified_aums: u64,
    seen: Observations,
}

impl Walk {
    fn take(
        &mut self,
        draft: &mut Draft<'_>,
        record: Checked,
        tail: &mut LogTail,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Fault> {
        self.present += 1;
        let before = findings.len();
        let Some(index) = record.stored.index else {
            findings.push(checks::no_index());
            self.stopped = true;
            return Ok(());
        };
        if index != self.next {
            findings.push(checks::out_of_place(index, self.next));
            self.prev = Prev::Missing;
        }
        if let Some(shown) = record.stored.shown.filter(|shown| *shown != record.hash) {
            findings.push(checks::shown_otherwise(index, shown, record.hash));
        }
        let admissible = match &record.record {
            Ok(verified) => {
                self.in_its_place(index, verified.get(), findings);
                Some(verified)
            }
            Err(refusal) => {
                findings.push(checks::undecodable_or_forged(index, &record.stored.bytes, refusal));
                None
            }
        };
        self.next = index.saturating_add(1);
        self.prev = Prev::Known(Some(record.hash));
        self.seen.hash(index, record.hash);
        match admissible {
            Some(verified) if findings.len() == before && !self.stopped => {
                self.admit(draft, index, verified, tail, findings)?;
            }
            _ => self.stopped = true,
        }
        if let Ok(verified) = &record.record {
            let proposal = verified.get().proposal().proposal();
            if self.stopped {
                self.unverified_aums += proposal.event.aums().len() as u64;
            }
            // Only now: an earlier time is no reason to stop.
            let time_ms = proposal.time_ms;
            if let Some(earlier) = self.time_ms.filter(|earlier| time_ms < *earlier) {
                findings.push(checks::time_backwards(index, earlier, time_ms));
            }
            self.time_ms = Some(time_ms);
        }
        Ok(())
    }

    /// Whether a record says the same about its place as the source, and follows the one before.
    fn in_its_place(&self, index: u64, record: &Record, findings: &mut Vec<Finding>) {
        if record.index() != index {
            findings.push(checks::says_other_index(index, record.index()));
        }
        if let Prev::Known(prev) = &self.prev
            && record.prev() != *prev
        {
            findings.push(checks::link(index, record.prev(), *prev));
        }
    }

    fn admit(
        &mut self,
        draft: &mut Draft<'_>,
        index: u64,
        record: &Verified<Record>,
        tail: &mut LogTail,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Fault> {
        tail.before(&self.fold, draft, record.get(), findings)?;
        match self.fold.follow(draft, record)? {
            None => self.seen.record(draft, &self.fold, record.get())?,
            Some(refusal) => {
                findings.push(checks::refused(index, record.get(), &refusal));
                self.stopped = true;
            }
        }
        Ok(())
    }
}
