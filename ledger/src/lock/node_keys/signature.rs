//! The signature, its encoding and what it asserts.

use std::fmt;

use super::NotAuthorized;
use crate::Refusal;
use crate::cbor::{Fields, Malformed, Reader, Writer};
use crate::ids::{LockKey, NodeKey, SigHash};
use crate::lock::signatures::{Claim, Signed, is_weak};

/// Bytes of nearly every signature's encoding, at most.
const USUAL_BYTES: usize = 300;

/// The kind of a node-key signature: one byte on the wire; unknown values survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigKind(pub u8);

impl SigKind {
    /// A trusted key lets a node key in.
    pub const DIRECT: SigKind = SigKind(1);
    /// The wrapping key of the nested signature lets another node key in.
    pub const ROTATION: SigKind = SigKind(2);
    /// A trusted key delegates to a wrapping key; counts only within a rotation.
    pub const CREDENTIAL: SigKind = SigKind(3);
}

impl fmt::Display for SigKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            0 => "invalid",
            1 => "direct",
            2 => "rotation",
            3 => "credential",
            n => return f.pad(&format!("Sig?<{n}>")),
        })
    }
}

/// A node-key signature (spec 1.2, 8.1). Fields without bytes are absent: on the wire the two
/// cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeKeySignature {
    /// The kind, which decides which of the fields count.
    pub kind: SigKind,
    /// The node key in its 34-byte form; none in a credential.
    pub pubkey: Vec<u8>,
    /// Direct, credential: the trusted key that signs. 32 bytes when valid.
    pub key_id: Vec<u8>,
    /// Ed25519 signature over the signature hash. 64 bytes when valid.
    pub signature: Vec<u8>,
    /// Rotation: the signature whose wrapping key signs this one.
    pub nested: Option<Box<NodeKeySignature>>,
    /// The key that may sign rotations of this one. 32 bytes when it may.
    pub wrapping: Vec<u8>,
}

impl NodeKeySignature {
    /// Decodes canonical bytes; refuses every other spelling (rule `noncanonical`).
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let signature = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(signature)
    }

    /// Decodes one from a larger document. The reader's depth limit bounds the recursion.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let kind = SigKind(reader.u8()?);
        let pubkey = bytes_field(&mut fields, reader, 2)?;
        let key_id = bytes_field(&mut fields, reader, 3)?;
        let signature = bytes_field(&mut fields, reader, 4)?;
        let nested =
            if fields.has(reader, 5)? { Some(Box::new(Self::read(reader)?)) } else { None };
        let wrapping = bytes_field(&mut fields, reader, 6)?;
        fields.end(reader)?;
        Ok(NodeKeySignature { kind, pubkey, key_id, signature, nested, wrapping })
    }

    /// The canonical encoding.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(USUAL_BYTES);
        self.write(&mut out, true);
        out.into_bytes()
    }

    /// The hash that is signed: of the encoding without the outermost signature (spec 2).
    pub fn sig_hash(&self) -> SigHash {
        let mut out = Writer::with_capacity(USUAL_BYTES);
        self.write(&mut out, false);
        SigHash::of(&out.into_bytes())
    }

    fn write(&self, out: &mut Writer, signed: bool) {
        let signature = if signed { self.signature.as_slice() } else { &[] };
        let fields = [self.pubkey.as_slice(), &self.key_id, signature, &self.wrapping];
        let set = fields.iter().filter(|bytes| !bytes.is_empty()).count();
        out.map(1 + set + usize::from(self.nested.is_some()));
        out.uint(1).uint(self.kind.0.into());
        for (field, bytes) in [(2, &self.pubkey[..]), (3, &self.key_id), (4, signature)] {
            if !bytes.is_empty() {
                out.uint(field).bytes(bytes);
            }
        }
        if let Some(nested) = &self.nested {
            out.uint(5);
            nested.write(out, true);
        }
        if !self.wrapping.is_empty() {
            out.uint(6).bytes(&self.wrapping);
        }
    }

    /// The signatures from this one inwards.
    pub fn levels(&self) -> impl Iterator<Item = &NodeKeySignature> {
        std::iter::successors(Some(self), |level| level.nested.as_deref())
    }

    /// How many signatures are nested in each other, this one included.
    pub fn depth(&self) -> usize {
        self.levels().count()
    }

    /// The node key that it lets in, if it names a well-formed one.
    pub fn node_key(&self) -> Option<NodeKey> {
        NodeKey::from_binary(&self.pubkey).ok()
    }

    /// The key that may rotate it: its own wrapping key or, in a rotation, the nested one's
    /// (spec 8.1). Any length, as the original reports it.
    pub fn wrapping_key(&self) -> Option<&[u8]> {
        let mut level = self;
        loop {
            if !level.wrapping.is_empty() {
                return Some(&level.wrapping);
            }
            if level.kind != SigKind::ROTATION {
                return None;
            }
            level = level.nested.as_deref()?;
        }
    }

    /// The ID of the trusted key on which it rests, of any length (spec 8.1).
    pub fn authorizing_key_id(&self) -> Result<&[u8], NotAuthorized> {
        let mut level = self;
        loop {
            match level.kind {
                SigKind::DIRECT | SigKind::CREDENTIAL if level.key_id.is_empty() => {
                    return Err(NotAuthorized::NoKeyId);
                }
                SigKind::DIRECT | SigKind::CREDENTIAL => return Ok(&level.key_id),
                SigKind::ROTATION => {
                    level = level.nested.as_deref().ok_or(NotAuthorized::NoNested)?;
                }
                kind => return Err(NotAuthorized::Kind(kind)),
            }
        }
    }

    /// The trusted key on which it rests, if its ID can be one.
    pub fn authorizing_key(&self) -> Result<LockKey, NotAuthorized> {
        let id = self.authorizing_key_id()?;
        id.try_into().map(LockKey).map_err(|_| NotAuthorized::Untrusted)
    }
}

