//! What a replica keeps beside a history: the rows of a Raft log from which its records came, and the
//! files beside its database.

use super::Group;
use crate::history::{Record, ReplicaId};
use crate::rows::Table;
use crate::rows::raft::{self, EntryKind, HardState, Identity, Position};
use crate::rows::watermark::{FILE_BYTES, Watermark, slot_offset};

/// The term of every entry of these logs, but for the very first.
const TERM: u64 = 2;

/// The index of the entry from which a record came: the first entry is the leader's own.
pub fn entry_of(record: u64) -> u64 {
    record + 3
}

/// The rows of a log from which these records came, all applied, cut before record `from`.
pub fn log_rows(records: &[Record], from: u64) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let own: &[&[u8]] = if from == 0 { &[b""] } else { &[] };
    let base = if from == 0 { 1 } else { entry_of(from) - 1 };
    let data = records[from as usize..].iter().map(|record| record.proposal().bytes());
    log_of(base, own.iter().copied().chain(data))
}

/// The rows of a log that was cut behind the entry `base`; the data of what it still has.
pub fn log_of<'a>(
    base: u64,
    data: impl Iterator<Item = &'a [u8]>,
) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut last = base;
    for data in data {
        last += 1;
        let row = raft::entry_row(TERM, EntryKind::Proposal, data);
        rows.push((raft::RAFT_LOG, raft::log_key(last).to_vec(), row));
    }
    let base = Position { index: base, term: if base == 1 { 1 } else { TERM } };
    let identity = Identity { cluster: Group::CLUSTER.0, replica: 1, incarnation: 1 };
    let group = raft::Group { voters: vec![1], ..raft::Group::default() };
    for (key, value) in [
        (raft::IDENTITY, identity.to_row()),
        (raft::BASE, base.to_row()),
        (raft::HARD, HardState { term: TERM, vote: 1, commit: last }.to_row()),
        (raft::GROUP, group.to_row()),
        (raft::APPLIED, raft::applied_row(last)),
    ] {
        rows.push((raft::RAFT_STATE, key.to_vec(), value));
    }
    rows
}

/// The watermark and the identity file of a replica whose log ends at `last`, by their names.
pub fn replica_files(last: u64) -> [(&'static str, Vec<u8>); 2] {
    let mark = Watermark { term: TERM, vote: 1, last_term: TERM, last_index: last };
    let mut watermark = vec![0; FILE_BYTES];
    for sequence in [6, 7] {
        let slot = mark.to_slot(sequence);
        let at = slot_offset(sequence) as usize;
        watermark[at..at + slot.len()].copy_from_slice(&slot);
    }
    let (cluster, replica) = (Group::CLUSTER, ReplicaId(1));
    let identity =
        format!("lockstep identity 1\ncluster {cluster}\nreplica {replica}\nincarnation 1\n");
    [("watermark", watermark), ("identity", identity.into_bytes())]
}
