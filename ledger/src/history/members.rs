//! The members of the group: who may propose, with which keys and which rules, and in which role.
//!
//! The records are the source of truth of who is a member. What they want of a member is its
//! standing; the group follows.

use super::effects::Step;
use super::invitations;
use super::member_event::{Founder, Joined, MemberDetails, Role, RoleChange};
use super::{EventRefusal, LogKey, MemberKey, NodeId, ReplicaId, door, roster, row};
use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::LockKey;
use crate::limits::MEMBERS_AT_ONCE;
use crate::rows::{Rows, prefix_end, tables};
use crate::{Failure, Fault};

/// A member of the group, or what was one.
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
    /// Whether it takes part, and how.
    pub standing: Standing,
}

/// Whether a member takes part, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for approval: it gets no data, and proposes nothing.
    Pending,
    /// It follows, and does not vote.
    Learner,
    /// It is to vote, and votes as soon as it has caught up.
    Voter,
    /// It is a member no more, since this record.
    Removed(u64),
}

impl Standing {
    /// The number that stands for it in rows and effects.
    pub(super) fn number(self) -> u64 {
        match self {
            Standing::Removed(_) => 0,
            Standing::Pending => 1,
            Standing::Learner => 2,
            Standing::Voter => 3,
        }
    }

    fn is_live(self) -> bool {
        !matches!(self, Standing::Removed(_))
    }
}

impl From<Role> for Standing {
    fn from(role: Role) -> Self {
        match role {
            Role::Voter => Standing::Voter,
            Role::Learner => Standing::Learner,
        }
    }
}

impl Member {
    /// Whether it takes part: it is a learner or a voter.
    pub fn is_active(&self) -> bool {
        matches!(self.standing, Standing::Learner | Standing::Voter)
    }

    /// The member, if it may do something now.
    pub(super) fn active(self) -> Result<Self, EventRefusal> {
        match self.standing {
            Standing::Learner | Standing::Voter => Ok(self),
            Standing::Pending => Err(EventRefusal::PendingMember(self.id)),
            Standing::Removed(record) => {
                Err(EventRefusal::RemovedMember { member: self.id, record })
            }
        }
    }
}

/// Rows of members by number.
const BY_ID: u8 = 0;
/// Rows of every key that a member has or had: whose, and what for.
const BY_KEY: u8 = 1;
/// Rows of the numbers of members that are not removed.
const LIVE: u8 = 2;

/// What a member's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Member,
    Log,
    Lock,
}

impl Purpose {
    fn number(self) -> u8 {
        self as u8
    }

    fn name(self) -> &'static str {
        match self {
            Purpose::Member => door::MEMBER_KEY,
            Purpose::Log => door::LOG_KEY,
            Purpose::Lock => door::LOCK_KEY,
        }
    }
}

/// The member with that number, also one that is pending or removed.
pub fn member(rows: &dyn Rows, id: ReplicaId) -> Result<Option<Member>, Fault> {
    let key = id_key(BY_ID, id);
    let Some(value) = rows.get(tables::MEMBERS, &key)? else { return Ok(None) };
    row::decode(tables::MEMBERS, &key, &value, |reader| Member::read(id, reader)).map(Some)
}

/// The member with that member key, also one that is pending or removed.
pub fn by_member_key(rows: &dyn Rows, key: MemberKey) -> Result<Option<Member>, Fault> {
    match holder(rows, key.0)? {
        Some((id, purpose)) if purpose == Purpose::Member.number() => promised(rows, id).map(Some),
        _ => Ok(None),
    }
}

/// Which member has or had a key, and the number of what it was for.
fn holder(rows: &dyn Rows, key: [u8; 32]) -> Result<Option<(ReplicaId, u8)>, Fault> {
    let Some(value) = rows.get(tables::MEMBERS, &key_key(key))? else { return Ok(None) };
    match value.split_last() {
        Some((purpose, id)) => Ok(Some((ReplicaId(row::number(tables::MEMBERS, id)?), *purpose))),
        None => Err(Fault::new("damaged row of table members: no member")),
    }
}

