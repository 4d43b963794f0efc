//! A replica's data directory on a simulated disk: the database, the watermark's file and the
//! identity file, as the production recovery finds them.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ledger::Fault;
use ledger::rows::raft::Identity;
use ledger::rows::watermark::{FILE_BYTES, SLOT_BYTES, Watermark, slot_offset};
use ledger::rows::{Draft, RowIter, Rows, Table};
use replica::disk::recovery::Home;
use replica::disk::watermark::Marks;
use replica::disk::{Batch, Disk, Durable, Step};

use crate::world::disk::{self as world, Disk as _, Reopened, SimDisk};
use crate::world::{Mix, Random};

/// The versions of a row, ascending: since which commit it has which value.
type Versions = Vec<(u64, Option<Vec<u8>>)>;

/// All rows as they ever were since the disk was opened, so that a view costs nothing.
#[derive(Debug, Default)]
struct History {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Versions>>,
}

impl History {
    fn set(&mut self, version: u64, table: Table, key: &[u8], value: Option<&[u8]>) {
        let rows = self.tables.entry(table).or_default();
        let versions = rows.entry(key.to_vec()).or_default();
        versions.push((version, value.map(<[u8]>::to_vec)));
    }

    fn at(versions: &Versions, version: u64) -> Option<&Vec<u8>> {
        let last = versions.iter().rev().find(|(since, _)| *since <= version)?;
        last.1.as_ref()
    }
}

/// All rows at one moment.
#[derive(Debug, Clone)]
pub struct StoreView {
    history: Arc<RwLock<History>>,
    version: u64,
}

impl Rows for StoreView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let history = self.history.read().unwrap_or_else(PoisonError::into_inner);
        let versions = history.tables.get(&table).and_then(|rows| rows.get(key));
        Ok(versions.and_then(|versions| History::at(versions, self.version)).cloned())
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        let end = match keys.end {
            [] => Bound::Unbounded,
            end if end <= keys.start => return Ok(Box::new(std::iter::empty())),
            end => Bound::Excluded(end.to_vec()),
        };
        let history = self.history.read().unwrap_or_else(PoisonError::into_inner);
        let rows = history.tables.get(&table).into_iter();
        let rows =
            rows.flat_map(|rows| rows.range((Bound::Included(keys.start.to_vec()), end.clone())));
        let found: Vec<_> = rows
            .filter_map(|(key, versions)| {
                Some((key.clone(), History::at(versions, self.version)?.clone()))
            })
            .collect();
        Ok(Box::new(found.into_iter().map(Ok)))
    }
}

/// What lies on the disk.
#[derive(Debug)]
struct Store {
    disk: SimDisk,
    history: Arc<RwLock<History>>,
    version: u64,
    synced: u64,
    created: bool,
    identity: Option<Identity>,
    /// The watermark's file as it would survive a power cut, and as it reads now.
    mark: Option<(Vec<u8>, Vec<u8>)>,
    sequence: u64,
    /// Whether a sync of the database makes the mark durable too; otherwise each write of it does.
    direct: bool,
    random: Random,
}

/// A copy of a disk.
#[derive(Debug, Clone)]
pub(super) struct DiskCopy {
    rows: Vec<u8>,
    identity: Option<Identity>,
    mark: Vec<u8>,
}

/// The disk of one machine. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    store: Arc<Mutex<Store>>,
}

impl DataDir {
    /// An empty disk.
    pub(super) fn new(seed: u64, name: &str, mix: &Mix) -> Self {
        let mut random = Random::new(seed, &format!("data directory of {name}"));
        let store = Store {
            disk: SimDisk::new(seed, name, mix.clone()),
            history: Arc::default(),
            version: 0,
            synced: 0,
            created: false,
            identity: None,
            mark: None,
            sequence: 0,
            direct: random.chance(500),
            random,
        };
        DataDir { path: PathBuf::from(name), store: Arc::new(Mutex::new(store)) }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes fail from now on, or succeed again.
    pub(super) fn set_full(&self, full: bool) {
        self.lock().disk.set_full(full);
    }

    /// The power fails during the next write.
    pub(super) fn fail_next_write(&self) {
        self.lock().disk.fail_next_write();
    }

    /// Nothing goes wrong with it any more.
    pub(super) fn heal(&self) {
        self.lock().disk.heal();
    }

    /// A power cut: what was not synced is lost, whole or in part.
    pub(super) fn crash(&self) {
        let mut store = self.lock();
        let store = &mut *store;
        store.disk.crash();
        let Some((durable, now)) = &mut store.mark else { return };
        match store.random.below(3) {
            0 => {}
            1 => durable.clone_from(now),
            _ => {
                // Torn: a part of the slot got there.
                let at = slot_offset(store.sequence) as usize;
                let some = at..at + store.random.place(SLOT_BYTES + 1);
                durable[some.clone()].copy_from_slice(&now[some]);
            }
        }
        now.clone_from(durable);
    }

    /// A bit flips, maybe.
    pub(super) fn rot(&self) -> bool {
        self.lock().disk.rot()
    }

    /// Reads everything from the device, before the replica starts.
    pub(super) fn reopen(&self) -> Reopened {
        let mut store = self.lock();
        let reopened = store.disk.reopen();
        let mut history = History::default();
        for table in replica::disk::tables() {
            // The rows of what was just read; nothing fails there.
            for row in store.disk.inspect().scan(table, &[][..]..&[][..]).into_iter().flatten() {
                let Ok((key, value)) = row else { continue };
                history.set(0, table, &key, Some(&value));
            }
        }
        store.history = Arc::new(RwLock::new(history));
        (store.version, store.synced) = (0, 0);
        reopened
    }

    /// The database is gone; the files beside it are still there, or not.
    pub(super) fn wipe(&self, files_too: bool) {
        let mut store = self.lock();
        store.disk.wipe();
        store.history = Arc::default();
        (store.version, store.synced, store.created) = (0, 0, false);
        if files_too {
            (store.identity, store.mark, store.sequence) = (None, None, 0);
        }
    }

    /// A copy of all that lies there, as after a power cut; none of a disk with damage.
    pub(super) fn copy(&self) -> Option<DiskCopy> {
        let store = self.lock();
        let (mark, _) = store.mark.clone()?;
        Some(DiskCopy { rows: store.disk.copy()?, identity: store.identity, mark })
    }

    /// A copy takes the place of all that lies there.
    pub(super) fn put_back(&self, copy: DiskCopy) {
        let mut store = self.lock();
        let DiskCopy { rows, identity, mark } = copy;
        store.disk.put_back(rows);
        store.identity = identity;
        store.mark = Some((mark.clone(), mark));
    }

    /// What would survive a power cut for certain.
    pub(crate) fn synced(&self) -> StoreView {
        let store = self.lock();
        StoreView { history: store.history.clone(), version: store.synced }
    }
}

impl Disk for DataDir {
    type View = StoreView;

