//! Signed notes and the keys that verify them (c2sp.org/signed-note).

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::Refusal;
use crate::formats::base64;
use crate::lock::signatures::{Claim, Signed, Signer, Unverified, verify_one};

/// Bytes of a note, at most.
const NOTE_BYTES: usize = 1 << 20;
/// Signatures of a note, at most. A verifier must take 16.
const NOTE_SIGNATURES: usize = 64;
/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// What a key's signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// Ed25519 over the note's text: type 0x01.
    Ed25519,
    /// A timestamped cosignature of a checkpoint: type 0x04 (c2sp.org/tlog-cosignature).
    Cosignature,
}

impl KeyType {
    fn byte(self) -> u8 {
        match self {
            KeyType::Ed25519 => 1,
            KeyType::Cosignature => 4,
        }
    }
}

/// A public key that verifies notes, with the name under which it signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifierKey {
    name: String,
    kind: KeyType,
    key: [u8; 32],
}

/// Why text is no verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadVerifierKey {
    /// It does not have three parts.
    #[error("a verifier key is NAME+KEYID+BASE64")]
    Shape,
    /// The name is empty or has a space or a plus in it.
    #[error("the name of a verifier key is not empty and has no spaces and no plus in it")]
    Name,
    /// The key itself is not base64 of a type and 32 bytes.
    #[error("the key is not base64 of a known type (1 or 4) and an Ed25519 public key")]
    Key,
    /// The key ID is not that of name and key.
    #[error("the key ID is not that of the name and the key: a typing or copying error")]
    Id,
}

impl VerifierKey {
    /// A key under a name.
    pub fn new(name: &str, kind: KeyType, key: [u8; 32]) -> Result<Self, BadVerifierKey> {
        let good = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || !name.chars().all(good) {
            return Err(BadVerifierKey::Name);
        }
        Ok(VerifierKey { name: name.to_owned(), kind, key })
    }

    /// The name under which it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are made over.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The Ed25519 public key.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Four bytes that tell keys of one name apart. Not a hash that nobody could collide with.
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', self.kind.byte()]);
        hash.update(self.key);
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.kind.byte()], &self.key[..]].concat();
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&typed))
    }
}

impl FromStr for VerifierKey {
    type Err = BadVerifierKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Base64 has a plus of its own; a name and a key ID have none.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadVerifierKey::Shape);
        };
        let typed = base64::decode(key).map_err(|_| BadVerifierKey::Key)?;
        let (kind, key) = typed.split_first().ok_or(BadVerifierKey::Key)?;
        let kind = match kind {
            1 => KeyType::Ed25519,
            4 => KeyType::Cosignature,
            _ => return Err(BadVerifierKey::Key),
        };
        let key = VerifierKey::new(name, kind, key.try_into().map_err(|_| BadVerifierKey::Key)?)?;
        if HEXLOWER.encode(&key.id()) != id {
            return Err(BadVerifierKey::Id);
        }
        Ok(key)
    }
}

/// One signature of a note, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The ID of the key.
    pub id: [u8; 4],
    /// What the key's type makes of it.
    pub bytes: Vec<u8>,
}

/// Text and its signatures. The text is to be ignored until a trusted key's signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Why bytes are no signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// Larger than any note has to be.
    #[error("a note has at most {NOTE_BYTES} bytes and {NOTE_SIGNATURES} signatures")]
    TooLarge,
    /// It is not text, or holds control characters.
    #[error("a note is UTF-8 text without control characters")]
    NotText,
    /// There is no blank line between text and signatures.
    #[error("a note is text, a blank line, and at least one signature line")]
    Shape,
    /// A signature line is none.
    #[error("signature line {0} of the note is malformed")]
    Line(usize),
}

/// How a key stands to a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not signed.
    Absent,
    /// It has signed; a cosignature says when, in seconds since 1970.
    Signed(Option<u64>),
    /// A signature says that it is this key's, and does not hold.
    Forged,
}

