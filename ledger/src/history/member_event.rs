//! The events of the group itself: who is a member, and in which role.

use super::{
    ClusterId, InvitationKey, LogKey, MemberFingerprint, MemberKey, RecordHash, ReplicaId,
};
use crate::cbor::Writer;
use crate::ids::LockKey;
use crate::limits::ADDRESS_BYTES;

/// What precedes the claim that whoever joins signs.
const CLAIM_TAG: &[u8] = b"lockstep join 1\0";

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDetails {
    /// Its name: one DNS label of lower-case letters, digits and inner hyphens.
    pub name: String,
    /// The key with which it signs Merkle heads.
    pub log_key: LogKey,
    /// Its tailnet-lock key, if it holds one.
    pub lock_key: Option<LockKey>,
    /// The highest rules that it can execute, and with them all lower ones. At least 1.
    pub rules: u32,
    /// Where its peers reach it, `host:port`: 1 to 255 printable bytes of ASCII ([`is_address`]).
    /// From rules 2 on. No verdict depends on it.
    pub address: Option<String>,
}

/// Whether text may stand as a member's address: 1 to 255 printable bytes of ASCII, no space among
/// them. Nobody checks that it leads anywhere.
pub fn is_address(text: &str) -> bool {
    (1..=ADDRESS_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The first member of a group or of an incarnation. Its member key is the one that signs the
/// proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founder {
    /// Its number: 1 in a new group, in an incarnation the next one.
    pub id: ReplicaId,
    /// Its key, which must be the one that signed.
    pub member_key: MemberKey,
    /// The rest of its entry.
    pub details: MemberDetails,
}

/// An invitation. Its secret is with whoever asked for it, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invited {
    /// The public half of the key whose private half is the secret.
    pub key: InvitationKey,
    /// The last moment at which somebody may join by it, in milliseconds since 1970 by the clock
    /// of the member that proposes the joining.
    pub expires_ms: u64,
    /// The only member key that may join by it, if it is for one: who joins so need not be
    /// approved.
    pub named: Option<MemberFingerprint>,
}

/// A member that joins by an invitation.
///
/// It is no member yet, so that another one proposes this. What it says of itself is vouched for by
/// two signatures over the same [claim](Joined::claim).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The invitation.
    pub invitation: InvitationKey,
    /// Its member key.
    pub member_key: MemberKey,
    /// The rest of its entry.
    pub details: MemberDetails,
    /// The invitation key's signature over the claim: who joins has the secret, and means this key.
    pub proof: [u8; 64],
    /// The member key's signature over the claim: its holder wants to join this group.
    pub consent: [u8; 64],
}

impl Joined {
    /// What `proof` and `consent` sign: canonical bytes under a domain tag that bind the group, its
    /// incarnation, the invitation, and all that the joining member says of itself.
    pub fn claim(
        cluster: ClusterId,
        incarnation: u64,
        invitation: InvitationKey,
        member_key: MemberKey,
        details: &MemberDetails,
    ) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(5).bytes(&cluster.0).uint(incarnation);
        out.bytes(&invitation.0).bytes(&member_key.0);
        details.write(&mut out);
        [CLAIM_TAG, &out.into_bytes()].concat()
    }
}

/// What an active member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is to vote. The records say what is wanted: it votes once it has caught up.
    Voter,
    /// It follows, and does not vote.
    Learner,
}

impl Role {
    /// Every role; a role's place here plus 1 is its number in the encoding.
    pub const ALL: [Role; 2] = [Role::Voter, Role::Learner];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Voter => "voter",
            Role::Learner => "learner",
        }
    }
}

/// A member's role from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleChange {
    /// The member.
    pub member: ReplicaId,
    /// What it is for.
    pub role: Role,
}

/// Why an incarnation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The group was restored from a backup.
    Restored,
    /// The group was recovered after most of its members were lost for good.
    Recovered,
}

impl Cause {
    /// Every cause; a cause's place here plus 1 is its number in the encoding.
    pub const ALL: [Cause; 2] = [Cause::Restored, Cause::Recovered];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Restored => "restored",
            Cause::Recovered => "recovered",
        }
    }
}

/// The beginning of an incarnation: the records that survived, and one new member.
///
/// Nobody vouches for it but whoever had the records: no running group admits it
/// ([`Fold::begin_incarnation`](super::Fold::begin_incarnation)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Why.
    pub cause: Cause,
    /// The member that the group has from then on; all earlier ones are removed.
    pub founder: Founder,
    /// The last record before this one: its index and its hash.
    pub last: (u64, RecordHash),
}
