//! A Merkle tree that is somewhere else, read tile by tile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use ledger::Fault;
use ledger::formats::tlog::{TILE_WIDTH, Tile, TileKind};
use ledger::history::merkle::{MerkleHash, inner};
use ledger::rows::{RowIter, Rows, Table, tables};

/// Levels of the tree that a tile stands for.
const TILE_LEVELS: u8 = 8;

/// Fetches the content of a tile.
type Fetch<'a> = dyn Fn(&Tile) -> Result<Vec<u8>, Fault> + 'a;

/// The tree of a log, as rows of the table [`MERKLE`](tables::MERKLE) and no other. Nothing that is
/// fetched is believed: proofs made of it are verified against what is known.
pub(crate) struct TreeOfTiles<'a> {
    size: u64,
    fetch: &'a Fetch<'a>,
    /// Tiles that were fetched: two for each level at most, for a proof.
    tiles: RefCell<BTreeMap<Tile, Vec<MerkleHash>>>,
}

impl<'a> TreeOfTiles<'a> {
    /// The tree of that many leaves.
    pub(crate) fn new(size: u64, fetch: &'a Fetch<'a>) -> Self {
        TreeOfTiles { size, fetch, tiles: RefCell::default() }
    }

    fn tile(&self, tile: Tile) -> Result<Vec<MerkleHash>, Fault> {
        if let Some(hashes) = self.tiles.borrow().get(&tile) {
            return Ok(hashes.clone());
        }
        let bytes = (self.fetch)(&tile)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() as u64 != tile.width {
            return Err(Fault::new(format!("the log's {tile} has another length than it must")));
        }
        self.tiles.borrow_mut().insert(tile, hashes.to_vec());
        Ok(hashes.to_vec())
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<MerkleHash>, Fault> {
        let (tile_level, above) = (level / TILE_LEVELS, level % TILE_LEVELS);
        let items = self.size.checked_shr(u32::from(tile_level * TILE_LEVELS)).unwrap_or(0);
        let Some(first) = index.checked_shl(above.into()).filter(|f| f >> above == index) else {
            return Ok(None);
        };
        let count = 1u64 << above;
        if first.checked_add(count).is_none_or(|end| end > items) {
            return Ok(None);
        }
        let at = first / TILE_WIDTH;
        let width = (items - at * TILE_WIDTH).min(TILE_WIDTH);
        let tile = Tile { kind: TileKind::Hashes(tile_level), index: at, width };
        let hashes = self.tile(tile)?;
        let from = (first % TILE_WIDTH) as usize;
        let Some(below) = hashes.get(from..from + count as usize) else { return Ok(None) };
        let mut below = below.to_vec();
        while below.len() > 1 {
            below = below.as_chunks::<2>().0.iter().map(|[l, r]| inner(l, r)).collect();
        }
        Ok(below.first().copied())
    }
}

impl Rows for TreeOfTiles<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let Some((level, index)) = key.split_first().filter(|_| table == tables::MERKLE) else {
            return Ok(None);
        };
        let Ok(index) = index.try_into().map(u64::from_be_bytes) else { return Ok(None) };
        Ok(self.node(*level, index)?.map(Vec::from))
    }

    fn scan(&self, table: Table, _: Range<&[u8]>) -> Result<RowIter<'_>, Fault> {
        Err(Fault::new(format!("table {} cannot be read through tiles", table.0)))
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::merkle::{Frontier, consistency_proof, leaf, root_at};
    use ledger::rows::{Draft, Memory};

    use super::*;

    #[test]
    fn proofs_from_tiles_are_those_from_rows_and_need_few_of_them() {
        const SIZE: u64 = 70_000;
        let mut rows = Memory::new();
        let nothing = Memory::new();
        let mut draft = Draft::on(&nothing);
        let mut frontier = Frontier::default();
        for i in 0..SIZE {
            frontier.push(leaf(&i.to_be_bytes()), |level, index, hash| {
                let key = [&[level], &index.to_be_bytes()[..]].concat();
                draft.put(tables::MERKLE, key, hash.to_vec());
            });
        }
        rows.apply(draft.finish());
        for (old, size) in [(1, 2), (255, 256), (300, 70_000), (65_536, 65_537), (69_999, 70_000)] {
            let fetched = RefCell::new(0);
            let fetch = |tile: &Tile| {
                *fetched.borrow_mut() += 1;
                tile.hashes(&rows)
            };
            let tiles = TreeOfTiles::new(size, &fetch);
            assert_eq!(
                consistency_proof(&tiles, old, size).unwrap(),
                consistency_proof(&rows, old, size).unwrap()
            );
            assert_eq!(root_at(&tiles, old).unwrap(), root_at(&rows, old).unwrap());
            assert!(*fetched.borrow() <= 7, "{old} {size}: {} tiles", fetched.borrow());
        }
        let short = |tile: &Tile| tile.hashes(&rows).map(|hashes| hashes[1..].to_vec());
        assert!(consistency_proof(&TreeOfTiles::new(9, &short), 3, 9).is_err());
        assert!(root_at(&TreeOfTiles::new(9, &short), 10).is_err());
    }
}
