//! Authority update messages.

use std::fmt;
use std::ops::Deref;

use super::key::Meta;
use super::{Key, State};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::{AumHash, SigHash, blake2s_each};

/// Bytes of most AUMs, checkpoints apart.
const TYPICAL_BYTES: usize = 256;
/// Signatures that an AUM has at most, as a rule.
const FEW_SIGNATURES: usize = 2;
/// AUMs that are decoded at a time: few enough for the fastest cache to hold them all.
const TOGETHER: usize = 32;

/// What an AUM does: one byte on the wire; unknown values survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AumKind(pub u8);

impl AumKind {
    /// Adds a trusted key.
    pub const ADD_KEY: AumKind = AumKind(1);
    /// Removes a trusted key.
    pub const REMOVE_KEY: AumKind = AumKind(2);
    /// Changes nothing.
    pub const NO_OP: AumKind = AumKind(3);
    /// Changes a trusted key's votes or metadata.
    pub const UPDATE_KEY: AumKind = AumKind(4);
    /// Carries a whole state.
    pub const CHECKPOINT: AumKind = AumKind(5);
}

impl fmt::Display for AumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            0 => "invalid",
            1 => "add-key",
            2 => "remove-key",
            3 => "no-op",
            4 => "update-key",
            5 => "checkpoint",
            n => return f.pad(&format!("AUM?<{n}>")),
        })
    }
}

/// One signature on an AUM. `None` is the original's nil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AumSignature {
    /// Key ID of the signer: 32 bytes when valid.
    pub key_id: Option<Vec<u8>>,
    /// Ed25519 signature over the AUM's signature hash: 64 bytes when valid.
    pub signature: Option<Vec<u8>>,
}

/// An authority update message (spec 1.2). Which fields may be set depends on the kind (3.2).
///
/// In memory an empty field can be told from an absent one, as in the original, whose validation
/// looks at the difference; on the wire it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aum {
    /// What it does.
    pub kind: AumKind,
    /// Hash of the AUM before; `None` in a genesis. 32 bytes when valid.
    pub parent: Option<Vec<u8>>,
    /// The key to add.
    pub key: Option<Key>,
    /// The key to remove or update.
    pub key_id: Option<Vec<u8>>,
    /// A checkpoint's state.
    pub state: Option<State>,
    /// New votes.
    pub votes: Option<u64>,
    /// New metadata.
    pub meta: Option<Meta>,
    /// Signatures by keys trusted at the parent.
    pub signatures: Vec<AumSignature>,
}

impl Aum {
    /// An unsigned AUM without fields.
    pub fn new(kind: AumKind, parent: Option<AumHash>) -> Self {
        Aum {
            kind,
            parent: parent.map(|hash| hash.0.to_vec()),
            key: None,
            key_id: None,
            state: None,
            votes: None,
            meta: None,
            signatures: Vec::new(),
        }
    }

    /// The parent as the original compares it: the first 32 bytes, padded with zeros (spec 3.4).
    /// A parent of no bytes is none.
    pub fn parent_hash(&self) -> Option<AumHash> {
        self.parent.as_ref().filter(|bytes| !bytes.is_empty()).map(|bytes| {
            let mut hash = [0; 32];
            let len = bytes.len().min(32);
            hash[..len].copy_from_slice(&bytes[..len]);
            AumHash(hash)
        })
    }

    /// The canonical encoding.
    pub fn to_cbor(&self) -> Vec<u8> {
        self.encode(&self.signatures).0
    }

    /// The hash that each signer signs: of the encoding without signatures (spec 2).
    pub fn sig_hash(&self) -> SigHash {
        SigHash::of(&self.encode(&[]).0)
    }