/// All members that there ever were, also pending and removed ones, ascending by number.
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

/// The members that are not removed, pending ones included, ascending by number: at most
/// [`MEMBERS_AT_ONCE`].
pub fn live(rows: &dyn Rows) -> Result<Vec<Member>, Fault> {
    let end = prefix_end(&[LIVE]);
    let mut members = Vec::new();
    for item in rows.scan(tables::MEMBERS, &[LIVE][..]..&end)? {
        let (key, _) = item?;
        let id = ReplicaId(row::number(tables::MEMBERS, key.get(1..).unwrap_or_default())?);
        members.push(promised(rows, id)?);
    }
    Ok(members)
}

/// The members that take part, voters and learners, ascending by number.
pub fn active(rows: &dyn Rows) -> Result<Vec<Member>, Fault> {
    let mut members = live(rows)?;
    members.retain(Member::is_active);
    Ok(members)
}

fn promised(rows: &dyn Rows, id: ReplicaId) -> Result<Member, Fault> {
    member(rows, id)?.ok_or_else(|| row::missing(tables::MEMBERS, id))
}

fn id_key(kind: u8, id: ReplicaId) -> Vec<u8> {
    [&[kind], &id.0.to_be_bytes()[..]].concat()
}

fn key_key(key: [u8; 32]) -> Vec<u8> {
    [&[BY_KEY], &key[..]].concat()
}

impl Member {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(9).bytes(&self.member_key.0).text(&self.details.name);
        out.bytes(&self.details.log_key.0);
        out.nullable_bytes(self.details.lock_key.as_ref().map(|key| key.0.as_slice()));
        out.uint(self.details.rules.into());
        match &self.details.address {
            Some(address) => out.text(address),
            None => out.null(),
        };
        match self.node {
            Some(node) => out.uint(node.0),
            None => out.null(),
        };
        out.uint(self.enrolled);
        match self.standing {
            Standing::Removed(record) => out.array(2).uint(0).uint(record),
            other => out.array(1).uint(other.number()),
        };
        out.into_bytes()
    }

    fn read(id: ReplicaId, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(9)?;
        let member_key = MemberKey(reader.fixed()?);
        let name = reader.text()?.to_owned();
        let log_key = LogKey(reader.fixed()?);
        let lock_key = if reader.null() { None } else { Some(LockKey(reader.fixed()?)) };
        let at = reader.clone();
        let rules = u32::try_from(reader.uint()?).map_err(|_| at.malformed("not 32 bits"))?;
        let address = if reader.null() { None } else { Some(reader.text()?.to_owned()) };
        let node = if reader.null() { None } else { Some(NodeId(reader.uint()?)) };
        let enrolled = reader.uint()?;
        let at = reader.clone();
        let standing = match (reader.array()?, reader.uint()?) {
            (2, 0) => Standing::Removed(reader.uint()?),
            (1, 1) => Standing::Pending,
            (1, 2) => Standing::Learner,
            (1, 3) => Standing::Voter,
            _ => return Err(at.malformed("an unknown standing")),
        };
        reader.close();
        reader.close();
        let details = MemberDetails { name, log_key, lock_key, rules, address };
        Ok(Member { id, member_key, details, node, enrolled, standing })
    }

    /// Its keys, and what each is for.
    fn keys(&self) -> impl Iterator<Item = ([u8; 32], Purpose)> {
        let lock = self.details.lock_key.map(|key| (key.0, Purpose::Lock));
        let own = [(self.member_key.0, Purpose::Member), (self.details.log_key.0, Purpose::Log)];
        own.into_iter().chain(lock)
    }
}

/// Sets a member's rows.
fn store(step: &mut Step<'_>, member: &Member) {
    step.rows.put(tables::MEMBERS, id_key(BY_ID, member.id), member.write());
    for (key, purpose) in member.keys() {
        let mut value = member.id.0.to_be_bytes().to_vec();
        value.push(purpose.number());
        step.rows.put(tables::MEMBERS, key_key(key), value);
    }
    if member.standing.is_live() {
        step.rows.put(tables::MEMBERS, id_key(LIVE, member.id), []);
    } else {
        step.rows.delete(tables::MEMBERS, id_key(LIVE, member.id));
    }
}

