//! The end of a replica's Raft log, which its records must have come from.
//!
//! A record's place is not signed: whoever can write to a disk could drop the last records, or
//! leave one out and link those after it anew, and derive all rows from what is left. The log still
//! holds the last entries, and the fold says exactly which of them had to become records. And the
//! watermark beside the database says how far the log must reach.

use std::collections::{BTreeMap, VecDeque};

use ledger::Fault;
use ledger::history::{Fold, Record, SignedProposal, Verdict, requests};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::rows::raft::{
    AHEAD, APPLIED, Ahead, BASE, EntryKind, GROUP, Group, HARD, HardState, IDENTITY, Identity,
    Position, RAFT_LOG, RAFT_STATE, applied_from_row, entry_from_row, log_index, log_key,
};
use ledger::rows::tables::RECORDS;
use ledger::rows::watermark::Watermark;
use ledger::rows::{Draft, Rows, Table};
use sha2::{Digest, Sha256};

use crate::checks::Finding;
use crate::checks::catalog::{
    LOG_DAMAGED, RECORD_MISSING, RECORD_TRUNCATED, RECORD_UNLOGGED, WATERMARK_MISSING,
};

/// Bytes of proposals that are kept: the last ones. A replica cuts its log long before.
const KEPT_BYTES: usize = 16 << 20;

/// An entry that carries a proposal.
struct Entry {
    index: u64,
    proposal: Vec<u8>,
}

/// The entries with proposals, and how far the records have used them up.
#[derive(Default)]
pub(crate) struct LogTail {
    entries: VecDeque<Entry>,
    /// The places in `entries` of each proposal, by its hash, descending.
    places: BTreeMap<[u8; 32], Vec<usize>>,
    /// The first entry that no record has come from yet.
    next: usize,
    /// Whether the records come from these entries from now on.
    begun: bool,
    applied: u64,
    last: Position,
    hard: HardState,
    /// How far the records are, or will be, ahead of the log.
    ahead: Option<Ahead>,
}

/// What is left of a log when the records are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Proposals that were not applied yet: the replica judges them when it starts.
    pub(crate) waiting: u64,
    /// The last of the records that the replica has yet to fetch from the others.
    pub(crate) fetching: Option<u64>,
}

