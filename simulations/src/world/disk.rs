//! Disks: rows that a process keeps, and what crashes and bad sectors do to them.

use std::ops::Range;

use blake2s_simd::blake2s;
use ledger::Fault as LedgerFault;
use ledger::cbor::{Malformed, Reader, Writer};
use ledger::rows::{Changes, Draft, Memory, RowIter, Rows, Table, tables};

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
#[derive(Debug)]
pub struct SimDisk {
    bytes: Vec<u8>,
    /// How many bytes survive a crash.
    synced: usize,
    rows: Faulty,
    /// No write succeeds until the disk is opened again.
    failed: bool,
    full: bool,
    mix: Mix,
    random: Random,
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
}

impl Rows for Faulty {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerFault> {
        self.read()?;
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, keys: Range<&[u8]>) -> Result<RowIter<'_>, LedgerFault> {
        self.read()?;
        self.rows.scan(table, keys)
    }
}

impl Faulty {
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
            rows: Faulty { rows: Memory::new(), fails_in: 0.into() },
            failed: false,
            full: false,
            mix,
            random: Random::new(seed, &format!("disk of {name}")),
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
        self.failed = false;
        self.rows = Faulty { rows, fails_in: 0.into() };
        Reopened { dropped, lost_synced }
    }

    /// Nothing is left.
    pub fn wipe(&mut self) {
        self.bytes.clear();
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
    tables::ALL.iter().chain(&ours).copied().find(|table| table.0 == name)
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
