//! The lock's lives: off, on, retired, and on again in the next epoch.

use super::event::BroughtGenesis;
use super::{Epoch, NodeId, row};
use crate::Fault;
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::{AumHash, LockKey};
use crate::lock::Sealed;
use crate::rows::{Draft, Rows, tables};

/// Whether there is a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// There has never been one.
    Off,
    /// It is on, in this epoch.
    On(Epoch),
    /// It was disabled, and this was its last epoch.
    Retired(Epoch),
}

impl Lifecycle {
    /// The current epoch, or the last one.
    pub fn epoch(self) -> Option<Epoch> {
        match self {
            Lifecycle::Off => None,
            Lifecycle::On(epoch) | Lifecycle::Retired(epoch) => Some(epoch),
        }
    }

    /// Whether the lock is on.
    pub fn is_on(self) -> bool {
        matches!(self, Lifecycle::On(_))
    }
}

/// One life of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochEntry {
    /// Its number.
    pub epoch: Epoch,
    /// Its first AUM.
    pub genesis: AumHash,
    /// The state ID of all its states.
    pub state_id: (u64, u64),
    /// The record of the initialization or, of a lock from elsewhere, the one that completed it.
    pub began: u64,
    /// The record that ended it: the disablement, which holds the revealed secret, or the end of
    /// following a lock, which holds none; none while it is on.
    pub ended: Option<u64>,
}

/// A genesis that a node has brought, until the lock is initialized or another one comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingGenesis {
    /// The genesis, and whose it is.
    pub brought: BroughtGenesis,
    /// The record by which it came.
    pub record: u64,
}

/// Rows of epochs by number.
const BY_NUMBER: u8 = 0;
/// Rows of epochs by state ID.
const BY_STATE_ID: u8 = 1;
/// The row of the genesis that waits.
const WAITING: &[u8] = &[2];

fn number_key(epoch: Epoch) -> Vec<u8> {
    [&[BY_NUMBER], &epoch.0.to_be_bytes()[..]].concat()
}

fn state_id_key((id1, id2): (u64, u64)) -> Vec<u8> {
    [&[BY_STATE_ID], &id1.to_be_bytes()[..], &id2.to_be_bytes()].concat()
}

/// That epoch.
pub fn epoch(rows: &dyn Rows, epoch: Epoch) -> Result<Option<EpochEntry>, Fault> {
    let key = number_key(epoch);
    let Some(value) = rows.get(tables::EPOCHS, &key)? else { return Ok(None) };
    row::decode(tables::EPOCHS, &key, &value, |reader| EpochEntry::read(epoch, reader)).map(Some)
}

/// The epoch that had that state ID, if one had.
pub fn by_state_id(rows: &dyn Rows, state_id: (u64, u64)) -> Result<Option<Epoch>, Fault> {
    let key = state_id_key(state_id);
    let Some(value) = rows.get(tables::EPOCHS, &key)? else { return Ok(None) };
    match value.try_into() {
        Ok(bytes) => Ok(Some(Epoch(u32::from_be_bytes(bytes)))),
        Err(_) => Err(Fault::new("damaged row of table epochs: not an epoch number")),
    }
}

/// The genesis that waits for signatures, if one does.
pub fn waiting(rows: &dyn Rows) -> Result<Option<WaitingGenesis>, Fault> {
    match rows.get(tables::EPOCHS, WAITING)? {
        Some(value) => row::decode(tables::EPOCHS, WAITING, &value, WaitingGenesis::read).map(Some),
        None => Ok(None),
    }
}

/// A genesis waits in place of any other.
pub(super) fn wait(rows: &mut Draft<'_>, waiting: &WaitingGenesis) {
    rows.put(tables::EPOCHS, WAITING, waiting.write());
}

/// A node that leaves takes the genesis along that it has brought.
pub(super) fn forget(rows: &mut Draft<'_>, node: NodeId) -> Result<(), Fault> {
    if waiting(rows)?.is_some_and(|waiting| waiting.brought.node == node) {
        rows.delete(tables::EPOCHS, WAITING);
    }
    Ok(())
}

/// Sets an epoch's rows. When one begins, no genesis waits any more.
pub(super) fn put(rows: &mut Draft<'_>, entry: &EpochEntry) {
    rows.put(tables::EPOCHS, number_key(entry.epoch), entry.write());
    rows.put(tables::EPOCHS, state_id_key(entry.state_id), entry.epoch.0.to_be_bytes());
    rows.delete(tables::EPOCHS, WAITING);
}

/// Ends an epoch whose lock lives on elsewhere: it may come again under its state ID.
pub(super) fn release(rows: &mut Draft<'_>, entry: &EpochEntry) {
    put(rows, entry);
    rows.delete(tables::EPOCHS, state_id_key(entry.state_id));
}

impl WaitingGenesis {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(4).uint(self.record).uint(self.brought.node.0).bytes(&self.brought.key.0);
        out.bytes(self.brought.genesis.bytes());
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(4)?;
        let record = reader.uint()?;
        let node = NodeId(reader.uint()?);
        let key = LockKey(reader.fixed()?);
        let genesis = Sealed::decode(reader.bytes()?)?;
        reader.close();
        Ok(WaitingGenesis { brought: BroughtGenesis { node, key, genesis }, record })
    }
}

impl EpochEntry {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(5).bytes(&self.genesis.0).uint(self.state_id.0).uint(self.state_id.1);
        out.uint(self.began);
        match self.ended {
            Some(record) => out.uint(record),
            None => out.null(),
        };
        out.into_bytes()
    }

    fn read(epoch: Epoch, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(5)?;
        let genesis = AumHash(reader.fixed()?);
        let state_id = (reader.uint()?, reader.uint()?);
        let began = reader.uint()?;
        let ended = if reader.null() { None } else { Some(reader.uint()?) };
        reader.close();
        Ok(EpochEntry { epoch, genesis, state_id, began, ended })
    }
}
