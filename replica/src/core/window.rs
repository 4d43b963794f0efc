//! The part of the Raft log that is still needed, in memory.
//!
//! raft-rs wants to read entries before their sync is done, and it stops with a panic where its
//! storage fails. So the core keeps the whole log in memory: it is short, because the records
//! themselves are the long memory, and what is applied soon falls out of it.

use std::collections::VecDeque;

use ledger::rows::raft::{EntryKind, Group, HardState, Position, RecordPointer};
use raft::eraftpb::{Entry, EntryType, HardState as RaftHardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::configuration::conf_state;
use super::{LogEntry, Saved};

/// How much of the log stays in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Entries behind the applied index that are kept at least, for peers that lag a little:
    /// several seconds' worth under load, so that one that has just been caught up by records can
    /// go on from entries.
    pub keep_entries: u64,
    /// Entries in the window from which it is cut down.
    pub cut_entries: usize,
    /// Bytes in the window from which it is cut down as far as it goes.
    pub cut_bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        WindowLimits { keep_entries: 4096, cut_entries: 6144, cut_bytes: 32 << 20 }
    }
}

/// The log behind its base.
pub(super) struct Window {
    limits: WindowLimits,
    base: Position,
    entries: VecDeque<Entry>,
    bytes: usize,
    hard: HardState,
    group: Group,
    /// What is applied, for peers that the window does not reach back to. The group is the one
    /// there; none before record 0.
    applied: Option<(Position, RecordPointer)>,
}

impl Window {
    pub(super) fn new(saved: Saved, limits: WindowLimits) -> Self {
        let Saved { base, entries, hard, group, applied, record, ahead } = saved;
        let entries: VecDeque<_> = entries.into_iter().map(to_raft).collect();
        let bytes = entries.iter().map(|e| e.data.len()).sum();
        let mut window = Window { limits, base, entries, bytes, hard, group, applied: None };
        // The log of one that has just joined has led to nothing, whatever records there are.
        if ahead.is_none() && applied > 0 {
            window.set_applied(applied, record);
        }
        window
    }

    /// Everything up to that index is applied, and the records end there.
    pub(super) fn set_applied(&mut self, index: u64, record: Option<RecordPointer>) {
        let term = self.term(index).ok();
        self.applied = term.zip(record).map(|(term, record)| (Position { index, term }, record));
    }

    /// The group as of the applied index.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// The group has changed with the applied index.
    pub(super) fn set_group(&mut self, group: Group) {
        self.group = group;
    }

    /// Everything up to that position is applied, and nothing of it kept.
    pub(super) fn install(&mut self, at: Position, group: Group) {
        self.entries.clear();
        self.bytes = 0;
        (self.base, self.group) = (at, group);
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
        let keep = if self.bytes >= self.limits.cut_bytes {
            0
        } else if self.entries.len() >= self.limits.cut_entries {
            self.limits.keep_entries
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
        entry_type: match entry.kind {
            EntryKind::Proposal => EntryType::EntryNormal,
            EntryKind::Group => EntryType::EntryConfChangeV2,
        },
        ..Entry::default()
    }
}

pub(super) fn from_raft(entry: &Entry) -> LogEntry {
    let kind = match entry.get_entry_type() {
        EntryType::EntryNormal => EntryKind::Proposal,
        // Nobody proposes the older form; it would be as much a change.
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Group,
    };
    LogEntry { position: position(entry), kind, data: entry.data.to_vec() }
}

impl Storage for Window {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let mut hard = RaftHardState::default();
        hard.term = self.hard.term;
        hard.vote = self.hard.vote;
        hard.commit = self.hard.commit;
        Ok(RaftState::new(hard, conf_state(&self.group)))
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

    fn snapshot(&self, at_least: u64, _: u64) -> raft::Result<Snapshot> {
        match &self.applied {
            Some((at, record)) if at.index >= at_least => {
                let mut snapshot = Snapshot::default();
                snapshot.mut_metadata().index = at.index;
                snapshot.mut_metadata().term = at.term;
                snapshot.mut_metadata().set_conf_state(conf_state(&self.group));
                snapshot.data = record.to_bytes().into();
                Ok(snapshot)
            }
            _ => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
        }
    }
}
