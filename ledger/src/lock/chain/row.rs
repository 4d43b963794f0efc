//! How nodes, key changes and snapshots are written down. Nobody hashes these bytes.

use super::{KeyChange, Node, Place, SNAPSHOT_EVERY};
use crate::Fault;
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;
use crate::lock::{AumKind, Key, State};

/// The hash at the end of a row's key.
pub(super) fn tail_hash(key: &[u8]) -> Result<AumHash, Fault> {
    key.last_chunk().map(|hash| AumHash(*hash)).ok_or_else(|| Fault::new("damaged key of a row"))
}

pub(super) fn key_change(key: &[u8], value: &[u8]) -> Result<KeyChange, Fault> {
    let height = key.len().checked_sub(40).and_then(|at| key[at..].first_chunk());
    match (height, value) {
        (Some(height), [trusted @ (0 | 1)]) => Ok(KeyChange {
            at: Place { hash: tail_hash(key)?, height: u64::MAX - u64::from_be_bytes(*height) },
            trusted: *trusted == 1,
        }),
        _ => Err(Fault::new("damaged key-change row")),
    }
}

/// Bytes of a node's row, nearly at most: three hashes and small numbers.
const ROW_BYTES: usize = 144;

impl Node {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(ROW_BYTES);
        out.array(7);
        out.uint(self.height).uint(self.kind.0.into());
        out.nullable_bytes(self.parent.as_ref().map(|hash| hash.0.as_slice()));
        out.uint(self.weight).uint(self.since.into());
        for place in [&self.checkpoint, &self.jump] {
            match place {
                Some(place) => out.array(2).uint(place.height).bytes(&place.hash.0),
                None => out.null(),
            };
        }
        out.into_bytes()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        let place = |reader: &mut Reader<'_>| -> Result<Option<Place>, Malformed> {
            if reader.null() {
                return Ok(None);
            }
            reader.array_of(2)?;
            let (height, hash) = (reader.uint()?, AumHash(reader.fixed()?));
            reader.close();
            Ok(Some(Place { hash, height }))
        };
        reader.array_of(7)?;
        let at = reader.clone();
        let height = reader.uint()?;
        // There is no such number of AUMs; whoever counts on from it stays within bounds.
        if height > u64::MAX / 2 {
            return Err(at.malformed("too high"));
        }
        let kind = AumKind(reader.u8()?);
        let parent = if reader.null() { None } else { Some(AumHash(reader.fixed()?)) };
        let weight = reader.uint()?;
        let at = reader.clone();
        let since = u32::try_from(reader.uint()?).ok().filter(|since| *since < SNAPSHOT_EVERY);
        let since = since.ok_or_else(|| at.malformed("too far from a state"))?;
        let at = reader.clone();
        let (checkpoint, jump) = (place(&mut reader)?, place(&mut reader)?);
        // Whoever follows them gets down.
        if [checkpoint, jump].iter().flatten().any(|place| place.height >= height) {
            return Err(at.malformed("not below"));
        }
        reader.close();
        reader.finish()?;
        Ok(Node { height, kind, parent, weight, checkpoint, jump, since })
    }
}

/// A state as a row. Not its canonical encoding: without checkpoints AddKey can pass every bound
/// that an AUM has (spec 3.4), and what was accepted must be readable.
pub(super) fn write_snapshot(state: &State) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(5);
    out.nullable_bytes(state.last_aum.as_ref().map(|hash| hash.0.as_slice()));
    out.uint(state.state_id1).uint(state.state_id2);
    let values: Vec<_> = state.disablement_values().collect();
    out.array(values.len());
    for value in values {
        out.bytes(value);
    }
    out.array(state.keys().len());
    for key in state.keys() {
        key.write(&mut out);
    }
    out.into_bytes()
}

pub(super) fn read_snapshot(row: &[u8]) -> Result<State, Malformed> {
    let mut reader = Reader::new(row);
    reader.array_of(5)?;
    let last_aum = if reader.null() { None } else { Some(AumHash(reader.fixed()?)) };
    let (state_id1, state_id2) = (reader.uint()?, reader.uint()?);
    let mut values = Vec::new();
    for _ in 0..reader.array()? {
        values.push(Some(reader.bytes()?.to_vec()));
    }
    reader.close();
    let mut keys = Vec::new();
    for _ in 0..reader.array_up_to(row.len())? {
        keys.push(Key::read(&mut reader)?);
    }
    reader.close();
    reader.close();
    reader.finish()?;
    let (disablement_values, keys) = (Some(values), Some(keys));
    Ok(State { last_aum, disablement_values, keys, state_id1, state_id2 })
}
