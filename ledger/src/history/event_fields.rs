//! The encoding of what the bodies of several events have: names, keys, signatures, reasons, notes.

use std::collections::BTreeSet;

use super::event::{ChangeReason, NodeSignature};
use super::{AuthKeyId, EventRefusal, NodeId, door};
use crate::Refusal;
use crate::cbor::{Fields, Malformed, Reader, Writer};
use crate::ids::{LockKey, NodeKey};
use crate::limits::{EVENT_AUMS, EVENT_SIGNATURES, NAME_BYTES, NOTE_BYTES};
use crate::lock::Sealed;
use crate::lock::node_keys::NodeKeySignature;

/// The number of an item: its place plus 1.
pub(super) fn number<T: PartialEq>(all: &[T], item: T) -> u64 {
    all.iter().take_while(|other| **other != item).count() as u64 + 1
}

/// The item of the number that comes next.
pub(super) fn numbered<T: Copy>(
    reader: &mut Reader<'_>,
    all: &[T],
    unknown: &'static str,
) -> Result<T, Malformed> {
    let at = reader.clone();
    let place = usize::try_from(reader.uint()?).ok().and_then(|n| n.checked_sub(1));
    place.and_then(|place| all.get(place)).copied().ok_or_else(|| at.malformed(unknown))
}

pub(super) fn read_auth_key_id(reader: &mut Reader<'_>) -> Result<AuthKeyId, Refusal> {
    Ok(reader.text()?.parse().map_err(EventRefusal::from)?)
}

pub(super) fn write_reason(out: &mut Writer, field: u64, reason: Option<ChangeReason>) {
    if let Some(reason) = reason {
        out.uint(field).uint(number(&ChangeReason::ALL, reason));
    }
}

pub(super) fn read_reason(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Option<ChangeReason>, Malformed> {
    if !fields.has(reader, field)? {
        return Ok(None);
    }
    numbered(reader, &ChangeReason::ALL, "an unknown reason").map(Some)
}

pub(super) fn write_note(out: &mut Writer, field: u64, note: Option<&str>) {
    if let Some(note) = note {
        out.uint(field).text(note);
    }
}

pub(super) fn read_note(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Option<String>, Refusal> {
    if !fields.has(reader, field)? {
        return Ok(None);
    }
    let at = reader.clone();
    match reader.text()? {
        "" => Err(at.malformed("an empty note that should have been left out").into()),
        note if note.len() > NOTE_BYTES => {
            Err(EventRefusal::Shape("the note is longer than 1024 bytes").into())
        }
        note => Ok(Some(note.to_owned())),
    }
}

/// Whether text is one DNS label: 1 to 63 lower-case letters, digits and inner hyphens.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn read_name(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    let name = reader.text()?;
    if is_name(name) { Ok(name.to_owned()) } else { Err(EventRefusal::Name.into()) }
}

pub(super) fn read_node_key(reader: &mut Reader<'_>) -> Result<NodeKey, Refusal> {
    Ok(door::node_key(NodeKey(reader.fixed()?))?)
}

pub(super) fn read_u32(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let at = reader.clone();
    u32::try_from(reader.uint()?).map_err(|_| at.malformed("a number of more than 32 bits"))
}

pub(super) fn write_aums(out: &mut Writer, field: u64, aums: &[Sealed]) {
    out.uint(field).array(aums.len());
    for aum in aums {
        out.bytes(aum.bytes());
    }
}

/// A list of AUMs, not empty, none twice.
pub(super) fn read_aums(reader: &mut Reader<'_>) -> Result<Vec<Sealed>, Refusal> {
    let len = reader.array_up_to(EVENT_AUMS)?;
    if len == 0 {
        return Err(EventRefusal::Shape("no AUM").into());
    }
    let mut aums = Vec::with_capacity(len);
    let mut hashes = BTreeSet::new();
    for _ in 0..len {
        let aum = Sealed::decode(reader.bytes()?)?;
        if !hashes.insert(aum.hash()) {
            return Err(EventRefusal::Shape("the same AUM twice").into());
        }
        aums.push(aum);
    }
    reader.close();
    Ok(aums)
}

pub(super) fn write_lock_key(out: &mut Writer, field: u64, key: Option<&LockKey>) {
    if let Some(key) = key {
        out.uint(field).bytes(&key.0);
    }
}

pub(super) fn read_lock_key(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Option<LockKey>, Refusal> {
    if !fields.has(reader, field)? {
        return Ok(None);
    }
    Ok(Some(door::lock_key(LockKey(reader.fixed()?))?))
}

pub(super) fn write_signature(out: &mut Writer, field: u64, signature: Option<&NodeKeySignature>) {
    if let Some(signature) = signature {
        out.uint(field).bytes(&signature.to_cbor());
    }
}

pub(super) fn read_signature(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Option<NodeKeySignature>, Malformed> {
    if fields.has(reader, field)? {
        NodeKeySignature::decode(reader.bytes()?).map(Some)
    } else {
        Ok(None)
    }
}

/// A list of pairs, left out when empty.
pub(super) fn write_signatures(out: &mut Writer, field: u64, signatures: &[NodeSignature]) {
    if signatures.is_empty() {
        return;
    }
    out.uint(field).array(signatures.len());
    for item in signatures {
        out.array(2).uint(item.node.0).bytes(&item.signature.to_cbor());
    }
}

/// The list, ascending by node and not empty.
pub(super) fn read_signatures(reader: &mut Reader<'_>) -> Result<Vec<NodeSignature>, Malformed> {
    let at = reader.clone();
    let len = reader.array_up_to(EVENT_SIGNATURES)?;
    if len == 0 {
        return Err(at.malformed("an empty list that should have been left out"));
    }
    let mut signatures: Vec<NodeSignature> = Vec::new();
    for _ in 0..len {
        let at = reader.clone();
        reader.array_of(2)?;
        let node = NodeId(reader.uint()?);
        if signatures.last().is_some_and(|last| last.node >= node) {
            return Err(at.malformed("nodes out of order or repeated"));
        }
        let signature = NodeKeySignature::decode(reader.bytes()?)?;
        reader.close();
        signatures.push(NodeSignature { node, signature });
    }
    reader.close();
    Ok(signatures)
}
