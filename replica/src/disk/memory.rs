//! A disk in memory that forgets what was not synced: for tests and simulations.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::Fault;
use ledger::rows::{Draft, Memory, RowIter, Rows, Table};

use super::{Batch, Disk, Durable, Step};

/// What happened on a [`MemoryDisk`], in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A batch was committed.
    Committed {
        /// The batch.
        batch: Batch,
        /// Whether it was synced.
        sync: Durable,
    },
    /// A commit failed on purpose.
    Failed,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    now: Arc<Memory>,
    synced: Arc<Memory>,
    /// Commits since the last sync, for a power cut that keeps some of them.
    unsynced: Vec<Batch>,
    events: Vec<Event>,
    fails_after: Option<usize>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that was committed so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// The disk after a power cut that spared the first `kept` commits since the last sync. The
    /// original lives on for whoever still holds it.
    pub fn after_power_cut(&self, kept: usize) -> Self {
        let shared = self.lock();
        let mut now = (*shared.synced).clone();
        for batch in shared.unsynced.iter().take(kept) {
            apply(&mut now, batch.clone());
        }
        let now = Arc::new(now);
        let shared = Shared { now: now.clone(), synced: now, ..Shared::default() };
        MemoryDisk { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Lets `commits` more commits succeed and every later one fail.
    pub fn fail_after(&self, commits: usize) {
        self.lock().fails_after = Some(commits);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    type View = MemoryView;

    fn view(&self) -> MemoryView {
        MemoryView(self.lock().now.clone())
    }

    fn commit(&self, batch: Batch, sync: Durable) -> Result<(), Fault> {
        let mut shared = self.lock();
        match &mut shared.fails_after {
            Some(0) => {
                shared.events.push(Event::Failed);
                return Err(Fault::new("the disk was told to fail"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        apply(Arc::make_mut(&mut shared.now), batch.clone());
        if sync == Durable::Now {
            shared.synced = shared.now.clone();
            shared.unsynced.clear();
        } else {
            shared.unsynced.push(batch.clone());
        }
        shared.events.push(Event::Committed { batch, sync });
        Ok(())
    }
}

fn apply(memory: &mut Memory, batch: Batch) {
    for step in batch.steps {
        let mut draft = Draft::on(memory);
        match step {
            Step::Put(table, key, value) => draft.put(table, key, value),
            Step::Delete(table, key) => draft.delete(table, key),
            Step::DeleteRange(table, from, to) => {
                let keys: Vec<_> = match memory.scan(table, &from..&to) {
                    Ok(rows) => rows.flatten().map(|(key, _)| key).collect(),
                    Err(_) => Vec::new(),
                };
                for key in keys {
                    draft.delete(table, key);
                }
            }
        }
        let changes = draft.finish();
        memory.apply(changes);
    }
}

/// All rows of a [`MemoryDisk`] at one moment.
#[derive(Debug, Clone)]
pub struct MemoryView(Arc<Memory>);

impl Rows for MemoryView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        self.0.scan(table, keys)
    }
}
