//! The encoding of the events of revocations that wait for signatures, and of what is kept of them.

use super::event::{RevocationOpened, RevocationSigned, RevocationWithdrawn};
use super::event_fields::{read_note, read_reason, write_note, write_reason};
use super::{Epoch, EventRefusal, cosigning::Pending};
use crate::Refusal;
use crate::cbor::{Fields, Malformed, Reader, Writer};
use crate::ids::{LockKey, SigHash};
use crate::limits::MAX_KEYS;
use crate::lock::Sealed;

impl RevocationOpened {
    pub(super) fn write(&self, out: &mut Writer) {
        let optional = [!self.keys.is_empty(), self.reason.is_some(), self.note.is_some()];
        out.map(1 + optional.into_iter().filter(|set| *set).count());
        out.uint(1).bytes(self.aum.bytes());
        write_keys(out, 2, &self.keys);
        write_reason(out, 3, self.reason);
        write_note(out, 4, self.note.as_deref());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let aum = Sealed::decode(reader.bytes()?)?;
        let keys = read_keys(&mut fields, reader, 2)?;
        let reason = read_reason(&mut fields, reader, 3)?;
        let note = read_note(&mut fields, reader, 4)?;
        fields.end(reader)?;
        if aum.signatures.is_empty() {
            return Err(EventRefusal::Shape("a revocation that nobody has signed").into());
        }
        let trusts = |key: &LockKey| aum.state.as_ref().is_none_or(|s| s.key(&key.0).is_some());
        if keys.iter().any(trusts) {
            return Err(EventRefusal::Shape("a revocation trusts a key that it revokes").into());
        }
        Ok(RevocationOpened { aum, keys, reason, note })
    }
}

impl RevocationSigned {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(2);
        out.uint(1).bytes(&self.revocation.0);
        out.uint(2).array(self.signatures.len());
        for (key, signature) in &self.signatures {
            out.array(2).bytes(&key.0).bytes(signature);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let revocation = SigHash(reader.fixed()?);
        fields.needs(reader, 2)?;
        let at = reader.clone();
        let len = reader.array_up_to(MAX_KEYS)?;
        if len == 0 {
            return Err(at.malformed("no signature").into());
        }
        let mut signatures: Vec<(LockKey, [u8; 64])> = Vec::new();
        for _ in 0..len {
            let at = reader.clone();
            reader.array_of(2)?;
            let key = LockKey(reader.fixed()?);
            if signatures.last().is_some_and(|(last, _)| *last >= key) {
                return Err(at.malformed("signers out of order or repeated").into());
            }
            signatures.push((key, reader.fixed()?));
            reader.close();
        }
        reader.close();
        fields.end(reader)?;
        Ok(RevocationSigned { revocation, signatures })
    }
}

impl RevocationWithdrawn {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(1 + usize::from(self.note.is_some()));
        out.uint(1).bytes(&self.revocation.0);
        write_note(out, 2, self.note.as_deref());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let revocation = SigHash(reader.fixed()?);
        let note = read_note(&mut fields, reader, 2)?;
        fields.end(reader)?;
        Ok(RevocationWithdrawn { revocation, note })
    }
}

/// A list of keys, left out when empty.
fn write_keys(out: &mut Writer, field: u64, keys: &[LockKey]) {
    if keys.is_empty() {
        return;
    }
    out.uint(field).array(keys.len());
    for key in keys {
        out.bytes(&key.0);
    }
}

/// The list, ascending.
fn read_keys(
    fields: &mut Fields,
    reader: &mut Reader<'_>,
    field: u64,
) -> Result<Vec<LockKey>, Malformed> {
    if !fields.has(reader, field)? {
        return Ok(Vec::new());
    }
    let at = reader.clone();
    let len = reader.array_up_to(MAX_KEYS)?;
    if len == 0 {
        return Err(at.malformed("an empty list that should have been left out"));
    }
    let mut keys: Vec<LockKey> = Vec::with_capacity(len);
    for _ in 0..len {
        let at = reader.clone();
        let key = LockKey(reader.fixed()?);
        if keys.last().is_some_and(|last| *last >= key) {
            return Err(at.malformed("keys out of order or repeated"));
        }
        keys.push(key);
    }
    reader.close();
    Ok(keys)
}

/// The row of a revocation that waits.
impl Pending {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let RevocationOpened { aum, keys, reason, note } = &self.opened;
        let optional = [!keys.is_empty(), reason.is_some(), note.is_some()];
        out.map(4 + optional.into_iter().filter(|set| *set).count());
        out.uint(1).uint(self.epoch.0.into());
        out.uint(2).uint(self.since);
        out.uint(3).bytes(aum.bytes());
        out.uint(4).array(self.signed.len());
        for record in &self.signed {
            out.uint(*record);
        }
        write_keys(&mut out, 5, keys);
        write_reason(&mut out, 6, *reason);
        write_note(&mut out, 7, note.as_deref());
        out.into_bytes()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let at = reader.clone();
        let epoch = u32::try_from(reader.uint()?).map_err(|_| at.malformed("no epoch"))?;
        fields.needs(reader, 2)?;
        let since = reader.uint()?;
        fields.needs(reader, 3)?;
        let aum = Sealed::decode(reader.bytes()?)?;
        fields.needs(reader, 4)?;
        reader.array_of(aum.signatures.len())?;
        let mut signed = Vec::with_capacity(aum.signatures.len());
        for _ in 0..aum.signatures.len() {
            signed.push(reader.uint()?);
        }
        reader.close();
        let keys = read_keys(&mut fields, reader, 5)?;
        let reason = read_reason(&mut fields, reader, 6)?;
        let at = reader.clone();
        let note = read_note(&mut fields, reader, 7).map_err(|_| at.malformed("no note"))?;
        fields.end(reader)?;
        let opened = RevocationOpened { aum, keys, reason, note };
        Ok(Pending { epoch: Epoch(epoch), since, opened, signed })
    }
}
