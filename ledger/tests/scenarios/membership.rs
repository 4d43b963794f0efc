//! Members come by invitation, take roles, and go; and the group begins anew.

use ledger::Refusal;
use ledger::history::invitations::{self, InvitationRefusal};
use ledger::history::members::{self, Standing};
use ledger::history::{
    Cause, Event, EventRefusal, Founder, InvitationKey, Invited, Joined, KNOWN_RULES, LogKey,
    MemberDetails, MemberKey, NewNode, NodeId, RecordHash, ReplicaId, Role, RoleChange,
    SignedProposal, Verdict, roster,
};
use ledger::limits::{ADDRESS_BYTES, INVITATIONS_OPEN, MEMBERS_AT_ONCE};
use ledger::lock::signatures::{BadClaim, PrivateKey, Signer};
use ledger::testing::{
    EXPIRES_MS, Group, invitation_key, invited, joined, key, member_details, member_key, node_key,
};

const FIRST: ReplicaId = ReplicaId(1);

fn event(refusal: Refusal) -> EventRefusal {
    let Refusal::Event(refusal) = refusal else { panic!("{refusal:?}") };
    refusal
}

fn invitation(refusal: Refusal) -> InvitationRefusal {
    let EventRefusal::Invitation { why, .. } = event(refusal) else { panic!("another refusal") };
    why
}

fn standing(group: &Group, id: ReplicaId) -> Standing {
    members::member(&group.rows, id).unwrap().unwrap().standing
}

fn numbers(members: &[members::Member]) -> Vec<u64> {
    members.iter().map(|member| member.id.0).collect()
}

fn role(member: ReplicaId, role: Role) -> Event {
    Event::MemberRoleChanged(RoleChange { member, role })
}

fn own_node(name: &str, byte: u8) -> Event {
    Event::NodeAdded(NewNode {
        name: name.into(),
        node_key: node_key(byte),
        lock_key: None,
        own: true,
        signature: None,
        auth_key: None,
    })
}

/// A joining in the group's place, made with these keys and details.
fn joining(
    group: &Group,
    invitation: &PrivateKey,
    member: &PrivateKey,
    details: MemberDetails,
) -> Event {
    let place = (Group::CLUSTER, group.fold.incarnation());
    Event::MemberJoined(Box::new(joined(place, invitation, member, details)))
}

#[test]
fn who_is_invited_by_name_is_to_vote_at_once() {
    let mut group = Group::new();
    assert_eq!(standing(&group, FIRST), Standing::Voter);
    assert_eq!(group.fold.next_replica(), ReplicaId(2));
    let opened = group.apply(invited(20, Some(20))).index();
    let key = InvitationKey(invitation_key(20).public().0);
    let open = invitations::invitation(&group.rows, key).unwrap().unwrap();
    assert_eq!(
        (open.opened, open.by, open.used, open.expires_ms),
        (opened, FIRST, None, EXPIRES_MS)
    );

    let fingerprint = MemberKey(member_key(20).public().0).fingerprint();
    assert_eq!(open.named, Some(fingerprint));
    let refusal = invitation(group.refuse(group.joining(20, 21)));
    assert_eq!(refusal, InvitationRefusal::ForAnother(fingerprint));
    group.apply(group.joining(20, 20));
    assert_eq!(standing(&group, ReplicaId(2)), Standing::Voter);
    let used = invitations::invitation(&group.rows, key).unwrap().unwrap();
    assert_eq!(used.used, Some(ReplicaId(2)));
    assert_eq!(invitations::list(&group.rows).unwrap(), [used]);
    assert_eq!(invitations::unused(&group.rows).unwrap(), []);

    let member = members::by_member_key(&group.rows, MemberKey(member_key(20).public().0));
    let member = member.unwrap().unwrap();
    assert_eq!((member.id, &member.details), (ReplicaId(2), &member_details(20)));
    group.speak(ReplicaId(2), member_key(20));
    group.apply(own_node("second", 9));
}

