//! Checkpoints: signed tree heads (c2sp.org/tlog-checkpoint).

use std::fmt;

use data_encoding::BASE64;

use super::note::{self, BadNote, Note, NoteSignature};
use super::{decimal, hash_line};
use crate::history::RecordHash;
use crate::history::merkle::MerkleHash;
use crate::lock::signatures::Signer;

/// The size of a log and the root of its tree there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// The root over them (RFC 6962 2.1).
    pub root: MerkleHash,
}

/// Why a note is no checkpoint of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// It is no note.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// Its text is not that of a checkpoint.
    #[error("a checkpoint is three lines: origin, decimal size, base64 root hash")]
    Lines,
}

/// The identity of a ledger in checkpoints: constant across its epochs.
pub fn origin(record_0: &RecordHash) -> String {
    format!("lockstep/{record_0}")
}

impl Checkpoint {
    /// Reads a note's text. Extension lines, which nobody who follows a log can check, are refused.
    pub fn of_text(text: &str) -> Result<Self, BadCheckpoint> {
        let mut lines = text.split('\n');
        let mut next = || lines.next().ok_or(BadCheckpoint::Lines);
        let (origin, size, root) = (next()?, next()?, next()?);
        if origin.is_empty() || !next()?.is_empty() || lines.next().is_some() {
            return Err(BadCheckpoint::Lines);
        }
        // As in a signed note: whoever prints an origin prints no terminal's commands.
        if origin.contains(char::is_control) {
            return Err(BadCheckpoint::Lines);
        }
        Ok(Checkpoint {
            origin: origin.to_owned(),
            size: decimal(size).ok_or(BadCheckpoint::Lines)?,
            root: hash_line(root).ok_or(BadCheckpoint::Lines)?,
        })
    }

    /// Reads a signed checkpoint. No signature is verified.
    pub fn of_note(bytes: &[u8]) -> Result<(Self, Note), BadCheckpoint> {
        let note = Note::parse(bytes)?;
        Ok((Self::of_text(note.text())?, note))
    }

    /// The log's own signature (type 0x01), under the name of the origin. None if the origin can
    /// be no name.
    pub fn sign(&self, signer: &dyn Signer) -> Option<NoteSignature> {
        note::sign(&self.to_string(), &self.origin, signer)
    }

    /// A timestamped cosignature under a name, at a time in seconds since 1970. None if it can be
    /// no name.
    pub fn cosign(&self, name: &str, time: u64, signer: &dyn Signer) -> Option<NoteSignature> {
        note::cosign(&self.to_string(), name, time, signer)
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(&self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::{KeyType, Standing, VerifierKey};
    use super::*;
    use crate::testing::key;

    #[test]
    fn what_is_signed_reads_back_and_verifies() {
        let record_0 = RecordHash([7; 32]);
        let checkpoint = Checkpoint { origin: origin(&record_0), size: 70_000, root: [9; 32] };
        assert_eq!(checkpoint.origin.len(), "lockstep/".len() + 52);
        let signer = key(5);
        let signature = checkpoint.sign(&signer).unwrap();
        let note = Note::new(checkpoint.to_string(), vec![signature]).to_string();
        let (read, parsed) = Checkpoint::of_note(note.as_bytes()).unwrap();
        assert_eq!(read, checkpoint);
        let vkey =
            VerifierKey::new(&checkpoint.origin, KeyType::Ed25519, signer.public().0).unwrap();
        assert_eq!(parsed.by(&vkey), Standing::Signed(None));
        for bit in 0..checkpoint.to_string().len() * 8 {
            let mut altered = note.clone().into_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            let holds = Checkpoint::of_note(&altered)
                .is_ok_and(|(_, note)| note.by(&vkey) == Standing::Signed(None));
            assert!(!holds, "bit {bit}");
        }
    }

    #[test]
    fn only_three_lines_are_a_checkpoint() {
        let root = BASE64.encode(&[9; 32]);
        assert!(Checkpoint::of_text(&format!("o\n1\n{root}\n")).is_ok());
        for bad in [
            format!("\n1\n{root}\n"),
            format!("o\u{1b}[2J\n1\n{root}\n"),
            format!("o\r\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\nextension\n"),
            format!("o\n1\n{}\n", &root[..40]),
            format!("o\n18446744073709551616\n{root}\n"),
        ] {
            assert_eq!(Checkpoint::of_text(&bad), Err(BadCheckpoint::Lines), "{bad}");
        }
    }
}