/// Sets a member's rows and names the effect; its standing is as it was.
pub(super) fn put(step: &mut Step<'_>, member: &Member) {
    store(step, member);
    step.member(member);
}

/// Gives a member a standing, and names that effect alone.
fn stand(step: &mut Step<'_>, member: Member, standing: Standing) {
    let member = Member { standing, ..member };
    store(step, &member);
    step.standing(&member);
}

/// Refuses a key that another member has or had, or that this one has or had for another purpose.
/// A removed member keeps its keys, but for the lock key: its machine may come back with that one
/// under a new number, because the lock trusts it and it signs nothing of ours.
fn unused(step: &Step<'_>, member: &Member) -> Result<(), Failure> {
    let lock = Purpose::Lock.number();
    for (key, purpose) in member.keys() {
        let Some((id, known)) = holder(&step.rows, key)? else { continue };
        let its_own = (id, known) == (member.id, purpose.number());
        let left = (known, purpose.number()) == (lock, lock)
            && !promised(&step.rows, id)?.standing.is_live();
        if !its_own && !left {
            return Err(EventRefusal::KeyOfMember { key: purpose.name(), member: id }.into());
        }
    }
    Ok(())
}

/// Refuses an invitation's key that a member has or had.
pub(super) fn no_ones(step: &Step<'_>, key: [u8; 32]) -> Result<(), Failure> {
    match holder(&step.rows, key)? {
        Some((member, _)) => {
            Err(EventRefusal::KeyOfMember { key: door::INVITATION_KEY, member }.into())
        }
        None => Ok(()),
    }
}

/// Enrols the first member of all. It is a voter, which goes without saying.
pub(super) fn found(step: &mut Step<'_>, founder: &Founder) -> Result<(), Failure> {
    let member = founding(step, founder);
    // Those are the rules with which the group begins.
    addressed(&member.details, member.details.rules)?;
    put(step, &member);
    Ok(())
}

/// Enrols the first member of an incarnation, after all others are removed.
///
/// Its member key and its log key are new, for the old ones may have signed what is undone. A lock
/// key signs nothing of ours, and the machine may go on with the one that the lock trusts.
pub(super) fn found_anew(
    step: &mut Step<'_>,
    founder: &Founder,
    active_rules: u32,
) -> Result<(), Failure> {
    let member = founding(step, founder);
    supports(member.id, member.details.rules, active_rules)?;
    for (key, purpose) in member.keys() {
        match holder(&step.rows, key)? {
            Some((_, known)) if (purpose, known) == (Purpose::Lock, Purpose::Lock.number()) => {}
            Some((id, _)) => {
                return Err(EventRefusal::KeyOfMember { key: purpose.name(), member: id }.into());
            }
            None => {}
        }
    }
    put(step, &member);
    step.standing(&member);
    Ok(())
}

fn founding(step: &Step<'_>, founder: &Founder) -> Member {
    let Founder { id, member_key, details } = founder.clone();
    let (enrolled, standing) = (step.index, Standing::Voter);
    Member { id, member_key, details, node: None, enrolled, standing }
}

/// A member changes its own entry.
pub(super) fn change(
    step: &mut Step<'_>,
    mut member: Member,
    details: &MemberDetails,
    active_rules: u32,
) -> Result<(), Failure> {
    addressed(details, active_rules)?;
    door::one_purpose(member.member_key, details)?;
    // A member that cannot execute the active rules could not have judged this very record.
    supports(member.id, details.rules, active_rules)?;
    member.details = details.clone();
    // Under rules 1 a group has one member.
    if active_rules >= 2 {
        unused(step, &member)?;
    }
    put(step, &member);
    Ok(())
}

