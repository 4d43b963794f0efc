//! Trusted keys.

use std::collections::BTreeMap;
use std::fmt;

use super::node_keys::is_pre_auth;
use super::signatures::is_weak;
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::LockKey;
use crate::limits::CBOR_MAP_PAIRS;

/// The kind of a trusted key: one byte on the wire; unknown values survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyKind(pub u8);

impl KeyKind {
    /// Ed25519, the only kind that can sign.
    pub const ED25519: KeyKind = KeyKind(1);
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("invalid"),
            1 => f.pad("25519"),
            n => f.pad(&format!("Key?<{n}>")),
        }
    }
}

/// Text metadata of a key. Encoded shortest key first, then bytewise (spec 1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta(pub BTreeMap<String, String>);

impl Meta {
    /// Bytes of all keys and values together: what the limit of 512 counts.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + v.len()).sum()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by_key(|(k, _)| (k.len(), k.as_bytes()));
        out.map(pairs.len());
        for (key, value) in pairs {
            out.text(key).text(value);
        }
    }

    /// Reads a map that the writer wrote: never empty, since empty ones are left out.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let len = reader.map()?;
        if len == 0 || len > CBOR_MAP_PAIRS {
            return Err(reader.malformed("an empty map that should have been left out"));
        }
        let mut pairs = BTreeMap::new();
        let mut last: Option<&str> = None;
        for _ in 0..len {
            let at = reader.clone();
            let key = reader.text()?;
            let order = |k: &str| (k.len(), k.as_bytes().to_vec());
            if last.is_some_and(|last| order(last) >= order(key)) {
                return Err(at.malformed("metadata keys out of order or repeated"));
            }
            last = Some(key);
            pairs.insert(key.to_owned(), reader.text()?.to_owned());
        }
        reader.close();
        Ok(Meta(pairs))
    }
}

/// A key that may sign, with its weight.
///
/// The original checks neither the length of `public` nor that it is there (spec 3.1, W7); such
/// keys exist in its data and can never sign, so the type admits them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The kind; 1 is Ed25519.
    pub kind: KeyKind,
    /// Its weight in fork resolution, 1 to 4096 when valid.
    pub votes: u64,
    /// The public key, normally 32 bytes; `None` is the original's nil.
    pub public: Option<Vec<u8>>,
    /// Metadata; `None` is nil, which the original tells from empty only in memory.
    pub meta: Option<Meta>,
}

impl Key {
    /// An Ed25519 key without metadata.
    pub fn ed25519(public: LockKey, votes: u64) -> Self {
        Key { kind: KeyKind::ED25519, votes, public: Some(public.0.to_vec()), meta: None }
    }

    /// The key ID: the public bytes of an Ed25519 key; other kinds have none (spec 2).
    pub fn id(&self) -> Option<&[u8]> {
        (self.kind == KeyKind::ED25519).then(|| self.public.as_deref().unwrap_or_default())
    }

    /// The key as one that can sign: Ed25519 of 32 bytes.
    pub fn lock_key(&self) -> Option<LockKey> {
        self.id()?.try_into().ok().map(LockKey)
    }

    /// Whether somebody can sign with this key and nobody else can: it is well formed, not of small
    /// order, and not the throw-away key of a wrapped auth key.
    pub fn can_sign(&self) -> bool {
        self.lock_key().is_some_and(|key| !is_weak(&key))
            && !self.meta.as_ref().is_some_and(|meta| is_pre_auth(&meta.0))
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let meta = self.meta.as_ref().filter(|meta| !meta.0.is_empty());
        out.map(3 + usize::from(meta.is_some()));
        out.uint(1).uint(self.kind.0.into());
        out.uint(2).uint(self.votes);
        out.uint(3).nullable_bytes(self.public.as_deref());
        if let Some(meta) = meta {
            out.uint(12);
            meta.write(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let kind = KeyKind(reader.u8()?);
        fields.needs(reader, 2)?;
        let votes = reader.uint()?;
        fields.needs(reader, 3)?;
        let public = reader.nullable_bytes()?.map(<[u8]>::to_vec);
        let meta = fields.has(reader, 12)?.then(|| Meta::read(reader)).transpose()?;
        fields.end(reader)?;
        Ok(Key { kind, votes, public, meta })
    }
}