impl Note {
    /// A note of text that ends in a newline.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Self {
        Note { text, signatures }
    }

    /// Reads a note. No signature is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadNote> {
        if bytes.len() > NOTE_BYTES {
            return Err(BadNote::TooLarge);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| BadNote::NotText)?;
        if whole.chars().any(|c| c.is_control() && c != '\n') {
            return Err(BadNote::NotText);
        }
        let (at, _) = whole.rmatch_indices("\n\n").next().ok_or(BadNote::Shape)?;
        let (text, lines) = (&whole[..=at], &whole[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(BadNote::Shape)?;
        let mut signatures = Vec::new();
        for (i, line) in lines.split('\n').enumerate() {
            if i >= NOTE_SIGNATURES {
                return Err(BadNote::TooLarge);
            }
            signatures.push(signature_line(line).ok_or(BadNote::Line(i))?);
        }
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// What is signed, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether a key has signed. Several signatures of one key must all hold.
    pub fn by(&self, key: &VerifierKey) -> Standing {
        let mut standing = Standing::Absent;
        let id = key.id();
        for signature in &self.signatures {
            if signature.name != key.name || signature.id != id {
                continue;
            }
            match signed(&self.text, key, &signature.bytes) {
                Some(time) => standing = Standing::Signed(time),
                None => return Standing::Forged,
            }
        }
        standing
    }
}

/// The note as it is written.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            writeln!(f, "{DASH}{name} {}", BASE64.encode(&[id, bytes.as_slice()].concat()))?;
        }
        Ok(())
    }
}

fn signature_line(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = base64::decode(encoded).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    let good = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    good.then(|| NoteSignature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

/// Whether a signature holds: then the time that it names, if its type has one.
fn signed(text: &str, key: &VerifierKey, bytes: &[u8]) -> Option<Option<u64>> {
    let (time, message, signature) = match key.kind {
        KeyType::Ed25519 => (None, text.as_bytes().to_vec(), bytes),
        KeyType::Cosignature => {
            let (time, signature) = bytes.split_first_chunk::<8>()?;
            let time = u64::from_be_bytes(*time);
            (Some(time), cosigned_message(text, time), signature)
        }
    };
    let claim = Claim::Standard { key: key.key, message, signature: signature.try_into().ok()? };
    verify_one(Unverified::new(Claimed(claim))).ok()?;
    Some(time)
}

/// One claim, to be checked where all others are.
struct Claimed(Claim);

impl Signed for Claimed {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        out.push(self.0.clone());
        Ok(())
    }
}

/// What a cosignature is made over.
fn cosigned_message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// A signature over a note's text under that name.
pub(super) fn sign(text: &str, name: &str, signer: &dyn Signer) -> Option<NoteSignature> {
    let key = VerifierKey::new(name, KeyType::Ed25519, signer.public().0).ok()?;
    let bytes = signer.sign(text.as_bytes()).to_vec();
    Some(NoteSignature { name: name.to_owned(), id: key.id(), bytes })
}

/// A cosignature of a checkpoint's text under that name, at that time in seconds since 1970.
pub(super) fn cosign(
    text: &str,
    name: &str,
    time: u64,
    signer: &dyn Signer,
) -> Option<NoteSignature> {
    let key = VerifierKey::new(name, KeyType::Cosignature, signer.public().0).ok()?;
    let signature = signer.sign(&cosigned_message(text, time));
    let bytes = [&time.to_be_bytes()[..], &signature].concat();
    Some(NoteSignature { name: name.to_owned(), id: key.id(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    /// The example of Go's package golang.org/x/mod/sumdb/note.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvq\
        fqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn gos_own_example_verifies() {
        let peter: VerifierKey = PETER.parse().unwrap();
        assert_eq!(peter.to_string(), PETER);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(note.by(&peter), Standing::Signed(None));
        let enoch = VerifierKey::new("EnochRoot", KeyType::Ed25519, peter.key()).unwrap();
        assert_eq!(note.by(&enoch), Standing::Absent);
        let altered = NOTE.replace("answer", "Answer");
        assert_eq!(Note::parse(altered.as_bytes()).unwrap().by(&peter), Standing::Forged);
    }

    #[test]
    fn a_key_has_one_spelling_and_its_id_is_checked() {
        for bad in [
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+AhpcIAAA",
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn notes_are_read_strictly() {
        for bad in [
            &NOTE[..NOTE.len() - 1],
            &NOTE.replace("\n\n", "\n"),
            &NOTE.replace('\u{2014}', "-"),
            &NOTE.replace("x08go", "x08g"),
            &NOTE.replace("then", "th\u{7}en"),
            "",
            "text\n\n",
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Note::parse(&[0xff]), Err(BadNote::NotText));
    }

    #[test]
    fn a_cosignature_signs_its_time() {
        let signer = key(4);
        let text = "log.example/1\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let signature = cosign(text, "witness.example", 1_679_315_147, &signer).unwrap();
        let key = VerifierKey::new("witness.example", KeyType::Cosignature, signer.public().0);
        let key = key.unwrap();
        let mut note = Note::new(text.to_owned(), vec![signature]);
        assert_eq!(note.by(&key), Standing::Signed(Some(1_679_315_147)));
        assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note.clone()));
        note.signatures[0].bytes[7] ^= 1;
        assert_eq!(note.by(&key), Standing::Forged);
    }
}
