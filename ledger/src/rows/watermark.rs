//! The watermark: what a replica has promised, kept in a small file outside its database.
//!
//! RocksDB's point-in-time recovery silently drops synced writes behind a damaged WAL record. A
//! replica whose Raft log ends before its watermark has lost what it acknowledged, and must
//! neither vote nor acknowledge again. The replica crate writes the file; the layout is here
//! because the audit reads it too.
//!
//! The file has [`FILE_BYTES`] bytes: two slots, each at the start of a page of [`PAGE_BYTES`],
//! written alternately, so that a torn write spoils one of them at most. All integers are
//! big-endian:
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..8 | `LKSTPWM1` |
//! | 8..16 | sequence number of the write; the slot is the number modulo 2 |
//! | 16..24 | term |
//! | 24..32 | the replica voted for in that term, 0 for none |
//! | 32..40 | term of the last log entry |
//! | 40..48 | index of the last log entry |
//! | 48..80 | BLAKE2s-256 of bytes 0..48 |
//!
//! The rest of a page is zero.

use crate::ids::blake2s;

/// Bytes between the starts of the slots.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of the whole file.
pub const FILE_BYTES: usize = 2 * PAGE_BYTES;
/// Bytes of a slot.
pub const SLOT_BYTES: usize = 80;

const MAGIC: &[u8; 8] = b"LKSTPWM1";
const SUMMED: usize = 48;

/// A promise: this log was synced at least up to here, and this vote was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The highest term seen.
    pub term: u64,
    /// The replica voted for in that term, 0 for none.
    pub vote: u64,
    /// Term of the last log entry. Compared as a pair with `last_index`, term first.
    pub last_term: u64,
    /// Index of the last log entry.
    pub last_index: u64,
}

impl Watermark {
    /// Whether a replica that recovered as `found` still keeps what `self` promised.
    pub fn kept_by(&self, found: &Watermark) -> bool {
        let vote_kept = found.term > self.term
            || (found.term == self.term && (self.vote == 0 || self.vote == found.vote));
        let log_kept = (found.last_term, found.last_index) >= (self.last_term, self.last_index);
        vote_kept && (log_kept || planted!(IgnoreWatermark))
    }

    /// The slot that write number `sequence` puts at [`slot_offset`].
    pub fn to_slot(&self, sequence: u64) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        let fields = [sequence, self.term, self.vote, self.last_term, self.last_index];
        for (space, field) in slot[8..SUMMED].chunks_exact_mut(8).zip(fields) {
            space.copy_from_slice(&field.to_be_bytes());
        }
        let sum = blake2s(&slot[..SUMMED]);
        slot[SUMMED..].copy_from_slice(&sum);
        slot
    }

    /// Reads the file: the newest sound slot and its sequence number; `None` if both slots are
    /// damaged or the file is too short.
    pub fn from_file(bytes: &[u8]) -> Option<(u64, Watermark)> {
        let slot = |at: u64| {
            let found = bytes.get(slot_offset(at) as usize..).and_then(from_slot);
            // A write that went to the other slot says nothing.
            found.filter(|(sequence, _)| sequence % 2 == at)
        };
        [slot(0), slot(1)].into_iter().flatten().max_by_key(|(sequence, _)| *sequence)
    }
}

/// Where write number `sequence` goes, in bytes from the start of the file.
pub fn slot_offset(sequence: u64) -> u64 {
    (sequence % 2) * PAGE_BYTES as u64
}

fn from_slot(bytes: &[u8]) -> Option<(u64, Watermark)> {
    let slot = bytes.get(..SLOT_BYTES)?;
    if slot[..8] != *MAGIC || blake2s(&slot[..SUMMED])[..] != slot[SUMMED..] {
        return None;
    }
    let mut fields = slot[8..SUMMED].chunks_exact(8).map(|field| {
        let mut number = [0; 8];
        number.copy_from_slice(field);
        u64::from_be_bytes(number)
    });
    let sequence = fields.next()?;
    let mark = Watermark {
        term: fields.next()?,
        vote: fields.next()?,
        last_term: fields.next()?,
        last_index: fields.next()?,
    };
    Some((sequence, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Watermark = Watermark { term: 3, vote: 1, last_term: 3, last_index: 40 };

    fn write(file: &mut [u8], sequence: u64, mark: &Watermark) {
        let at = slot_offset(sequence) as usize;
        file[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(sequence));
    }

    #[test]
    fn the_newest_sound_slot_counts() {
        let mut file = vec![0; FILE_BYTES];
        assert_eq!(Watermark::from_file(&file), None);
        write(&mut file, 1, &MARK);
        let newer = Watermark { last_index: 41, ..MARK };
        write(&mut file, 2, &newer);
        assert_eq!(Watermark::from_file(&file), Some((2, newer)));
        for torn in 0..SLOT_BYTES {
            let mut file = file.clone();
            file[slot_offset(2) as usize + torn] ^= 1;
            assert_eq!(Watermark::from_file(&file), Some((1, MARK)));
        }
        assert_eq!(Watermark::from_file(&file[..SLOT_BYTES - 1]), None);
        let swapped = [&file[PAGE_BYTES..], &file[..PAGE_BYTES]].concat();
        assert_eq!(Watermark::from_file(&swapped), None);
    }

    #[test]
    fn a_promise_is_kept_by_what_is_not_older() {
        assert!(MARK.kept_by(&MARK));
        assert!(MARK.kept_by(&Watermark { term: 4, vote: 0, ..MARK }));
        assert!(MARK.kept_by(&Watermark { term: 4, last_term: 4, last_index: 2, ..MARK }));
        assert!(!MARK.kept_by(&Watermark { last_index: 39, ..MARK }));
        assert!(!MARK.kept_by(&Watermark { last_term: 2, last_index: 90, ..MARK }));
        assert!(!MARK.kept_by(&Watermark { vote: 0, ..MARK }));
        assert!(!MARK.kept_by(&Watermark { vote: 2, ..MARK }));
        assert!(!MARK.kept_by(&Watermark { term: 2, ..MARK }));
    }
}
