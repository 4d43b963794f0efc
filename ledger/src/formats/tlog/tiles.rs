//! Tiles: the Merkle tree as files (c2sp.org/tlog-tiles).

use std::fmt;
use std::str::FromStr;

use super::decimal;
use crate::Fault;
use crate::history::RecordHash;
use crate::history::merkle;
use crate::rows::Rows;

/// Hashes of a full tile, and leaves of a full entry bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree that a tile stands for.
const TILE_LEVELS: u8 = 8;
/// Tile levels that a tree of 64-bit size can have.
const LEVELS: u8 = 8;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of subtrees of 256^level leaves.
    Hashes(u8),
    /// Leaf data, each after its length.
    Entries,
}

/// A tile, or an entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// Its place in its level.
    pub index: u64,
    /// How many items it has: 1 to [`TILE_WIDTH`].
    pub width: u64,
}

/// Why text names no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile: tile/LEVEL/INDEX[.p/WIDTH]")]
pub struct BadTile;

/// The tiles of a tree with that many leaves: hashes level by level, then entries. This is also
/// the order of their paths.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    let hashes = (0..LEVELS).map(TileKind::Hashes);
    hashes.chain([TileKind::Entries]).flat_map(move |kind| {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let items = size >> (u32::from(level) * u32::from(TILE_LEVELS));
        (0..items.div_ceil(TILE_WIDTH)).map(move |index| {
            let width = (items - index * TILE_WIDTH).min(TILE_WIDTH);
            Tile { kind, index, width }
        })
    })
}

impl Tile {
    /// The hashes of a tile of hashes, from the rows of a tree that is large enough.
    pub fn hashes(&self, rows: &dyn Rows) -> Result<Vec<u8>, Fault> {
        let TileKind::Hashes(level) = self.kind else {
            return Err(Fault::new("an entry bundle is made of records"));
        };
        let mut out = Vec::new();
        for at in self.items() {
            let hash = merkle::node(rows, level * TILE_LEVELS, at)?;
            let missing = || Fault::new(format!("a row of the Merkle tree is missing: {self}"));
            out.extend(hash.ok_or_else(missing)?);
        }
        Ok(out)
    }

    /// Whether a log of that many leaves has it.
    pub fn is_within(&self, size: u64) -> bool {
        let level = match self.kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let items = size.checked_shr(u32::from(level) * u32::from(TILE_LEVELS)).unwrap_or(0);
        self.index
            .checked_mul(TILE_WIDTH)
            .and_then(|from| from.checked_add(self.width))
            .is_some_and(|end| end <= items)
    }

    /// The items of its level that it holds.
    pub fn items(&self) -> std::ops::Range<u64> {
        let from = self.index * TILE_WIDTH;
        from..from + self.width
    }
}

/// An entry bundle: each leaf's data, a record hash, after its length in two bytes.
pub fn entry_bundle(records: impl IntoIterator<Item = RecordHash>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        out.extend((record.0.len() as u16).to_be_bytes());
        out.extend(record.0);
    }
    out
}

/// The path below the log's prefix.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut left = self.index / 1000;
        while left > 0 {
            groups.push(left % 1000);
            left /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for Tile {
    type Err = BadTile;

    fn from_str(path: &str) -> Result<Self, BadTile> {
        let rest = path.strip_prefix("tile/").ok_or(BadTile)?;
        let (kind, rest) = rest.split_once('/').ok_or(BadTile)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => {
                let level = decimal(level).and_then(|level| u8::try_from(level).ok());
                TileKind::Hashes(level.filter(|level| *level < LEVELS).ok_or(BadTile)?)
            }
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, decimal(width).ok_or(BadTile)?),
            None => (rest, TILE_WIDTH),
        };
        let digits =
            index.split('/').map(|group| group.trim_start_matches('x')).collect::<String>();
        if digits.len() > 21 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadTile);
        }
        let index = digits.parse().map_err(|_| BadTile)?;
        let tile = Tile { kind, index, width };
        // One path for each tile.
        if width == 0 || width > TILE_WIDTH || tile.to_string() != path {
            return Err(BadTile);
        }
        Ok(tile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::merkle::testing::tree;

    #[test]
    fn the_specifications_examples() {
        let tile = |index, width| Tile { kind: TileKind::Hashes(0), index, width }.to_string();
        assert_eq!(tile(1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(0, 1), "tile/0/000.p/1");
        let count = |size: u64, level| {
            let of_level = |tile: &Tile| tile.kind == TileKind::Hashes(level);
            let tiles: Vec<Tile> = tiles_of(size).filter(of_level).collect();
            let full = tiles.iter().filter(|tile| tile.width == TILE_WIDTH).count();
            (full, tiles.last().map(|tile| tile.width % TILE_WIDTH).unwrap_or_default())
        };
        assert_eq!(
            [count(70_000, 0), count(70_000, 1), count(70_000, 2)],
            [(273, 112), (1, 17), (0, 1)]
        );
        assert_eq!([count(256, 0), count(256, 1)], [(1, 0), (0, 1)]);
        assert_eq!(tiles_of(0).count(), 0);
    }

    #[test]
    fn a_log_has_its_tiles_and_the_narrower_ones() {
        for size in [1, 255, 256, 257, 70_000] {
            for tile in tiles_of(size) {
                assert!(tile.is_within(size) && !tile.is_within(size - 1) || tile.width == 256);
                assert!(
                    !Tile { width: tile.width + 1, ..tile }.is_within(size) || tile.width == 256
                );
            }
        }
        let far = |kind, index| Tile { kind, index, width: TILE_WIDTH };
        assert!(!far(TileKind::Entries, u64::MAX).is_within(u64::MAX));
        assert!(!far(TileKind::Hashes(7), 1).is_within(u64::MAX));
    }

    #[test]
    fn paths_read_back_and_sort_as_tiles_do() {
        for size in [1, 255, 256, 257, 70_000, 300_000] {
            let paths: Vec<String> = tiles_of(size).map(|tile| tile.to_string()).collect();
            assert!(paths.is_sorted(), "{size}");
            for (tile, path) in tiles_of(size).zip(&paths) {
                assert_eq!(path.parse(), Ok(tile));
            }
        }
        for bad in [
            "tile/0/1",
            "tile/00/001",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/0/x000/001",
            "tile/8/001",
            "tile/0/",
            "tile/0/xx01/000",
            "tile/0/001/",
            "tile/data/001",
            "0/001",
        ] {
            assert_eq!(bad.parse::<Tile>(), Err(BadTile), "{bad}");
        }
    }

    #[test]
    fn tiles_hold_the_rows_of_the_tree() {
        let rows = tree(600);
        for tile in tiles_of(600).filter(|tile| tile.kind != TileKind::Entries) {
            assert_eq!(tile.hashes(&rows).unwrap().len() as u64, tile.width * 32, "{tile}");
        }
        let beyond = Tile { kind: TileKind::Hashes(1), index: 0, width: 3 };
        assert!(beyond.hashes(&rows).is_err());
    }
}
