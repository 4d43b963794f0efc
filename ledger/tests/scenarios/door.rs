//! The door: what the ledger refuses although the original's rules would take it.

use ledger::Refusal;
use ledger::history::{
    AumsAdded, ChangedNode, Event, EventRefusal, Founder, Initialization, LogKey, MemberDetails,
    MemberKey, NewNode, NodeId, ReplicaId, SignedProposal, Verdict,
};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::builder::Change;
use ledger::lock::signatures::{Claim, Signer};
use ledger::lock::{Aum, AumKind, Authority, Key, Sealed};
use ledger::testing::{Group, SECRET, genesis_state, key, node_key};

/// Points of small order, in several spellings: 0, 1 and -1 with either sign, p, and one of order 8.
fn weak_points() -> Vec<[u8; 32]> {
    let small = |first: u8, middle: u8, last: u8| {
        let mut point = [middle; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let order_8 = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    vec![
        [0; 32],
        small(0, 0, 0x80),
        small(1, 0, 0),
        small(1, 0, 0x80),
        small(0xec, 0xff, 0x7f),
        small(0xed, 0xff, 0x7f),
        order_8,
    ]
}

/// X coordinates of small order on Curve25519, the high bit set or not.
fn weak_coordinates() -> Vec<[u8; 32]> {
    let order_8 = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut all = vec![order_8, [0; 32]];
    for (first, middle, last) in [(1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f)] {
        let mut point = [middle; 32];
        (point[0], point[31]) = (first, last);
        all.push(point);
    }
    let high: Vec<[u8; 32]> = all.clone();
    all.extend(high.into_iter().map(|mut point| {
        point[31] |= 0x80;
        point
    }));
    all
}

pub fn event(refusal: Refusal) -> EventRefusal {
    match refusal {
        Refusal::Event(refusal) => refusal,
        other => panic!("not an event's refusal: {other:?}"),
    }
}

fn new_node(node_key: NodeKey, lock_key: Option<LockKey>) -> Event {
    Event::NodeAdded(NewNode {
        name: "n".into(),
        node_key,
        lock_key,
        own: false,
        signature: None,
        auth_key: None,
    })
}

fn founding(id: u64, member: [u8; 32], log: [u8; 32], lock: [u8; 32]) -> Event {
    Event::GroupCreated(Founder {
        id: ReplicaId(id),
        member_key: MemberKey(member),
        details: MemberDetails {
            name: "first".into(),
            log_key: LogKey(log),
            lock_key: Some(LockKey(lock)),
            rules: 1,
            address: None,
        },
    })
}

#[test]
fn keys_of_small_order_are_refused_wherever_a_key_is_recorded() {
    let mut group = Group::new();
    let node = group.add_node("known", 9);
    for weak in weak_points() {
        let lock_key = Some(LockKey(weak));
        let details = group.details();
        let changed = ChangedNode { node, node_key: node_key(9), lock_key, signature: None };
        for attempt in [
            new_node(node_key(3), lock_key),
            Event::NodeChanged(changed),
            Event::MemberChanged(MemberDetails { lock_key, ..details.clone() }),
            Event::MemberChanged(MemberDetails { log_key: LogKey(weak), ..details }),
        ] {
            let refusal = event(group.refuse(attempt));
            assert!(matches!(refusal, EventRefusal::WeakKey(_)), "{refusal:?}");
        }
        let mut unfounded = Group::unfounded();
        let member = unfounded.member.public().0;
        for attempt in [founding(1, weak, [3; 32], [4; 32]), founding(1, member, weak, [4; 32])] {
            let refusal = event(unfounded.refuse(attempt));
            assert!(matches!(refusal, EventRefusal::WeakKey(_)), "{refusal:?}");
        }
    }
    for weak in weak_coordinates() {
        let node_key = NodeKey(weak);
        let changed = ChangedNode { node, node_key, lock_key: None, signature: None };
        for attempt in [new_node(node_key, None), Event::NodeChanged(changed)] {
            assert_eq!(event(group.refuse(attempt)), EventRefusal::WeakKey("node key"), "{weak:?}");
        }
    }
}

#[test]
fn a_member_has_another_key_for_each_purpose() {
    let mut group = Group::unfounded();
    let member = group.member.public().0;
    let (log, lock) = (key(7).public().0, key(8).public().0);
    for (log, lock) in [(member, lock), (log, member), (log, log)] {
        let refusal = event(group.refuse(founding(1, member, log, lock)));
        assert!(matches!(refusal, EventRefusal::SameKey(..)), "{refusal:?}");
    }
    group.apply(founding(1, member, log, lock));
    let details = |log_key, lock_key| {
        let details = MemberDetails {
            name: "first".into(),
            log_key: LogKey(log_key),
            lock_key: Some(LockKey(lock_key)),
            rules: 1,
            address: None,
        };
        Event::MemberChanged(details)
    };
    for attempt in [details(member, lock), details(log, member), details(lock, lock)] {
        let refusal = event(group.refuse(attempt));
        assert!(matches!(refusal, EventRefusal::SameKey(..)), "{refusal:?}");
    }
    group.apply(details(key(5).public().0, lock));
}

#[test]
fn members_are_numbered_from_1() {
    let mut group = Group::unfounded();
    let member = group.member.public().0;
    for id in [0, 2, u64::MAX] {
        let mut proposal = group.proposal(founding(id, member, [3; 32], [4; 32]));
        proposal.actor.member = ReplicaId(id);
        let verdict = group.admit(&proposal);
        assert!(matches!(verdict, Verdict::Refused(Refusal::Event(EventRefusal::Shape(_)))));
    }
}

#[test]
fn nobody_starts_to_trust_a_key_that_anybody_has() {
    let weak = Key::ed25519(LockKey(weak_points()[2]), 1);
    let short = Key { public: Some(vec![1; 31]), ..weak.clone() };
    for bad in [&weak, &short] {
        let mut group = Group::new();
        let mut state = genesis_state(1, &[(&group.lock, 1)]);
        state.keys.as_mut().unwrap().push(bad.clone());
        let genesis = Authority::genesis(state, &group.lock).unwrap();
        let init = |genesis| {
            Event::LockInitialized(Box::new(Initialization {
                genesis,
                signatures: Vec::new(),
                labels: Vec::new(),
                brought_by: None,
            }))
        };
        let refusal = event(group.refuse(init(genesis)));
        assert!(matches!(refusal, EventRefusal::CannotTrust { .. }), "{refusal:?}");

        group.apply(group.initialization(1, &[2]));
        let added = group.build(&group.lock, vec![Change::Add(bad.clone())]);
        let refusal = event(group.refuse(Group::added(added)));
        assert!(matches!(refusal, EventRefusal::CannotTrust { .. }), "{refusal:?}");

        let mut state = group.fold.authority().unwrap().state().clone();
        let mut aum = Aum::new(AumKind::CHECKPOINT, state.last_aum.take());
        state.keys.as_mut().unwrap().push(bad.clone());
        aum.state = Some(state);
        let checkpoint = ledger::lock::revocation::cosign(Sealed::new(aum), &group.lock).unwrap();
        let refusal = event(group.refuse(Group::added(vec![checkpoint])));
        assert!(matches!(refusal, EventRefusal::CannotTrust { .. }), "{refusal:?}");
    }
}

#[test]
fn each_aum_of_an_event_is_new() {
    let mut group = Group::new();
    group.apply(group.initialization(1, &[]));
    let add = |group: &Group, seed| {
        group.build(&group.lock, vec![Change::Add(Key::ed25519(key(seed).public(), 1))])
    };
    let known = add(&group, 2);
    group.apply(Group::added(known.clone()));
    let fork = |aums: &[&[Sealed]]| {
        let aums = aums.concat();
        let (signatures, reason, note) = (Vec::new(), None, None);
        Event::AumsAdded(AumsAdded { aums, fork: true, signatures, reason, note })
    };
    let new = add(&group, 3);
    assert_eq!(event(group.refuse(fork(&[&known, &new]))), EventRefusal::AlreadyApplied);
    let twice = event(group.refuse(fork(&[&new, &new])));
    assert!(matches!(twice, EventRefusal::Shape(_)), "{twice:?}");
    group.apply(fork(&[&new]));
}

#[test]
fn repeating_record_0_is_a_repetition() {
    let mut group = Group::unfounded();
    let founding = group.founding();
    let proposal = group.proposal(founding.clone());
    let Verdict::Sealed(record) = group.admit(&proposal) else { panic!("not recorded") };
    let again = group.admit(&proposal);
    assert_eq!(again, Verdict::Repeated { index: 0, hash: record.hash() });
    assert_eq!(event(group.refuse(founding)), EventRefusal::GroupExists);
}

#[test]
fn a_node_key_is_one_nodes() {
    let mut group = Group::new();
    let (a, b) = (group.add_node("a", 1), group.add_node("b", 2));
    assert_eq!(event(group.refuse(new_node(node_key(1), None))), EventRefusal::NodeKeyTaken(a));
    let taken = ChangedNode { node: b, node_key: node_key(1), lock_key: None, signature: None };
    assert_eq!(event(group.refuse(Event::NodeChanged(taken))), EventRefusal::NodeKeyTaken(a));
    group.apply(Event::NodeRemoved(a));
    let freed = ChangedNode { node: b, node_key: node_key(1), lock_key: None, signature: None };
    group.apply(Event::NodeChanged(freed));
    let next = group.add_node("a", 2);
    assert_eq!((next, group.node(next).stable_id()), (NodeId(3), "n3CNTRL".to_owned()));
}

/// A secret in a log would be as good as one in a record that was refused.
#[test]
fn a_secret_does_not_show_in_debug_output() {
    let mut group = Group::new();
    let event = group.disablement();
    let proposal = group.proposal(event.clone());
    let signed = SignedProposal::sign(&proposal, &group.member).unwrap();
    let Event::LockDisabled(disablement) = &event else { panic!("another event") };
    let claim = Claim::Disablement { secret: SECRET.to_vec(), value: disablement.value };
    for text in [format!("{event:?}"), format!("{claim:?}"), format!("{signed:?}")] {
        assert!(!text.contains("165, 165") && !text.contains("a5a5"), "{text}");
        assert!(text.contains("32 bytes"), "{text}");
    }
}
