//! What a replica's Raft log holds: the proposals from which its records must have come, how far they
//! were applied, and how far the log must reach by the watermark beside the database.

use std::collections::{BTreeMap, VecDeque};

use ledger::Fault;
use ledger::history::{Record, records};
use ledger::rows::raft::{
    AHEAD, APPLIED, Ahead, BASE, EntryKind, GROUP, Group, HARD, HardState, IDENTITY, Identity,
    Position, RAFT_LOG, RAFT_STATE, applied_from_row, entry_from_row, log_index, log_key,
};
use ledger::rows::tables::RECORDS;
use ledger::rows::watermark::Watermark;
use ledger::rows::{Rows, Table};
use sha2::{Digest, Sha256};

use crate::checks::Finding;
use crate::checks::catalog::{LOG_DAMAGED, RECORD_TRUNCATED, WATERMARK_MISSING};

/// Bytes of proposals that are looked at: the last ones, where a replica has more.
const KEPT_BYTES: usize = 16 << 20;

/// An entry that carries a proposal.
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) proposal: Vec<u8>,
}

/// The entries with proposals, each at a place counted from 0, and what the log says of itself.
#[derive(Default)]
pub(crate) struct ReplicaLog {
    entries: VecDeque<Entry>,
    /// The places in `entries` of each proposal, by its hash, ascending.
    places: BTreeMap<[u8; 32], Vec<usize>>,
    /// Whether it was never cut, and is all looked at.
    whole: bool,
    applied: u64,
    last: Position,
    hard: HardState,
    ahead: Option<Ahead>,
}

impl ReplicaLog {
    /// Reads a replica's log. Damage is a finding; what can be read counts all the same.
    pub(crate) fn read(rows: &dyn Rows, findings: &mut Vec<Finding>) -> Self {
        let mut log = ReplicaLog::default();
        // A first start that was cut short leaves an empty database.
        if is_empty(rows, RAFT_STATE) && is_empty(rows, RAFT_LOG) && is_empty(rows, RECORDS) {
            return log;
        }
        if let Err(what) = log.load(rows) {
            findings.push(Finding::new(&LOG_DAMAGED, what.to_string()));
            // Half a log proves nothing about records.
            log.entries.clear();
        }
        log
    }

    fn load(&mut self, rows: &dyn Rows) -> Result<(), Fault> {
        let row = |key: &[u8]| {
            rows.get(RAFT_STATE, key)?.ok_or_else(|| {
                Fault::new(format!("the row `{}` is missing", String::from_utf8_lossy(key)))
            })
        };
        let damaged = |e| Fault::from_error("a row of the Raft state is damaged", e);
        let base = Position::from_row(&row(BASE)?).map_err(damaged)?;
        self.hard = HardState::from_row(&row(HARD)?).map_err(damaged)?;
        self.applied = applied_from_row(&row(APPLIED)?).map_err(damaged)?;
        Group::from_row(&row(GROUP)?).map_err(damaged)?;
        if let Some(row) = rows.get(RAFT_STATE, AHEAD)? {
            self.ahead = Some(Ahead::from_row(&row).map_err(damaged)?);
        }
        self.last = base;
        // A group that was restored begins a new log on records that have none any more.
        let identity = Identity::from_row(&row(IDENTITY)?).map_err(damaged)?;
        self.whole = base.index <= 1 && identity.incarnation == 1;
        let mut bytes = 0;
        let start = log_key(base.index.saturating_add(1));
        for found in rows.scan(RAFT_LOG, &start[..]..&[][..])? {
            let (key, value) = found?;
            let index = log_index(&key).ok_or_else(|| Fault::new("a key is no index"))?;
            let (term, kind, data) = entry_from_row(&value)
                .map_err(|e| Fault::from_error(format!("entry {index} is damaged"), e))?;
            if index != self.last.index.saturating_add(1) || term < self.last.term {
                return Err(Fault::new(format!(
                    "entry {index} of term {term} follows entry {} of term {}",
                    self.last.index, self.last.term
                )));
            }
            self.last = Position { index, term };
            if kind == EntryKind::Proposal && !data.is_empty() {
                bytes += data.len();
                self.entries.push_back(Entry { index, proposal: data });
            }
            while bytes > KEPT_BYTES
                && let Some(first) = self.entries.pop_front()
            {
                bytes -= first.proposal.len();
                self.whole = false;
            }
        }
        let HardState { term, commit, .. } = self.hard;
        if self.applied < base.index
            || commit < self.applied
            || self.last.index < commit
            || term < self.last.term
        {
            return Err(Fault::new(format!(
                "it begins after entry {}, is applied up to {}, committed up to {commit} and ends \
                 at {} of term {}; the term is {term}",
                base.index, self.applied, self.last.index, self.last.term
            )));
        }
        if let Some(ahead) = &self.ahead {
            self.fits(ahead, rows)?;
        }
        for (place, entry) in self.entries.iter().enumerate() {
            self.places.entry(hash(&entry.proposal)).or_default().push(place);
        }
        Ok(())
    }