impl LogTail {
    /// Reads a replica's log. Damage is a finding; what can be read counts all the same.
    pub(crate) fn read(rows: &dyn Rows, findings: &mut Vec<Finding>) -> Self {
        let mut tail = LogTail::default();
        // A first start that was cut short leaves an empty database.
        if is_empty(rows, RAFT_STATE) && is_empty(rows, RAFT_LOG) && is_empty(rows, RECORDS) {
            return tail;
        }
        if let Err(what) = tail.load(rows) {
            findings.push(Finding::new(&LOG_DAMAGED, what.to_string()));
            // Half a log proves nothing about records.
            tail.entries.clear();
            tail.places.clear();
            tail.begun = false;
        }
        tail
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
        let mut whole = base.index <= 1 && identity.incarnation == 1;
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
                whole = false;
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
        for (place, entry) in self.entries.iter().enumerate().rev() {
            self.places.entry(hash(&entry.proposal)).or_default().push(place);
        }
        // A log that was never cut has an entry for every record.
        self.begun = whole && !self.entries.is_empty();
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

    /// The records begin after this one, which was verified before. If the log still has the entry
    /// from which it came, they come from those after that.
    pub(crate) fn skip_to(&mut self, record: &Record) {
        let places = self.places.get(&hash(record.proposal().bytes()));
        if let Some(place) = places.and_then(|places| places.first()) {
            self.next = place.saturating_add(1);
            self.begun = true;
        }
    }

    /// A record comes next; `fold` and `rows` are as the one before left them. Entries that it
    /// passes over must be such as the fold refuses there.
    pub(crate) fn before(
        &mut self,
        fold: &Fold,
        rows: &Draft<'_>,
        record: &Record,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Fault> {
        if self.places.is_empty() && !self.begun {
            return Ok(());
        }
        let places = self.places.get_mut(&hash(record.proposal().bytes()));
        let place = places.and_then(|places| {
            while places.last().is_some_and(|place| *place < self.next) {
                places.pop();
            }
            places.pop()
        });
        let not_applied =
            |place: usize| self.entries.get(place).is_none_or(|entry| entry.index > self.applied);
        if self.ahead.is_some() && place.is_none_or(not_applied) {
            // From here on the records came from the others. What was applied is accounted for.
            for passed in self.next..self.entries.len() {
                if !not_applied(passed) {
                    self.passed_over(passed, fold, rows, findings)?;
                }
            }
            self.stop();
            return Ok(());
        }
        let Some(place) = place else {
            if self.begun {
                let message = "the replica's log has no entry from which this record came, in its \
                               place";
                findings.push(Finding::new(&RECORD_UNLOGGED, message).record(record.index()));
                // One is enough: what follows is shifted.
                self.stop();
            }
            return Ok(());
        };
        if self.entries.get(place).is_some_and(|entry| entry.index > self.applied) {
            let message = format!(
                "record {} came from an entry that is not applied by the log's own account",
                record.index()
            );
            findings.push(Finding::new(&LOG_DAMAGED, message));
        }
        for passed in self.next..place {
            self.passed_over(passed, fold, rows, findings)?;
        }
        self.begun = true;
        self.next = place.saturating_add(1);
        Ok(())
    }

    /// The records are over. Entries that were applied must be such as the fold refuses.
    pub(crate) fn after(
        &mut self,
        fold: &Fold,
        rows: &dyn Rows,
        findings: &mut Vec<Finding>,
    ) -> Result<Rest, Fault> {
        let waiting = self.entries.iter().filter(|entry| entry.index > self.applied).count();
        let fetching = self.ahead.map(|ahead| ahead.record.record);
        let fetching = fetching.filter(|last| *last >= fold.next_index());
        let rest = Rest { waiting: waiting as u64, fetching };
        if fetching.is_some() {
            // What the log has applied may be among them: records that were damaged are fetched too.
            return Ok(rest);
        }
        let draft = Draft::on(rows);
        for passed in self.next..self.entries.len() {
            if self.entries.get(passed).is_some_and(|entry| entry.index <= self.applied)
                && self.passed_over(passed, fold, &draft, findings)?
            {
                // Whatever followed it is missing too.
                break;
            }
        }
        Ok(rest)
    }

    fn stop(&mut self) {
        self.places.clear();
        self.next = self.entries.len();
        self.begun = false;
    }

    /// Whether an entry that became no record should have become one.
    fn passed_over(
        &self,
        place: usize,
        fold: &Fold,
        rows: &Draft<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<bool, Fault> {
        let Some(entry) = self.entries.get(place) else { return Ok(false) };
        let Ok(proposal) = SignedProposal::decode(&entry.proposal) else { return Ok(false) };
        let Ok(proposal) = verify_one(Unverified::new(proposal)) else { return Ok(false) };
        // Handed to one leader after the other, a proposal may be in the log more than once.
        let asked = proposal.get().proposal();
        if requests::parts(rows, &asked.request)?.iter().any(|part| part.part == asked.part) {
            return Ok(false);
        }
        let mut draft = Draft::on(rows);
        let missing = matches!(fold.clone().admit(&mut draft, &proposal)?, Verdict::Sealed(_));
        if missing {
            let message = format!(
                "entry {} of the replica's log was applied, and the rules admit it here, but it \
                 is no record",
                entry.index
            );
            findings.push(Finding::new(&RECORD_MISSING, message).record(fold.next_index()));
        }
        Ok(missing)
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
    use ledger::history::records::is_read_again;
    use ledger::history::{Event, NewNode, RevocationOpened};
    use ledger::ids::NodeKey;
    use ledger::lock::Sealed;
    use ledger::lock::revocation::{cosign, generate};
    use ledger::lock::signatures::Signer;
    use ledger::rows::Memory;
    use ledger::testing::{Group as History, key};

    /// A member was asked while the leadership changed, and handed the same proposal to the next
    /// leader too. The audit looked for the record that the second of them repeats, which it does not
    /// keep, and could not decide about a sound history.
    #[test]
    fn a_proposal_that_is_in_the_log_again_is_no_missing_record() {
        let mut history = History::new();
        let proposal = history.proposal(Event::NodeAdded(NewNode {
            name: "laptop".into(),
            node_key: NodeKey([7; 32]),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }));
        let signed = SignedProposal::sign(&proposal, &history.member).unwrap();
        let proposal = signed.bytes().to_vec();
        let entries = VecDeque::from([Entry { index: 9, proposal }]);
        let tail = LogTail { entries, ..LogTail::default() };
        let mut findings = Vec::new();
        let draft = Draft::on(&history.rows);
        assert!(tail.passed_over(0, &history.fold, &draft, &mut findings).unwrap());
        assert_eq!(findings.len(), 1, "it is no record yet");

        let verified = verify_one(Unverified::new(signed)).unwrap();
        // As the audit does.
        let mut draft = Draft::leaving_out(&history.rows, &[RECORDS]);
        let sealed = history.fold.admit(&mut draft, &verified).unwrap();
        assert!(matches!(sealed, Verdict::Sealed(_)), "{sealed:?}");
        let changes = draft.finish();
        history.rows.apply(changes);
        let draft = Draft::on(&history.rows);
        assert!(!tail.passed_over(0, &history.fold, &draft, &mut findings).unwrap());
        assert_eq!(findings.len(), 1);
    }

    /// While a revocation waits, the log has another one that was refused. Whether one is refused
    /// depends on who has opened the others, which their records say.
    #[test]
    fn a_revocation_that_was_refused_while_others_wait_is_no_missing_record() {
        let mut history = History::new();
        history.apply(history.initialization(7, &[2, 3]));
        let open = |history: &mut History, seed: u8| {
            let authority = history.fold.authority().unwrap().clone();
            let keys = vec![key(seed).public()];
            let ids = [keys[0].0.to_vec()];
            let aum = generate(&history.rows, &authority, &ids, &key(1).public(), None).unwrap();
            let aum = cosign(Sealed::new(aum), &key(1)).unwrap();
            let opened = RevocationOpened { aum, keys, reason: None, note: None };
            let proposal = history.proposal(Event::RevocationOpened(Box::new(opened)));
            SignedProposal::sign(&proposal, &history.member).unwrap()
        };
        let first = open(&mut history, 2);
        assert!(matches!(history.admit_signed(first), Verdict::Sealed(_)));
        let again = open(&mut history, 2);
        let other = open(&mut history, 3);
        let entries =
            [again, other].map(|signed| Entry { index: 9, proposal: signed.bytes().to_vec() });
        let tail = LogTail { entries: VecDeque::from(entries), ..LogTail::default() };
        // As the audit keeps them.
        let mut rows = Memory::new();
        let mut fold = Fold::open(&rows).unwrap();
        for record in history.records() {
            let keeps = is_read_again(&record);
            let mut draft = Draft::leaving_out(&rows, if keeps { &[] } else { &[RECORDS] });
            let record = verify_one(Unverified::new(record)).unwrap();
            assert_eq!(fold.follow(&mut draft, &record).unwrap(), None);
            let changes = draft.finish();
            rows.apply(changes);
        }
        let (draft, mut findings) = (Draft::on(&rows), Vec::new());
        assert!(!tail.passed_over(0, &fold, &draft, &mut findings).unwrap());
        assert!(tail.passed_over(1, &fold, &draft, &mut findings).unwrap());
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn only_an_empty_database_needs_no_log() {
        let mut rows = Memory::new();
        let mut findings = Vec::new();
        assert!(!LogTail::read(&rows, &mut findings).begun);
        assert_eq!(findings, []);
        let mut draft = Draft::on(&rows);
        draft.put(RECORDS, [0; 8], "a record");
        let changes = draft.finish();
        rows.apply(changes);
        assert!(!LogTail::read(&rows, &mut findings).begun);
        assert_eq!(findings[0].check.id, "log.damaged");
    }
}
