//! Two heads of one log of which at most one can be true, and the proof of that.

use std::fmt;

use data_encoding::BASE64;
use ledger::Fault;
use ledger::formats::base64;
use ledger::formats::tlog::{Checkpoint, Note, begins_with};
use ledger::history::merkle::{MerkleHash, consistency_proof, root_at};
use ledger::rows::Rows;
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "lockstep.audit.contradiction/1";
/// Hashes of a proof, at most: a tree of 64-bit size is no higher.
const HASHES: usize = 128;

/// The head of a log: signed, or as somebody has computed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log, how many leaves, and the root over them.
    pub checkpoint: Checkpoint,
    /// The signatures, if it has any.
    pub note: Option<Note>,
}

impl Head {
    /// A signed note, or the three lines of its text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok((checkpoint, note)) = Checkpoint::of_note(text.as_bytes()) {
            return Some(Head { checkpoint, note: Some(note) });
        }
        Checkpoint::of_text(text).ok().map(Head::unsigned)
    }

    /// One that nobody has signed.
    pub(crate) fn unsigned(checkpoint: Checkpoint) -> Self {
        Head { checkpoint, note: None }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.note {
            Some(note) => note.fmt(f),
            None => self.checkpoint.fmt(f),
        }
    }
}

/// Two heads of one log, and why the larger tree does not begin with the smaller one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The head of the smaller tree.
    pub smaller: Head,
    /// The head of the larger tree, which may be as large.
    pub larger: Head,
    /// The root that the larger tree has at the smaller one's size, and the proof of it (RFC 6962
    /// 2.1.2); none if whoever noticed did not have the larger tree.
    pub proof: Option<(MerkleHash, Vec<MerkleHash>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    smaller: String,
    larger: String,
    begins_with: Option<String>,
    hashes: Vec<String>,
}

impl Contradiction {
    /// Two heads, and the tree of the larger one if it is known. None if they may both be true.
    pub(crate) fn between(
        one: Head,
        other: Head,
        tree_of_larger: Option<&dyn Rows>,
    ) -> Result<Option<Self>, Fault> {
        let (smaller, larger) = match one.checkpoint.size <= other.checkpoint.size {
            true => (one, other),
            false => (other, one),
        };
        let (old, size) = (smaller.checkpoint.size, larger.checkpoint.size);
        let proof = match tree_of_larger {
            Some(tree) => Some((root_at(tree, old)?, consistency_proof(tree, old, size)?)),
            None => None,
        };
        let found = Contradiction { smaller, larger, proof };
        // Only a tree that is the larger head's own proves anything.
        let shown = found.shows();
        Ok((shown != Some(false)).then_some(found))
    }

    /// Whether the proof shows that the heads contradict each other; none without a proof.
    pub(super) fn shows(&self) -> Option<bool> {
        let (root, hashes) = self.proof.as_ref()?;
        let (old, new) = (&self.smaller.checkpoint, &self.larger.checkpoint);
        let proven = old.size > 0
            && old.origin == new.origin
            && begins_with((new.size, &new.root), (old.size, root), hashes);
        Some(proven && *root != old.root)
    }

    /// Whether a file may be one of these: nothing else here begins so.
    pub(super) fn looks_like(bytes: &[u8]) -> bool {
        bytes.first() == Some(&b'{')
    }

    /// Reads a file. Nothing in it is verified.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let read: Document = serde_json::from_slice(bytes).ok()?;
        let hash = |text: &String| base64::decode(text).ok()?.try_into().ok();
        if read.schema != SCHEMA || read.hashes.len() > HASHES {
            return None;
        }
        let proof = match &read.begins_with {
            Some(root) => {
                let hashes = read.hashes.iter().map(hash).collect::<Option<_>>()?;
                Some((hash(root)?, hashes))
            }
            None => None,
        };
        let (smaller, larger) = (Head::parse(&read.smaller)?, Head::parse(&read.larger)?);
        Some(Contradiction { smaller, larger, proof })
    }
}

/// The file: one JSON object.
impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, hashes) = self.proof.as_ref().map_or((None, &[][..]), |(r, h)| (Some(r), h));
        let document = Document {
            schema: SCHEMA.to_owned(),
            smaller: self.smaller.to_string(),
            larger: self.larger.to_string(),
            begins_with: root.map(|root| BASE64.encode(root)),
            hashes: hashes.iter().map(|hash| BASE64.encode(hash)).collect(),
        };
        let text = serde_json::to_string_pretty(&document).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use ledger::formats::tlog::origin;
    use ledger::history::RecordHash;
    use ledger::history::merkle::{Frontier, leaf};
    use ledger::rows::{Draft, Memory, tables};

    use super::*;

    /// A log of numbers that is another from `fork` on.
    fn log(size: u64, fork: u64) -> (Memory, Head) {
        let nothing = Memory::new();
        let mut draft = Draft::on(&nothing);
        let mut frontier = Frontier::default();
        for i in 0..size {
            let data = if i < fork { i } else { i + 1000 };
            frontier.push(leaf(&data.to_be_bytes()), |level, index, hash| {
                let key = [&[level], &index.to_be_bytes()[..]].concat();
                draft.put(tables::MERKLE, key, hash.to_vec());
            });
        }
        let mut rows = Memory::new();
        rows.apply(draft.finish());
        let (origin, root) = (origin(&RecordHash([1; 32])), frontier.root());
        (rows, Head::unsigned(Checkpoint { origin, size, root }))
    }

    #[test]
    fn only_logs_that_differ_within_the_smaller_contradict_each_other() {
        for (small, large) in [(1, 9), (4, 9), (7, 9), (8, 8), (9, 9), (6, 64)] {
            let (_, smaller) = log(small, u64::MAX);
            for fork in 0..=small {
                let (tree, larger) = log(large, fork);
                let found = Contradiction::between(smaller.clone(), larger.clone(), Some(&tree));
                let found = found.unwrap();
                assert_eq!(found.is_some(), fork < small, "{small} {large} {fork}");
                let Some(found) = found else { continue };
                let text = found.to_string();
                let read = Contradiction::parse(text.as_bytes()).unwrap();
                assert_eq!(read, found);
                assert_eq!(read.shows(), Some(true));
                // Whichever way round they come.
                let turned = Contradiction::between(larger, smaller.clone(), Some(&tree));
                assert!(small == large || turned.unwrap() == Some(found.clone()));
                // A proof that is not the larger tree's shows nothing.
                let mut wrong = found.clone();
                wrong.larger.checkpoint.root[0] ^= 1;
                assert_eq!(wrong.shows(), Some(false));
                let mut wrong = found;
                wrong.larger.checkpoint.origin.push('x');
                assert_eq!(wrong.shows(), Some(false));
            }
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let (tree, larger) = log(9, 2);
        let found = Contradiction::between(log(4, 9).1, larger, Some(&tree)).unwrap().unwrap();
        let text = found.to_string();
        for wrong in [
            text.replace("contradiction/1", "contradiction/2"),
            text.replace("\"hashes\"", "\"hash\""),
            text.replace("lockstep/", ""),
            text.replace("\\n4\\n", "\\n04\\n"),
        ] {
            assert!(
                Contradiction::parse(wrong.as_bytes())
                    .is_none_or(|read| read.shows() != Some(true)
                        || read.smaller.checkpoint.origin != found.smaller.checkpoint.origin),
                "{wrong}"
            );
        }
    }
}
