//! The Merkle tree over the record hashes: RFC 6962 hashing with SHA-256.
//!
//! Leaf data is the 32-byte record hash. Every complete subtree is a row, so that proofs of any
//! two sizes need a logarithmic number of reads; the fold carries the right edge.

use sha2::{Digest, Sha256};

use super::RecordHash;
use crate::Fault;
use crate::rows::{Draft, Rows, tables};

/// A node of the tree.
pub type MerkleHash = [u8; 32];

/// The hash of a leaf (RFC 6962 2.1).
pub fn leaf(data: &[u8]) -> MerkleHash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

/// The hash of an inner node (RFC 6962 2.1).
pub fn inner(left: &MerkleHash, right: &MerkleHash) -> MerkleHash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of the tree without leaves (RFC 6962 2.1).
pub fn empty_root() -> MerkleHash {
    Sha256::digest([]).into()
}

/// The right edge of a tree: the roots of its complete subtrees, largest first. One for each bit
/// set in the number of leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<MerkleHash>,
}

impl Frontier {
    /// A frontier from its parts; none if their number does not fit the size.
    pub fn new(size: u64, roots: Vec<MerkleHash>) -> Option<Self> {
        (size.count_ones() as usize == roots.len()).then_some(Frontier { size, roots })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn roots(&self) -> &[MerkleHash] {
        &self.roots
    }

    /// Adds a leaf. Calls `complete` with level, index in the level, and hash of the leaf (level
    /// 0) and of every subtree that it completes.
    pub fn push(&mut self, leaf: MerkleHash, mut complete: impl FnMut(u8, u64, &MerkleHash)) {
        let mut hash = leaf;
        let mut index = self.size;
        let mut level = 0;
        complete(level, index, &hash);
        while index & 1 == 1 {
            // One root for each bit set, so there is one to join.
            let Some(left) = self.roots.pop() else { break };
            hash = inner(&left, &hash);
            level += 1;
            index >>= 1;
            complete(level, index, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree (RFC 6962 2.1).
    pub fn root(&self) -> MerkleHash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return empty_root() };
        roots.fold(*last, |right, left| inner(left, &right))
    }
}

/// Adds a record to the tree's rows and its right edge.
pub(super) fn append(draft: &mut Draft<'_>, frontier: &mut Frontier, record: RecordHash) {
    frontier.push(leaf(&record.0), |level, index, hash| {
        draft.put(tables::MERKLE, key(level, index), hash.as_slice());
    });
}

/// The hash of the complete subtree of 2^`level` leaves at `index` in its level.
pub fn node(rows: &dyn Rows, level: u8, index: u64) -> Result<Option<MerkleHash>, Fault> {
    let Some(bytes) = rows.get(tables::MERKLE, &key(level, index))? else { return Ok(None) };
    match bytes.try_into() {
        Ok(hash) => Ok(Some(hash)),
        Err(_) => Err(Fault::new(format!("damaged row of the Merkle tree: {level}/{index}"))),
    }
}

/// The root over the leaves `from..to`, which must be recorded (`MTH(D[from:to])` of RFC 6962).
///
/// `from` must be a multiple of the largest power of two below the number of leaves, as the
/// ranges in RFC 6962's recursions are.
fn range_root(rows: &dyn Rows, from: u64, to: u64) -> Result<MerkleHash, Fault> {
    let len = to - from;
    if len == 0 {
        return Ok(empty_root());
    }
    if len.is_power_of_two() {
        let level = len.trailing_zeros() as u8;
        return node(rows, level, from >> level)?.ok_or_else(|| {
            Fault::new(format!("a row of the Merkle tree is missing: {level}/{from}"))
        });
    }
    let split = from + split(len);
    Ok(inner(&range_root(rows, from, split)?, &range_root(rows, split, to)?))
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (63 - (len - 1).leading_zeros())
}

/// The root of the tree at an earlier or the present size.
pub fn root_at(rows: &dyn Rows, size: u64) -> Result<MerkleHash, Fault> {
    range_root(rows, 0, size)
}

/// The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 2.1.1), leaf end first.
/// Both must be recorded, and `index` below `size`.
pub fn inclusion_proof(rows: &dyn Rows, index: u64, size: u64) -> Result<Vec<MerkleHash>, Fault> {
    if index >= size {
        return Err(Fault::new(format!("leaf {index} is not in a tree of {size}")));
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range_root(rows, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(rows, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `size` leaves begins with the one of `old` (RFC 6962 2.1.2).
/// Both must be recorded, `old` at least 1 and at most `size`.
pub fn consistency_proof(rows: &dyn Rows, old: u64, size: u64) -> Result<Vec<MerkleHash>, Fault> {
    if old == 0 || old > size {
        return Err(Fault::new(format!("a tree of {size} has no earlier one of {old}")));
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    // SUBPROOF(m, D, b) of the RFC, from the root down; `whole` is its b.
    let mut whole = true;
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(range_root(rows, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(rows, from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range_root(rows, from, to)?);
    }
    path.reverse();
    Ok(path)
}

fn key(level: u8, index: u64) -> Vec<u8> {
    let mut key = vec![level];
    key.extend(index.to_be_bytes());
    key
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::rows::Memory;

    /// The rows of a tree of so many leaves, which are the hashes of their numbers.
    pub(crate) fn tree(size: u64) -> Memory {
        let mut rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let mut frontier = Frontier::default();
        for i in 0..size {
            frontier.push(leaf(&i.to_be_bytes()), |level, index, hash| {
                draft.put(tables::MERKLE, key(level, index), hash.as_slice());
            });
        }
        let changes = draft.finish();
        rows.apply(changes);
        rows
    }
}
