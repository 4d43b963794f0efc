//! Records compared with the end of a replica's Raft log, which they must have come from.
//!
//! A record's place is not signed: whoever can write to a disk could drop the last records, or
//! leave one out and link those after it anew, and derive all rows from what is left. The log still
//! holds the last entries, and the fold says exactly which of them had to become records.
//!
//! Where the beginning of a log was cut off, an entry need not be the one from which a record came: a
//! member hands on what waits again when the leader changes, so that a proposal may be in the log once
//! more, behind records that came from entries which are gone. All copies of a proposal are of about
//! the time that is signed in it, though: a leader refuses what is older ([`CERTAIN_MS`]). So nothing is
//! said of records without an entry before those in a row that have theirs are of so long a time; and
//! of entries that became no record only if the rules would have admitted them ever since.

use ledger::Fault;
use ledger::history::{Fold, Record, SignedProposal, Verdict, requests};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::rows::{Draft, Rows};

use crate::checks::Finding;
use crate::checks::catalog::{LOG_DAMAGED, RECORD_MISSING, RECORD_UNLOGGED};
use crate::replica_log::ReplicaLog;

/// The time between the first and the last of records in a row that have entries, behind which these
/// entries are the ones from which they came. A leader refuses what is signed more than 10 s apart
/// from its clock (docs/operations.md), and an asker gives up after as long: copies of a proposal are
/// in the log within less than a minute.
const CERTAIN_MS: u64 = 60_000;
/// Remembered records that are compared with the log before an audit goes on.
pub(crate) const RECALLED: u64 = 1024;
/// Entries that are judged where nothing is certain, at most, in all attempts.
const ATTEMPTED: usize = 1 << 16;
/// Of them those that should have become records, at a time.
const DOUBTFUL: usize = 64;

/// What the entries prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// Nothing: no log is compared, or nothing more is said about records.
    #[default]
    Silent,
    /// Records in a row had entries since the time of the first of them, in milliseconds; none yet.
    InRow(Option<u64>),
    /// The records come from these entries from now on.
    Certain,
}

/// A log, and how far the records have used up its entries.
#[derive(Default)]
pub(crate) struct LogTail {
    log: ReplicaLog,
    standing: Standing,
    /// The place of the first entry that no record has come from yet.
    next: usize,
    /// Behind the last copy of the record before, which is in its place there at the latest.
    behind: usize,
    /// Entries that should have become records, by their places, as it seems while that is not certain.
    doubtful: Vec<(usize, Finding)>,
    /// Entries that may yet be judged until then.
    attempts: usize,
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
    /// No record has come from this log yet.
    pub(crate) fn of(log: ReplicaLog) -> Self {
        // A log that was never cut has an entry for every record.
        let standing = if log.is_whole() { Standing::Certain } else { Standing::InRow(None) };
        LogTail { log, standing, attempts: ATTEMPTED, ..LogTail::default() }
    }

