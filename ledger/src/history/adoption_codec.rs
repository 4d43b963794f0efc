//! The encoding of what an adoption says, and the rules that it must keep by itself.

use super::EventRefusal;
use super::event::{AdoptionBegun, Foreign, ForeignReason, Observed};
use super::event_fields::{number, numbered};
use crate::Refusal;
use crate::cbor::{Reader, Writer};
use crate::ids::AumHash;
use crate::limits::OBSERVED_BYTES;
use crate::lock::Sealed;

impl AdoptionBegun {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(4);
        out.uint(1).bytes(self.root.bytes());
        out.uint(2).bytes(&self.head.0);
        out.uint(3).uint(self.aums);
        out.uint(4).bool(self.followed);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let root = Sealed::decode(reader.bytes()?)?;
        fields.needs(reader, 2)?;
        let head = AumHash(reader.fixed()?);
        fields.needs(reader, 3)?;
        let aums = reader.uint()?;
        fields.needs(reader, 4)?;
        let followed = reader.bool()?;
        fields.end(reader)?;
        if aums == 0 {
            return Err(EventRefusal::Shape("a history has an AUM at least").into());
        }
        Ok(AdoptionBegun { root, head, aums, followed })
    }
}

/// What an observation begins with.
const OFF: u64 = 0;
const HEAD: u64 = 1;
const FOREIGN: u64 = 2;

impl Observed {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(1).uint(1);
        match self {
            Observed::Off => out.array(1).uint(OFF),
            Observed::Head(head) => out.array(2).uint(HEAD).bytes(&head.0),
            Observed::Foreign(Foreign { head, why, evidence }) => {
                out.array(4).uint(FOREIGN).bytes(&head.0);
                out.uint(number(&ForeignReason::ALL, *why)).bytes(evidence)
            }
        };
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let mut fields = reader.fields()?;
        fields.needs(reader, 1)?;
        let at = reader.clone();
        let len = reader.array()?;
        let kind = if len == 0 { None } else { Some(reader.uint()?) };
        let observed = match (len, kind) {
            (1, Some(OFF)) => Observed::Off,
            (2, Some(HEAD)) => Observed::Head(AumHash(reader.fixed()?)),
            (4, Some(FOREIGN)) => Observed::Foreign(Foreign::read(reader)?),
            _ => return Err(at.malformed("an unknown kind of observation").into()),
        };
        reader.close();
        fields.end(reader)?;
        Ok(observed)
    }
}

impl Foreign {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let head = AumHash(reader.fixed()?);
        let why = numbered(reader, &ForeignReason::ALL, "an unknown reason")?;
        let evidence = reader.bytes()?;
        if evidence.len() > OBSERVED_BYTES {
            return Err(EventRefusal::Shape("evidence has more than 1048576 bytes").into());
        }
        Ok(Foreign { head, why, evidence: evidence.to_vec() })
    }
}