#[test]
fn others_wait_for_approval_and_take_no_part_meanwhile() {
    let mut group = Group::new();
    group.apply(invited(20, None));
    group.apply(group.joining(20, 20));
    let second = ReplicaId(2);
    assert_eq!(standing(&group, second), Standing::Pending);
    assert_eq!(numbers(&members::active(&group.rows).unwrap()), [1]);
    assert_eq!(numbers(&members::list(&group.rows).unwrap()), [1, 2]);
    for event_of in [role(second, Role::Learner), role(second, Role::Voter)] {
        assert_eq!(event(group.refuse(event_of)), EventRefusal::PendingMember(second));
    }
    group.speak(second, member_key(20));
    for attempt in
        [own_node("second", 9), Event::MemberApproved(second), Event::MemberRemoved(second)]
    {
        assert_eq!(event(group.refuse(attempt)), EventRefusal::PendingMember(second));
    }
    group.speak(FIRST, key(0xe1));
    assert_eq!(
        event(group.refuse(Event::MemberApproved(FIRST))),
        EventRefusal::AlreadyApproved(FIRST)
    );
    let nobody = ReplicaId(3);
    assert_eq!(
        event(group.refuse(Event::MemberApproved(nobody))),
        EventRefusal::UnknownMember(nobody)
    );
    group.apply(Event::MemberApproved(second));
    assert_eq!(standing(&group, second), Standing::Voter);
    let again = EventRefusal::AlreadyApproved(second);
    assert_eq!(event(group.refuse(Event::MemberApproved(second))), again);
    group.speak(second, member_key(20));
    group.apply(own_node("second", 9));
}

#[test]
fn an_invitation_serves_once_and_for_its_time() {
    let mut group = Group::new();
    assert_eq!(invitation(group.refuse(group.joining(20, 20))), InvitationRefusal::Unknown);
    let opened = group.apply(invited(20, None)).index();
    let exists = InvitationRefusal::Exists(opened);
    assert_eq!(invitation(group.refuse(invited(20, Some(3)))), exists);

    let mut late = group.proposal(group.joining(20, 20));
    late.time_ms = EXPIRES_MS + 1;
    let Verdict::Refused(refusal) = group.admit(&late) else { panic!("an expired invitation") };
    assert_eq!(invitation(refusal), InvitationRefusal::Expired);
    late.time_ms = EXPIRES_MS;
    assert!(matches!(group.admit(&late), Verdict::Sealed(_)));
    let used = InvitationRefusal::Used(ReplicaId(2));
    assert_eq!(invitation(group.refuse(group.joining(20, 21))), used);
    assert_eq!(invitation(group.refuse(invited(20, None))), exists);

    let mut born = group.proposal(invited(22, None));
    born.time_ms = EXPIRES_MS + 1;
    let Verdict::Refused(refusal) = group.admit(&born) else { panic!("born expired") };
    assert_eq!(invitation(refusal), InvitationRefusal::BornExpired);
}

/// Neither whoever reads the records, nor a member that passes a joining on, can make another of it.
#[test]
fn a_joining_is_vouched_for_by_the_secret_and_by_the_joining_key() {
    let mut group = Group::new();
    group.apply(invited(20, None));
    let place = (Group::CLUSTER, 1);
    let (secret, member) = (invitation_key(20), member_key(20));
    let good = joined(place, &secret, &member, member_details(20));
    let signature = |refusal| match refusal {
        Refusal::BadClaim(BadClaim::Signature(place)) => place,
        other => panic!("{other:?}"),
    };
    let mut attempt = |joined: Joined| group.refuse(Event::MemberJoined(Box::new(joined)));
    let by = |secret: &PrivateKey, member: &PrivateKey| {
        let claim =
            Joined::claim(place.0, place.1, good.invitation, good.member_key, &good.details);
        Joined { proof: secret.sign(&claim), consent: member.sign(&claim), ..good.clone() }
    };
    assert_eq!(signature(attempt(by(&member, &member))), 1);
    assert_eq!(signature(attempt(by(&secret, &secret))), 2);
    let other = InvitationKey(invitation_key(21).public().0);
    assert_eq!(signature(attempt(Joined { invitation: other, ..good.clone() })), 1);
    let other = MemberKey(member_key(21).public().0);
    assert_eq!(signature(attempt(Joined { member_key: other, ..good.clone() })), 1);
    let details = member_details(20);
    for other in [
        MemberDetails { name: "other".into(), ..details.clone() },
        MemberDetails { log_key: member_details(21).log_key, ..details.clone() },
        MemberDetails { lock_key: Some(key(5).public()), ..details.clone() },
        MemberDetails { rules: KNOWN_RULES + 1, ..details.clone() },
        MemberDetails { address: None, ..details.clone() },
        MemberDetails { address: Some("192.0.2.66:1".into()), ..details },
    ] {
        assert_eq!(signature(attempt(Joined { details: other, ..good.clone() })), 1);
    }
    let elsewhere = [(ledger::history::ClusterId([1; 16]), 1), (Group::CLUSTER, 2)];
    for elsewhere in elsewhere {
        let made = joined(elsewhere, &secret, &member, member_details(20));
        assert_eq!(signature(attempt(made)), 1);
    }
    group.apply(Event::MemberJoined(Box::new(good)));
}

