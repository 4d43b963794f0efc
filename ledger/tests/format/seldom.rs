//! What random histories at the door seldom or never reach, its quotas above all: the verifier and
//! the ledger judge alike.

use ledger::Refusal;
use ledger::history::{
    AumsAdded, ChangedNode, Event, EventRefusal, InvitationKey, Invited, KNOWN_RULES,
    MemberDetails, NodeId, ReplicaId, RevocationOpened, SignedProposal, Verdict, Who,
};
use ledger::limits::{
    FINAL_AFTER, INVITATIONS_OPEN, KEY_AUMS, KEY_AUMS_RECORDS, MEMBERS_AT_ONCE,
    REVOCATIONS_OF_ACTOR, REVOCATIONS_OF_KEY,
};
use ledger::lock::revocation::{NotRevoked, cosign};
use ledger::lock::signatures::Signer;
use ledger::lock::{Aum, AumKind, Key, Sealed};
use ledger::testing::{Group, invitation_key, invited, key, node_key};

use crate::agreement::Pair;

/// A lock of the keys of these seeds, and of seed 1, one vote each; node 1 is in.
fn locked(seeds: &[u8]) -> Pair {
    locked_under(KNOWN_RULES, seeds)
}

fn locked_under(rules: u32, seeds: &[u8]) -> Pair {
    let mut pair = Pair::new(Group::unfounded_under(rules));
    let founding = pair.group.founding();
    sealed(pair.propose(founding, Who::Member));
    let init = pair.group.initialization(1, seeds);
    sealed(pair.propose(init, Who::Member));
    pair
}

fn sealed(verdict: Verdict) {
    assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
}

