//! Random histories of a group: members come, speak, take roles and go, and it begins anew.

use std::sync::LazyLock;

use ledger::history::members::{self, Member, Standing};
use ledger::history::{
    Event, InvitationKey, Invited, LogKey, MemberDetails, MemberKey, NewNode, NodeId, ReplicaId,
    Role, RoleChange, SignedProposal, Verdict, invitations,
};
use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::testing::{
    EXPIRES_MS, Group, invitation_key, joined, key, member_details, member_key, node_key,
};
use proptest::prelude::*;

/// Members in play, by the seeds of their keys from 1 on.
const SEEDS: u8 = 12;
/// Invitations in play.
const INVITATIONS: u8 = 24;

/// One move: what, by whom, about what, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Move {
    what: u8,
    who: u8,
    a: u8,
    b: u8,
    flags: u8,
}

pub fn moves(most: usize) -> impl Strategy<Value = Vec<Move>> {
    let one = (0..64u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    let one = one.prop_map(|(what, who, a, b, flags)| Move { what, who, a, b, flags });
    prop::collection::vec(one, 1..most)
}

/// A proposal that was made, and what became of it.
pub struct Made {
    pub signed: SignedProposal,
    pub verdict: Verdict,
    /// Whether it was to begin an incarnation.
    pub begins: bool,
}

/// A group before any move, and its record 0.
pub fn founded(rules: u32) -> (Group, Made) {
    let mut group = Group::unfounded_under(rules);
    let founding = group.founding();
    let proposal = group.proposal(founding);
    let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
    let verdict = group.admit_signed(signed.clone());
    (group, Made { signed, verdict, begins: false })
}

/// The member key of a seed: to derive one takes longer than most of what is done here.
fn public(seed: u8) -> MemberKey {
    static KEYS: LazyLock<Vec<MemberKey>> =
        LazyLock::new(|| (0..=SEEDS).map(|seed| MemberKey(member_key(seed).public().0)).collect());
    KEYS[usize::from(seed)]
}

/// The seed of an invitation in play.
fn seed_of(invitation: InvitationKey) -> Option<u8> {
    static KEYS: LazyLock<Vec<[u8; 32]>> =
        LazyLock::new(|| (0..INVITATIONS).map(|seed| invitation_key(seed).public().0).collect());
    (0..INVITATIONS).find(|seed| KEYS[usize::from(*seed)] == invitation.0)
}

/// The private half of a member's key.
fn signer(member: &Member) -> PrivateKey {
    let of = |seed: &u8| public(*seed) == member.member_key;
    (1..=SEEDS).find(of).map_or_else(|| key(0xe1), member_key)
}

impl Move {
    fn flag(&self, n: u8) -> bool {
        self.flags & 1 << n != 0
    }

    /// One in eight.
    fn seldom(&self) -> bool {
        self.flags >> 5 == 0
    }

    fn one<T: Clone>(n: u8, of: &[T]) -> Option<T> {
        of.get(usize::from(n) % of.len().max(1)).cloned()
    }

    /// Mostly one that is not removed; seldom any, or none that there is.
    fn about(&self, group: &Group, wanted: impl Fn(&Member) -> bool) -> ReplicaId {
        let all = members::list(&group.rows).unwrap();
        let fit: Vec<ReplicaId> =
            all.iter().filter(|member| wanted(member)).map(|member| member.id).collect();
        let any = ReplicaId(1 + u64::from(self.a) % group.fold.next_replica().0);
        if self.seldom() { any } else { Self::one(self.a, &fit).unwrap_or(any) }
    }

    fn lock_key(&self) -> Option<LockKey> {
        (self.flag(0) && self.flag(1)).then(|| key(100 + self.b % 6).public())
    }

    /// Mostly a member's own; now and then with a key of somebody else.
    fn details(&self, seed: u8) -> MemberDetails {
        let mut details = member_details(seed);
        details.lock_key = self.lock_key();
        if self.seldom() {
            details.log_key = match self.b % 4 {
                0 => LogKey(key(100 + self.a % 6).public().0),
                1 => LogKey(member_key(1 + self.a % SEEDS).public().0),
                2 => LogKey(invitation_key(self.a % INVITATIONS).public().0),
                _ => member_details(1 + self.a % SEEDS).log_key,
            };
        }
        if self.flag(2) {
            details.address = None;
        }
        if self.flag(3) && self.flag(4) && self.b.is_multiple_of(4) {
            details.rules = 1;
        }
        details
    }

    fn joining(&self, group: &Group) -> Event {
        let open = invitations::unused(&group.rows).unwrap();
        let all = invitations::list(&group.rows).unwrap();
        let chosen = if self.seldom() { Self::one(self.a, &all) } else { Self::one(self.a, &open) };
        let invitation = chosen.and_then(|chosen| seed_of(chosen.key));
        let secret = invitation_key(invitation.unwrap_or(self.a % INVITATIONS));
        let fits =
            |seed: &u8| chosen.and_then(|chosen| chosen.named) == Some(public(*seed).fingerprint());
        let known =
            |seed: &u8| members::by_member_key(&group.rows, public(*seed)).unwrap().is_some();
        let new: Vec<u8> = (1..=SEEDS).filter(|seed| !known(seed)).collect();
        let any = 1 + self.b % SEEDS;
        let seed = (1..=SEEDS).find(fits).filter(|_| !self.flag(5) || !self.flag(6));
        let seed = seed.unwrap_or_else(|| Self::one(self.b, &new).unwrap_or(any));
        let seed = if self.flags == 7 { any } else { seed };
        let incarnation = group.fold.incarnation() + u64::from(self.flags == 255);
        let place = (Group::CLUSTER, incarnation);
        let mut joined = joined(place, &secret, &member_key(seed), self.details(seed));
        if self.flags == 63 {
            joined.consent = joined.proof;
        }
        Event::MemberJoined(Box::new(joined))
    }

    fn event(&self, group: &Group, by: &Member) -> Event {
        let waits = |member: &Member| member.standing == Standing::Pending;
        match self.what {
            0..=9 => {
                let seed = self.a % INVITATIONS;
                let key =
                    if self.flags == 3 { by.member_key.0 } else { invitation_key(seed).public().0 };
                let named = self.flag(0).then(|| public(1 + self.b % SEEDS).fingerprint());
                // Proposals here are made a second apart.
                let soon = 1_700_000_000_000 + u64::from(self.b) * 300;
                let expires_ms = if self.flag(1) && self.flag(2) { soon } else { EXPIRES_MS };
                Event::MemberInvited(Invited { key: InvitationKey(key), expires_ms, named })
            }
            10..=27 => self.joining(group),
            28..=32 => Event::MemberApproved(self.about(group, waits)),
            33..=38 => {
                let member = self.about(group, Member::is_active);
                let role = if self.flag(0) { Role::Voter } else { Role::Learner };
                Event::MemberRoleChanged(RoleChange { member, role })
            }
            39..=44 => {
                let here = |member: &Member| !matches!(member.standing, Standing::Removed(_));
                Event::MemberRemoved(self.about(group, here))
            }
            45..=48 => {
                let mut details = by.details.clone();
                details.lock_key = self.lock_key();
                details.rules = if self.seldom() { 1 } else { 2 };
                if self.flag(2) {
                    details.log_key = self.details(1 + self.a % SEEDS).log_key;
                }
                details.address = self.flag(3).then(|| format!("192.0.2.{}:1", self.a));
                Event::MemberChanged(details)
            }
            49..=54 => Event::NodeAdded(NewNode {
                name: format!("n{}", self.a % 20),
                node_key: node_key(1 + self.b % 100),
                lock_key: None,
                own: self.flag(0) || self.flag(1),
                signature: None,
                auth_key: None,
            }),
            55 => Event::NodeRemoved(NodeId(1 + u64::from(self.a) % group.fold.next_node().0)),
            56 => group.initialization(1, &[2]),
            57 => Event::NodeKeysSigned(group.signatures(&group.lock)),
            58 => Event::RulesActivated(2),
            _ => {
                let mut begun = group.beginning(1 + self.b % SEEDS);
                begun.founder.details = self.details(1 + self.b % SEEDS);
                match self.flags % 16 {
                    0 => begun.last.0 += 1,
                    1 => begun.last.1.0[0] ^= 1,
                    2 => begun.founder.id = ReplicaId(1 + u64::from(self.a % 4)),
                    _ => {}
                }
                Event::IncarnationBegun(Box::new(begun))
            }
        }
    }

    /// Makes the move; none if it is no proposal at all.
    pub fn make(&self, group: &mut Group) -> Option<Made> {
        let all = members::list(&group.rows).unwrap();
        let active = members::active(&group.rows).unwrap();
        // Who has no business to speak does so seldom.
        let of = if self.who >= 224 { &all } else { &active };
        let by = Self::one(self.who, of)?;
        group.speak(by.id, signer(&by));
        let event = self.event(group, &by);
        let mut begins = matches!(event, Event::IncarnationBegun(_)) && self.who.is_multiple_of(2);
        let mut proposal = group.proposal(event);
        let mut signs = signer(&by);
        if let Event::IncarnationBegun(begun) = &proposal.event
            && begins
        {
            proposal.actor.member = begun.founder.id;
            signs = member_key(1 + self.b % SEEDS);
            let odd = u64::from(self.flags % 16 == 3);
            proposal.incarnation += 1 + odd;
        } else if self.who == 1 {
            begins = true;
        }
        let signed = SignedProposal::sign(&proposal, &signs).ok()?;
        let verdict = if begins {
            group.begin_signed(signed.clone())
        } else {
            group.admit_signed(signed.clone())
        };
        Some(Made { signed, verdict, begins })
    }
}