#[test]
fn a_key_is_one_members_and_for_one_purpose_for_ever() {
    let mut group = Group::new();
    let second = group.enrol(20);
    group.speak(second, member_key(20));
    let log_key = LogKey(key(7).public().0);
    let lock_key = Some(key(8).public());
    let changed = MemberDetails { log_key, lock_key, ..member_details(20) };
    group.apply(Event::MemberChanged(changed));
    group.speak(FIRST, key(0xe1));
    group.apply(Event::MemberRemoved(second));
    for seed in 40..47 {
        group.apply(invited(seed, None));
    }

    let details = member_details(30);
    let former = PrivateKey::from_seed(&[[20; 16], [3; 16]].concat().try_into().unwrap());
    assert_eq!(former.public().0, member_details(20).log_key.0);
    // The removed member's keys, those that it had before, and those of others; for any purpose,
    // but for the lock key that its machine still holds.
    let left = lock_key;
    let taken = [member_key(20), key(7), key(8), former, key(0xe1), key(0xe2), key(1)];
    for (taken, seed) in taken.iter().zip(40..) {
        let owner = if seed < 44 { second } else { FIRST };
        let member = member_key(30);
        let log_key = LogKey(taken.public().0);
        let lock_key = Some(taken.public());
        for (attempt, what) in [
            (joining(&group, &invitation_key(seed), taken, details.clone()), "member key"),
            (
                joining(
                    &group,
                    &invitation_key(seed),
                    &member,
                    MemberDetails { log_key, ..details.clone() },
                ),
                "log key",
            ),
            (
                joining(
                    &group,
                    &invitation_key(seed),
                    &member,
                    MemberDetails { lock_key, ..details.clone() },
                ),
                "tailnet-lock key",
            ),
        ] {
            if lock_key == left && what == "tailnet-lock key" {
                continue;
            }
            let refusal = event(group.refuse(attempt));
            assert_eq!(refusal, EventRefusal::KeyOfMember { key: what, member: owner }, "{seed}");
        }
        if owner == second && lock_key != left {
            let changed = MemberDetails { lock_key, ..group.details() };
            let refusal = event(group.refuse(Event::MemberChanged(changed)));
            let what = "tailnet-lock key";
            assert_eq!(refusal, EventRefusal::KeyOfMember { key: what, member: second });
        }
        let key = InvitationKey(taken.public().0);
        let attempt = Event::MemberInvited(Invited { key, expires_ms: EXPIRES_MS, named: None });
        let what = "invitation key";
        let taken = EventRefusal::KeyOfMember { key: what, member: owner };
        assert_eq!(event(group.refuse(attempt)), taken);
    }
    let back = MemberDetails { lock_key: left, ..member_details(33) };
    group.apply(joining(&group, &invitation_key(46), &member_key(33), back));
    // Nor is the invitation's key one of the joining member's.
    let secret = invitation_key(40);
    let (log_key, lock_key) = (LogKey(secret.public().0), Some(secret.public()));
    for attempt in [
        joining(&group, &secret, &secret, details.clone()),
        joining(&group, &secret, &member_key(30), MemberDetails { log_key, ..details.clone() }),
        joining(&group, &secret, &member_key(30), MemberDetails { lock_key, ..details.clone() }),
    ] {
        assert!(matches!(event(group.refuse(attempt)), EventRefusal::SameKey("invitation key", _)));
    }
    // A member may go back to a key that it had for the same purpose.
    let first = group.details();
    group.apply(Event::MemberChanged(MemberDetails { lock_key: None, ..first.clone() }));
    group.apply(Event::MemberChanged(first));
    assert_eq!(joining_works(&mut group), ReplicaId(4));
}

