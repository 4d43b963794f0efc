//! The part of the Raft log that is still needed, in memory.
//!
//! raft-rs wants to read entries before their sync is done, and it stops with a panic where its
//! storage fails. So the core keeps the whole log in memory: it is short, because the records
//! themselves are the long memory, and what is applied soon falls out of it.

use std::collections::VecDeque;

use ledger::rows::raft::{Group, HardState, Position};
use raft::eraftpb::{ConfState, Entry, HardState as RaftHardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::{LogEntry, Saved};

/// Entries behind the applied index that are kept at least, for peers that lag a little.
const KEEP_ENTRIES: u64 = 256;
/// Entries in the window from which it is cut down.
const CUT_ENTRIES: usize = 1024;
/// Bytes in the window from which it is cut down as far as it goes.
const CUT_BYTES: usize = 8 << 20;

/// The log behind its base.
pub(super) struct Window {
    base: Position,
    entries: VecDeque<Entry>,
    bytes: usize,
    hard: HardState,
    group: Group,
}

impl Window {
    pub(super) fn new(saved: Saved) -> Self {
        let Saved { base, entries, hard, group, .. } = saved;
        let entries: VecDeque<_> = entries.into_iter().map(to_raft).collect();
        let bytes = entries.iter().map(|e| e.data.len()).sum();
        Window { base, entries, bytes, hard, group }
    }

    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.base, position)
    }

    /// Puts entries in their places; what stood there and behind is void.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.entries.back().is_some_and(|last| last.index >= first.index) {
            if let Some(void) = self.entries.pop_back() {
                self.bytes -= void.data.len();
            }
        }
        for entry in entries {
            self.bytes += entry.data.len();
            self.entries.push_back(entry.clone());
        }
    }

    /// Drops applied entries once there are many; says where the log now starts.
    pub(super) fn cut(&mut self, applied: u64) -> Option<Position> {
        let keep = if self.bytes >= CUT_BYTES {
            0
        } else if self.entries.len() >= CUT_ENTRIES {
            KEEP_ENTRIES
        } else {
            return None;
        };
        let before = self.base;
        while let Some(first) = self.entries.front() {
            if first.index.saturating_add(keep) > applied {
                break;
            }
            self.base = position(first);
            self.bytes -= first.data.len();
            self.entries.pop_front();
        }
        (self.base != before).then_some(self.base)
    }

    fn at(&self, index: u64) -> Option<usize> {
        let offset = index.checked_sub(self.base.index)?.checked_sub(1)?;
        usize::try_from(offset).ok().filter(|at| *at < self.entries.len())
    }
}

fn position(entry: &Entry) -> Position {
    Position { index: entry.index, term: entry.term }
}

pub(super) fn to_raft(entry: LogEntry) -> Entry {
    Entry {
        index: entry.position.index,
        term: entry.position.term,
        data: entry.data.into(),
        ..Entry::default()
    }
}

pub(super) fn from_raft(entry: &Entry) -> LogEntry {
    LogEntry { position: position(entry), data: entry.data.to_vec() }
}

impl Storage for Window {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let mut hard = RaftHardState::default();
        hard.term = self.hard.term;
        hard.vote = self.hard.vote;
        hard.commit = self.hard.commit;
        let mut group = ConfState::default();
        group.voters = self.group.voters.clone();
        group.learners = self.group.learners.clone();
        group.voters_outgoing = self.group.voters_outgoing.clone();
        group.learners_next = self.group.learners_next.clone();
        group.auto_leave = self.group.auto_leave;
        Ok(RaftState::new(hard, group))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        if low >= high {
            return Ok(Vec::new());
        }
        if high > self.last().index.saturating_add(1) {
            return Err(StorageError::Unavailable.into());
        }
        let (Some(from), Some(to)) = (self.at(low), self.at(high - 1)) else {
            return Err(StorageError::Unavailable.into());
        };
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0u64;
        let mut found = Vec::new();
        for entry in self.entries.range(from..=to) {
            size = size.saturating_add(entry.data.len() as u64 + 16);
            if size > limit && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.index {
            return Ok(self.base.term);
        }
        if index < self.base.index {
            return Err(StorageError::Compacted.into());
        }
        match self.at(index) {
            Some(at) => Ok(self.entries[at].term),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().index)
    }

    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        // A member that lags behind the window is caught up with records before it gets a
        // snapshot; until somebody has done that there is none to send.
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