    /// The records begin after these, the last that were verified before. If the log still has the
    /// entries from which they came, they come from those after that.
    pub(crate) fn skip_to(&mut self, records: impl Iterator<Item = Record>) {
        for record in records {
            if self.is_from_others(&record) {
                self.stop();
                return;
            }
            if let Some(place) = self.next_in_row(&record) {
                self.matched(place, &record);
            }
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
        if self.is_from_others(record) {
            // What was applied comes before it.
            self.settle(fold, rows, findings)?;
            self.stop();
            return Ok(());
        }
        match self.standing {
            Standing::Silent => return Ok(()),
            Standing::InRow(_) => return self.attempt(fold, rows, record, findings),
            Standing::Certain => {}
        }
        let Some(place) = self.place(record) else {
            let message =
                "the replica's log has no entry from which this record came, in its place";
            findings.push(Finding::new(&RECORD_UNLOGGED, message).record(record.index()));
            // One is enough: what follows is shifted.
            self.stop();
            return Ok(());
        };
        if !self.log.is_applied(place) {
            let message = format!(
                "record {} came from an entry that is not applied by the log's own account",
                record.index()
            );
            findings.push(Finding::new(&LOG_DAMAGED, message));
        }
        for passed in self.next..place {
            self.passed_over(passed, fold, rows, findings)?;
        }
        self.next = place.saturating_add(1);
        Ok(())
    }

    /// The place of a record's proposal behind those of the records before it in a row, applied if it is
    /// not certain; a row begins anew if there is none.
    fn next_in_row(&mut self, record: &Record) -> Option<usize> {
        // What waits may be there again as well.
        let applied = |tail: &Self| tail.place(record).filter(|place| tail.log.is_applied(*place));
        match self.standing {
            Standing::Silent => None,
            Standing::Certain => self.place(record),
            Standing::InRow(None) => applied(self),
            Standing::InRow(Some(_)) => applied(self).or_else(|| {
                // They did not come from these entries after all.
                self.begin_again();
                applied(self)
            }),
        }
    }

    /// A record has this entry.
    fn matched(&mut self, place: usize, record: &Record) {
        self.next = place.saturating_add(1);
        let mut copies = self.log.places(record).iter().rev();
        let last = copies.find(|copy| self.log.is_applied(**copy));
        self.behind = last.map_or(0, |copy| copy.saturating_add(1));
        if let Standing::InRow(since) = self.standing {
            let time_ms = record.proposal().proposal().time_ms;
            let since = since.unwrap_or(time_ms);
            let is_certain = time_ms.saturating_sub(since) >= CERTAIN_MS;
            self.standing =
                if is_certain { Standing::Certain } else { Standing::InRow(Some(since)) };
        }
    }

    /// The same where it is not certain that the records come from these entries.
    fn attempt(
        &mut self,
        fold: &Fold,
        rows: &Draft<'_>,
        record: &Record,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Fault> {
        self.reconsider(fold, rows)?;
        let Some(place) = self.next_in_row(record) else { return Ok(()) };
        let first = match self.standing {
            Standing::InRow(Some(_)) => self.next.max(self.behind),
            // What comes before the first of a row need not have come after the record before.
            _ => place,
        };
        for passed in first..place {
            if self.doubtful.len() == DOUBTFUL || !self.may_judge() {
                break;
            }
            let mut found = Vec::new();
            self.passed_over(passed, fold, rows, &mut found)?;
            self.doubtful.extend(found.into_iter().map(|finding| (passed, finding)));
        }
        self.matched(place, record);
        if self.is_certain() {
            findings.extend(self.doubtful.drain(..).map(|(_, finding)| finding));
        }
        Ok(())
    }

    /// Forgets what seemed to be missing and would be refused here: this may be where it was refused,
    /// behind records whose first entries are cut off.
    fn reconsider(&mut self, fold: &Fold, rows: &Draft<'_>) -> Result<(), Fault> {
        for (place, finding) in std::mem::take(&mut self.doubtful) {
            if self.may_judge() && self.passed_over(place, fold, rows, &mut Vec::new())? {
                self.doubtful.push((place, finding));
            }
        }
        Ok(())
    }

    /// Whether one more may be judged where nothing is certain.
    fn may_judge(&mut self) -> bool {
        let left = self.attempts.checked_sub(1);
        self.attempts = left.unwrap_or(0);
        left.is_some()
    }

    /// The first place of a record's proposal from the next entry on.
    fn place(&self, record: &Record) -> Option<usize> {
        let places = self.log.places(record);
        places.get(places.partition_point(|place| *place < self.next)).copied()
    }

    /// Whether this record came from the others, ahead of the log, as all behind it did.
    fn is_from_others(&self, record: &Record) -> bool {
        self.log.ahead().is_some_and(|ahead| record.index() > ahead.record)
    }

    fn is_certain(&self) -> bool {
        self.standing == Standing::Certain
    }

    fn begin_again(&mut self) {
        (self.next, self.behind) = (0, 0);
        self.standing = Standing::InRow(None);
        self.doubtful.clear();
    }

    /// The records are over.
    pub(crate) fn after(
        &mut self,
        fold: &Fold,
        rows: &dyn Rows,
        findings: &mut Vec<Finding>,
    ) -> Result<Rest, Fault> {
        let fetching = self.log.ahead().map(|ahead| ahead.record);
        let fetching = fetching.filter(|last| *last >= fold.next_index());
        let rest = Rest { waiting: self.log.waiting(), fetching };
        if fetching.is_some() {
            // What the log has applied may be among them: records that were damaged are fetched too.
            return Ok(rest);
        }
        self.settle(fold, &Draft::on(rows), findings)?;
        Ok(rest)
    }

    /// No more records come from the log. Entries that were applied must be such as the fold refuses.
    fn settle(
        &mut self,
        fold: &Fold,
        rows: &Draft<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Fault> {
        if self.standing == Standing::Silent {
            return Ok(());
        }
        self.reconsider(fold, rows)?;
        findings.extend(self.doubtful.drain(..).map(|(_, finding)| finding));
        // All of what is left comes behind the last record.
        let left = if self.is_certain() { self.next } else { self.next.max(self.behind) };
        for passed in left..self.log.len() {
            if self.log.is_applied(passed) && self.passed_over(passed, fold, rows, findings)? {
                // Whatever followed it is missing too.
                break;
            }
        }
        Ok(())
    }

    /// Nothing more is said about records.
    fn stop(&mut self) {
        self.standing = Standing::Silent;
        self.doubtful.clear();
    }

    /// Whether an entry that became no record should have become one.
    fn passed_over(
        &self,
        place: usize,
        fold: &Fold,
        rows: &Draft<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<bool, Fault> {
        let Some(entry) = self.log.entry(place) else { return Ok(false) };
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
    use ledger::rows::tables::RECORDS;
    use ledger::testing::{Group as History, key, log_of};

    /// A log that was cut, and now has these entries.
    fn log_with<'a>(proposals: impl IntoIterator<Item = &'a [u8]>) -> ReplicaLog {
        let mut rows = Memory::new();
        let mut draft = Draft::on(&rows);
        for (table, key, value) in log_of(90, proposals.into_iter()) {
            draft.put(table, key, value);
        }
        let changes = draft.finish();
        rows.apply(changes);
        let mut findings = Vec::new();
        let log = ReplicaLog::read(&rows, &mut findings);
        assert_eq!(findings, []);
        log
    }

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
        let tail = LogTail::of(log_with([proposal.as_slice()]));
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
        let tail = LogTail::of(log_with([again.bytes(), other.bytes()]));
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

    /// Also where an audit goes on from what it has verified before.
    #[test]
    fn a_remembered_end_that_is_in_the_log_again_proves_nothing() {
        let mut history = History::new();
        for byte in 1..=4 {
            history.add_node(&format!("node{byte}"), byte);
        }
        let records = history.records();
        let [.., last, cut, third, fourth] = records.as_slice() else { panic!("{records:?}") };
        let entries = [last, third, fourth].map(|record| record.proposal().bytes());
        let mut tail = LogTail::of(log_with(entries));
        let mut findings = Vec::new();
        tail.skip_to(std::iter::once(last.clone()));
        let draft = Draft::on(&history.rows);
        for record in [cut, third, fourth] {
            tail.before(&history.fold, &draft, record, &mut findings).unwrap();
        }
        tail.after(&history.fold, &history.rows, &mut findings).unwrap();
        assert_eq!(findings, []);
    }
}