fn joining_works(group: &mut Group) -> ReplicaId {
    group.apply(group.joining(40, 30));
    members::list(&group.rows).unwrap().last().unwrap().id
}

#[test]
fn a_removed_member_takes_no_part_and_its_number_is_not_given_again() {
    let mut group = Group::new();
    let second = group.enrol(20);
    group.speak(second, member_key(20));
    group.apply(own_node("second", 9));
    let node = NodeId(1);
    assert_eq!(group.node(node).member, Some(second));
    group.speak(FIRST, key(0xe1));
    let record = group.apply(Event::MemberRemoved(second)).index();
    assert_eq!(standing(&group, second), Standing::Removed(record));
    assert_eq!(group.node(node).member, None);
    let removed = EventRefusal::RemovedMember { member: second, record };
    for attempt in [
        Event::MemberRemoved(second),
        Event::MemberApproved(second),
        role(second, Role::Learner),
        role(second, Role::Voter),
    ] {
        assert_eq!(event(group.refuse(attempt)), removed);
    }
    // Its machine is a node like others.
    group.apply(Event::NodeRemoved(node));
    assert_eq!(roster::list(&group.rows).unwrap(), []);
    group.speak(second, member_key(20));
    assert_eq!(event(group.refuse(Event::MemberApproved(second))), removed);
    group.speak(FIRST, key(0xe1));
    assert_eq!(group.enrol(21), ReplicaId(3));
    assert_eq!(numbers(&members::list(&group.rows).unwrap()), [1, 2, 3]);
    assert_eq!(numbers(&members::live(&group.rows).unwrap()), [1, 3]);
    // An own removal.
    group.apply(Event::MemberRemoved(FIRST));
    assert!(matches!(event(group.refuse(own_node("a", 8))), EventRefusal::RemovedMember { .. }));
}

#[test]
fn there_is_always_a_voter() {
    let mut group = Group::new();
    let last = EventRefusal::LastVoter(FIRST);
    assert_eq!(event(group.refuse(Event::MemberRemoved(FIRST))), last);
    assert_eq!(event(group.refuse(role(FIRST, Role::Learner))), last);
    let already = EventRefusal::AlreadyInRole { member: FIRST, role: "voter" };
    assert_eq!(event(group.refuse(role(FIRST, Role::Voter))), already);
    // Neither a pending member nor a learner is one.
    group.apply(invited(20, None));
    group.apply(group.joining(20, 20));
    let third = group.enrol(21);
    group.apply(role(third, Role::Learner));
    assert_eq!(standing(&group, third), Standing::Learner);
    assert_eq!(event(group.refuse(Event::MemberRemoved(FIRST))), last);
    assert_eq!(event(group.refuse(role(FIRST, Role::Learner))), last);
    group.speak(third, member_key(21));
    group.apply(role(third, Role::Voter));
    group.apply(role(FIRST, Role::Learner));
    assert_eq!(event(group.refuse(Event::MemberRemoved(third))), EventRefusal::LastVoter(third));
    group.apply(Event::MemberRemoved(FIRST));
    // A pending member can be removed.
    group.apply(Event::MemberRemoved(ReplicaId(2)));
    assert_eq!(numbers(&members::live(&group.rows).unwrap()), [3]);
}

