//! Keys at the door: those that our ledger does not take.
//!
//! A key of small order is nobody's: signatures under it, or secrets shared with it, can be made
//! by anybody (spec 14.2, W15).

use crate::history::{EventRefusal, InvitationKey, LogKey, MemberDetails, MemberKey};
use crate::ids::{LockKey, NodeKey};
use crate::lock::signatures::is_weak;
use crate::lock::{AumKind, Sealed, State};

pub(in crate::history) const MEMBER_KEY: &str = "member key";
pub(in crate::history) const LOG_KEY: &str = "log key";
pub(in crate::history) const LOCK_KEY: &str = "tailnet-lock key";
pub(in crate::history) const INVITATION_KEY: &str = "invitation key";

/// A member key that only its holder can sign with.
pub(in crate::history) fn member_key(key: MemberKey) -> Result<MemberKey, EventRefusal> {
    own(key.0, MEMBER_KEY).map(MemberKey)
}

/// A log key that only its holder can sign with.
pub(in crate::history) fn log_key(key: LogKey) -> Result<LogKey, EventRefusal> {
    own(key.0, LOG_KEY).map(LogKey)
}

/// A lock key that only its holder can sign with.
pub(in crate::history) fn lock_key(key: LockKey) -> Result<LockKey, EventRefusal> {
    own(key.0, LOCK_KEY).map(LockKey)
}

/// An invitation key that only whoever has its secret can sign with.
pub(in crate::history) fn invitation_key(
    key: InvitationKey,
) -> Result<InvitationKey, EventRefusal> {
    own(key.0, INVITATION_KEY).map(InvitationKey)
}

fn own(key: [u8; 32], what: &'static str) -> Result<[u8; 32], EventRefusal> {
    if is_weak(&LockKey(key)) { Err(EventRefusal::WeakKey(what)) } else { Ok(key) }
}

/// A node key with which secrets can be shared.
pub(in crate::history) fn node_key(key: NodeKey) -> Result<NodeKey, EventRefusal> {
    let mut x = key.0;
    x[31] &= 0x7f;
    if SMALL_ORDER_X.contains(&x) { Err(EventRefusal::WeakKey("node key")) } else { Ok(key) }
}

/// The x coordinates of small order on Curve25519, least significant byte first and without the
/// highest bit, which is ignored: 0, 1, p-1, p, p+1 and the two of order 8 (RFC 7748, 7).
const SMALL_ORDER_X: [[u8; 32]; 7] = {
    let mut near_p = [0xff; 32];
    near_p[31] = 0x7f;
    let mut all = [[0; 32], [0; 32], near_p, near_p, near_p, ORDER_8, OTHER_ORDER_8];
    all[1][0] = 1;
    all[2][0] = 0xec;
    all[3][0] = 0xed;
    all[4][0] = 0xee;
    all
};
const ORDER_8: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
    0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];
const OTHER_ORDER_8: [u8; 32] = [
    0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
    0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
];

/// A member's keys: each is for one purpose, so that what one of them signs is never taken for
/// what another did.
pub(in crate::history) fn one_purpose(
    member: MemberKey,
    details: &MemberDetails,
) -> Result<(), EventRefusal> {
    let log = details.log_key.0;
    let same = |one, other| Err(EventRefusal::SameKey(one, other));
    if log == member.0 {
        return same(MEMBER_KEY, LOG_KEY);
    }
    match details.lock_key {
        Some(lock) if lock.0 == member.0 => same(MEMBER_KEY, LOCK_KEY),
        Some(lock) if lock.0 == log => same(LOG_KEY, LOCK_KEY),
        _ => Ok(()),
    }
}

/// Whoever joins has keys of its own: not the one of the invitation, which somebody else made.
pub(in crate::history) fn not_the_invitation(
    invitation: InvitationKey,
    member: MemberKey,
    details: &MemberDetails,
) -> Result<(), EventRefusal> {
    let same = |other| Err(EventRefusal::SameKey(INVITATION_KEY, other));
    if member.0 == invitation.0 {
        return same(MEMBER_KEY);
    }
    if details.log_key.0 == invitation.0 {
        return same(LOG_KEY);
    }
    match details.lock_key {
        Some(lock) if lock.0 == invitation.0 => same(LOCK_KEY),
        _ => Ok(()),
    }
}

/// Whether an AUM makes nobody trusted whom `now` does not trust and who cannot be: a key that is
/// not 32 bytes, with which nobody can ever sign (W7), or one with which anybody can.
pub(in crate::history) fn can_be_trusted(
    aum: &Sealed,
    now: Option<&State>,
) -> Result<(), EventRefusal> {
    let named = match aum.kind {
        AumKind::ADD_KEY => aum.key.as_slice(),
        AumKind::CHECKPOINT => aum.state.as_ref().map_or(&[][..], State::keys),
        _ => &[],
    };
    for key in named {
        let id = key.public.as_deref().unwrap_or_default();
        let trusted = now.is_some_and(|state| state.key(id).is_some());
        if !trusted && key.lock_key().is_none_or(|key| is_weak(&key)) {
            return Err(EventRefusal::CannotTrust { key: id.to_vec() });
        }
    }
    Ok(())
}
