//! What nodes have said that they have applied: which head of which lock, or its end.
//!
//! A head is known to the ledger as soon as it is recorded; a node knows it once it has asked. So
//! whoever disables a lock, or revokes a key, can see who has heard of it.

use super::effects::Step;
use super::event::{Acknowledged, Applied};
use super::{Epoch, EventRefusal, NodeId, lifecycle, roster, row};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;
use crate::lock::{Chain, ChainId};
use crate::rows::{Rows, prefix_end, tables};
use crate::{Failure, Fault};

/// The last that a node has said of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The lock.
    pub epoch: Epoch,
    /// What the node has applied of it.
    pub applied: Applied,
    /// The record that says so.
    pub record: u64,
}

/// The last that a node has said of that lock.
pub fn of(rows: &dyn Rows, node: NodeId, epoch: Epoch) -> Result<Option<Acknowledgement>, Fault> {
    let key = key(node, epoch);
    match rows.get(tables::ACKNOWLEDGEMENTS, &key)? {
        Some(value) => read(&key, &value).map(Some),
        None => Ok(None),
    }
}

/// The last that a node has said of each lock, oldest lock first.
pub fn by_node(rows: &dyn Rows, node: NodeId) -> Result<Vec<Acknowledgement>, Fault> {
    let start = node.0.to_be_bytes();
    let end = prefix_end(&start);
    rows.scan(tables::ACKNOWLEDGEMENTS, &start[..]..&end)?
        .map(|item| {
            let (key, value) = item?;
            read(&key, &value)
        })
        .collect()
}

/// Notes what a node has said, if it is possible and new.
pub(super) fn acknowledge(step: &mut Step<'_>, said: &Acknowledged) -> Result<(), Failure> {
    let Acknowledged { node, epoch, applied } = *said;
    if roster::node(&step.rows, node)?.is_none() {
        return Err(EventRefusal::UnknownNode(node).into());
    }
    let entry = lifecycle::epoch(&step.rows, epoch)?.ok_or(EventRefusal::UnknownEpoch(epoch))?;
    match applied {
        Applied::Head(aum) => {
            if Chain::new(&step.rows, ChainId(epoch.0)).node(&aum)?.is_none() {
                return Err(EventRefusal::UnknownAum { epoch, aum }.into());
            }
        }
        Applied::Disabled if entry.ended.is_none() => {
            return Err(EventRefusal::LockOn(epoch).into());
        }
        Applied::Disabled => {}
    }
    if let Some(before) = of(&step.rows, node, epoch)?.filter(|before| before.applied == applied) {
        return Err(EventRefusal::AlreadyAcknowledged(before.record).into());
    }
    let mut out = Writer::new();
    out.array(2).nullable_bytes(applied.head().as_ref().map(|head| head.0.as_slice()));
    out.uint(step.index);
    step.rows.put(tables::ACKNOWLEDGEMENTS, key(node, epoch), out.into_bytes());
    step.acknowledged(said);
    Ok(())
}

/// Forgets what a node that leaves has said.
pub(super) fn forget(step: &mut Step<'_>, node: NodeId) -> Result<(), Fault> {
    for said in by_node(&step.rows, node)? {
        step.rows.delete(tables::ACKNOWLEDGEMENTS, key(node, said.epoch));
    }
    Ok(())
}

fn key(node: NodeId, epoch: Epoch) -> Vec<u8> {
    [&node.0.to_be_bytes()[..], &epoch.0.to_be_bytes()].concat()
}

fn read(key: &[u8], value: &[u8]) -> Result<Acknowledgement, Fault> {
    let epoch = key
        .split_last_chunk::<4>()
        .map(|(_, epoch)| Epoch(u32::from_be_bytes(*epoch)))
        .ok_or_else(|| Fault::new("damaged key in table acknowledgements"))?;
    row::decode(tables::ACKNOWLEDGEMENTS, key, value, |reader| {
        reader.array_of(2)?;
        let applied = read_applied(reader)?;
        let record = reader.uint()?;
        reader.close();
        Ok(Acknowledgement { epoch, applied, record })
    })
}

fn read_applied(reader: &mut Reader<'_>) -> Result<Applied, Malformed> {
    if reader.null() {
        return Ok(Applied::Disabled);
    }
    Ok(Applied::Head(AumHash(reader.fixed()?)))
}
