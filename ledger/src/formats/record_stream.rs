//! Records one after the other, as a backup has them.
//!
//! ```text
//! lockstep backup 1\n          18 bytes
//! frame: head                 [cluster ID, incarnation, number of records]
//! frame: record 0             canonical bytes
//! ...
//! frame: end                  [hash of the last record, fold hash behind it]
//! ```
//!
//! A frame is a length (four bytes, most significant first) and as many bytes; head and end are
//! canonical CBOR. The end says what a replay must come to; so a file that was cut off, or whose
//! records were exchanged, is noticed by itself. Whether the records are the right ones is for
//! their signatures, and for whoever remembers a hash.

use crate::cbor::{Malformed, Reader, Writer};
use crate::history::{ClusterId, FoldHash, Record, RecordHash};
use crate::limits::RECORD_BYTES;

/// What a backup begins with.
pub const MAGIC: &[u8; 18] = b"lockstep backup 1\n";
/// Bytes of a head or an end, at most.
const EDGE_BYTES: usize = 128;

/// What precedes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose records they are.
    pub cluster: ClusterId,
    /// The incarnation at their end, from 1.
    pub incarnation: u64,
    /// How many there are; at least one.
    pub records: u64,
}

/// What follows the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The last record's hash.
    pub hash: RecordHash,
    /// The fold hash behind it.
    pub fold: FoldHash,
}

/// Why a stream is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken<E> {
    /// It cannot be read.
    #[error(transparent)]
    Read(E),
    /// It does not begin like one.
    #[error("it is no backup of this version")]
    Magic,
    /// It ends too early.
    #[error("it ends too early: it was cut off")]
    Cut,
    /// Something follows its end.
    #[error("something follows its end")]
    Behind,
    /// A frame is longer than it may be.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// Head or end is none.
    #[error("its head or its end: {0}")]
    Edge(Malformed),
    /// What stands in a record's place is none.
    #[error("record {index}: {why}")]
    Record {
        /// Its place.
        index: u64,
        /// Why.
        why: String,
    },
    /// The end names another record than the last one.
    #[error("its end names another record than the last one")]
    End,
}

impl Head {
    /// The beginning of a stream: magic and head.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).bytes(&self.cluster.0).uint(self.incarnation).uint(self.records);
        [MAGIC.as_slice(), &frame(&out.into_bytes())].concat()
    }
}

impl End {
    /// The end of a stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(2).bytes(&self.hash.0).bytes(&self.fold.0);
        frame(&out.into_bytes())
    }
}

/// A record as it stands in a stream.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// A stream that is being read. Whoever reads gives a function that returns as many bytes as it
/// is asked for, or fewer where its source ends.
#[derive(Debug)]
pub struct RecordStream {
    head: Head,
    next: u64,
    /// The bytes of the record before, which is only hashed where its hash is needed.
    last: Vec<u8>,
    end: Option<End>,
}

impl RecordStream {
    /// Reads the beginning.
    pub fn open<E>(read: &mut impl FnMut(usize) -> Result<Vec<u8>, E>) -> Result<Self, Broken<E>> {
        if read(MAGIC.len()).map_err(Broken::Read)? != MAGIC {
            return Err(Broken::Magic);
        }
        let bytes = read_frame(read, EDGE_BYTES)?;
        let head = read_head(&bytes).map_err(Broken::Edge)?;
        Ok(RecordStream { head, next: 0, last: Vec::new(), end: None })
    }

