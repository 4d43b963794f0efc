//! The framing of the files that RocksDB appends to: the list of a database's tables
//! (`MANIFEST-*`) and its write-ahead logs (`*.log`).
//!
//! There is one damage to them that RocksDB (11.8.1, `db/log_reader.cc`) does not tell but reads for
//! ever: a record whose type is one of those in reused files, behind a whole record of another type.
//! It looks at the type before the checksum, and refuses the record without passing over it. A bit
//! that has turned is enough. So whoever opens a database looks first whether it would come to that.
//!
//! A file consists of blocks of [`BLOCK_BYTES`], the last of which may be shorter. Records do not
//! cross blocks, and fewer bytes than a header at a block's end are skipped:
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..4 | CRC-32C of the rest of the record, masked, little-endian |
//! | 4..6 | bytes of data, little-endian |
//! | 6 | type |
//! | 7.. | data |

use crc::{CRC_32_ISCSI, Crc};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 32 << 10;

/// The name of the file that says which list of tables is in use.
pub const CURRENT: &str = "CURRENT";

const HEADER_BYTES: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Types of records in files that were other files before, whose headers are longer.
const REUSED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// What RocksDB calls Castagnoli's polynomial is that of iSCSI.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What a masked checksum has more, behind a rotation.
const MASK_DELTA: u32 = 0xa282_ead8;

/// Whether RocksDB may read a file of this name when it opens a database whose file [`CURRENT`] says
/// `current`. (It passes over logs whose rows are all in tables.)
pub fn is_read(name: &str, current: &str) -> bool {
    let number = name.strip_suffix(".log");
    let is_log = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    // One slash before the name does not matter to it.
    let current = current.strip_suffix('\n').map(|it| it.strip_prefix('/').unwrap_or(it));
    is_log || name.starts_with("MANIFEST-") && current == Some(name)
}

/// The offset of the first record that RocksDB would read for ever, in bytes from the beginning of a
/// file. `read` puts the file's next bytes into a buffer that is not empty and says how many; 0 is
/// its end. Needs a block of memory.
pub fn endless_record<E>(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<Option<u64>, E> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut state, mut offset) = (State::default(), 0);
    loop {
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match read(&mut block[filled..])? {
                0 => break,
                more => filled += more.min(BLOCK_BYTES - filled),
            }
        }
        match state.block(&block[..filled]) {
            Next::Endless(at) => return Ok(Some(offset + at as u64)),
            Next::Safe => return Ok(None),
            Next::Block if filled < BLOCK_BYTES => return Ok(None),
            Next::Block => offset += filled as u64,
        }
    }
}

/// What RocksDB has read of a file.
#[derive(Default)]
struct State {
    /// Parts of a record, the last of which is still to come.
    within: bool,
    /// A whole record.
    whole: bool,
}

enum Next {
    /// The next block.
    Block,
    /// A record at which it stays.
    Endless(usize),
    /// Nothing that it could stay at: it takes the file for a reused one.
    Safe,
}

impl State {
    fn block(&mut self, block: &[u8]) -> Next {
        let mut at = 0;
        while let Some((header, rest)) = block[at..].split_first_chunk::<HEADER_BYTES>() {
            let [a, b, c, d, low, high, kind] = *header;
            if REUSED.contains(&kind) {
                return if self.whole { Next::Endless(at) } else { Next::Safe };
            }
            let length = usize::from(u16::from_le_bytes([low, high]));
            let sound = rest.get(..length).filter(|_| kind != 0 || length > 0).filter(|data| {
                let mut digest = CRC.digest();
                digest.update(&[kind]);
                digest.update(data);
                let masked = digest.finalize().rotate_right(15).wrapping_add(MASK_DELTA);
                masked == u32::from_le_bytes([a, b, c, d])
            });
            if sound.is_none() {
                // Its length may be what is wrong with it: the rest of the block is passed over.
                self.within = false;
                return Next::Block;
            }
            match kind {
                FULL => (self.within, self.whole) = (false, true),
                FIRST => self.within = true,
                LAST if self.within => (self.within, self.whole) = (false, true),
                MIDDLE | LAST | 9 | 10 | 130 => {}
                _ => self.within = false,
            }
            at += HEADER_BYTES + length;
        }
        Next::Block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as RocksDB writes it.
    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut digest = CRC.digest();
        digest.update(&[kind]);
        digest.update(data);
        let crc = digest.finalize().rotate_right(15).wrapping_add(MASK_DELTA);
        let length = u16::try_from(data.len()).unwrap();
        [&crc.to_le_bytes()[..], &length.to_le_bytes(), &[kind], data].concat()
    }

    /// In pieces of such a size.
    fn endless(file: &[u8], piece: usize) -> Option<u64> {
        let mut left = file;
        let found = endless_record::<()>(|to| {
            let size = left.len().min(piece).min(to.len());
            let (now, later) = left.split_at(size);
            to[..size].copy_from_slice(now);
            left = later;
            Ok(size)
        });
        found.unwrap()
    }

    #[test]
    fn a_type_of_reused_files_is_endless_behind_a_whole_record_only() {
        let sound = [record(1, b"one"), record(2, b"two"), record(4, b""), record(1, b"four")];
        let file = sound.concat();
        assert_eq!(endless(&file, 3), None);
        let places = sound.iter().scan(0, |at, record| {
            *at += record.len();
            Some(*at - record.len())
        });
        for (number, place) in places.enumerate() {
            for kind in 0..=u8::MAX {
                let mut damaged = file.clone();
                damaged[place + 6] = kind;
                let stays = number > 0 && matches!(kind, 5..=8 | 11 | 131);
                let expected = stays.then_some(place as u64);
                assert_eq!(endless(&damaged, 5), expected, "type {kind} of record {number}");
            }
        }
    }

    #[test]
    fn what_is_passed_over_does_not_matter() {
        let evil = [0, 0, 0, 0, 0, 0, 5];
        // Neither data nor, behind a record that is damaged, the rest of its block.
        let mut file = [record(1, b"one"), record(1, &evil)].concat();
        assert_eq!(endless(&file, 100), None);
        file.extend(evil);
        assert_eq!(endless(&file, 100), Some(24));
        file[14] ^= 1;
        assert_eq!(endless(&file, 100), None, "the length of the second is another one");
        file.resize(BLOCK_BYTES, 5);
        file.extend(evil);
        assert_eq!(endless(&file, 1000), Some(BLOCK_BYTES as u64), "the next block is read");
        // Nor a first record in parts of which the last is missing, nor fewer bytes than a header.
        assert_eq!(endless(&[&record(2, b"one")[..], &evil].concat(), 100), None);
        assert_eq!(endless(&[&record(1, b"one")[..], &evil[..6]].concat(), 100), None);
        let mut full = record(1, &[1; BLOCK_BYTES - HEADER_BYTES - 3]);
        full.extend([5; 3]);
        assert_eq!(endless(&full, 4096), None);
        assert_eq!(endless(&[], 1), None);
        full.extend(evil);
        assert_eq!(endless(&full, 4096), Some(BLOCK_BYTES as u64));
    }

    #[test]
    fn the_files_that_are_read() {
        let is = |name| is_read(name, "MANIFEST-000005\n");
        assert!(is("000004.log") && is("MANIFEST-000005"));
        assert!(is_read("MANIFEST-000005", "/MANIFEST-000005\n"));
        assert!(!is("MANIFEST-000004") && !is("000004.sst") && !is("LOG") && !is(".log"));
        assert!(!is("CURRENT") && !is("OPTIONS-000007") && !is_read("MANIFEST-1", "MANIFEST-1"));
    }
}