    /// The encoding with these signatures, and where they begin in it.
    fn encode(&self, signatures: &[AumSignature]) -> (Vec<u8>, usize) {
        let key_id = self.key_id.as_ref().filter(|id| !id.is_empty());
        let meta = self.meta.as_ref().filter(|meta| !meta.0.is_empty());
        let fields = [
            self.key.is_some(),
            key_id.is_some(),
            self.state.is_some(),
            self.votes.is_some(),
            meta.is_some(),
            !signatures.is_empty(),
        ];
        let mut out = Writer::with_capacity(TYPICAL_BYTES);
        out.map(2 + fields.into_iter().filter(|set| *set).count());
        out.uint(1).uint(self.kind.0.into());
        out.uint(2).nullable_bytes(self.parent.as_deref());
        if let Some(key) = &self.key {
            out.uint(3);
            key.write(&mut out);
        }
        if let Some(id) = key_id {
            out.uint(4).bytes(id);
        }
        if let Some(state) = &self.state {
            out.uint(5);
            state.write(&mut out);
        }
        if let Some(votes) = self.votes {
            out.uint(6).uint(votes);
        }
        if let Some(meta) = meta {
            out.uint(7);
            meta.write(&mut out);
        }
        let unsigned = out.offset();
        if !signatures.is_empty() {
            out.uint(23).array(signatures.len());
            for signature in signatures {
                out.map(2);
                out.uint(1).nullable_bytes(signature.key_id.as_deref());
                out.uint(2).nullable_bytes(signature.signature.as_deref());
            }
        }
        (out.into_bytes(), unsigned)
    }

    /// Decodes one AUM; also says at which offset its signatures begin.
    fn read(reader: &mut Reader<'_>) -> Result<(Self, usize), Malformed> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let kind = AumKind(reader.u8()?);
        fields.needs(reader, 2)?;
        let parent = reader.nullable_bytes()?.map(<[u8]>::to_vec);
        let key = fields.has(reader, 3)?.then(|| Key::read(reader)).transpose()?;
        let key_id = if fields.has(reader, 4)? {
            let at = reader.clone();
            let id = reader.bytes()?;
            if id.is_empty() {
                return Err(at.malformed("an empty key ID that should have been left out"));
            }
            Some(id.to_vec())
        } else {
            None
        };
        let state = fields.has(reader, 5)?.then(|| State::read(reader)).transpose()?;
        let votes = fields.has(reader, 6)?.then(|| reader.uint()).transpose()?;
        let meta = fields.has(reader, 7)?.then(|| Meta::read(reader)).transpose()?;
        let unsigned = reader.offset();
        let mut signatures = Vec::new();
        if fields.has(reader, 23)? {
            let len = reader.array()?;
            if len == 0 {
                return Err(reader.malformed("an empty list that should have been left out"));
            }
            signatures.reserve(len.min(FEW_SIGNATURES));
            for _ in 0..len {
                let mut fields = reader.fields()?;
                fields.needs(reader, 1)?;
                let key_id = reader.nullable_bytes()?.map(<[u8]>::to_vec);
                fields.needs(reader, 2)?;
                let signature = reader.nullable_bytes()?.map(<[u8]>::to_vec);
                fields.end(reader)?;
                signatures.push(AumSignature { key_id, signature });
            }
            reader.close();
        }
        fields.end(reader)?;
        Ok((Aum { kind, parent, key, key_id, state, votes, meta, signatures }, unsigned))
    }
}

/// An AUM with its canonical bytes and hash, computed once.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Elsewhere, since it is large and sealed AUMs are moved about by the thousands.
    aum: Box<Aum>,
    bytes: Vec<u8>,
    /// Where the signatures begin in the bytes.
    unsigned: usize,
    hash: AumHash,
    /// What its signers sign, where that came at little cost.
    signed: Option<SigHash>,
}

/// Everything else follows from the bytes.
impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.aum == other.aum
    }
}

impl Eq for Sealed {}

impl Aum {
    /// The state that a checkpoint carries. One in an AUM of another kind says nothing.
    pub fn checkpointed(&self) -> Option<&State> {
        self.state.as_ref().filter(|_| self.kind == AumKind::CHECKPOINT)
    }
}

impl Sealed {
    /// Encodes and hashes an AUM.
    pub fn new(aum: Aum) -> Self {
        let (bytes, unsigned) = aum.encode(&aum.signatures);
        let hash = AumHash::of(&bytes);
        // What the wire cannot say is not said: validation must see what every reader sees.
        let mut aum = aum;
        aum.key_id = aum.key_id.filter(|id| !id.is_empty());
        aum.meta = aum.meta.filter(|meta| !meta.0.is_empty());
        if let Some(key) = &mut aum.key {
            key.meta = key.meta.take().filter(|meta| !meta.0.is_empty());
        }
        if let Some(keys) = aum.state.as_mut().and_then(|state| state.keys.as_mut()) {
            for key in keys {
                key.meta = key.meta.take().filter(|meta| !meta.0.is_empty());
            }
        }
        Sealed { aum: Box::new(aum), bytes, unsigned, hash, signed: None }
    }

