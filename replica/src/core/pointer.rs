//! Where a Raft snapshot leads: to records, not to a copy of the state.

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::{FoldHash, RecordHash};

/// What a snapshot message carries instead of data: the last record applied at its index, and the
/// hashes that a replica which has followed all records up to it must have reached.
///
/// It is the `data` of a raft-rs snapshot, as canonical CBOR: [record index, record hash, fold
/// hash].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPointer {
    /// The last record's index, from 0.
    pub record: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// The fold hash behind it.
    pub fold: FoldHash,
}

impl RecordPointer {
    /// As the data of a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(self.record).bytes(&self.hash.0).bytes(&self.fold.0);
        out.into_bytes()
    }

    /// From the data of a snapshot.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(3)?;
        let pointer = RecordPointer {
            record: reader.uint()?,
            hash: RecordHash(reader.fixed()?),
            fold: FoldHash(reader.fixed()?),
        };
        reader.close();
        reader.finish()?;
        Ok(pointer)
    }
}