#[test]
fn whoever_joins_or_is_approved_can_execute_the_active_rules() {
    let mut group = Group::new();
    group.apply(invited(20, None));
    let older = MemberDetails { rules: KNOWN_RULES - 1, ..member_details(20) };
    let attempt = joining(&group, &invitation_key(20), &member_key(20), older);
    assert!(matches!(event(group.refuse(attempt)), EventRefusal::RulesNotSupported { .. }));
    group.apply(group.joining(20, 20));

    // Who waits or is gone is not asked what it can execute.
    let mut group = Group::under_rules_1();
    let details = MemberDetails { rules: 2, ..group.details() };
    group.apply(Event::MemberChanged(details));
    group.apply(Event::RulesActivated(2));
    let newer = MemberDetails { rules: 3, ..group.details() };
    group.apply(Event::MemberChanged(newer));
    group.apply(invited(20, None));
    group.apply(group.joining(20, 20));
    let third = group.enrol(21);
    let member = third;
    let refusal = event(group.refuse(Event::RulesActivated(3)));
    assert_eq!(refusal, EventRefusal::RulesNotSupported { member, supported: 2, needed: 3 });
}

/// What rules 1 do not know is refused under them, so that programs that know no other agree.
#[test]
fn rules_1_know_no_membership() {
    let mut group = Group::under_rules_1();
    let addressed = MemberDetails { address: Some("192.0.2.1:4700".into()), ..group.details() };
    let no_address = EventRefusal::FieldNotActive { field: "address", since: 2, active: 1 };
    assert_eq!(event(group.refuse(Event::MemberChanged(addressed.clone()))), no_address);
    for attempt in [
        invited(20, None),
        group.joining(20, 20),
        Event::MemberApproved(FIRST),
        role(FIRST, Role::Learner),
        Event::MemberRemoved(FIRST),
    ] {
        let refusal = event(group.refuse(attempt));
        assert!(matches!(refusal, EventRefusal::KindNotActive { since: 2, .. }), "{refusal:?}");
    }
    let begun = group.beginning(20);
    let Verdict::Refused(refusal) = group.begin_incarnation(20, begun) else { panic!("begun") };
    assert!(matches!(event(refusal), EventRefusal::KindNotActive { since: 2, .. }));
    let newer = MemberDetails { rules: 2, ..group.details() };
    group.apply(Event::MemberChanged(newer));
    group.apply(Event::RulesActivated(2));
    group.apply(Event::MemberChanged(MemberDetails { rules: 2, ..addressed }));

    let mut unfounded = Group::unfounded_under(1);
    let Event::GroupCreated(founder) = unfounded.founding() else { unreachable!() };
    let details = MemberDetails { address: Some("a:1".into()), ..founder.details.clone() };
    let refusal = event(unfounded.refuse(Event::GroupCreated(Founder { details, ..founder })));
    assert_eq!(refusal, no_address);
}

#[test]
fn an_address_changes_no_verdict_and_has_an_end() {
    let mut groups = [Group::new(), Group::new()];
    let longest = "x".repeat(ADDRESS_BYTES);
    for (group, address) in groups.iter_mut().zip([Some(longest.clone()), None]) {
        // Two records that differ in nothing else, and that are followed by the same.
        group.apply(Event::MemberChanged(MemberDetails { address, ..group.details() }));
        group.apply(own_node("first", 9));
    }
    assert_eq!(groups[0].fold.fold_hash(), groups[1].fold.fold_hash());
    assert_ne!(groups[0].fold.last_hash(), groups[1].fold.last_hash());
    let shown =
        |group: &Group| members::member(&group.rows, FIRST).unwrap().unwrap().details.address;
    assert_eq!((shown(&groups[0]), shown(&groups[1])), (Some(longest.clone()), None));
    for bad in ["", "a b:1", "a\n:1", "ä:1", &format!("{longest}x")] {
        let details = MemberDetails { address: Some(bad.into()), ..groups[0].details() };
        let refusal = event(groups[0].refuse(Event::MemberChanged(details)));
        assert!(matches!(refusal, EventRefusal::Shape(_)), "{bad:?}: {refusal:?}");
    }
}