/// A byte string that is left out when empty.
fn bytes_field(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Vec<u8>, Malformed> {
    if !fields.has(reader, field)? {
        return Ok(Vec::new());
    }
    let at = reader.clone();
    match reader.bytes()? {
        [] => Err(at.malformed("an empty field that should have been left out")),
        bytes => Ok(bytes.to_vec()),
    }
}

impl Signed for NodeKeySignature {
    /// One claim per level, outermost first (spec 8.2).
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        for level in self.levels() {
            let message = level.sig_hash().0.to_vec();
            let signature =
                level.signature.as_slice().try_into().map_err(|_| NotAuthorized::Signature)?;
            match level.kind {
                SigKind::ROTATION => {
                    let nested = level.nested.as_deref().ok_or(NotAuthorized::NoNested)?;
                    let key = nested.wrapping_key().ok_or(NotAuthorized::NoWrappingKey)?;
                    let key = <[u8; 32]>::try_from(key)
                        .map_err(|_| NotAuthorized::WrappingKeyLength(key.len()))?;
                    if is_weak(&LockKey(key)) {
                        return Err(NotAuthorized::WeakWrappingKey.into());
                    }
                    out.push(Claim::Standard { key, message, signature });
                }
                SigKind::DIRECT | SigKind::CREDENTIAL => {
                    if level.nested.is_some() {
                        return Err(NotAuthorized::Nests(level.kind).into());
                    }
                    let key = level.authorizing_key()?.0;
                    out.push(Claim::Zip215 { key, message, signature });
                }
                kind => return Err(NotAuthorized::Kind(kind).into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::lock::node_keys::{resign, sign_direct};
    use crate::lock::signatures::{PrivateKey, Signer};

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_seed(&[seed; 32])
    }

    /// The vectors of spec 8.4.
    #[test]
    fn direct_and_rotation_of_the_spec() {
        let direct = sign_direct(&key(1), NodeKey([4; 32]), Some(key(2).public())).unwrap();
        assert_eq!(
            HEXLOWER.encode(&direct.sig_hash().0),
            "035d3ab5d9de18699e685380ed72f6b7d071b018ad448b2c7bc29ffc926bf01c"
        );
        assert_eq!(
            HEXLOWER.encode(&direct.signature),
            "d04fedd4ec64377248a6f10590a915f7f73a7dc55b6701ecca17d6f28298f760\
             f5730eaef4b79e6e2390fa5f55c86976631859edfa7d03481670a5919d2a380b"
        );
        let rotation = resign(&key(2), NodeKey([5; 32]), &direct).unwrap();
        assert_eq!(
            HEXLOWER.encode(&rotation.sig_hash().0),
            "dbaa7918c1cd4664b26b332bc882ddcbd6f91f55941e983845abc12e430769b7"
        );
        assert_eq!(rotation.to_cbor().len(), 285);
    }

    /// Spec 14.2, W15: no rotation key means no field; a weak one is refused.
    #[test]
    fn signing_never_names_a_weak_rotation_key() {
        let without = sign_direct(&key(1), NodeKey([4; 32]), None).unwrap();
        assert_eq!(without.wrapping_key(), None);
        assert_eq!(without.to_cbor()[0], 0xa4);
        for weak in [[0; 32], std::array::from_fn(|i| u8::from(i == 0))] {
            assert!(sign_direct(&key(1), NodeKey([4; 32]), Some(LockKey(weak))).is_err());
        }
    }
}
