//! The Raft log and what belongs to it, as rows (`ledger::rows::raft`).

use std::ops::Range;

use ledger::cbor::Malformed;
use ledger::history::{ClusterId, ReplicaId};
use ledger::rows::raft::{
    AHEAD, APPLIED, Ahead, BASE, GROUP, Group, HARD, HEADS, HardState, IDENTITY, Identity,
    NEIGHBOURS, Neighbour, PeerHead, Position, RAFT_LOG, RAFT_STATE, RecordPointer, WRITES,
    applied_from_row, applied_row, entry_from_row, entry_row, log_index, log_key,
};
use ledger::rows::{Rows, prefix_end};
use ledger::{Ailment, Fault};

use super::Batch;
use crate::core::{Installed, LogEntry, LogWrite, Saved};

/// The rows of a write to the log.
pub fn write(write: &LogWrite) -> Batch {
    let mut batch = Batch::new();
    if let Some(Installed { at, group, .. }) = &write.installed {
        if !planted!(KeepOldLog) {
            // Behind every index.
            batch.delete_range(RAFT_LOG, log_key(0), [0xff; 9]);
        }
        batch.put(RAFT_STATE, BASE, at.to_row());
        batch.put(RAFT_STATE, GROUP, group.to_row());
        applied(&mut batch, at.index);
    }
    if let Some((first, base)) = write.base {
        delete(&mut batch, first..base.index.saturating_add(1));
        batch.put(RAFT_STATE, BASE, base.to_row());
    }
    if let Some(last) = write.entries.last() {
        for entry in &write.entries {
            let row = entry_row(entry.position.term, entry.kind, &entry.data);
            batch.put(RAFT_LOG, log_key(entry.position.index), row);
        }
        delete(&mut batch, last.position.index.saturating_add(1)..write.previous_last + 1);
    }
    if let Some(hard) = &write.hard
        && !planted!(DropHardState)
    {
        batch.put(RAFT_STATE, HARD, hard.to_row());
    }
    batch
}

fn delete(batch: &mut Batch, indexes: Range<u64>) {
    if !indexes.is_empty() {
        batch.delete_range(RAFT_LOG, log_key(indexes.start), log_key(indexes.end));
    }
}

/// Adds the row that says how far the log is applied. It belongs into the batch of what was
/// applied, and nowhere else.
pub fn applied(batch: &mut Batch, index: u64) {
    batch.put(RAFT_STATE, APPLIED, applied_row(index));
}

/// Adds the row of the group. It belongs into the batch of the entry that changed it.
pub fn group(batch: &mut Batch, group: &Group) {
    batch.put(RAFT_STATE, GROUP, group.to_row());
}

/// Adds the row that says what the log has led to where that is not the last record, or removes it.
/// It belongs into the batch of what was applied, or of the records that are ahead.
pub fn ahead(batch: &mut Batch, ahead: Option<&Ahead>) {
    match ahead {
        Some(ahead) => batch.put(RAFT_STATE, AHEAD, ahead.to_row()),
        None => batch.delete(RAFT_STATE, AHEAD),
    }
}

/// What the log has led to is another record than stands there, or than others have.
pub fn another_record(record: u64) -> Fault {
    let what = format!("record {record} is another one than the replica's log has led to");
    Fault::new(what).of(Ailment::Damaged)
}

/// The rows of a member that has done nothing yet.
pub fn founded(identity: &Identity, saved: &Saved) -> Batch {
    let mut batch = Batch::new();
    batch.put(RAFT_STATE, IDENTITY, identity.to_row());
    batch.put(RAFT_STATE, BASE, saved.base.to_row());
    batch.put(RAFT_STATE, HARD, saved.hard.to_row());
    batch.put(RAFT_STATE, GROUP, saved.group.to_row());
    applied(&mut batch, saved.applied);
    batch
}

/// Adds the row of the members that a replica which has just joined can ask.
pub fn introduce(batch: &mut Batch, neighbours: &[Neighbour]) {
    batch.put(RAFT_STATE, NEIGHBOURS, Neighbour::to_row(neighbours));
}

/// The members that this replica was told of when it joined.
pub fn neighbours(rows: &dyn Rows) -> Result<Vec<Neighbour>, Fault> {
    Ok(row(rows, NEIGHBOURS, Neighbour::from_row)?.unwrap_or_default())
}

/// Adds the row that counts the writes that were synced. It belongs into each of them.
pub fn writes(batch: &mut Batch, count: u64) {
    batch.put(RAFT_STATE, WRITES, applied_row(count));
}

/// How many writes were synced.
pub fn written(rows: &dyn Rows) -> Result<u64, Fault> {
    Ok(row(rows, WRITES, applied_from_row)?.unwrap_or_default())
}

/// Adds the row of what the others have signed.
pub fn heads(batch: &mut Batch, heads: &[PeerHead]) {
    batch.put(RAFT_STATE, HEADS, PeerHead::to_row(heads));
}

/// What the others had signed when this was written.
pub fn remembered(rows: &dyn Rows) -> Result<Vec<PeerHead>, Fault> {
    Ok(row(rows, HEADS, PeerHead::from_row)?.unwrap_or_default())
}

/// The identity in the rows, if they have ever been a member's.
pub fn identity(rows: &dyn Rows) -> Result<Option<Identity>, Fault> {
    row(rows, IDENTITY, Identity::from_row)
}

