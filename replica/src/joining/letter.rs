//! What a member and its host say to each other if the host does not know it.
//!
//! ```text
//! visit    [2, replica ID, incarnation]
//! after    [4, record]                        the last record that the host has
//! letter   [3, [record...], whether more come]
//! members  [5, [[replica ID, member key, address or null]...]]
//! believed [6]
//! ```
//!
//! The member begins; the host says what it has, or turns it away. Then come the letter, in as many
//! pieces as it takes, and who the members are by now, of whom the host takes addresses only.

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::ReplicaId;

use super::words::{Introduced, read_peers, write_peers};

/// Bytes of records that are said in one go; one record may be longer.
const PIECE_BYTES: usize = 32 << 10;

/// A member that the host may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) replica: ReplicaId,
    pub(super) incarnation: u64,
}

/// A part of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) more: bool,
}

/// Who the members are by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) peers: Introduced,
}

fn begin(reader: &mut Reader<'_>, len: usize, kind: u64) -> Result<(), Malformed> {
    reader.array_of(len)?;
    let at = reader.clone();
    if reader.uint()? == kind { Ok(()) } else { Err(at.malformed("another word")) }
}

fn end<T>(mut reader: Reader<'_>, word: T) -> Result<T, Malformed> {
    reader.close();
    reader.finish()?;
    Ok(word)
}

impl Visit {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(2).uint(self.replica.0).uint(self.incarnation);
        out.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        begin(&mut reader, 3, 2)?;
        let visit = Visit { replica: ReplicaId(reader.uint()?), incarnation: reader.uint()? };
        end(reader, visit)
    }
}

/// The last record that the host has.
pub(super) fn after(record: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(2).uint(4).uint(record);
    out.into_bytes()
}

pub(super) fn read_after(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(bytes);
    begin(&mut reader, 2, 4)?;
    let record = reader.uint()?;
    end(reader, record)
}

impl Piece {
    /// A letter, in pieces: one at least.
    pub(super) fn of(letter: Vec<Vec<u8>>) -> Vec<Piece> {
        let mut pieces = vec![Piece { records: Vec::new(), more: false }];
        let mut bytes = 0;
        for record in letter {
            if bytes > 0 && bytes + record.len() > PIECE_BYTES {
                pieces.push(Piece { records: Vec::new(), more: false });
                bytes = 0;
            }
            bytes += record.len();
            if let Some(last) = pieces.last_mut() {
                last.records.push(record);
            }
        }
        let before_last = pieces.len() - 1;
        pieces[..before_last].iter_mut().for_each(|piece| piece.more = true);
        pieces
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(3).array(self.records.len());
        for record in &self.records {
            out.bytes(record);
        }
        out.bool(self.more);
        out.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        begin(&mut reader, 3, 3)?;
        let mut records = Vec::new();
        // As many as there are bytes for.
        for _ in 0..reader.array_up_to(bytes.len())? {
            records.push(reader.bytes()?.to_vec());
        }
        reader.close();
        let more = reader.bool()?;
        end(reader, Piece { records, more })
    }
}

impl Members {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(2).uint(5);
        write_peers(&mut out, &self.peers);
        out.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        begin(&mut reader, 2, 5)?;
        let members = Members { peers: read_peers(&mut reader)? };
        end(reader, members)
    }
}

/// The host believes the letter.
pub(super) fn believed() -> Vec<u8> {
    let mut out = Writer::new();
    out.array(1).uint(6);
    out.into_bytes()
}

pub(super) fn is_believed(bytes: &[u8]) -> bool {
    bytes == believed()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger::history::MemberKey;

    use super::*;
    use crate::peers::Peer;

    #[test]
    fn words_are_read_as_they_were_written() {
        let visit = Visit { replica: ReplicaId(7), incarnation: 2 };
        assert_eq!(Visit::from_bytes(&visit.to_bytes()), Ok(visit));
        assert_eq!(read_after(&after(1 << 40)), Ok(1 << 40));
        assert!(is_believed(&believed()) && !is_believed(&after(6)));
        let peer = Peer { key: MemberKey([1; 32]), address: Some("a:1".into()) };
        let members = Members { peers: BTreeMap::from([(ReplicaId(3), peer)]) };
        assert_eq!(Members::from_bytes(&members.to_bytes()), Ok(members.clone()));
        let bytes = members.to_bytes();
        for cut in 0..bytes.len() {
            assert!(Members::from_bytes(&bytes[..cut]).is_err());
        }
        assert!(Visit::from_bytes(&after(1)).is_err() && read_after(&visit.to_bytes()).is_err());
    }

    #[test]
    fn a_letter_comes_in_pieces() {
        assert_eq!(Piece::of(Vec::new()), [Piece { records: Vec::new(), more: false }]);
        let letter: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; 3000]).collect();
        let pieces = Piece::of(letter.clone());
        assert!(pieces.len() > 4);
        let (last, others) = pieces.split_last().unwrap();
        assert!(!last.more && others.iter().all(|piece| piece.more));
        let mut read = Vec::new();
        for piece in &pieces {
            let bytes = piece.to_bytes();
            assert!(bytes.len() <= 64 << 10);
            assert_eq!(Piece::from_bytes(&bytes).as_ref(), Ok(piece));
            read.extend(piece.records.clone());
        }
        assert_eq!(read, letter);
        assert!(Piece::from_bytes(&[0x83, 3, 0x9a, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