#[test]
fn a_group_has_so_many_members_and_no_more() {
    let mut group = Group::new();
    let most = u8::try_from(MEMBERS_AT_ONCE).unwrap();
    for seed in 2..most {
        group.enrol(seed);
    }
    group.apply(invited(100, None));
    group.apply(group.joining(100, 100));
    group.apply(invited(101, Some(101)));
    // The pending one counts too.
    let full = EventRefusal::TooManyMembers;
    assert_eq!(event(group.refuse(group.joining(101, 101))), full);
    group.apply(Event::MemberRemoved(ReplicaId(2)));
    group.apply(group.joining(101, 101));
    group.apply(invited(102, None));
    assert_eq!(event(group.refuse(group.joining(102, 102))), full);
}

#[test]
fn open_invitations_have_an_end_and_expired_ones_make_room() {
    let mut group = Group::new();
    let most = u8::try_from(INVITATIONS_OPEN).unwrap();
    let invite = |seed: u8, expires_ms| {
        let key = InvitationKey(invitation_key(seed).public().0);
        Event::MemberInvited(Invited { key, expires_ms, named: None })
    };
    for seed in 0..most {
        group.apply(invite(seed, if seed < 3 { EXPIRES_MS } else { EXPIRES_MS + 5 }));
    }
    assert_eq!(event(group.refuse(invite(100, EXPIRES_MS))), EventRefusal::TooManyInvitations);
    // One that is used makes room.
    group.apply(group.joining(0, 0));
    group.apply(invite(100, EXPIRES_MS));
    assert_eq!(event(group.refuse(invite(101, EXPIRES_MS))), EventRefusal::TooManyInvitations);
    let mut late = group.proposal(invite(101, EXPIRES_MS + 5));
    late.time_ms = EXPIRES_MS;
    assert!(matches!(group.admit(&late), Verdict::Refused(_)));
    late.time_ms = EXPIRES_MS + 1;
    assert!(matches!(group.admit(&late), Verdict::Sealed(_)));
    let open = invitations::unused(&group.rows).unwrap();
    assert_eq!(open.len(), INVITATIONS_OPEN - 2);
    assert!(open.iter().all(|open| open.expires_ms == EXPIRES_MS + 5));
    assert_eq!(invitation(group.refuse(group.joining(1, 1))), InvitationRefusal::Unknown);
    // One that nobody needs room of stays, expired or not, and lets nobody in.
    let mut late = group.proposal(group.joining(3, 3));
    late.time_ms = EXPIRES_MS + 6;
    let Verdict::Refused(refusal) = group.admit(&late) else { panic!("an expired invitation") };
    assert_eq!(invitation(refusal), InvitationRefusal::Expired);
}