fn refused(verdict: Verdict) -> EventRefusal {
    match verdict {
        Verdict::Refused(Refusal::Event(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

impl Pair {
    fn propose(&mut self, event: Event, who: Who) -> Verdict {
        let mut proposal = self.group.proposal(event);
        proposal.actor.who = who;
        let signed = SignedProposal::sign(&proposal, &self.group.member).unwrap();
        let verdict = self.group.admit_signed(signed.clone());
        self.agree(&signed, &verdict).unwrap();
        verdict
    }

    fn add(&mut self, aums: Vec<Sealed>) -> Verdict {
        let (fork, signatures, reason, note) = (false, Vec::new(), None, None);
        self.propose(
            Event::AumsAdded(AumsAdded { aums, fork, signatures, reason, note }),
            Who::Member,
        )
    }

    fn aum(&self, kind: AumKind, by: &[u8], fill: impl FnOnce(&mut Aum)) -> Sealed {
        let mut aum = Aum::new(kind, Some(self.group.fold.authority().unwrap().head()));
        fill(&mut aum);
        by.iter().fold(Sealed::new(aum), |aum, seed| cosign(aum, &key(*seed)).unwrap())
    }

    fn trust(&mut self, seed: u8, by: u8) {
        let aum = self.aum(AumKind::ADD_KEY, &[by], |aum| {
            aum.key = Some(Key::ed25519(key(seed).public(), 1));
        });
        sealed(self.add(vec![aum]));
    }

    /// So many NoOps on the head, an event for every 64.
    fn go_on(&mut self, times: u64, by: &[u8]) {
        for first in (0..times).step_by(64) {
            let mut aums: Vec<Sealed> = Vec::new();
            for _ in first..times.min(first + 64) {
                let parent = aums.last().map(|aum| aum.hash());
                aums.push(self.aum(AumKind::NO_OP, by, |aum| {
                    aum.parent = parent.map_or(aum.parent.clone(), |hash| Some(hash.0.to_vec()));
                }));
            }
            sealed(self.add(aums));
        }
    }

    /// Nobody of these may sign more.
    fn spent(&mut self, by: &[u8]) {
        let more = self.aum(AumKind::NO_OP, by, |_| ());
        let refusal = refused(self.add(vec![more]));
        assert!(matches!(refusal, EventRefusal::KeyQuota { .. }), "{refusal}");
    }
}

/// A key has signed what it may; it may again once enough records have passed.
#[test]
fn a_quota_lasts_so_many_records() {
    let mut pair = locked(&[2, 3]);
    let node = Event::NodeAdded(ledger::history::NewNode {
        name: "a".into(),
        node_key: node_key(1),
        lock_key: None,
        own: false,
        signature: None,
        auth_key: None,
    });
    sealed(pair.propose(node, Who::Member));
    let beginning = pair.group.fold.next_index();
    pair.go_on(KEY_AUMS, &[1]);
    pair.spent(&[1]);
    // With another one that has not, and without others to remove a key.
    pair.go_on(1, &[1, 2]);
    pair.spent(&[1]);
    let gone = key(3).public().0.to_vec();
    let removal = pair.aum(AumKind::REMOVE_KEY, &[1], |aum| aum.key_id = Some(gone));
    sealed(pair.add(vec![removal]));
    while pair.group.fold.next_index() < beginning + KEY_AUMS_RECORDS - 1 {
        let changed =
            ChangedNode { node: NodeId(1), node_key: node_key(1), lock_key: None, signature: None };
        sealed(pair.propose(Event::NodeChanged(changed), Who::Member));
    }
    pair.spent(&[1]);
    pair.trust(4, 2);
    pair.go_on(KEY_AUMS, &[1]);
    pair.spent(&[1]);
}

/// What goes on above the final AUM counts from then on, and no more.
#[test]
fn a_quota_begins_anew_when_an_aum_becomes_final() {
    let mut pair = locked(&[2]);
    pair.go_on(KEY_AUMS, &[1]);
    pair.spent(&[1]);
    pair.go_on(FINAL_AFTER as u64, &[2]);
    // With each of as many the final AUM moves on, up to the first one of 2.
    pair.go_on(FINAL_AFTER as u64, &[1]);
    pair.go_on(KEY_AUMS - FINAL_AFTER as u64, &[1]);
    pair.spent(&[1]);
}

/// Keys that have come since the final AUM share one quota, to which each signature counts.
#[test]
fn new_keys_share_a_quota() {
    let mut pair = locked(&[2]);
    pair.trust(3, 1);
    pair.trust(4, 1);
    pair.go_on(KEY_AUMS / 4, &[3, 4]);
    pair.go_on(KEY_AUMS / 4, &[3]);
    pair.go_on(KEY_AUMS / 4, &[4]);
    for spent in [&[3][..], &[4], &[4, 3]] {
        pair.spent(spent);
    }
    pair.go_on(1, &[1, 4]);
}

/// Places for revocations that wait: of a key, and of an actor.
#[test]
fn places_for_revocations_are_shared() {
    let mut pair = locked(&[2, 3, 4]);
    let (member, user) = (Who::Member, Who::Uid(7));
    let mut open = |by: &[u8], who: Who| {
        pair.go_on(1, &[1]);
        let mut state = pair.group.fold.authority().unwrap().state().clone();
        state.last_aum = None;
        state.keys.as_mut().unwrap().pop();
        let aum = pair.aum(AumKind::CHECKPOINT, by, |aum| aum.state = Some(state));
        let (keys, reason, note) = (Vec::new(), None, None);
        let opened = RevocationOpened { aum, keys, reason, note };
        pair.propose(Event::RevocationOpened(Box::new(opened)), who)
    };
    for _ in 0..REVOCATIONS_OF_KEY {
        sealed(open(&[2, 1], member));
    }
    // The first signature counts, and whoever asks.
    assert_eq!(refused(open(&[2], user)), EventRefusal::RevocationsOfKey(key(2).public()));
    for _ in REVOCATIONS_OF_KEY..REVOCATIONS_OF_ACTOR {
        sealed(open(&[1, 2], member));
    }
    let of_actor = refused(open(&[3], member));
    assert!(matches!(of_actor, EventRefusal::RevocationsOfActor(_)), "{of_actor}");
    sealed(open(&[3], user));
}

/// Other disablement values, from before there was a door: whoever left them signed alone, and what
/// undoes a thief's doing leaves them as they are.
#[test]
fn disablement_values_stay_as_they_were_decided() {
    let mut pair = locked_under(1, &[2, 3]);
    let mut genesis = pair.group.fold.authority().unwrap().state().clone();
    genesis.last_aum = None;
    let at = pair.group.fold.authority().unwrap().head();
    let mut others = genesis.clone();
    others.disablement_values.as_mut().unwrap().push(Some(vec![9; 32]));
    let changed = others.clone();
    let changed = pair.aum(AumKind::CHECKPOINT, &[2], |aum| aum.state = Some(changed));
    let by = changed.hash();
    sealed(pair.add(vec![changed]));
    pair.trust(4, 3);
    let rules = KNOWN_RULES;
    let details = MemberDetails { rules, ..pair.group.details() };
    sealed(pair.propose(Event::MemberChanged(details), Who::Member));
    sealed(pair.propose(Event::RulesActivated(2), Who::Member));

    let revoke = |pair: &mut Pair, mut state: ledger::lock::State| {
        let stolen = key(3).public().0;
        state.keys.as_mut().unwrap().retain(|key| key.id() != Some(&stolen));
        let aums = vec![pair.aum(AumKind::CHECKPOINT, &[1, 2], |aum| {
            aum.parent = Some(at.0.to_vec());
            aum.state = Some(state);
        })];
        let (fork, signatures, reason, note) = (true, Vec::new(), None, None);
        let added = AumsAdded { aums, fork, signatures, reason, note };
        pair.propose(Event::AumsAdded(added), Who::Member)
    };
    let undone = revoke(&mut pair, genesis);
    assert_eq!(undone, Verdict::Refused(NotRevoked::Contradicts { by }.into()));
    sealed(revoke(&mut pair, others));
}

#[test]
fn places_for_members_and_invitations_are_so_many() {
    let mut pair = Pair::new(Group::unfounded());
    let founding = pair.group.founding();
    sealed(pair.propose(founding, Who::Member));
    for seed in 11..10 + u8::try_from(MEMBERS_AT_ONCE).unwrap() {
        sealed(pair.propose(invited(seed, seed.is_multiple_of(2).then_some(seed)), Who::Member));
        let joining = pair.group.joining(seed, seed);
        sealed(pair.propose(joining, Who::Member));
    }
    sealed(pair.propose(invited(100, None), Who::Member));
    let joining = pair.group.joining(100, 100);
    let full = pair.propose(joining.clone(), Who::Member);
    assert_eq!(refused(full), EventRefusal::TooManyMembers);
    sealed(pair.propose(Event::MemberRemoved(ReplicaId(2)), Who::Member));
    sealed(pair.propose(joining, Who::Member));

    // Each expires a second after the one before, from a second on that has not come yet.
    let now = pair.group.proposal(Event::AdoptionEnded).time_ms;
    let invited = |n: u64| {
        let seed = 101 + u8::try_from(n).unwrap();
        let key = InvitationKey(invitation_key(seed).public().0);
        let expires_ms = now + 100_000 + n * 1000;
        Event::MemberInvited(Invited { key, expires_ms, named: None })
    };
    let most = INVITATIONS_OPEN as u64;
    for n in 0..most {
        sealed(pair.propose(invited(n), Who::Member));
    }
    let full = pair.propose(invited(most), Who::Member);
    assert_eq!(refused(full), EventRefusal::TooManyInvitations);
    // Refused proposals make the time go on until the first three have expired.
    while pair.group.proposal(Event::AdoptionEnded).time_ms < now + 102_000 {}
    sealed(pair.propose(invited(most), Who::Member));
    sealed(pair.propose(invited(most + 1), Who::Member));
    sealed(pair.propose(invited(most + 2), Who::Member));
}
