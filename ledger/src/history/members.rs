//! The members of the group: who may propose, with which keys and which rules.

use super::effects::Step;
use super::event::{Founder, MemberDetails};
use super::{EventRefusal, LogKey, MemberKey, NodeId, ReplicaId, door, row};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::LockKey;
use crate::rows::{Rows, prefix_end, tables};
use crate::{Failure, Fault};

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: ReplicaId,
    /// The key that signs its proposals.
    pub member_key: MemberKey,
    /// What it says of itself.
    pub details: MemberDetails,
    /// The roster's node that is its own machine, if there is one.
    pub node: Option<NodeId>,
    /// The record that enrolled it.
    pub enrolled: u64,
}

/// Rows of members by number.
const BY_ID: u8 = 0;
/// Rows of numbers by member key.
const BY_KEY: u8 = 1;

/// The member with that number.
pub fn member(rows: &dyn Rows, id: ReplicaId) -> Result<Option<Member>, Fault> {
    let key = id_key(id);
    let Some(value) = rows.get(tables::MEMBERS, &key)? else { return Ok(None) };
    row::decode(tables::MEMBERS, &key, &value, |reader| Member::read(id, reader)).map(Some)
}

/// The member with that member key.
pub fn by_member_key(rows: &dyn Rows, key: MemberKey) -> Result<Option<Member>, Fault> {
    let Some(value) = rows.get(tables::MEMBERS, &[&[BY_KEY], &key.0[..]].concat())? else {
        return Ok(None);
    };
    let id = ReplicaId(row::number(tables::MEMBERS, &value)?);
    let found = member(rows, id)?;
    found.ok_or_else(|| row::missing(tables::MEMBERS, id)).map(Some)
}

/// All members, ascending by number.
pub fn list(rows: &dyn Rows) -> Result<Vec<Member>, Fault> {
    let end = prefix_end(&[BY_ID]);
    let mut members = Vec::new();
    for item in rows.scan(tables::MEMBERS, &[BY_ID][..]..&end)? {
        let (key, value) = item?;
        let id = ReplicaId(row::number(tables::MEMBERS, key.get(1..).unwrap_or_default())?);
        members
            .push(row::decode(tables::MEMBERS, &key, &value, |reader| Member::read(id, reader))?);
    }
    Ok(members)
}

fn id_key(id: ReplicaId) -> Vec<u8> {
    [&[BY_ID], &id.0.to_be_bytes()[..]].concat()
}

impl Member {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(7).bytes(&self.member_key.0).text(&self.details.name);
        out.bytes(&self.details.log_key.0);
        out.nullable_bytes(self.details.lock_key.as_ref().map(|key| key.0.as_slice()));
        out.uint(self.details.rules.into());
        match self.node {
            Some(node) => out.uint(node.0),
            None => out.null(),
        };
        out.uint(self.enrolled);
        out.into_bytes()
    }

    fn read(id: ReplicaId, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(7)?;
        let member_key = MemberKey(reader.fixed()?);
        let name = reader.text()?.to_owned();
        let log_key = LogKey(reader.fixed()?);
        let lock_key = if reader.null() { None } else { Some(LockKey(reader.fixed()?)) };
        let at = reader.clone();
        let rules = u32::try_from(reader.uint()?).map_err(|_| at.malformed("not 32 bits"))?;
        let node = if reader.null() { None } else { Some(NodeId(reader.uint()?)) };
        let enrolled = reader.uint()?;
        reader.close();
        let details = MemberDetails { name, log_key, lock_key, rules };
        Ok(Member { id, member_key, details, node, enrolled })
    }
}

/// Sets a member's rows and names the effect.
pub(super) fn put(step: &mut Step<'_>, member: &Member) {
    step.rows.put(tables::MEMBERS, id_key(member.id), member.write());
    let by_key = [&[BY_KEY], &member.member_key.0[..]].concat();
    step.rows.put(tables::MEMBERS, by_key, member.id.0.to_be_bytes());
    step.member(member);
}

/// Enrols the first member.
pub(super) fn found(step: &mut Step<'_>, founder: &Founder) {
    let Founder { id, member_key, details } = founder.clone();
    put(step, &Member { id, member_key, details, node: None, enrolled: step.index });
}

/// A member changes its own entry.
pub(super) fn change(
    step: &mut Step<'_>,
    mut member: Member,
    details: &MemberDetails,
    active_rules: u32,
) -> Result<(), Failure> {
    door::one_purpose(member.member_key, details)?;
    // A member that cannot execute the active rules could not have judged this very record.
    supports(member.id, details.rules, active_rules)?;
    member.details = details.clone();
    put(step, &member);
    Ok(())
}

/// Whether every member can execute the rules.
pub(super) fn all_support(rows: &dyn Rows, rules: u32) -> Result<(), Failure> {
    for member in list(rows)? {
        supports(member.id, member.details.rules, rules)?;
    }
    Ok(())
}

fn supports(member: ReplicaId, supported: u32, needed: u32) -> Result<(), EventRefusal> {
    if supported < needed {
        return Err(EventRefusal::RulesNotSupported { member, supported, needed });
    }
    Ok(())
}