#[test]
fn a_group_begins_anew_with_one_member() {
    let mut group = Group::new();
    group.apply(own_node("first", 9));
    let second = group.enrol(20);
    group.apply(invited(21, None));
    group.apply(group.joining(21, 21));
    group.apply(Event::MemberRemoved(second));
    group.apply(invited(22, None));

    // A running group does not, whoever asks.
    let begun = group.beginning(30);
    let running = Event::IncarnationBegun(Box::new(begun.clone()));
    let mut proposal = group.proposal(running);
    assert_eq!(event_of(group.admit(&proposal)), EventRefusal::GroupRuns);
    (proposal.incarnation, proposal.actor.member) = (2, begun.founder.id);
    let signed = SignedProposal::sign(&proposal, &member_key(30)).unwrap();
    assert_eq!(event_of(group.admit_signed(signed)), EventRefusal::GroupRuns);
    // And who begins one does nothing else.
    let proposal = group.proposal(Event::MemberRemoved(ReplicaId(3)));
    let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
    assert_eq!(event_of(group.begin_signed(signed)), EventRefusal::NotABeginning);

    let other = |begun: &ledger::history::Begun, change: fn(&mut ledger::history::Begun)| {
        let mut begun = begun.clone();
        change(&mut begun);
        begun
    };
    for (change, want) in [
        (
            other(&begun, |begun| begun.last.1 = RecordHash([1; 32])),
            EventRefusal::OtherHistory { index: begun.last.0 },
        ),
        (
            other(&begun, |begun| begun.last.0 -= 1),
            EventRefusal::OtherHistory { index: begun.last.0 - 1 },
        ),
        (
            other(&begun, |begun| begun.founder.id = ReplicaId(1)),
            EventRefusal::NotNextReplica { got: FIRST, want: ReplicaId(4) },
        ),
        (
            other(&begun, |begun| begun.founder.details.rules = 1),
            EventRefusal::RulesNotSupported { member: ReplicaId(4), supported: 1, needed: 2 },
        ),
        (
            other(&begun, |begun| {
                begun.founder.member_key = MemberKey(member_key(20).public().0);
            }),
            EventRefusal::KeyOfMember { key: "member key", member: second },
        ),
        (
            other(&begun, |begun| begun.founder.details.log_key = member_details(21).log_key),
            EventRefusal::KeyOfMember { key: "log key", member: ReplicaId(3) },
        ),
        (
            other(&begun, |begun| {
                begun.founder.details.lock_key = Some(member_key(21).public());
            }),
            EventRefusal::KeyOfMember { key: "tailnet-lock key", member: ReplicaId(3) },
        ),
        (
            // Signed with the key of seed 30.
            other(&begun, |begun| {
                begun.founder.member_key = MemberKey(member_key(31).public().0);
            }),
            EventRefusal::OtherMemberKey(ReplicaId(4)),
        ),
    ] {
        assert_eq!(event_of(group.begin_incarnation(30, change)), want);
    }

    let before = group.fold.fold_hash();
    let mut begun = other(&begun, |begun| begun.cause = Cause::Restored);
    // The lock key may be the machine's that was lost: nothing of ours is signed with it.
    begun.founder.details.lock_key = Some(group.lock.public());
    let Verdict::Sealed(record) = group.begin_incarnation(30, begun.clone()) else {
        panic!("not begun")
    };
    let index = record.index();
    assert_eq!(group.fold.incarnation(), 2);
    assert_ne!(group.fold.fold_hash(), before);
    assert_eq!(group.fold.next_replica(), ReplicaId(5));
    assert_eq!(numbers(&members::live(&group.rows).unwrap()), [4]);
    assert_eq!(standing(&group, ReplicaId(4)), Standing::Voter);
    for id in [1, 3] {
        assert_eq!(standing(&group, ReplicaId(id)), Standing::Removed(index));
    }
    assert_eq!(standing(&group, second), Standing::Removed(index - 2));
    assert_eq!(invitations::list(&group.rows).unwrap(), []);
    assert_eq!(group.node(NodeId(1)).member, None);
    let stale = EventRefusal::OtherHistory { index: begun.last.0 };
    assert_eq!(event_of(group.begin_incarnation(31, begun)), stale);
    // Incarnations follow each other one by one.
    let mut proposal = group.proposal(Event::IncarnationBegun(Box::new(group.beginning(31))));
    proposal.actor.member = ReplicaId(5);
    for (got, want) in [(2, 3), (4, 3)] {
        proposal.incarnation = got;
        let signed = SignedProposal::sign(&proposal, &member_key(31)).unwrap();
        let refusal = event_of(group.begin_signed(signed));
        assert_eq!(refusal, EventRefusal::OtherIncarnation { got, want });
    }

    // It goes on, without the earlier members.
    group.apply(own_node("new", 8));
    let fifth = group.enrol(22);
    assert_eq!(fifth, ReplicaId(5));
    group.speak(FIRST, key(0xe1));
    let removed = EventRefusal::RemovedMember { member: FIRST, record: index };
    assert_eq!(event(group.refuse(own_node("old", 7))), removed);
    let mut proposal = group.proposal(own_node("old", 7));
    proposal.incarnation = 1;
    assert!(matches!(event_of(group.admit(&proposal)), EventRefusal::OtherIncarnation { .. }));
}

fn event_of(verdict: Verdict) -> EventRefusal {
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    event(refusal)
}