    /// Whether what the log is said to have led to goes with the rest, as a replica asks before it
    /// starts. Records that are missing or damaged are told elsewhere.
    fn fits(&self, ahead: &Ahead, rows: &dyn Rows) -> Result<(), Fault> {
        let Ahead { index, record, hash } = ahead;
        if *index != self.applied {
            return Err(Fault::new(format!(
                "it is applied up to {}, and has led to record {record} up to {index}",
                self.applied
            )));
        }
        if records::record(rows, *record).ok().flatten().is_some_and(|here| here.hash().0 != *hash)
        {
            return Err(Fault::new(format!("record {record} is another one than it has led to")));
        }
        Ok(())
    }

    /// Compares the log's end with what the replica has promised.
    pub(crate) fn promised(&self, mark: Option<Watermark>, findings: &mut Vec<Finding>) {
        let Some(mark) = mark else {
            let message = "the watermark is missing or damaged: nothing says how far the log, and \
                           with it the records, must reach";
            findings.push(Finding::new(&WATERMARK_MISSING, message));
            return;
        };
        let reached = Watermark {
            term: self.hard.term,
            vote: self.hard.vote,
            last_term: self.last.term,
            last_index: self.last.index,
        };
        if !mark.kept_by(&reached) {
            let message = format!(
                "the log ends at entry {} of term {} (term {}, vote {}), but entry {} of term {} \
                 (term {}, vote {}) was promised",
                reached.last_index,
                reached.last_term,
                reached.term,
                reached.vote,
                mark.last_index,
                mark.last_term,
                mark.term,
                mark.vote
            );
            findings.push(Finding::new(&RECORD_TRUNCATED, message));
        }
    }

    /// Whether the log has an entry for every record, having some.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole && !self.entries.is_empty()
    }

    /// What the log has led to, if that is not the last record.
    pub(crate) fn ahead(&self) -> Option<Ahead> {
        self.ahead
    }

    /// The number of places.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entry(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    pub(crate) fn is_applied(&self, place: usize) -> bool {
        self.entry(place).is_some_and(|entry| entry.index <= self.applied)
    }

    /// Entries that were not applied yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.index > self.applied).count() as u64
    }

    /// The places of a record's proposal, ascending.
    pub(crate) fn places(&self, record: &Record) -> &[usize] {
        self.places.get(&hash(record.proposal().bytes())).map_or(&[], Vec::as_slice)
    }
}

/// Whether a table has no row. One that cannot be read is not known to be empty.
fn is_empty(rows: &dyn Rows, table: Table) -> bool {
    rows.scan(table, &[][..]..&[][..]).is_ok_and(|mut rows| rows.next().is_none())
}

fn hash(proposal: &[u8]) -> [u8; 32] {
    Sha256::digest(proposal).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::rows::{Draft, Memory};

    #[test]
    fn only_an_empty_database_needs_no_log() {
        let mut rows = Memory::new();
        let mut findings = Vec::new();
        assert!(!ReplicaLog::read(&rows, &mut findings).is_whole());
        assert_eq!(findings, []);
        let mut draft = Draft::on(&rows);
        draft.put(RECORDS, [0; 8], "a record");
        let changes = draft.finish();
        rows.apply(changes);
        assert!(!ReplicaLog::read(&rows, &mut findings).is_whole());
        assert_eq!(findings[0].check.id, "log.damaged");
    }
}
