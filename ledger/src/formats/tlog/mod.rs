//! The transparency-log formats of C2SP: signed notes, checkpoints, tiles and proofs over the
//! Merkle tree of the record hashes, so that other people's tools can check a ledger.
//!
//! Leaf data is the 32-byte record hash ([`merkle`](crate::history::merkle)).

mod checkpoint;
mod note;
mod proof;
mod tiles;

pub use checkpoint::{BadCheckpoint, Checkpoint, origin};
pub use note::{BadNote, BadVerifierKey, KeyType, Note, NoteSignature, Standing, VerifierKey};
pub use proof::{
    BadProof, ConsistencyProof, InclusionProof, Proof, begins_with, root_of_inclusion,
};
pub use tiles::{BadTile, TILE_WIDTH, Tile, TileKind, entry_bundle, tiles_of};

use super::base64;

/// A hash from a line of base64, in its one spelling.
fn hash_line(line: &str) -> Option<[u8; 32]> {
    base64::decode(line).ok()?.try_into().ok()
}

/// A decimal number without a sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}
