//! Records: admitted proposals in their place.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::proposal::Part;
use super::{EventRefusal, RecordHash, SignedProposal, proposal};
use crate::Refusal;
use crate::cbor::{Reader, Writer};
use crate::ids::{blake2s, blake2s_each, blake2s_parts};
use crate::limits::RECORD_BYTES;
use crate::lock::signatures::{Claim, Signed};

/// What precedes a record's bytes in its hash.
const TAG: &[u8] = b"lockstep record 1\0";

/// An admitted proposal with its index and the hash of the record before, in canonical bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    index: u64,
    prev: Option<RecordHash>,
    proposal: SignedProposal,
    bytes: Arc<[u8]>,
    hash: RecordHash,
}

/// Without the bytes, of which nobody may have checked yet whether they are a record.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("index", &self.index)
            .field("hash", &self.hash)
            .field("proposal", &self.proposal)
            .finish_non_exhaustive()
    }
}

impl Record {
    /// Puts a proposal in its place.
    pub(super) fn seal(index: u64, prev: Option<RecordHash>, proposal: SignedProposal) -> Self {
        let mut out = Writer::new();
        out.map(3);
        out.uint(1).uint(index);
        out.uint(2).nullable_bytes(prev.as_ref().map(|hash| hash.0.as_slice()));
        out.uint(3).bytes(proposal.bytes());
        let bytes: Arc<[u8]> = out.into_bytes().into();
        let hash = Self::hash_of(&bytes);
        Record { index, prev, proposal, bytes, hash }
    }

    /// The hash that a record of these bytes has.
    pub fn hash_of(bytes: &[u8]) -> RecordHash {
        RecordHash(blake2s_parts(&[TAG, bytes]))
    }

    /// Decodes canonical bytes; checks what can be said without any state, but no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let unhashed = Unhashed::decode(bytes)?;
        let message = blake2s(unhashed.proposal.message);
        Ok(unhashed.hashed(message, Self::hash_of(bytes)))
    }

    /// [`decode`](Self::decode) of each of many, in their order: their hashes take a quarter of the
    /// time if they are computed together.
    pub fn decode_each<'a>(inputs: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Self, Refusal>> {
        let decoded: Vec<_> = inputs.map(Unhashed::decode).collect();
        let readable = || decoded.iter().flatten();
        let mut messages = blake2s_each(readable().map(|record| record.proposal.message));
        // What is hashed lies in one piece.
        let bytes = readable().map(|record| TAG.len() + record.bytes.len()).sum();
        let mut tagged = Vec::with_capacity(bytes);
        for record in readable() {
            tagged.extend_from_slice(TAG);
            tagged.extend_from_slice(record.bytes);
        }
        let mut rest = tagged.as_slice();
        let mut hashes = blake2s_each(readable().map(|record| {
            let (one, others) = rest.split_at(TAG.len() + record.bytes.len());
            rest = others;
            one
        }));
        let (mut messages, mut hashes) = (messages.drain(..), hashes.drain(..));
        let hashed = decoded.into_iter().map(|unhashed| {
            let unhashed = unhashed?;
            match (messages.next(), hashes.next()) {
                (Some(message), Some(hash)) => Ok(unhashed.hashed(message, RecordHash(hash))),
                // There is one of each for every record.
                _ => Self::decode(unhashed.bytes),
            }
        });
        hashed.collect()
    }

    /// Its place in the history, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The hash of the record before; none for record 0.
    pub fn prev(&self) -> Option<RecordHash> {
        self.prev
    }

    /// What was proposed, and by which member.
    pub fn proposal(&self) -> &SignedProposal {
        &self.proposal
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record's identity.
    pub fn hash(&self) -> RecordHash {
        self.hash
    }
}

/// A record, decoded but for its hashes.
struct Unhashed<'a> {
    index: u64,
    prev: Option<RecordHash>,
    proposal: proposal::Unhashed<'a>,
    bytes: &'a [u8],
    /// Where among them the proposal's are.
    proposal_at: Range<usize>,
}

impl<'a> Unhashed<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > RECORD_BYTES {
            return Err(EventRefusal::TooLarge { bytes: bytes.len() }.into());
        }
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let mut fields = r.fields()?;
        fields.needs(r, 1)?;
        let index = r.uint()?;
        fields.needs(r, 2)?;
        let at = r.clone();
        let prev = if r.null() { None } else { Some(RecordHash(r.fixed()?)) };
        if prev.is_none() != (index == 0) {
            return Err(at.malformed("record 0, and only it, has no record before").into());
        }
        fields.needs(r, 3)?;
        let proposal = r.bytes()?;
        let proposal_at = r.offset() - proposal.len()..r.offset();
        fields.end(r)?;
        reader.finish()?;
        let proposal = proposal::Unhashed::decode(proposal)?;
        Ok(Unhashed { index, prev, proposal, bytes, proposal_at })
    }

    /// The same with the hash of what its member signed and its own.
    fn hashed(self, message: [u8; 32], hash: RecordHash) -> Record {
        let Unhashed { index, prev, proposal, bytes, proposal_at } = self;
        let bytes: Arc<[u8]> = bytes.into();
        let proposal = proposal.hashed(message, Part { whole: bytes.clone(), at: proposal_at });
        Record { index, prev, proposal, bytes, hash }
    }
}

impl Signed for Record {
    /// What the proposal claims.
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        self.proposal.claims(out)
    }

    /// The record's hash, which is always computed here and covers every key, message and signature.
    fn fixed_by(&self) -> Option<[u8; 32]> {
        Some(self.hash.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, NewNode};
    use crate::ids::NodeKey;
    use crate::testing::Group;

    #[test]
    fn many_are_decoded_as_one_is() {
        let mut group = Group::new();
        for number in 1..40 {
            group.apply(Event::NodeAdded(NewNode {
                name: "n".repeat(number),
                node_key: NodeKey([number as u8; 32]),
                lock_key: None,
                own: false,
                signature: None,
                auth_key: None,
            }));
        }
        let mut inputs: Vec<_> =
            group.records().iter().map(|record| record.bytes().to_vec()).collect();
        for (at, spoilt) in [(0, 3), (17, 0), (18, 40), (39, 90)] {
            inputs[at][spoilt] ^= 1;
        }
        inputs[20].truncate(50);
        inputs[21].clear();
        inputs[22].push(0);
        let one_by_one: Vec<_> = inputs.iter().map(|bytes| Record::decode(bytes)).collect();
        assert!(one_by_one.iter().filter(|record| record.is_ok()).count() > 30);
        assert!(one_by_one.iter().filter(|record| record.is_err()).count() > 3);
        for count in [inputs.len(), 1, 0] {
            let together = Record::decode_each(inputs[..count].iter().map(Vec::as_slice));
            assert_eq!(together, one_by_one[..count]);
        }
    }
}
