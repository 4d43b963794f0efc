//! Which records the log has led to, where some of them did not come from it.
//!
//! Records that others have sent are ahead of the log. The entries from which they came follow in
//! the log in the same order, with nothing between them but what the rules refuse: so the entry of
//! the next record is the first one that has its proposal, and nobody has to say at which index that
//! is. Applied again an entry would mostly do nothing, since requests are known; but one that was
//! refused could be admitted.

use ledger::Fault;
use ledger::history::records;
use ledger::rows::Rows;
use ledger::rows::raft::{Ahead, EntryKind, RecordPointer};

use super::{Batch, log};
use crate::core::LogEntry;

/// How many records the log has led to, as far as it is applied.
#[derive(Debug)]
pub struct FromLog {
    records: u64,
    /// A row says so.
    marked: bool,
}

impl FromLog {
    /// As the disk remembers it, of a log that is applied up to that index, and so many records.
    pub fn new(applied: u64, ahead: Option<Ahead>, records: u64) -> Self {
        let records = match ahead {
            // Nothing has come from the log of one that has just joined.
            _ if applied == 0 => 0,
            Some(ahead) => ahead.record.saturating_add(1),
            None => records,
        };
        FromLog { records, marked: ahead.is_some() }
    }

    /// How many records the log has led to. Some of them may be missing.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next entries of the log, first those from which records came that are in these rows,
    /// which are so many. Says how many entries those are, with what was refused between them: what
    /// comes behind is to be applied.
    pub fn count<'e>(
        &mut self,
        rows: &dyn Rows,
        here: u64,
        entries: impl IntoIterator<Item = &'e LogEntry>,
    ) -> Result<usize, Fault> {
        let mut counted = 0;
        for entry in entries {
            if self.records >= here {
                break;
            }
            counted += 1;
            if entry.kind != EntryKind::Proposal || entry.data.is_empty() {
                continue;
            }
            let record = records::record(rows, self.records)?;
            if record.is_some_and(|record| record.proposal().bytes() == entry.data) {
                self.records += 1;
            }
        }
        Ok(counted)
    }

    /// Entries were applied on top of all records that were here.
    pub fn applied(&mut self, records: u64) {
        self.records = records;
    }

    /// The log begins anew behind that record.
    pub fn installed(&mut self, record: &RecordPointer) {
        self.records = record.record.saturating_add(1);
    }

    /// Adds the row to what belongs with it, or its removal: the log is applied up to `index`, and
    /// there are so many records. While some are missing it stays as it is.
    pub fn mark(
        &mut self,
        batch: &mut Batch,
        rows: &dyn Rows,
        index: u64,
        records: u64,
    ) -> Result<(), Fault> {
        // Nothing is applied until they are here.
        if self.records > records {
            return Ok(());
        }
        let last = self.records.checked_sub(1).filter(|_| index > 0 && self.records != records);
        let row = match last {
            Some(last) => {
                let Some(record) = records::record(rows, last)? else {
                    return Err(Fault::new(format!("record {last} is missing")));
                };
                Some(Ahead { index, record: last, hash: record.hash().0 })
            }
            None => None,
        };
        if (row.is_some() || self.marked) && !planted!(ForgetAhead) {
            log::ahead(batch, row.as_ref());
        }
        self.marked = row.is_some();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger::rows::raft::Position;
    use ledger::testing::Group;

    use super::*;

    fn entry(data: &[u8]) -> LogEntry {
        LogEntry { position: Position::default(), kind: EntryKind::Proposal, data: data.to_vec() }
    }

    /// Nobody says at which index the entries of the records end, and whoever did could say a wrong
    /// one.
    #[test]
    fn records_find_their_entries() {
        let mut group = Group::new();
        for byte in 1..=4 {
            group.add_node(&format!("node{byte}"), byte);
        }
        let records = group.records();
        let of = |record: usize| records[record].proposal().bytes();
        let last = records.len() - 1;
        let ahead = Ahead { index: 9, record: last as u64 - 3, hash: [0; 32] };
        let here = records.len() as u64;
        let mut from_log = FromLog::new(9, Some(ahead), here);
        let mut count = |entries: &[LogEntry]| {
            let counted = from_log.count(&group.rows, here, entries).unwrap();
            (counted, here - from_log.records())
        };
        // Those between them, a leader's first and a copy of one before, came to nothing.
        let entries = [b"refused", of(last - 2), of(last - 2), of(last - 4), b"", of(last - 1)];
        assert_eq!(count(&entries.map(entry)), (6, 1));
        // What is refused behind the last one is judged where it was judged.
        let entries = [of(last - 1), of(last), b"refused", b"new"].map(entry);
        assert_eq!(count(&entries), (2, 0));
        assert_eq!(count(&entries[2..]), (0, 0));
    }

    #[test]
    fn a_row_is_there_while_the_log_has_not_led_to_all_records() {
        let mut group = Group::new();
        group.add_node("laptop", 1);
        let records = group.fold.next_index();
        let rows_of = |from_log: &mut FromLog, index, records| {
            let mut batch = Batch::new();
            from_log.mark(&mut batch, &group.rows, index, records).unwrap();
            batch.steps.len()
        };
        let mut from_log = FromLog::new(9, None, records);
        assert_eq!(from_log.records(), records);
        assert_eq!(rows_of(&mut from_log, 9, records), 0);
        assert_eq!(rows_of(&mut from_log, 9, records + 1), 1);
        from_log.applied(records + 1);
        assert_eq!(rows_of(&mut from_log, 10, records + 1), 1, "it is removed");
        assert_eq!(rows_of(&mut from_log, 11, records + 1), 0);
        // Records that were lost come back one after the other. The row went with the first of them.
        let lost = Ahead { index: 9, record: records + 4, hash: [0; 32] };
        let mut from_log = FromLog::new(9, Some(lost), records);
        for back in records..records + 5 {
            assert_eq!(rows_of(&mut from_log, 9, back), 0, "it stays");
        }
        assert_eq!(rows_of(&mut from_log, 9, records + 5), 1);
        // One that has joined has no log.
        let mut from_log = FromLog::new(0, None, records);
        assert_eq!(from_log.records(), 0);
        assert_eq!(rows_of(&mut from_log, 0, records), 0);
    }
}
