//! Rows of the Merkle tree that are in memory, as bare hashes.
//!
//! They are two of each record's rows, come in the order of their places, never change and are
//! read at the end, if ever. As rows like others they took five times the memory.

use std::ops::Range;

use ledger::history::merkle::MerkleHash;

/// Bytes of a key: the level, and the place in it, most significant byte first.
const KEY_BYTES: usize = 9;

/// Rows of the tree, those of each level one after the other.
#[derive(Default)]
pub(super) struct Tree {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    /// The place of the first hash that is here.
    first: u64,
    hashes: Vec<MerkleHash>,
}

impl Level {
    /// The place after the last one.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.hashes.len() as u64)
    }

    fn get(&self, place: u64) -> Option<&MerkleHash> {
        self.hashes.get(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }
}

impl Tree {
    /// Takes a row if it is the next of its level, or the first one here; if not, whoever asks
    /// keeps it as any other.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let (Some((level, place)), Ok(hash)) = (split(key), value.try_into()) else { return false };
        if self.levels.len() <= level.into() {
            self.levels.resize_with(usize::from(level) + 1, Level::default);
        }
        let level = &mut self.levels[usize::from(level)];
        if level.hashes.is_empty() {
            level.first = place;
        }
        let next = level.end() == place;
        if next {
            level.hashes.push(hash);
        }
        next
    }

    /// Whether no row is here.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.hashes.is_empty())
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.hashes.len() * size_of::<MerkleHash>()).sum()
    }

    /// The hash under a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&MerkleHash> {
        let (level, place) = split(key)?;
        self.levels.get(usize::from(level))?.get(place)
    }

    /// All rows, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = ([u8; KEY_BYTES], &MerkleHash)> {
        self.range(&[]..&[])
    }

    /// The rows of a range, ascending; to the end if its end is empty.
    pub(super) fn range(
        &self,
        keys: Range<&[u8]>,
    ) -> impl Iterator<Item = ([u8; KEY_BYTES], &MerkleHash)> + use<'_> {
        let mut parts = Vec::new();
        for (number, level) in (0..=u8::MAX).zip(&self.levels) {
            // The first place of this level whose key is not below a bound.
            let from = |bound: &[u8]| {
                let below = |place: u64| key(number, place).as_slice() < bound;
                let (mut low, mut high) = (level.first, level.end());
                while low < high {
                    let middle = low + (high - low) / 2;
                    if below(middle) { low = middle + 1 } else { high = middle }
                }
                low
            };
            let end = if keys.end.is_empty() { level.end() } else { from(keys.end) };
            parts.push((number, level, from(keys.start)..end));
        }
        parts.into_iter().flat_map(|(number, level, places)| {
            places.filter_map(move |place| Some((key(number, place), level.get(place)?)))
        })
    }
}

fn key(level: u8, place: u64) -> [u8; KEY_BYTES] {
    let mut key = [level; KEY_BYTES];
    key[1..].copy_from_slice(&place.to_be_bytes());
    key
}

fn split(key: &[u8]) -> Option<(u8, u64)> {
    let (level, place) = key.split_first()?;
    Some((*level, u64::from_be_bytes(place.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_table_of_rows() {
        let mut tree = Tree::default();
        let mut model = BTreeMap::new();
        assert!(tree.is_empty());
        for (level, places) in [(0, 40..300), (1, 20..150), (5, 1..9), (2, 10..75)] {
            for place in places {
                let hash = [level ^ place as u8; 32];
                assert!(tree.push(&key(level, place), &hash));
                model.insert(key(level, place).to_vec(), hash);
            }
        }
        assert_eq!(tree.bytes(), 32 * model.len());
        for (key, hash) in &model {
            assert_eq!(tree.get(key), Some(hash));
        }
        let absent = [key(0, 39), key(0, 300), key(3, 0), key(9, 0)];
        assert!(absent.iter().all(|key| tree.get(key).is_none()));
        let bounds = [
            &[][..],
            &[0],
            &key(0, 7),
            &key(0, 100),
            &key(0, 100)[..8],
            &[key(0, 100).as_slice(), &[0]].concat(),
            &key(1, 149),
            &[3],
            &key(5, 3),
            &[200],
        ]
        .map(<[u8]>::to_vec);
        for start in &bounds {
            for end in &bounds {
                let found: Vec<_> =
                    tree.range(start..end).map(|(key, hash)| (key.to_vec(), *hash)).collect();
                let within = |key: &Vec<u8>| key >= start && (end.is_empty() || key < end);
                let expected: Vec<_> =
                    model.clone().into_iter().filter(|(key, _)| within(key)).collect();
                assert_eq!(found, expected, "{start:?} to {end:?}");
            }
        }
    }

    #[test]
    fn what_is_not_next_is_left_to_others() {
        let mut tree = Tree::default();
        assert!(tree.push(&key(0, 7), &[1; 32]));
        for (key, hash) in [
            (key(0, 7).as_slice(), &[2; 32][..]),
            (&key(0, 9), &[2; 32]),
            (&key(0, 8)[..8], &[2; 32]),
            (&key(0, 8), &[2; 31]),
            (&[], &[2; 32]),
        ] {
            assert!(!tree.push(key, hash), "{key:?}");
        }
        assert_eq!(tree.rows().collect::<Vec<_>>(), [(key(0, 7), &[1; 32])]);
    }
}
