//! Proofs that travel: that a record is in a log (c2sp.org/tlog-proof), and that a log only grew
//! (the body of c2sp.org/tlog-witness' `add-checkpoint`).

use std::fmt;

use data_encoding::BASE64;

use super::checkpoint::{BadCheckpoint, Checkpoint};
use super::note::Note;
use super::{decimal, hash_line};
use crate::formats::base64;
use crate::history::merkle::{MerkleHash, empty_root, inner};
use crate::limits::RECORD_BYTES;

/// The first line of a proof of inclusion.
const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of a proof, at most: a tree of 64-bit size is no higher.
const HASHES: usize = 128;

/// Proof that something is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// What somebody has put beside the proof; here the record. Nothing vouches for it until it is
    /// shown to be what the leaf is made of.
    pub extra: Option<Vec<u8>>,
    /// The leaf.
    pub index: u64,
    /// The hashes beside the path from the leaf to the root, leaf end first.
    pub hashes: Vec<MerkleHash>,
    /// The checkpoint of the tree.
    pub checkpoint: Note,
}

/// Proof that a log of one size is the beginning of the same log at another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub old: u64,
    /// The hashes (RFC 6962 2.1.2).
    pub hashes: Vec<MerkleHash>,
    /// The checkpoint of the later tree.
    pub checkpoint: Note,
}

/// Either proof, told apart by its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// That something is in a log.
    Inclusion(InclusionProof),
    /// That a log only grew.
    Consistency(ConsistencyProof),
}

/// Why bytes are no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// Neither kind begins so.
    #[error("a proof begins with `{INCLUSION}` or with `old SIZE`")]
    Kind,
    /// The lines before the checkpoint are malformed.
    #[error("line {0} of the proof is malformed")]
    Line(usize),
    /// There are more hashes than a tree is high.
    #[error("a proof has at most {HASHES} hashes")]
    TooLong,
    /// The checkpoint is none.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
}

impl Proof {
    /// Reads a proof. Nothing in it is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadProof> {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or(BadProof::Kind)?;
        let (head, note) = (&bytes[..end], &bytes[end + 2..]);
        let head = std::str::from_utf8(head).map_err(|_| BadProof::Kind)?;
        let mut lines = head.split('\n').enumerate().peekable();
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let old = first.strip_prefix("old ").map(|size| decimal(size).ok_or(BadProof::Line(1)));
        let old = old.transpose()?;
        let (mut extra, mut index) = (None, 0);
        if old.is_none() {
            if first != INCLUSION {
                return Err(BadProof::Kind);
            }
            if let Some((_, text)) = lines.next_if(|(_, line)| line.starts_with("extra ")) {
                extra = Some(extra_data(&text["extra ".len()..]).ok_or(BadProof::Line(2))?);
            }
            let (at, line) = lines.next().ok_or(BadProof::Line(2))?;
            let number = line.strip_prefix("index ").and_then(decimal);
            index = number.ok_or(BadProof::Line(at + 1))?;
        }
        let mut hashes = Vec::new();
        for (at, line) in lines {
            if hashes.len() >= HASHES {
                return Err(BadProof::TooLong);
            }
            hashes.push(hash_line(line).ok_or(BadProof::Line(at + 1))?);
        }
        let (_, checkpoint) = Checkpoint::of_note(note)?;
        Ok(match old {
            Some(old) => Proof::Consistency(ConsistencyProof { old, hashes, checkpoint }),
            None => Proof::Inclusion(InclusionProof { extra, index, hashes, checkpoint }),
        })
    }
}

fn extra_data(text: &str) -> Option<Vec<u8>> {
    let longest = RECORD_BYTES.div_ceil(3) * 4;
    (text.len() <= longest).then(|| base64::decode(text).ok()).flatten()
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_rest(f, &self.hashes, &self.checkpoint)
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_rest(f, &self.hashes, &self.checkpoint)
    }
}

fn write_rest(f: &mut fmt::Formatter<'_>, hashes: &[MerkleHash], note: &Note) -> fmt::Result {
    for hash in hashes {
        writeln!(f, "{}", BASE64.encode(hash))?;
    }
    write!(f, "\n{note}")
}

