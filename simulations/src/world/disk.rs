//! Disks: rows that a process keeps, and what crashes and bad sectors do to them.

use std::collections::BTreeSet;
use std::ops::Range;

use blake2s_simd::blake2s;
use ledger::Fault as LedgerFault;
use ledger::cbor::{Malformed, Reader, Writer};
use ledger::rows::{Changes, Draft, Memory, RowIter, Rows, Table, raft, tables};

use super::{Fault, Mix, Random};

/// Where a process keeps its rows. As the replica's disk: a commit is whole or nothing, and a
/// crash leaves a prefix of the commits.
pub trait Disk {
    /// The rows as they are now.
    fn rows(&self) -> &dyn Rows;

    /// Writes changes: all or nothing. When a synced commit returns, it and every commit before
    /// it survive a crash. After a failed one nothing may be acknowledged any more.
    fn commit(&mut self, changes: Changes, durable: Durable) -> Result<(), LedgerFault>;
}

/// When a commit must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Before the call returns.
    Now,
    /// Some time.
    Later,
}

/// Memory is a disk on which nothing ever goes wrong.
impl Disk for Memory {
    fn rows(&self) -> &dyn Rows {
        self
    }

    fn commit(&mut self, changes: Changes, _: Durable) -> Result<(), LedgerFault> {
        self.apply(changes);
        Ok(())
    }
}

/// Rows of one batch, at most: a bound for the reader.
const BATCH_ROWS: usize = 1 << 20;
/// Bytes of a batch's length and hash.
const FRAME: usize = 36;

/// A log of batches on a faulty device. Each batch has its length and its hash in front; whatever
/// comes after one that is damaged is lost, as RocksDB's point-in-time recovery has it.
///
/// A row that has long since left the log for a table file can be damaged by itself: reading it
/// fails then, as it does in RocksDB, whose blocks have checksums. It can be read again once it has
/// been written anew.
#[derive(Debug)]
pub struct SimDisk {
    bytes: Vec<u8>,
    /// How many bytes survive a crash.
    synced: usize,
    rows: Faulty,
    /// No write succeeds until the disk is opened again.
    failed: bool,
    full: bool,
    /// The power fails during the next write.
    fails_next: bool,
    /// It has failed, and the disk was not opened since.
    lost_power: bool,
    has_rotted: bool,
    mix: Mix,
    random: Random,
    /// What wear draws from: a stream of its own, so that it changes no crash.
    wear: Random,
}

/// What was found when a disk was opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reopened {
    /// Bytes that were dropped because they were damaged or torn.
    pub dropped: usize,
    /// Whether any of them had been synced: acknowledged data is lost.
    pub lost_synced: bool,
}

/// Rows whose reads may fail.
#[derive(Debug)]
struct Faulty {
    rows: Memory,
    /// Which of the coming reads fails; none if it is 0.
    fails_in: std::cell::Cell<u64>,
    /// Rows whose checksums do not hold any more.
    spoilt: BTreeSet<(Table, Vec<u8>)>,
}

impl Rows for Faulty {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerFault> {
        self.read()?;
        self.whole(table, key)?;
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, LedgerFault> {
        self.read()?;
        let rows = self.rows.scan(table, keys)?;
        if self.spoilt.is_empty() {
            return Ok(rows);
        }
        Ok(Box::new(rows.map(move |row| {
            let (key, value) = row?;
            self.whole(table, &key)?;
            Ok((key, value))
        })))
    }
}

impl Faulty {
    fn whole(&self, table: Table, key: &[u8]) -> Result<(), LedgerFault> {
        // The empty set is by far the most common: no key is copied for it.
        if self.spoilt.is_empty() || !self.spoilt.contains(&(table, key.to_vec())) {
            return Ok(());
        }
        Err(LedgerFault::new(format!("a checksum of table {} does not hold", table.0)))
    }

    fn read(&self) -> Result<(), LedgerFault> {
        match self.fails_in.get() {
            0 => Ok(()),
            1 => Err(LedgerFault::new("the simulated disk cannot be read")),
            left => {
                self.fails_in.set(left - 1);
                Ok(())
            }
        }
    }
}

impl Disk for SimDisk {
    fn rows(&self) -> &dyn Rows {
        &self.rows
    }

