//! Members that come, speak and go.

use crate::history::{
    Begun, Cause, ClusterId, Event, Fold, Founder, InvitationKey, Invited, Joined, KNOWN_RULES,
    LogKey, MemberDetails, MemberKey, ReplicaId, SignedProposal, Verdict,
};
use crate::lock::signatures::{PrivateKey, Signer};

use super::Group;

/// When invitations here expire: long after what a [`Group`] proposes.
pub const EXPIRES_MS: u64 = 1_800_000_000_000;

/// The member key of a member of that seed.
pub fn member_key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[[seed; 16], [1; 16]].concat().try_into().expect("32 bytes"))
}

/// The private half of an invitation of that seed.
pub fn invitation_key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[[seed; 16], [2; 16]].concat().try_into().expect("32 bytes"))
}

/// What a member of that seed says of itself: it has keys of its own, and no lock key.
pub fn member_details(seed: u8) -> MemberDetails {
    let log = PrivateKey::from_seed(&[[seed; 16], [3; 16]].concat().try_into().expect("32 bytes"));
    MemberDetails {
        name: format!("member-{seed}"),
        log_key: LogKey(log.public().0),
        lock_key: None,
        rules: KNOWN_RULES,
        address: Some(format!("192.0.2.{seed}:4700")),
    }
}

/// An invitation of that seed: for the member of a seed, or for anybody.
pub fn invited(seed: u8, named: Option<u8>) -> Event {
    let named = named.map(|seed| MemberKey(member_key(seed).public().0).fingerprint());
    let key = InvitationKey(invitation_key(seed).public().0);
    Event::MemberInvited(Invited { key, expires_ms: EXPIRES_MS, named })
}

/// A joining that both keys have signed for the group and its incarnation.
pub fn joined(
    (cluster, incarnation): (ClusterId, u64),
    invitation: &PrivateKey,
    member: &PrivateKey,
    details: MemberDetails,
) -> Joined {
    let (invitation_key, member_key) =
        (InvitationKey(invitation.public().0), MemberKey(member.public().0));
    let claim = Joined::claim(cluster, incarnation, invitation_key, member_key, &details);
    let (proof, consent) = (invitation.sign(&claim), member.sign(&claim));
    Joined { invitation: invitation_key, member_key, details, proof, consent }
}

impl Group {
    /// The member of that seed joins by the invitation of a seed.
    pub fn joining(&self, invitation: u8, member: u8) -> Event {
        let place = (Self::CLUSTER, self.fold.incarnation());
        let details = member_details(member);
        let keys = (invitation_key(invitation), member_key(member));
        Event::MemberJoined(Box::new(joined(place, &keys.0, &keys.1, details)))
    }

    /// The member of that seed is invited by name, and joins: it is to vote.
    pub fn enrol(&mut self, seed: u8) -> ReplicaId {
        let id = self.fold.next_replica();
        self.apply(invited(seed, Some(seed)));
        self.apply(self.joining(seed, seed));
        id
    }

    /// From now on, the member of that number proposes, with that member key.
    pub fn speak(&mut self, id: ReplicaId, member: PrivateKey) {
        (self.id, self.member) = (id, member);
    }

    /// The beginning of the next incarnation by the member of that seed, as things are.
    pub fn beginning(&self, seed: u8) -> Begun {
        let founder = Founder {
            id: self.fold.next_replica(),
            member_key: MemberKey(member_key(seed).public().0),
            details: member_details(seed),
        };
        let last = self.fold.last_hash().expect("a record");
        Begun { cause: Cause::Recovered, founder, last: (self.fold.next_index() - 1, last) }
    }

    /// Proposes the beginning of the next incarnation as its founder, the member of that seed, who
    /// speaks from then on if it is recorded.
    pub fn begin_incarnation(&mut self, seed: u8, begun: Begun) -> Verdict {
        let id = begun.founder.id;
        let mut proposal = self.proposal(Event::IncarnationBegun(Box::new(begun)));
        proposal.incarnation += 1;
        proposal.actor.member = id;
        let signed = match SignedProposal::sign(&proposal, &member_key(seed)) {
            Ok(signed) => signed,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let verdict = self.begin_signed(signed);
        if matches!(verdict, Verdict::Sealed(_)) {
            self.speak(id, member_key(seed));
        }
        verdict
    }

    /// Verifies, and admits as the beginning of an incarnation.
    pub fn begin_signed(&mut self, signed: SignedProposal) -> Verdict {
        self.judged(signed, Fold::begin_incarnation)
    }
}
