//! Requests: which have been recorded, so that none is recorded twice.

use std::ops::Range;

use super::effects::Step;
use super::{EventRefusal, Proposal, RequestId, row};
use crate::cbor::Writer;
use crate::ids::blake2s_parts;
use crate::rows::{Rows, tables};
use crate::{Failure, Fault};

/// What precedes verb and arguments in a request's digest.
const DIGEST_TAG: &[u8] = b"lockstep request 1\0";

/// The digest of a verb (which has no zero byte in it) and its arguments, for a
/// [`Proposal`]. Whoever asks may take another one, as long as it does so each time.
pub fn digest(verb: &str, arguments: &[u8]) -> [u8; 32] {
    blake2s_parts(&[DIGEST_TAG, verb.as_bytes(), b"\0", arguments])
}

/// A part of a request, as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedPart {
    /// The place of the event among those of its request.
    pub part: u32,
    /// Its record.
    pub index: u64,
    /// The digest of the request.
    pub digest: [u8; 32],
}

/// The recorded parts of a request, ascending.
pub fn parts(rows: &dyn Rows, request: &RequestId) -> Result<Vec<RecordedPart>, Fault> {
    let start = key(request, 0);
    // The byte after the one that ends the ID.
    let end = [request.as_str().as_bytes(), &[1]].concat();
    rows.scan(tables::REQUESTS, &start..&end)?
        .map(|item| {
            let (key, value) = item?;
            read(&key, &value)
        })
        .collect()
}

/// The record that this very part of a request became, if it did. Refuses a part of another
/// request under the same ID.
pub(super) fn recorded(rows: &dyn Rows, proposal: &Proposal) -> Result<Option<u64>, Failure> {
    let start = key(&proposal.request, 0);
    let end = [proposal.request.as_str().as_bytes(), &[1]].concat();
    // Nearly always there is none, which one look tells.
    let found = match rows.scan(tables::REQUESTS, &start..&end)?.next() {
        None => None,
        Some(first) => {
            let key_of_part = key(&proposal.request, proposal.part);
            match rows.get(tables::REQUESTS, &key_of_part)? {
                Some(value) => Some(read(&key_of_part, &value)?),
                None => {
                    let (key, value) = first?;
                    Some(read(&key, &value)?)
                }
            }
        }
    };
    match found {
        None => Ok(None),
        Some(found) if found.digest != proposal.digest => {
            let request = proposal.request.clone();
            Err(EventRefusal::RequestReused { request, index: found.index }.into())
        }
        Some(found) => Ok((found.part == proposal.part).then_some(found.index)),
    }
}

/// Notes the request of the record that is being made.
pub(super) fn record(step: &mut Step<'_>, proposal: &Proposal) {
    let mut out = Writer::new();
    out.array(2).uint(step.index).bytes(&proposal.digest);
    step.rows.put(tables::REQUESTS, key(&proposal.request, proposal.part), out.into_bytes());
    step.request(&proposal.request, &proposal.digest, proposal.part);
}

/// The ID, a zero that no ID has in it, and the part.
fn key(request: &RequestId, part: u32) -> Vec<u8> {
    [request.as_str().as_bytes(), &[0], &part.to_be_bytes()].concat()
}

/// What the keys of all parts of a request have in common, and those of no other: the ID and the
/// zero after it.
pub fn common(key: &[u8]) -> &[u8] {
    key.split_last_chunk::<4>().map_or(key, |(common, _)| common)
}

/// Whether a range of keys is that of all parts of one request, the first of them its start.
pub fn is_one(keys: &Range<&[u8]>) -> bool {
    let start = common(keys.start).split_last();
    let end = keys.end.split_last();
    matches!((start, end), (Some((0, start)), Some((1, end))) if start == end && !start.contains(&0))
}

fn read(key: &[u8], value: &[u8]) -> Result<RecordedPart, Fault> {
    let part = key
        .split_last_chunk::<4>()
        .map(|(_, part)| u32::from_be_bytes(*part))
        .ok_or_else(|| Fault::new("damaged key in table requests"))?;
    row::decode(tables::REQUESTS, key, value, |reader| {
        reader.array_of(2)?;
        let index = reader.uint()?;
        let digest = reader.fixed()?;
        reader.close();
        Ok(RecordedPart { part, index, digest })
    })
}