    fn commit(&mut self, changes: Changes, durable: Durable) -> Result<(), LedgerFault> {
        if self.failed {
            return Err(LedgerFault::new("the simulated disk has failed before"));
        }
        if !changes.is_empty() {
            let frame = frame(&encode(&changes));
            if self.full {
                // Some of it may have fitted.
                let fits = self.random.place(frame.len());
                self.bytes.extend_from_slice(&frame[..fits]);
                self.failed = true;
                return Err(LedgerFault::new("no space left on the simulated disk"));
            }
            self.bytes.extend_from_slice(&frame);
            if std::mem::take(&mut self.fails_next) {
                // Not synced: how much of it is left shows after the crash.
                (self.failed, self.lost_power) = (true, true);
                return Err(LedgerFault::new("the power failed during a write"));
            }
            if !self.rows.spoilt.is_empty() {
                for (table, key, _) in changes.iter() {
                    self.rows.spoilt.remove(&(table, key.to_vec()));
                }
            }
            self.rows.rows.apply(changes);
        }
        if durable == Durable::Now {
            self.synced = self.bytes.len();
        }
        Ok(())
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, name: &str, mix: Mix) -> Self {
        SimDisk {
            bytes: Vec::new(),
            synced: 0,
            rows: Faulty { rows: Memory::new(), fails_in: 0.into(), spoilt: BTreeSet::new() },
            failed: false,
            full: false,
            fails_next: false,
            lost_power: false,
            has_rotted: false,
            mix,
            random: Random::new(seed, &format!("disk of {name}")),
            wear: Random::new(seed, &format!("wear of {name}")),
        }
    }

    /// Writes fail from now on, or succeed again once the disk has been opened anew.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Nothing goes wrong with it any more.
    pub fn heal(&mut self) {
        self.mix = Fault::ALL.into_iter().fold(self.mix.clone(), Mix::without);
        self.full = false;
    }

    /// One of the next reads may fail.
    pub fn may_fail_soon(&mut self) {
        if self.mix.strikes(Fault::Read, &mut self.random) {
            self.rows.fails_in.set(1 + self.random.below(60));
        }
    }

    /// It is used once more: one of the next reads may fail, and a row may have become unreadable
    /// where it lies. Whether one has.
    pub fn wear(&mut self) -> bool {
        let seldom = self.wear.chance(150);
        let (reads, rots) = (
            self.mix.strikes(Fault::Read, &mut self.wear),
            self.mix.strikes(Fault::Rot, &mut self.wear),
        );
        if seldom && reads {
            self.rows.fails_in.set(1 + self.wear.below(60));
        }
        seldom && rots && self.spoil()
    }