/// Whoever has an invitation's secret joins as number `id`.
pub(super) fn join(
    step: &mut Step<'_>,
    joined: &Joined,
    id: ReplicaId,
    time_ms: u64,
    active_rules: u32,
) -> Result<(), Failure> {
    let named = invitations::judge(step, joined, time_ms)?;
    if live(&step.rows)?.len() >= MEMBERS_AT_ONCE {
        return Err(EventRefusal::TooManyMembers.into());
    }
    supports(id, joined.details.rules, active_rules)?;
    let member = Member {
        id,
        member_key: joined.member_key,
        details: joined.details.clone(),
        node: None,
        enrolled: step.index,
        standing: if named { Standing::Voter } else { Standing::Pending },
    };
    unused(step, &member)?;
    put(step, &member);
    step.standing(&member);
    invitations::spend(step, joined.invitation, id)
}

/// A pending member may take part.
pub(super) fn approve(
    step: &mut Step<'_>,
    id: ReplicaId,
    active_rules: u32,
) -> Result<(), Failure> {
    let member = needed(step, id)?;
    match member.standing {
        Standing::Pending => {}
        Standing::Removed(record) => {
            return Err(EventRefusal::RemovedMember { member: id, record }.into());
        }
        Standing::Learner | Standing::Voter => {
            return Err(EventRefusal::AlreadyApproved(id).into());
        }
    }
    // Other rules may have become active since it joined.
    supports(id, member.details.rules, active_rules)?;
    stand(step, member, Standing::Voter);
    Ok(())
}

/// A member is to vote, or not to.
pub(super) fn change_role(step: &mut Step<'_>, change: RoleChange) -> Result<(), Failure> {
    let RoleChange { member: id, role } = change;
    let member = needed(step, id)?.active()?;
    if member.standing == role.into() {
        return Err(EventRefusal::AlreadyInRole { member: id, role: role.name() }.into());
    }
    not_the_last_voter(step, &member)?;
    stand(step, member, role.into());
    Ok(())
}

/// A member leaves.
pub(super) fn remove(step: &mut Step<'_>, id: ReplicaId) -> Result<(), Failure> {
    let member = needed(step, id)?;
    if let Standing::Removed(record) = member.standing {
        return Err(EventRefusal::RemovedMember { member: id, record }.into());
    }
    not_the_last_voter(step, &member)?;
    put_out(step, member)
}

/// All members leave.
pub(super) fn remove_all(step: &mut Step<'_>) -> Result<(), Failure> {
    for member in live(&step.rows)? {
        put_out(step, member)?;
    }
    Ok(())
}

/// A member is one no more. Its machine becomes a node like others.
fn put_out(step: &mut Step<'_>, mut member: Member) -> Result<(), Failure> {
    if let Some(node) = member.node.take() {
        roster::disown(step, node)?;
        put(step, &member);
    }
    let standing = Standing::Removed(step.index);
    stand(step, member, standing);
    Ok(())
}

fn needed(step: &Step<'_>, id: ReplicaId) -> Result<Member, Failure> {
    Ok(member(&step.rows, id)?.ok_or(EventRefusal::UnknownMember(id))?)
}

/// Without a voter nothing would ever be recorded again.
fn not_the_last_voter(step: &Step<'_>, member: &Member) -> Result<(), Failure> {
    let is_voter = |member: &Member| member.standing == Standing::Voter;
    if is_voter(member) && live(&step.rows)?.iter().filter(|other| is_voter(other)).count() < 2 {
        return Err(EventRefusal::LastVoter(member.id).into());
    }
    Ok(())
}

/// Whether every member that takes part can execute the rules.
pub(super) fn all_support(rows: &dyn Rows, rules: u32) -> Result<(), Failure> {
    for member in active(rows)? {
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

/// Rules 1 know no addresses.
fn addressed(details: &MemberDetails, active: u32) -> Result<(), EventRefusal> {
    let since = 2;
    if details.address.is_some() && active < since {
        return Err(EventRefusal::FieldNotActive { field: "address", since, active });
    }
    Ok(())
}