    fn view(&self) -> StoreView {
        let store = self.lock();
        StoreView { history: store.history.clone(), version: store.version }
    }

    fn commit(&self, batch: Batch, sync: Durable) -> Result<(), Fault> {
        let mut store = self.lock();
        let store = &mut *store;
        let rows = store.disk.inspect();
        let mut draft = Draft::on(rows);
        for step in batch.steps {
            match step {
                Step::Put(table, key, value) => draft.put(table, key, value),
                Step::Delete(table, key) => draft.delete(table, key),
                Step::DeleteRange(table, from, to) => {
                    let keys: Vec<Vec<u8>> = draft
                        .scan(table, &from..&to)?
                        .map(|row| row.map(|(key, _)| key))
                        .collect::<Result<_, _>>()?;
                    for key in keys {
                        draft.delete(table, key);
                    }
                }
            }
        }
        let changes = draft.finish();
        let durable = match sync {
            Durable::Now => world::Durable::Now,
            Durable::Later => world::Durable::Later,
        };
        store.disk.commit(changes.clone(), durable)?;
        store.version += 1;
        let mut history = store.history.write().unwrap_or_else(PoisonError::into_inner);
        for (table, key, value) in changes.iter() {
            history.set(store.version, table, key, value);
        }
        drop(history);
        if sync == Durable::Now {
            store.synced = store.version;
            if let Some((durable, now)) = &mut store.mark
                && store.direct
            {
                durable.clone_from(now);
            }
        }
        Ok(())
    }
}

impl Home for DataDir {
    type Disk = DataDir;
    type Marks = MarkFile;

    fn path(&self) -> &Path {
        &self.path
    }

    fn identity(&self) -> Result<Option<Identity>, Fault> {
        Ok(self.lock().identity)
    }

    fn set_identity(&self, identity: &Identity) -> Result<(), Fault> {
        self.lock().identity = Some(*identity);
        Ok(())
    }

    fn has_rows(&self) -> Result<bool, Fault> {
        Ok(self.lock().created)
    }

    fn open(&self) -> Result<DataDir, Fault> {
        self.lock().created = true;
        Ok(self.clone())
    }

    fn mark(&self) -> Result<Option<Watermark>, Fault> {
        let store = self.lock();
        let Some((_, now)) = &store.mark else { return Ok(None) };
        match Watermark::from_file(now) {
            Some((_, mark)) => Ok(Some(mark)),
            None => Err(Fault::new("no slot of the watermark is sound")),
        }
    }

    fn create_marks(&self, mark: &Watermark) -> Result<MarkFile, Fault> {
        let mut bytes = vec![0; FILE_BYTES];
        for sequence in [0, 1] {
            let at = slot_offset(sequence) as usize;
            bytes[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(sequence));
        }
        self.lock().mark = Some((bytes.clone(), bytes));
        self.open_marks()
    }

    fn open_marks(&self) -> Result<MarkFile, Fault> {
        let mut store = self.lock();
        let found = store.mark.as_ref().and_then(|(_, now)| Watermark::from_file(now));
        store.sequence = found.ok_or_else(|| Fault::new("there is no watermark"))?.0;
        drop(store);
        Ok(MarkFile(self.clone()))
    }
}

/// The watermark's file.
#[derive(Debug)]
pub struct MarkFile(DataDir);

impl Marks for MarkFile {
    fn write(&mut self, mark: &Watermark, durable: Durable) -> Result<(), Fault> {
        let mut store = self.0.lock();
        let store = &mut *store;
        store.sequence += 1;
        let at = slot_offset(store.sequence) as usize;
        let Some((synced, now)) = &mut store.mark else {
            return Err(Fault::new("there is no watermark"));
        };
        now[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(store.sequence));
        if durable == Durable::Now || !store.direct {
            synced.clone_from(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulated_disk_conforms() {
        let mix = Mix::drawn(&mut Random::new(1, "mix"));
        replica::disk::conformance::check(&DataDir::new(1, "test", &mix));
    }
}