/// The root of a tree of `size` leaves in which `leaf` is the leaf hash at `index`, by an audit path
/// (RFC 9162 2.1.3.2). None if no tree has such a path.
pub fn root_of_inclusion(
    leaf: MerkleHash,
    index: u64,
    size: u64,
    path: &[MerkleHash],
) -> Option<MerkleHash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = inner(beside, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = inner(&hash, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether the tree of `size` leaves under `root` begins with the one of `old` leaves under
/// `old_root`, by a proof (RFC 9162 2.1.4.2).
pub fn begins_with(
    (size, root): (u64, &MerkleHash),
    (old, old_root): (u64, &MerkleHash),
    path: &[MerkleHash],
) -> bool {
    if old == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    if old > size {
        return false;
    }
    if old == size {
        return path.is_empty() && old_root == root;
    }
    let whole = old.is_power_of_two().then_some(old_root);
    let mut path = whole.into_iter().chain(path);
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let Some(first) = path.next() else { return false };
    let (mut old_hash, mut hash) = (*first, *first);
    for beside in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = inner(beside, &old_hash);
            hash = inner(beside, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = inner(&hash, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && hash == *root
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteSignature;
    use super::*;
    use crate::history::merkle::testing::tree;
    use crate::history::merkle::{consistency_proof, inclusion_proof, leaf, root_at};

    #[test]
    fn proofs_hold_for_their_own_leaf_and_size_alone() {
        const SIZE: u64 = 40;
        let rows = tree(SIZE);
        for size in 1..=SIZE {
            let root = root_at(&rows, size).unwrap();
            for index in 0..size {
                let path = inclusion_proof(&rows, index, size).unwrap();
                let of = |index: u64, path: &[MerkleHash]| {
                    root_of_inclusion(leaf(&index.to_be_bytes()), index, size, path) == Some(root)
                };
                assert!(of(index, &path));
                for other in (0..size).filter(|other| *other != index) {
                    assert!(!of(other, &path), "{other} for {index} of {size}");
                }
                for at in 0..path.len() {
                    let mut altered = path.clone();
                    altered[at][31] ^= 1;
                    assert!(!of(index, &altered));
                    altered.remove(at);
                    assert!(!of(index, &altered));
                }
                assert!(!of(index, &[path.as_slice(), &[[0; 32]]].concat()));
            }
            for old in 1..=size {
                let old_root = root_at(&rows, old).unwrap();
                let path = consistency_proof(&rows, old, size).unwrap();
                assert!(begins_with((size, &root), (old, &old_root), &path), "{old} of {size}");
                assert!(!begins_with((size, &root), (old, &[1; 32]), &path));
                assert!(!begins_with((size, &[1; 32]), (old, &old_root), &path));
                for at in 0..path.len() {
                    let mut altered = path.clone();
                    altered[at][0] ^= 0x80;
                    assert!(!begins_with((size, &root), (old, &old_root), &altered));
                    altered.remove(at);
                    assert!(!begins_with((size, &root), (old, &old_root), &altered));
                }
            }
        }
        assert_eq!(root_of_inclusion([0; 32], 5, 5, &[]), None);
        assert!(begins_with((3, &[1; 32]), (0, &empty_root()), &[]));
        assert!(!begins_with((3, &[1; 32]), (4, &[1; 32]), &[]));
    }

    #[test]
    fn proofs_read_back_in_their_one_spelling() {
        let checkpoint = Checkpoint { origin: "o".into(), size: 9, root: [3; 32] };
        let signature = NoteSignature { name: "o".into(), id: [1, 2, 3, 4], bytes: vec![5; 64] };
        let checkpoint = Note::new(checkpoint.to_string(), vec![signature]);
        let hashes = vec![[1; 32], [2; 32]];
        let inclusion = |extra| InclusionProof {
            extra,
            index: 7,
            hashes: hashes.clone(),
            checkpoint: checkpoint.clone(),
        };
        for proof in [inclusion(None), inclusion(Some(b"a record".to_vec()))] {
            let text = proof.to_string();
            assert_eq!(Proof::parse(text.as_bytes()), Ok(Proof::Inclusion(proof)));
            for bad in [
                text.replace("index 7", "index 07"),
                text.replace("proof@v1", "proof@v2"),
                text.replacen("\n\n", "\n", 1),
                text.replacen("AQEB", "AQE", 1),
            ] {
                assert!(Proof::parse(bad.as_bytes()).is_err(), "{bad}");
            }
        }
        let proof = ConsistencyProof { old: 4, hashes, checkpoint };
        assert_eq!(Proof::parse(proof.to_string().as_bytes()), Ok(Proof::Consistency(proof)));
    }
}
