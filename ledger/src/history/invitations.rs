//! Invitations: by the secret of one, somebody may join the group as a member.
//!
//! The secret is a private key that whoever asked for the invitation hands on. The ledger has the
//! public half, so that nobody can join by what is on record; the claim that is signed with it binds
//! the joining member's key, so that nobody can take another's place.

use super::effects::Step;
use super::member_event::{Invited, Joined};
use super::{EventRefusal, InvitationKey, MemberFingerprint, ReplicaId, members, row};
use crate::cbor::{Malformed, Reader, Writer};
use crate::limits::INVITATIONS_OPEN;
use crate::rows::{Rows, prefix_end, tables};
use crate::{Failure, Fault};

/// An invitation as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invitation {
    /// The public half of its secret.
    pub key: InvitationKey,
    /// The last moment at which somebody may join by it, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The only member key that may join by it, if it is for one.
    pub named: Option<MemberFingerprint>,
    /// The record that made it.
    pub opened: u64,
    /// The member that proposed it. Its record says who asked.
    pub by: ReplicaId,
    /// The member that joined by it.
    pub used: Option<ReplicaId>,
}

impl Invitation {
    /// Whether its time is over at that moment, in milliseconds since 1970.
    pub fn is_expired(&self, time_ms: u64) -> bool {
        time_ms > self.expires_ms
    }
}

/// Why an invitation lets nobody in, or is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationRefusal {
    /// There is one with that key.
    #[error("was made in record {0}")]
    Exists(u64),
    /// It would end before it begins.
    #[error("would have expired when it is made")]
    BornExpired,
    /// Nobody has made it, or it has made room for others since it expired.
    #[error("is not on record")]
    Unknown,
    /// Somebody has joined by it.
    #[error("was used: replica {0} has joined by it")]
    Used(ReplicaId),
    /// Its time is over.
    #[error("has expired")]
    Expired,
    /// It is for another member key.
    #[error("is for the member key with the fingerprint {0}")]
    ForAnother(MemberFingerprint),
}

impl InvitationRefusal {
    /// What the person who asked can do about it, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        use InvitationRefusal as R;
        Some(match self {
            R::Exists(_) => "draw another secret",
            R::BornExpired => "choose a later expiry",
            R::Unknown | R::Used(_) | R::Expired => {
                "make another invitation (lockstep cluster invite on a member)"
            }
            R::ForAnother(_) => "make an invitation for this key, or for anybody, and approve it",
        })
    }
}

/// Rows of invitations that nobody has used.
const OPEN: u8 = 0;
/// Rows of those that somebody has used.
const USED: u8 = 1;

fn row_key(kind: u8, key: InvitationKey) -> Vec<u8> {
    [&[kind], &key.0[..]].concat()
}

/// The invitation with that key, used or not.
pub fn invitation(rows: &dyn Rows, key: InvitationKey) -> Result<Option<Invitation>, Fault> {
    for kind in [OPEN, USED] {
        let row_key = row_key(kind, key);
        if let Some(value) = rows.get(tables::INVITATIONS, &row_key)? {
            return read(&row_key, &value).map(Some);
        }
    }
    Ok(None)
}

/// All invitations on record: those that nobody has used, then those that somebody has, each
/// ascending by key.
pub fn list(rows: &dyn Rows) -> Result<Vec<Invitation>, Fault> {
    scan(rows, &[], &[])
}

/// Those that nobody has used, ascending by key: at most [`INVITATIONS_OPEN`]. Some may have
/// expired.
pub fn unused(rows: &dyn Rows) -> Result<Vec<Invitation>, Fault> {
    scan(rows, &[OPEN], &prefix_end(&[OPEN]))
}

fn scan(rows: &dyn Rows, start: &[u8], end: &[u8]) -> Result<Vec<Invitation>, Fault> {
    rows.scan(tables::INVITATIONS, start..end)?
        .map(|item| {
            let (key, value) = item?;
            read(&key, &value)
        })
        .collect()
}

fn read(row_key: &[u8], value: &[u8]) -> Result<Invitation, Fault> {
    let key = row_key.get(1..).and_then(|key| key.try_into().ok()).map(InvitationKey);
    let key = key.ok_or_else(|| Fault::new("damaged key in table invitations"))?;
    row::decode(tables::INVITATIONS, row_key, value, |reader| Invitation::read(key, reader))
}