    /// Decodes canonical bytes; refuses every other spelling (rule `noncanonical`).
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (aum, unsigned) = Self::read(bytes)?;
        let (bytes, hash) = (bytes.to_vec(), AumHash::of(bytes));
        Ok(Sealed { aum, bytes, unsigned, hash, signed: None })
    }

    fn read(bytes: &[u8]) -> Result<(Box<Aum>, usize), Malformed> {
        let mut reader = Reader::new(bytes);
        let (aum, unsigned) = Aum::read(&mut reader)?;
        reader.finish()?;
        Ok((Box::new(aum), unsigned))
    }

    /// Decodes many inputs, each as [`decode`](Self::decode) does: in less time, since several are
    /// hashed at once, and what the signers sign with them. The answers are in the inputs' order.
    pub fn decode_many<B: AsRef<[u8]>>(inputs: &[B]) -> Vec<Result<Self, Malformed>> {
        let mut all = Vec::with_capacity(inputs.len());
        for inputs in inputs.chunks(TOGETHER) {
            Self::decode_together(inputs, &mut all);
        }
        all
    }

    fn decode_together<B: AsRef<[u8]>>(inputs: &[B], all: &mut Vec<Result<Self, Malformed>>) {
        let inputs = || inputs.iter().map(AsRef::as_ref);
        let read: Vec<_> = inputs().map(Self::read).collect();
        // What cannot be read counts as empty here, so that every input has its two hashes.
        let whole = inputs().zip(&read).map(|(bytes, read)| if read.is_ok() { bytes } else { &[] });
        let (mut unsigned, mut ends) = (Vec::new(), Vec::with_capacity(TOGETHER));
        for (bytes, read) in inputs().zip(&read) {
            if let Ok((aum, at)) = read {
                unsigned.push(unsigned_head(aum, bytes));
                unsigned.extend_from_slice(&bytes[1..*at]);
            }
            ends.push(unsigned.len());
        }
        let starts = [0].into_iter().chain(ends.iter().copied());
        let to_sign = starts.zip(&ends).map(|(start, end)| &unsigned[start..*end]);
        let hashes = blake2s_each(whole.chain(to_sign));
        let (hashes, signed) = hashes.split_at(ends.len());
        let hashed = inputs().zip(hashes.iter().zip(signed));
        all.extend(read.into_iter().zip(hashed).map(|(read, (bytes, (hash, signed)))| {
            let (aum, unsigned) = read?;
            let (hash, signed) = (AumHash(*hash), Some(SigHash(*signed)));
            Ok(Sealed { aum, bytes: bytes.to_vec(), unsigned, hash, signed })
        }));
    }

    /// Decodes the AUM that `bytes` begin with; also says how many bytes it has.
    pub fn decode_first(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let mut reader = Reader::new(bytes);
        let (aum, unsigned) = Aum::read(&mut reader)?;
        let len = reader.offset();
        let bytes = bytes[..len].to_vec();
        let hash = AumHash::of(&bytes);
        Ok((Sealed { aum: Box::new(aum), bytes, unsigned, hash, signed: None }, len))
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The AUM's identity.
    pub fn hash(&self) -> AumHash {
        self.hash
    }

    /// The hash that each signer signs, as [`Aum::sig_hash`], from the bytes at hand: without the
    /// signatures, which come last, and with a pair less in the head.
    pub fn sig_hash(&self) -> SigHash {
        let hash = || {
            let head = unsigned_head(&self.aum, &self.bytes);
            SigHash::of_parts(&[&[head], &self.bytes[1..self.unsigned]])
        };
        self.signed.unwrap_or_else(hash)
    }

    /// The AUM, taken out to be changed.
    pub fn into_aum(self) -> Aum {
        *self.aum
    }
}

/// The head of an AUM's bytes without its signatures: it counts a pair less.
fn unsigned_head(aum: &Aum, bytes: &[u8]) -> u8 {
    bytes[0] - u8::from(!aum.signatures.is_empty())
}

impl Deref for Sealed {
    type Target = Aum;

    fn deref(&self) -> &Aum {
        &self.aum
    }
}