    /// Some row becomes unreadable; tables are as likely as each other, however many rows they have.
    fn spoil(&mut self) -> bool {
        let keys = |table: Table| {
            let rows = self.rows.rows.scan(table, &[][..]..&[][..]);
            rows.into_iter().flatten().flatten().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let mut filled: Vec<_> = tables::ALL.iter().map(|table| (*table, keys(*table))).collect();
        filled.retain(|(_, keys)| !keys.is_empty());
        if filled.is_empty() {
            return false;
        }
        let (table, keys) = self.wear.pick(&filled);
        let key = self.wear.pick(&keys);
        self.has_rotted = true;
        self.rows.spoilt.insert((table, key))
    }

    /// Whether some of what lies on it, or one of the next reads, is bad.
    pub fn is_worn(&self) -> bool {
        !self.rows.spoilt.is_empty() || self.rows.fails_in.get() > 0
    }

    /// The power may fail during the next write, if nothing else is wrong.
    pub fn power_may_fail(&mut self) {
        let seldom = self.wear.chance(250);
        let fails = self.mix.strikes(Fault::Crash, &mut self.wear);
        self.fails_next = seldom && fails && !self.is_worn() && !self.full;
    }

    /// The power fails during the next write.
    pub fn fail_next_write(&mut self) {
        self.fails_next = !self.full;
    }

    /// Whether a bit of it has ever flipped.
    pub fn has_rotted(&self) -> bool {
        self.has_rotted
    }

    /// Whether it was the power that failed, and it has not been opened since.
    pub fn lost_power(&self) -> bool {
        self.lost_power
    }

    /// The rows, for whoever looks at the world from outside: these reads never fail.
    pub fn inspect(&self) -> &Memory {
        &self.rows.rows
    }

    /// The process is gone, and with it some of what was not synced: all, nothing, or what came
    /// after some byte.
    pub fn crash(&mut self) {
        let unsynced = self.bytes.len() - self.synced;
        let left = match self.random.below(3) {
            0 => 0,
            1 => unsynced,
            _ => self.random.place(unsynced + 1),
        };
        self.bytes.truncate(self.synced + left);
    }

    /// A bit flips, maybe, wherever it is.
    pub fn rot(&mut self) -> bool {
        if self.bytes.is_empty() || !self.mix.strikes(Fault::Rot, &mut self.random) {
            return false;
        }
        let at = self.random.place(self.bytes.len());
        self.bytes[at] ^= 1 << self.random.below(8);
        self.has_rotted = true;
        true
    }

    /// Reads everything from the device.
    pub fn reopen(&mut self) -> Reopened {
        let mut rows = Memory::new();
        let mut at = 0;
        while let Some(payload) = whole_frame(&self.bytes[at..]) {
            let mut draft = Draft::on(&rows);
            if decode(payload, &mut draft).is_err() {
                break;
            }
            at += FRAME + payload.len();
            let changes = draft.finish();
            rows.apply(changes);
        }
        let dropped = self.bytes.len() - at;
        self.bytes.truncate(at);
        let lost_synced = at < self.synced;
        self.synced = at;
        (self.failed, self.lost_power) = (false, false);
        // What cannot be read in a table file is no better after a start.
        let spoilt = std::mem::take(&mut self.rows.spoilt);
        self.rows = Faulty { rows, fails_in: 0.into(), spoilt };
        Reopened { dropped, lost_synced }
    }

    /// What would survive a power cut for certain, unless some of it is damaged.
    pub fn copy(&self) -> Option<Vec<u8>> {
        let sound = !self.has_rotted && self.rows.spoilt.is_empty();
        sound.then(|| self.bytes[..self.synced].to_vec())
    }

    /// A copy takes the place of all that is there.
    pub fn put_back(&mut self, copy: Vec<u8>) {
        self.wipe();
        self.synced = copy.len();
        self.bytes = copy;
    }

    /// Nothing is left.
    pub fn wipe(&mut self) {
        self.bytes.clear();
        self.has_rotted = false;
        self.rows.spoilt.clear();
        self.synced = 0;
        self.reopen();
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake2s(bytes).as_array()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[..], &hash(payload), payload].concat()
}

/// The payload of the batch that the bytes begin with, if it is whole and undamaged.
fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (expected, rest) = rest.split_first_chunk::<32>()?;
    let payload = rest.get(..u32::from_be_bytes(*len) as usize)?;
    (hash(payload) == *expected).then_some(payload)
}

fn encode(changes: &Changes) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(changes.len());
    for (table, key, value) in changes.iter() {
        out.array(3).text(table.0).bytes(key).nullable_bytes(value);
    }
    out.into_bytes()
}

fn decode(payload: &[u8], draft: &mut Draft<'_>) -> Result<(), Malformed> {
    let mut reader = Reader::new(payload);
    for _ in 0..reader.array_up_to(BATCH_ROWS)? {
        reader.array_of(3)?;
        let at = reader.clone();
        let table = table(reader.text()?).ok_or_else(|| at.malformed("an unknown table"))?;
        let key = reader.bytes()?;
        match reader.nullable_bytes()? {
            Some(value) => draft.put(table, key, value),
            None => draft.delete(table, key),
        }
        reader.close();
    }
    reader.close();
    reader.finish()
}