/// What the rows remember of a member whose last record is that one.
pub fn load(rows: &dyn Rows, record: Option<RecordPointer>) -> Result<Saved, Fault> {
    let needed = |name: &str| Fault::new(format!("the row `{name}` of the Raft state is missing"));
    let base = row(rows, BASE, Position::from_row)?.ok_or_else(|| needed("base"))?;
    let hard = row(rows, HARD, HardState::from_row)?.ok_or_else(|| needed("hard"))?;
    let group = row(rows, GROUP, Group::from_row)?.ok_or_else(|| needed("group"))?;
    let applied = row(rows, APPLIED, applied_from_row)?.ok_or_else(|| needed("applied"))?;
    let mut entries = Vec::new();
    // From the base on: what lies before it is deleted, and need not be passed over again.
    let start = log_key(base.index.saturating_add(1));
    for found in rows.scan(RAFT_LOG, &start..&prefix_end(&[]))? {
        let (key, value) = found?;
        let index =
            log_index(&key).ok_or_else(|| Fault::new("a key of the Raft log is damaged"))?;
        let (term, kind, data) = entry_from_row(&value)
            .map_err(|e| Fault::from_error(format!("entry {index} of the Raft log"), e))?;
        entries.push(LogEntry { position: Position { index, term }, kind, data });
    }
    let ahead = row(rows, AHEAD, Ahead::from_row)?;
    let hard = if planted!(VoteTwice) { HardState { vote: 0, ..hard } } else { hard };
    Ok(Saved { base, entries, hard, applied, group, record, ahead })
}

fn row<T>(
    rows: &dyn Rows,
    key: &'static [u8],
    read: fn(&[u8]) -> Result<T, Malformed>,
) -> Result<Option<T>, Fault> {
    let Some(value) = rows.get(RAFT_STATE, key)? else { return Ok(None) };
    let name = String::from_utf8_lossy(key);
    read(&value)
        .map(Some)
        .map_err(|e| Fault::from_error(format!("the row `{name}` of the Raft state"), e))
}

/// The cluster and the replica of an identity, in the types of the history.
pub fn names(identity: &Identity) -> (ClusterId, ReplicaId) {
    (ClusterId(identity.cluster), ReplicaId(identity.replica))
}

#[cfg(test)]
mod tests {
    use ledger::rows::raft::EntryKind;

    use super::super::{Disk, Durable, memory::MemoryDisk};
    use super::*;

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry {
            position: Position { index, term },
            kind: EntryKind::Proposal,
            data: vec![index as u8; 3],
        }
    }

    #[test]
    fn what_is_written_is_loaded() {
        let disk = MemoryDisk::new();
        let identity = Identity { cluster: [1; 16], replica: 1, incarnation: 1 };
        let mut saved = Saved::founded(ReplicaId(1));
        disk.commit(founded(&identity, &saved), Durable::Now).unwrap();
        assert_eq!(super::identity(&disk.view()).unwrap(), Some(identity));
        assert_eq!(load(&disk.view(), None).unwrap(), saved);

        let first = LogWrite {
            entries: (2..=9).map(|i| entry(i, 2)).collect(),
            previous_last: 1,
            hard: Some(HardState { term: 2, vote: 1, commit: 1 }),
            ..LogWrite::default()
        };
        disk.commit(write(&first), Durable::Now).unwrap();
        // A new leader's entries are fewer than those that they replace.
        let second = LogWrite {
            entries: vec![entry(5, 3), entry(6, 3)],
            previous_last: 9,
            hard: Some(HardState { term: 3, vote: 0, commit: 4 }),
            base: Some((2, Position { index: 3, term: 2 })),
            installed: None,
            must_sync: true,
        };
        let mut batch = write(&second);
        applied(&mut batch, 4);
        disk.commit(batch, Durable::Now).unwrap();
        saved.base = Position { index: 3, term: 2 };
        saved.entries = vec![entry(4, 2), entry(5, 3), entry(6, 3)];
        saved.hard = HardState { term: 3, vote: 0, commit: 4 };
        saved.applied = 4;
        assert_eq!(load(&disk.view(), None).unwrap(), saved);
        saved.check().unwrap();

        // Records go ahead of the log, which then begins anew behind them.
        let record = RecordPointer { record: 70, hash: [1; 32], fold: [2; 32] };
        let far = Ahead { index: 4, record: 2, hash: [3; 32] };
        let mut batch = Batch::new();
        ahead(&mut batch, Some(&far));
        disk.commit(batch, Durable::Now).unwrap();
        assert_eq!(load(&disk.view(), Some(record)).unwrap().ahead, Some(far));
        let grown = Group { voters: vec![1, 2], ..Group::default() };
        let third = LogWrite {
            installed: Some(Installed {
                at: Position { index: 90, term: 7 },
                group: grown.clone(),
                record,
            }),
            ..LogWrite::default()
        };
        let mut batch = write(&third);
        ahead(&mut batch, None);
        disk.commit(batch, Durable::Now).unwrap();
        saved.base = Position { index: 90, term: 7 };
        (saved.entries, saved.group, saved.applied) = (Vec::new(), grown, 90);
        assert_eq!(load(&disk.view(), None).unwrap(), saved);
    }

    #[test]
    fn a_missing_row_is_a_fault() {
        assert!(load(&MemoryDisk::new().view(), None).unwrap_err().to_string().contains("`base`"));
    }
}
