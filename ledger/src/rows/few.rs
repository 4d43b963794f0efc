//! Ordered maps that mostly hold a handful.

use std::collections::{BTreeMap, btree_map};
use std::ops::Range;

use super::memory::bounds;

/// Entries up to which a sorted list is quicker than a tree, which takes room for a dozen at once.
const FEW: usize = 16;

/// Byte keys and what belongs to them, ordered by key: a sorted list while they are few, since one
/// record changes one or two rows of each table, and a tree as soon as they are more.
#[derive(Debug, Clone)]
pub(super) enum KeyMap<V> {
    Few(Vec<(Vec<u8>, V)>),
    Many(BTreeMap<Vec<u8>, V>),
}

impl<V> Default for KeyMap<V> {
    fn default() -> Self {
        KeyMap::Few(Vec::new())
    }
}

impl<V> KeyMap<V> {
    pub(super) fn len(&self) -> usize {
        match self {
            KeyMap::Few(list) => list.len(),
            KeyMap::Many(tree) => tree.len(),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        match self {
            KeyMap::Few(list) => Some(&list[place(list, key).ok()?].1),
            KeyMap::Many(tree) => tree.get(key),
        }
    }

    /// Sets what belongs to a key.
    pub(super) fn insert(&mut self, key: Vec<u8>, value: V) {
        match self {
            KeyMap::Few(list) => match place(list, &key) {
                Ok(at) => list[at].1 = value,
                Err(at) if list.len() < FEW => list.insert(at, (key, value)),
                Err(_) => {
                    let mut tree: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                    tree.insert(key, value);
                    *self = KeyMap::Many(tree);
                }
            },
            KeyMap::Many(tree) => {
                tree.insert(key, value);
            }
        }
    }

    /// All of it, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &V)> {
        self.range(&[]..&[])
    }

    /// What lies in a range that is not empty, ascending.
    pub(super) fn range<'a>(
        &'a self,
        keys: Range<&[u8]>,
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a V)> + use<'a, V> {
        let (few, many) = match self {
            KeyMap::Few(list) => {
                let before = |bound| list.partition_point(|(key, _)| key.as_slice() < bound);
                let end = if keys.end.is_empty() { list.len() } else { before(keys.end) };
                (&list[before(keys.start)..end], None)
            }
            KeyMap::Many(tree) => (&[][..], Some(tree.range::<[u8], _>(bounds(keys)))),
        };
        few.iter().map(|(key, value)| (key, value)).chain(many.into_iter().flatten())
    }
}

/// Where a key is, or would be.
fn place<V>(list: &[(Vec<u8>, V)], key: &[u8]) -> Result<usize, usize> {
    list.binary_search_by(|(other, _)| other.as_slice().cmp(key))
}

impl<V: PartialEq> PartialEq for KeyMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for KeyMap<V> {}

impl<V> IntoIterator for KeyMap<V> {
    type Item = (Vec<u8>, V);
    type IntoIter = IntoEntries<V>;

    fn into_iter(self) -> IntoEntries<V> {
        match self {
            KeyMap::Few(list) => IntoEntries::Few(list.into_iter()),
            KeyMap::Many(tree) => IntoEntries::Many(tree.into_iter()),
        }
    }
}

/// The entries of a map, ascending.
pub(super) enum IntoEntries<V> {
    Few(std::vec::IntoIter<(Vec<u8>, V)>),
    Many(btree_map::IntoIter<Vec<u8>, V>),
}

impl<V> Iterator for IntoEntries<V> {
    type Item = (Vec<u8>, V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            IntoEntries::Few(list) => list.next(),
            IntoEntries::Many(tree) => tree.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::memory::is_empty;
    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0_u8..4, 0..4)
    }

    proptest! {
        /// At any size, on both sides of where the list becomes a tree.
        #[test]
        fn it_is_an_ordered_map(
            entries in proptest::collection::vec((key(), 0_u32..9), 0..40),
            asked in key(),
            range in (key(), key()),
        ) {
            let (mut ours, mut model) = (KeyMap::default(), BTreeMap::new());
            for (key, value) in &entries {
                ours.insert(key.clone(), *value);
                model.insert(key.clone(), *value);
                prop_assert!(ours.iter().eq(model.iter()));
            }
            prop_assert_eq!(ours.len(), model.len());
            prop_assert_eq!(ours.get(&asked), model.get(&asked));
            let range = range.0.as_slice()..&range.1;
            if !is_empty(&range) {
                let theirs = model.range::<[u8], _>(bounds(range.clone()));
                prop_assert!(ours.range(range).eq(theirs));
            }
            let as_tree = KeyMap::Many(model.clone());
            prop_assert_eq!(&ours, &as_tree);
            prop_assert!(ours.into_iter().eq(model));
        }
    }
}
