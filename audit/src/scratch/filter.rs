//! Which rows are surely not on disk, so that nobody has to look there.

use std::hash::{BuildHasher, RandomState};

use ledger::history::requests;
use ledger::rows::{Table, tables};

/// Words of a block, in which all bits of one row lie: a line of the processor's cache.
const BLOCK_WORDS: usize = 8;
/// Bits of a block's number.
const BLOCK_NUMBER_BITS: u32 = 18;
/// Bits that a row sets in its block.
const ROW_BITS: u32 = 5;
/// Bits of a place in a block of 512 bits.
const PLACE_BITS: u32 = 9;

/// A Bloom filter of 16 MiB over the rows that were written to disk. Of 10 million rows that are
/// not there it takes about one in 200 for one that may be; with many more it is of less use, and
/// never wrong. Nobody who makes up keys knows how it hashes them.
pub(super) struct Filter {
    words: Vec<u64>,
    hasher: RandomState,
}

impl Filter {
    pub(super) fn new() -> Self {
        Filter { words: vec![0; BLOCK_WORDS << BLOCK_NUMBER_BITS], hasher: RandomState::new() }
    }

    /// Notes that there is, or was, such a row.
    pub(super) fn insert(&mut self, table: Table, key: &[u8]) {
        if is_filtered(table) {
            let (block, mask) = self.place(table, key);
            for (word, bits) in self.words[block..].iter_mut().zip(mask) {
                *word |= bits;
            }
        }
    }

    /// Whether there may be such a row. Of the requests: a row of the same request.
    pub(super) fn may_have(&self, table: Table, key: &[u8]) -> bool {
        if !is_filtered(table) {
            return true;
        }
        let (block, mask) = self.place(table, key);
        self.words[block..].iter().zip(mask).all(|(word, bits)| word & bits == bits)
    }

    /// Where a row's block begins, and the bits in it that are the row's.
    fn place(&self, table: Table, key: &[u8]) -> (usize, [u64; BLOCK_WORDS]) {
        let key = if table == tables::REQUESTS { requests::common(key) } else { key };
        let hash = self.hasher.hash_one((table.0, key));
        let mut mask = [0; BLOCK_WORDS];
        for i in 0..ROW_BITS {
            let at = hash >> (i * PLACE_BITS) & ((1 << PLACE_BITS) - 1);
            mask[(at / 64) as usize] |= 1 << (at % 64);
        }
        let block = (hash >> (u64::BITS - BLOCK_NUMBER_BITS)) as usize;
        (block * BLOCK_WORDS, mask)
    }
}

/// The Merkle tree has more rows than all other tables, and the fold reads none of them.
fn is_filtered(table: Table) -> bool {
    table != tables::MERKLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let mut filter = Filter::new();
        let key = |n: u32| n.to_be_bytes();
        for n in 0..100_000 {
            filter.insert(tables::ROSTER, &key(n));
        }
        assert!((0..100_000).all(|n| filter.may_have(tables::ROSTER, &key(n))));
        let wrong = |table, from: u32| {
            (from..from + 100_000).filter(|n| filter.may_have(table, &key(*n))).count()
        };
        assert!(wrong(tables::ROSTER, 100_000) < 100);
        assert!(wrong(tables::ROSTER_NAMES, 0) < 100);
        assert!(filter.may_have(tables::MERKLE, b"any"));
    }

    #[test]
    fn any_part_of_a_request_stands_for_all() {
        let mut filter = Filter::new();
        filter.insert(tables::REQUESTS, b"a-request\0\0\0\0\x07");
        assert!(filter.may_have(tables::REQUESTS, b"a-request\0\0\0\0\0"));
        assert!(!filter.may_have(tables::REQUESTS, b"a-requesT\0\0\0\0\0"));
    }
}