fn table(name: &str) -> Option<Table> {
    let ours = [tables::CLIENT, super::STORED_AT];
    tables::ALL.iter().chain(&ours).chain(raft::TABLES).copied().find(|table| table.0 == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(fault: Option<Fault>) -> Mix {
        let all = Mix::drawn(&mut Random::new(3, "mix"));
        let without = Fault::ALL.into_iter().filter(|other| Some(*other) != fault);
        without.fold(all, Mix::without)
    }

    fn put(disk: &mut SimDisk, key: &str, durable: Durable) -> Result<(), LedgerFault> {
        let mut draft = Draft::on(disk.rows());
        draft.put(tables::AUMS, key, [7; 40]);
        let changes = draft.finish();
        disk.commit(changes, durable)
    }

    fn keys(disk: &SimDisk) -> usize {
        disk.rows().scan(tables::AUMS, &[][..]..&[][..]).unwrap().count()
    }

    #[test]
    fn a_crash_leaves_a_prefix_that_holds_all_that_was_synced() {
        for seed in 0..200 {
            let mut disk = SimDisk::new(seed, "test", mix(None));
            for (key, durable) in [
                ("a", Durable::Later),
                ("b", Durable::Now),
                ("c", Durable::Later),
                ("d", Durable::Later),
            ] {
                put(&mut disk, key, durable).unwrap();
            }
            disk.crash();
            let reopened = disk.reopen();
            assert!(!reopened.lost_synced);
            let left = keys(&disk);
            assert!((2..=4).contains(&left));
            put(&mut disk, "e", Durable::Now).unwrap();
            disk.crash();
            assert_eq!(disk.reopen(), Reopened { dropped: 0, lost_synced: false });
            assert_eq!(keys(&disk), left + 1);
        }
    }

    #[test]
    fn a_flipped_bit_costs_what_comes_after_it_and_is_noticed() {
        let rate = (0..100).find_map(|seed| {
            let mix = Mix::drawn(&mut Random::new(seed, "mix"));
            (mix.rate(Fault::Rot) == 300).then_some(mix)
        });
        let mut disk = SimDisk::new(1, "test", rate.unwrap());
        for key in ["a", "b", "c"] {
            put(&mut disk, key, Durable::Now).unwrap();
        }
        while !disk.rot() {}
        disk.crash();
        let reopened = disk.reopen();
        assert!(reopened.lost_synced && reopened.dropped > 0 && keys(&disk) < 3);
    }

    #[test]
    fn a_spoilt_row_cannot_be_read_until_it_is_written_anew() {
        let mut disk = SimDisk::new(1, "test", mix(None));
        for key in ["a", "b"] {
            put(&mut disk, key, Durable::Now).unwrap();
        }
        assert!(disk.spoil());
        disk.crash();
        disk.reopen();
        let bad = |disk: &SimDisk| {
            let get = |key: &&str| disk.rows().get(tables::AUMS, key.as_bytes()).is_err();
            ["a", "b"].into_iter().filter(get).collect::<Vec<_>>()
        };
        let spoilt = bad(&disk);
        assert_eq!(spoilt.len(), 1);
        let scanned = disk.rows().scan(tables::AUMS, &[][..]..&[][..]).unwrap();
        assert_eq!(scanned.filter(Result::is_err).count(), 1);
        assert!(disk.is_worn());
        put(&mut disk, spoilt[0], Durable::Now).unwrap();
        assert!(bad(&disk).is_empty() && !disk.is_worn());
    }

    #[test]
    fn a_write_during_which_the_power_fails_is_there_whole_or_not_at_all() {
        let mut left = BTreeSet::new();
        for seed in 0..100 {
            let mut disk = SimDisk::new(seed, "test", mix(None));
            put(&mut disk, "a", Durable::Now).unwrap();
            disk.fails_next = true;
            assert!(put(&mut disk, "b", Durable::Now).is_err());
            assert!(put(&mut disk, "c", Durable::Now).is_err());
            disk.crash();
            let reopened = disk.reopen();
            assert!(!reopened.lost_synced);
            left.insert((keys(&disk), reopened.dropped > 0));
        }
        assert_eq!(left, [(1, false), (1, true), (2, false)].into());
    }

    #[test]
    fn a_full_disk_fails_until_it_is_opened_again_with_space() {
        let mut disk = SimDisk::new(1, "test", mix(None));
        put(&mut disk, "a", Durable::Now).unwrap();
        disk.set_full(true);
        assert!(put(&mut disk, "b", Durable::Now).is_err());
        disk.set_full(false);
        assert!(put(&mut disk, "b", Durable::Now).is_err());
        disk.crash();
        disk.reopen();
        put(&mut disk, "b", Durable::Now).unwrap();
        assert_eq!(keys(&disk), 2);
    }
}
