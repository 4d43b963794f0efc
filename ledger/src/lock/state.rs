//! The state that AUMs change: trusted keys and disablement values.

use super::Key;
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;

/// The authority's state after an AUM; also what a checkpoint carries (spec 1.2, 4).
///
/// `None` lists are the original's nil, which is encoded otherwise than an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The AUM that led here; absent in a checkpoint.
    pub last_aum: Option<AumHash>,
    /// Argon2i images of the disablement secrets.
    pub disablement_values: Option<Vec<Option<Vec<u8>>>>,
    /// Trusted keys; their order is part of checkpoints.
    pub keys: Option<Vec<Key>>,
    /// First half of the state ID, which tells locks apart.
    pub state_id1: u64,
    /// Second half of the state ID.
    pub state_id2: u64,
}

impl State {
    /// The trusted keys, none if nil.
    pub fn keys(&self) -> &[Key] {
        self.keys.as_deref().unwrap_or_default()
    }

    /// The disablement values, none if nil.
    pub fn disablement_values(&self) -> impl Iterator<Item = &[u8]> {
        self.disablement_values.iter().flatten().map(|v| v.as_deref().unwrap_or_default())
    }

    /// The trusted key with that key ID.
    pub fn key(&self, id: &[u8]) -> Option<&Key> {
        self.keys().iter().find(|key| key.id() == Some(id))
    }

    /// Both halves of the state ID.
    pub fn state_id(&self) -> (u64, u64) {
        (self.state_id1, self.state_id2)
    }

    /// The canonical encoding.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.into_bytes()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.map(3 + usize::from(self.state_id1 != 0) + usize::from(self.state_id2 != 0));
        out.uint(1).nullable_bytes(self.last_aum.as_ref().map(|hash| hash.0.as_slice()));
        out.uint(2);
        match &self.disablement_values {
            None => {
                out.null();
            }
            Some(values) => {
                out.array(values.len());
                for value in values {
                    out.nullable_bytes(value.as_deref());
                }
            }
        }
        out.uint(3);
        match &self.keys {
            None => {
                out.null();
            }
            Some(keys) => {
                out.array(keys.len());
                for key in keys {
                    key.write(out);
                }
            }
        }
        for (field, id) in [(4, self.state_id1), (5, self.state_id2)] {
            if id != 0 {
                out.uint(field).uint(id);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let last_aum = if reader.null() { None } else { Some(AumHash(reader.fixed()?)) };
        fields.needs(reader, 2)?;
        let disablement_values = if reader.null() {
            None
        } else {
            let len = reader.array()?;
            let mut values = Vec::with_capacity(len);
            for _ in 0..len {
                values.push(reader.nullable_bytes()?.map(<[u8]>::to_vec));
            }
            reader.close();
            Some(values)
        };
        fields.needs(reader, 3)?;
        let keys = if reader.null() {
            None
        } else {
            let len = reader.array()?;
            let mut keys = Vec::new();
            for _ in 0..len {
                keys.push(Key::read(reader)?);
            }
            reader.close();
            Some(keys)
        };
        let mut id = |field| -> Result<u64, Malformed> {
            if !fields.has(reader, field)? {
                return Ok(0);
            }
            match reader.uint()? {
                0 => Err(reader.malformed("a zero that should have been left out")),
                id => Ok(id),
            }
        };
        let (state_id1, state_id2) = (id(4)?, id(5)?);
        fields.end(reader)?;
        Ok(State { last_aum, disablement_values, keys, state_id1, state_id2 })
    }
}
