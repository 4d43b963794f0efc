//! Records: admitted proposals in their place.

use std::fmt;

use super::{RecordHash, SignedProposal};
use crate::Refusal;
use crate::cbor::{Reader, Writer};
use crate::ids::blake2s_parts;
use crate::limits::RECORD_BYTES;
use crate::lock::signatures::{Claim, Signed};

use super::EventRefusal;

/// What precedes a record's bytes in its hash.
const TAG: &[u8] = b"lockstep record 1\0";

/// An admitted proposal with its index and the hash of the record before, in canonical bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    index: u64,
    prev: Option<RecordHash>,
    proposal: SignedProposal,
    bytes: Vec<u8>,
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
        let bytes = out.into_bytes();
        let hash = Self::hash_of(&bytes);
        Record { index, prev, proposal, bytes, hash }
    }

    /// The hash that a record of these bytes has.
    pub fn hash_of(bytes: &[u8]) -> RecordHash {
        RecordHash(blake2s_parts(&[TAG, bytes]))
    }

    /// Decodes canonical bytes; checks what can be said without any state, but no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
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
        fields.end(r)?;
        reader.finish()?;
        let proposal = SignedProposal::decode(proposal)?;
        Ok(Record { index, prev, proposal, bytes: bytes.to_vec(), hash: Self::hash_of(bytes) })
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