    /// What precedes the records.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What follows them, once they have all been read.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next record: linked to the one before, and not verified further. None behind the last.
    pub fn next<E>(
        &mut self,
        read: &mut impl FnMut(usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<Record>, Broken<E>> {
        let (index, last) = (self.next, self.last_hash());
        let Some(bytes) = self.next_bytes(read)? else { return Ok(None) };
        let wrong = |why: String| Broken::Record { index, why };
        let record = Record::decode(&bytes).map_err(|refusal| wrong(refusal.to_string()))?;
        if record.index() != index || record.prev() != last {
            return Err(wrong("it does not follow the one before".to_owned()));
        }
        Ok(Some(record))
    }

    /// What stands in the next record's place, not even decoded. None behind the last.
    pub fn next_bytes<E>(
        &mut self,
        read: &mut impl FnMut(usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<Vec<u8>>, Broken<E>> {
        if self.end.is_some() {
            return Ok(None);
        }
        if self.next == self.head.records {
            let end = read_end(&read_frame(read, EDGE_BYTES)?).map_err(Broken::Edge)?;
            if Some(end.hash) != self.last_hash() {
                return Err(Broken::End);
            }
            if !read(1).map_err(Broken::Read)?.is_empty() {
                return Err(Broken::Behind);
            }
            self.end = Some(end);
            return Ok(None);
        }
        let bytes = read_frame(read, RECORD_BYTES)?;
        self.next += 1;
        self.last.clear();
        self.last.extend_from_slice(&bytes);
        Ok(Some(bytes))
    }

    /// The hash of the record that was read last.
    fn last_hash(&self) -> Option<RecordHash> {
        (self.next > 0).then(|| Record::hash_of(&self.last))
    }
}

fn read_frame<E>(
    read: &mut impl FnMut(usize) -> Result<Vec<u8>, E>,
    most: usize,
) -> Result<Vec<u8>, Broken<E>> {
    let prefix: [u8; 4] = read(4).map_err(Broken::Read)?.try_into().map_err(|_| Broken::Cut)?;
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > most {
        return Err(Broken::Length(length));
    }
    let bytes = read(length).map_err(Broken::Read)?;
    if bytes.len() == length { Ok(bytes) } else { Err(Broken::Cut) }
}

fn read_head(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array_of(3)?;
    let cluster = ClusterId(reader.fixed()?);
    let incarnation = reader.uint()?;
    let at = reader.clone();
    let records = reader.uint()?;
    if incarnation == 0 || records == 0 {
        return Err(at.malformed("a history without a beginning"));
    }
    reader.close();
    reader.finish()?;
    Ok(Head { cluster, incarnation, records })
}

fn read_end(bytes: &[u8]) -> Result<End, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array_of(2)?;
    let end = End { hash: RecordHash(reader.fixed()?), fold: FoldHash(reader.fixed()?) };
    reader.close();
    reader.finish()?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Event;
    use crate::testing::Group;

    fn backup() -> (Vec<u8>, Vec<Record>) {
        let mut group = Group::new();
        for number in 1..4 {
            group.apply(Event::NodeAdded(crate::history::NewNode {
                name: format!("n{number}"),
                node_key: crate::ids::NodeKey([number; 32]),
                lock_key: None,
                own: false,
                signature: None,
                auth_key: None,
            }));
        }
        let records = group.records().to_vec();
        let head = Head {
            cluster: group.fold.cluster().unwrap(),
            incarnation: 1,
            records: records.len() as u64,
        };
        let mut bytes = head.to_bytes();
        for record in &records {
            bytes.extend(frame(record.bytes()));
        }
        let end = End { hash: group.fold.last_hash().unwrap(), fold: group.fold.fold_hash() };
        bytes.extend(end.to_bytes());
        (bytes, records)
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Record>, Broken<()>> {
        let mut rest = bytes;
        let mut read = |n: usize| {
            let (now, later) = rest.split_at(n.min(rest.len()));
            rest = later;
            Ok(now.to_vec())
        };
        let mut stream = RecordStream::open(&mut read)?;
        let mut records = Vec::new();
        while let Some(record) = stream.next(&mut read)? {
            records.push(record);
        }
        assert!(stream.end().is_some());
        Ok(records)
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let (bytes, records) = backup();
        assert_eq!(read_all(&bytes).unwrap(), records);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_before_the_fold_hash_is_noticed() {
        let (bytes, _) = backup();
        for cut in 0..bytes.len() {
            assert!(read_all(&bytes[..cut]).is_err(), "{cut}");
        }
        assert_eq!(read_all(&[&bytes[..], b"x"].concat()), Err(Broken::Behind));
        // Cluster, incarnation and fold hash are compared with what a replay comes to.
        let head = MAGIC.len() + 4 + 1;
        let compared = |at: usize| (head..head + 18).contains(&at) || at >= bytes.len() - 32;
        for at in (0..bytes.len()).filter(|at| !compared(*at)) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(read_all(&other).is_err(), "{at}");
        }
    }
}
