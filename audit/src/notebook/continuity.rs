//! Whether a source goes on from where a history ended the last time, by little of it.

use ledger::Fault;
use ledger::formats::tlog::{Checkpoint, begins_with, origin};
use ledger::history::Record;
use ledger::history::merkle::{MerkleHash, consistency_proof, root_at};
use ledger::rows::Rows;

use super::Recalled;
use crate::evidence::{Contradiction, Head, signed_by};

/// What a source shows of itself, to be compared with what is remembered.
pub(crate) struct Onward<'a> {
    /// How many records it has, and the root over them, by its own account.
    pub(crate) size: u64,
    pub(crate) root: MerkleHash,
    /// Its Merkle tree.
    pub(crate) tree: &'a dyn Rows,
    /// The bytes of its record 0, and of the record that was the last one.
    pub(crate) first: Option<Vec<u8>>,
    pub(crate) last: Option<Vec<u8>>,
    /// The head that it has signed, if it has one.
    pub(crate) head: Option<Vec<u8>>,
}

/// How a source stands to what is remembered.
pub(crate) enum Continuity {
    /// It begins with the remembered records, by its own tree.
    GoesOn,
    /// It is another ledger.
    OtherLog(String),
    /// It ends before, and has the same records up to there.
    Ends(u64),
    /// It is the same ledger with another history; both heads, where they can be shown.
    Contradicts(Option<Box<Contradiction>>),
    /// What it shows does not fit together.
    Unclear,
}

/// Compares. What cannot be read of the source is unclear, not a fault.
pub(crate) fn continuity(recalled: &Recalled, source: &Onward<'_>) -> Result<Continuity, Fault> {
    let end = &recalled.end;
    let Some(first) = &source.first else { return Ok(Continuity::Unclear) };
    let own = origin(&Record::hash_of(first));
    if own != end.origin {
        return Ok(Continuity::OtherLog(own));
    }
    let head = |size, root| Checkpoint { origin: end.origin.clone(), size, root };
    if source.size < end.size {
        if source.size == 0 {
            return Ok(Continuity::Unclear);
        }
        let ours = root_at(&recalled.rows, source.size)?;
        if ours == source.root {
            return Ok(Continuity::Ends(source.size));
        }
        let own = head(source.size, source.root);
        return Ok(Continuity::Contradicts(contradiction(recalled, source, own).map(Box::new)));
    }
    let last = source.last.as_deref().map(|bytes| Record::hash_of(bytes).to_string());
    let same_record = last.as_deref() == Some(recalled.record());
    let proof = consistency_proof(source.tree, end.size, source.size);
    let then = root_at(source.tree, end.size);
    let (Ok(proof), Ok(then)) = (proof, then) else { return Ok(Continuity::Unclear) };
    let whole = begins_with((source.size, &source.root), (end.size, &then), &proof);
    match (whole, same_record, then == end.root) {
        (true, true, true) => Ok(Continuity::GoesOn),
        (true, false, false) => {
            let found = contradiction(recalled, source, head(source.size, source.root));
            Ok(Continuity::Contradicts(found.map(Box::new)))
        }
        _ => Ok(Continuity::Unclear),
    }
}

/// The two heads that show the most: signed ones if they contradict each other.
fn contradiction(
    recalled: &Recalled,
    source: &Onward<'_>,
    own: Checkpoint,
) -> Option<Contradiction> {
    let end = &recalled.end;
    let ours = recalled.head().and_then(Head::parse).into_iter();
    let ours = ours.chain([Head::unsigned(end.clone())]);
    let theirs = signed(source, recalled).into_iter().chain([Head::unsigned(own)]);
    let theirs: Vec<Head> = theirs.collect();
    for ours in ours {
        for theirs in &theirs {
            // The tree is that of the larger head, wherever it ends.
            let tree: &dyn Rows = if theirs.checkpoint.size >= ours.checkpoint.size {
                source.tree
            } else {
                &recalled.rows
            };
            if let Ok(Some(found)) =
                Contradiction::between(ours.clone(), theirs.clone(), Some(tree))
            {
                return Some(found);
            }
        }
    }
    None
}

/// The source's head, if a log key that is on record has signed it.
fn signed(source: &Onward<'_>, recalled: &Recalled) -> Option<Head> {
    let (checkpoint, note) = Checkpoint::of_note(source.head.as_deref()?).ok()?;
    let origin = &recalled.end.origin;
    let by_log = checkpoint.origin == *origin && signed_by(&note, origin, &recalled.log_keys());
    by_log.then_some(Head { checkpoint, note: Some(note) })
}