impl Invitation {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(5).uint(self.expires_ms);
        out.nullable_bytes(self.named.as_ref().map(|named| named.0.as_slice()));
        out.uint(self.opened).uint(self.by.0);
        match self.used {
            Some(member) => out.uint(member.0),
            None => out.null(),
        };
        out.into_bytes()
    }

    fn read(key: InvitationKey, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(5)?;
        let expires_ms = reader.uint()?;
        let named = if reader.null() { None } else { Some(MemberFingerprint(reader.fixed()?)) };
        let opened = reader.uint()?;
        let by = ReplicaId(reader.uint()?);
        let used = if reader.null() { None } else { Some(ReplicaId(reader.uint()?)) };
        reader.close();
        Ok(Invitation { key, expires_ms, named, opened, by, used })
    }
}

fn refused(key: InvitationKey, why: InvitationRefusal) -> Failure {
    EventRefusal::Invitation { key, why }.into()
}

/// A member invites somebody.
pub(super) fn invite(
    step: &mut Step<'_>,
    invited: &Invited,
    by: ReplicaId,
    time_ms: u64,
) -> Result<(), Failure> {
    let Invited { key, expires_ms, named } = *invited;
    if let Some(other) = invitation(&step.rows, key)? {
        return Err(refused(key, InvitationRefusal::Exists(other.opened)));
    }
    members::no_ones(step, key.0)?;
    let new = Invitation { key, expires_ms, named, opened: step.index, by, used: None };
    if new.is_expired(time_ms) {
        return Err(refused(key, InvitationRefusal::BornExpired));
    }
    make_room(step, time_ms)?;
    step.rows.put(tables::INVITATIONS, row_key(OPEN, key), new.write());
    step.invitation(&new);
    Ok(())
}

/// Where there is no room, those that have expired by the time of the new one are forgotten. Not
/// before, so that a member whose clock is wrong takes away what it must and no more.
fn make_room(step: &mut Step<'_>, time_ms: u64) -> Result<(), Failure> {
    let open = unused(&step.rows)?;
    if open.len() < INVITATIONS_OPEN {
        return Ok(());
    }
    let expired: Vec<&Invitation> = open.iter().filter(|open| open.is_expired(time_ms)).collect();
    if expired.is_empty() {
        return Err(EventRefusal::TooManyInvitations.into());
    }
    for gone in expired {
        step.rows.delete(tables::INVITATIONS, row_key(OPEN, gone.key));
        step.invitation_gone(gone.key);
    }
    Ok(())
}

/// Whether the invitation lets that member key in, and names it.
pub(super) fn judge(step: &Step<'_>, joined: &Joined, time_ms: u64) -> Result<bool, Failure> {
    let key = joined.invitation;
    let found = invitation(&step.rows, key)?;
    let found = found.ok_or_else(|| refused(key, InvitationRefusal::Unknown))?;
    if planted!(StaleInvitation) {
        return Ok(found.named.is_some());
    }
    if let Some(member) = found.used {
        return Err(refused(key, InvitationRefusal::Used(member)));
    }
    if found.is_expired(time_ms) {
        return Err(refused(key, InvitationRefusal::Expired));
    }
    match found.named {
        Some(named) if named != joined.member_key.fingerprint() => {
            Err(refused(key, InvitationRefusal::ForAnother(named)))
        }
        named => Ok(named.is_some()),
    }
}

/// The invitation is used.
pub(super) fn spend(
    step: &mut Step<'_>,
    key: InvitationKey,
    member: ReplicaId,
) -> Result<(), Failure> {
    let found = invitation(&step.rows, key)?;
    let found = found.ok_or_else(|| row::missing(tables::INVITATIONS, key))?;
    let used = Invitation { used: Some(member), ..found };
    step.rows.delete(tables::INVITATIONS, row_key(OPEN, key));
    step.rows.put(tables::INVITATIONS, row_key(USED, key), used.write());
    step.invitation(&used);
    Ok(())
}

/// An incarnation begins: nobody joins by what was made in another one.
pub(super) fn forget_all(step: &mut Step<'_>) -> Result<(), Fault> {
    for gone in list(&step.rows)? {
        let kind = if gone.used.is_some() { USED } else { OPEN };
        step.rows.delete(tables::INVITATIONS, row_key(kind, gone.key));
    }
    Ok(())
}
