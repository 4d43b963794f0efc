//! Locks that exist elsewhere: brought in whole or not at all, and followed with open eyes.

use ledger::Refusal;
use ledger::history::adoption::{self, Adoption, Alarm};
use ledger::history::lifecycle::Lifecycle;
use ledger::history::roster::Reason;
use ledger::history::{
    AdoptionBegun, Epoch, Event, EventRefusal, Foreign, ForeignReason, NewNode, NodeId,
    NodeSignature, Observed, Verdict,
};
use ledger::ids::{AumHash, LockKey};
use ledger::limits::OBSERVED_BYTES;
use ledger::lock::builder::Change;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Chain, ChainId, Key, NotInformed, Sealed};
use ledger::testing::{Chains, Group, genesis, key, node_key};

use crate::door::event;

/// A tailnet's lock: trusted are the keys of seeds 20 (one vote) and 21 (two votes).
fn root() -> Sealed {
    genesis(70, &[(&key(20), 1), (&key(21), 2)])
}

/// `G -> A -> B` by the light key, and `A -> C -> D` by the heavy one, which wins.
fn forked() -> (Vec<Sealed>, AumHash) {
    let light = Chains::of("G -> A -> B", &root(), &key(20));
    let mut aums = vec![root()];
    aums.extend(light.aums("A B"));
    let (c, d) = heavy_branch(light.aum("A"));
    let head = d.hash();
    aums.extend([c, d]);
    (aums, head)
}

fn heavy_branch(on: &Sealed) -> (Sealed, Sealed) {
    let c = adds(on, key(22).public(), &key(21));
    let d = adds(&c, key(23).public(), &key(21));
    (c, d)
}

fn adds(parent: &Sealed, new: LockKey, signer: &PrivateKey) -> Sealed {
    let mut aum = Aum::new(AumKind::ADD_KEY, Some(parent.hash()));
    aum.key = Some(Key::ed25519(new, 1));
    cosign(Sealed::new(aum), signer).unwrap()
}

fn begun(aums: &[Sealed], head: AumHash, followed: bool) -> Event {
    let (root, aums) = (aums[0].clone(), aums.len() as u64);
    Event::AdoptionBegun(Box::new(AdoptionBegun { root, head, aums, followed }))
}

fn current(group: &Group) -> Adoption {
    adoption::current(&group.rows, group.fold.lifecycle()).unwrap().unwrap()
}

fn adopted(followed: bool) -> (Group, Vec<Sealed>, AumHash) {
    let mut group = Group::new();
    let (aums, head) = forked();
    group.apply(begun(&aums, head, followed));
    group.apply(Event::AumsAdopted(aums[1..].to_vec()));
    (group, aums, head)
}

#[test]
fn nothing_is_in_force_before_the_history_is_complete() {
    let mut group = Group::new();
    let laptop = group.add_node("laptop", 5);
    let (aums, head) = forked();
    let first = group.apply(begun(&aums, head, false)).index();
    group.apply(Event::AumsAdopted(aums[1..3].to_vec()));
    assert_eq!(group.fold.lifecycle(), Lifecycle::Off);
    assert_eq!(group.node(laptop).standing.reason, Reason::LockOff);
    assert_eq!((current(&group).taken, current(&group).adopted), (3, None));

    // Meanwhile no other lock begins.
    let under_way = EventRefusal::AdoptionUnderWay(Epoch(1));
    assert_eq!(event(group.refuse(group.initialization(1, &[]))), under_way);
    assert_eq!(event(group.refuse(begun(&aums, head, false))), under_way);
    let again = event(group.refuse(Event::AumsAdopted(aums[2..4].to_vec())));
    assert_eq!(again, EventRefusal::AlreadyApplied);
    let gap = group.refuse(Event::AumsAdopted(vec![aums[4].clone()]));
    assert!(matches!(gap, Refusal::NotInformed(NotInformed::UnknownParent { index: 0, .. })));

    let last = group.apply(Event::AumsAdopted(aums[3..].to_vec())).index();
    assert_eq!(group.fold.lifecycle(), Lifecycle::On(Epoch(1)));
    assert_eq!(group.fold.authority().unwrap().head(), head);
    assert_eq!(group.node(laptop).standing.reason, Reason::NeverSigned);
    let adoption = current(&group);
    assert_eq!((adoption.begun, adoption.adopted, adoption.taken), (first, Some(last), 5));
    // The losing branch is kept.
    let chain = Chain::new(&group.rows, ChainId(1));
    assert!(chain.aum(&aums[2].hash()).unwrap().is_some());

    // It is ours from now on: whoever is trusted changes it here.
    let add = group.build(&key(21), vec![Change::Add(Key::ed25519(key(30).public(), 1))]);
    group.apply(Group::added(add));
    let refusals =
        [Event::AdoptionEnded, Event::AumsAdopted(vec![aums[0].clone()]), observed(Observed::Off)];
    for refused in refusals {
        assert_eq!(event(group.refuse(refused)), EventRefusal::NoAdoption);
    }
    group.apply(group.disablement());
    assert_eq!(group.fold.lifecycle(), Lifecycle::Retired(Epoch(1)));
    // Its state ID is spent.
    let spent = event(group.refuse(begun(&aums, head, false)));
    assert_eq!(spent, EventRefusal::StateIdUsed(Epoch(1)));
}

fn observed(observed: Observed) -> Event {
    Event::LockObserved(observed)
}

#[test]
fn a_history_must_be_what_was_announced() {
    let (aums, head) = forked();
    let wrong = |what| EventRefusal::NotAsAnnounced(what);
    let mut group = Group::new();
    // A losing head is announced.
    group.apply(begun(&aums, aums[2].hash(), false));
    let refusal = event(group.refuse(Event::AumsAdopted(aums[1..].to_vec())));
    assert_eq!(refusal, wrong("the rules choose another head"));
    group.apply(Event::AdoptionEnded);
    // There are more than were announced.
    group.apply(begun(&aums[..4], head, false));
    let refusal = event(group.refuse(Event::AumsAdopted(aums[1..].to_vec())));
    assert_eq!(refusal, wrong("there are more AUMs"));
    group.apply(Event::AdoptionEnded);
    // The root is all, and is not the head.
    let refusal = event(group.refuse(begun(&aums[..1], head, false)));
    assert_eq!(refusal, wrong("the rules choose another head"));
    let none = AdoptionBegun { root: root(), head, aums: 0, followed: false };
    let refusal = event(group.refuse(Event::AdoptionBegun(Box::new(none))));
    assert!(matches!(refusal, EventRefusal::Shape(_)), "{refusal:?}");
    // An AUM that breaks the rules never comes in.
    group.apply(begun(&aums, head, false));
    let stranger = adds(&aums[0], key(40).public(), &key(41));
    assert!(matches!(
        group.refuse(Event::AumsAdopted(vec![stranger])),
        Refusal::NotInformed(NotInformed::Update { .. })
    ));
    assert_eq!(current(&group).taken, 1);
}

#[test]
fn what_is_given_up_leaves_nothing_behind() {
    let mut group = Group::new();
    group.apply(group.initialization(1, &[]));
    group.apply(group.disablement());
    let (aums, head) = forked();
    group.apply(begun(&aums, head, true));
    group.apply(Event::AumsAdopted(aums[1..4].to_vec()));
    group.apply(Event::AdoptionEnded);
    assert_eq!(adoption::of(&group.rows, Epoch(2)).unwrap(), None);
    assert_eq!(Chain::new(&group.rows, ChainId(2)).nodes().unwrap().count(), 0);
    assert_eq!(event(group.refuse(Event::AdoptionEnded)), EventRefusal::NoAdoption);
    // Another lock, and later the same one, can begin.
    group.apply(begun(&aums, head, true));
    group.apply(Event::AumsAdopted(aums[1..].to_vec()));
    assert_eq!(group.fold.lifecycle(), Lifecycle::On(Epoch(2)));
}

#[test]
fn a_lock_whose_root_is_all_begins_at_once() {
    let mut later = Aum::new(AumKind::CHECKPOINT, Some(AumHash([1; 32])));
    later.state = root().state.clone();
    let later = cosign(Sealed::new(later), &key(20)).unwrap();
    let mut group = Group::new();
    group.apply(begun(std::slice::from_ref(&later), later.hash(), false));
    assert_eq!(group.fold.lifecycle(), Lifecycle::On(Epoch(1)));
    assert_eq!(group.fold.authority().unwrap().oldest().hash, later.hash());
}

#[test]
fn a_followed_lock_is_decided_elsewhere() {
    let (mut group, _, head) = adopted(true);
    let laptop = group.add_node("laptop", 5);
    let followed = EventRefusal::Followed(Epoch(1));
    // Even with a key that it trusts.
    let add = group.build(&key(21), vec![Change::Add(Key::ed25519(key(30).public(), 1))]);
    assert_eq!(event(group.refuse(Group::added(add))), followed);
    let signature = group.signature(&key(21), laptop);
    let signed = vec![NodeSignature { node: laptop, signature }];
    assert_eq!(event(group.refuse(Event::NodeKeysSigned(signed))), followed);
    // And nobody spends a secret that its server has not seen.
    assert_eq!(event(group.refuse(group.disablement())), followed);

    // A node comes with the signature that it has there.
    let signature = sign_direct(&key(22), node_key(6), None).unwrap();
    group.apply(Event::NodeAdded(NewNode {
        name: "phone".into(),
        node_key: node_key(6),
        lock_key: None,
        own: false,
        signature: Some(signature),
        auth_key: None,
    }));
    let phone = NodeId(laptop.0 + 1);
    assert!(group.node(phone).standing.is_in());

    // Its server removes the key, which our door would do as well, and adds one that it would not.
    let chain = group.fold.authority().unwrap().chain(&group.rows);
    let top = chain.aum(&head).unwrap().unwrap();
    let mut removal = Aum::new(AumKind::REMOVE_KEY, Some(top.hash()));
    removal.key_id = Some(key(22).public().0.to_vec());
    let removal = cosign(Sealed::new(removal), &key(21)).unwrap();
    let weak = adds(&removal, LockKey([0; 32]), &key(21));
    group.apply(Event::AumsAdopted(vec![removal.clone(), weak.clone()]));
    assert_eq!(group.fold.authority().unwrap().head(), weak.hash());
    let reason = group.node(phone).standing.reason;
    assert_eq!(reason, Reason::SignerNotTrusted { key: key(22).public(), aum: removal.hash() });
    assert_eq!(current(&group).taken, 7);

    group.apply(Event::AdoptionEnded);
    assert_eq!(group.fold.lifecycle(), Lifecycle::Retired(Epoch(1)));
    assert_eq!(group.node(phone).standing.reason, Reason::LockOff);
    // It goes on elsewhere, and may be followed again.
    let (aums, head) = forked();
    group.apply(begun(&aums, head, true));
}

#[test]
fn what_its_server_rewrites_or_withholds_raises_an_alarm() {
    let (mut group, aums, head) = adopted(true);
    let steps = [
        (Observed::Head(head), None),
        (Observed::Head(aums[3].hash()), Some(Alarm::Behind)),
        (Observed::Head(aums[0].hash()), Some(Alarm::Behind)),
        (Observed::Head(aums[2].hash()), Some(Alarm::LosingBranch)),
        (foreign(ForeignReason::OtherLock), Some(Alarm::OtherLock)),
        (foreign(ForeignReason::Unconnected), Some(Alarm::Unconnected)),
        (foreign(ForeignReason::BreaksRules), Some(Alarm::BreaksRules)),
        (Observed::Off, Some(Alarm::Off)),
        (Observed::Head(head), None),
    ];
    for (shown, alarm) in steps {
        let record = group.apply(observed(shown.clone())).index();
        let seen = current(&group).seen.unwrap();
        assert_eq!((seen.alarm, seen.record), (alarm, record));
        let again = event(group.refuse(observed(shown)));
        assert_eq!(again, EventRefusal::AlreadyObserved(record));
    }
    let adoption = current(&group);
    assert_eq!(adoption.alarms, 7);
    assert_eq!(adoption.last_alarm, adoption.seen.map(|seen| seen.record - 1));
    let strange = AumHash([9; 32]);
    let unknown = event(group.refuse(observed(Observed::Head(strange))));
    assert_eq!(unknown, EventRefusal::UnknownAum { epoch: Epoch(1), aum: strange });
    // The lock stands as it was: an observation changes no verdict on it.
    assert_eq!(group.fold.authority().unwrap().head(), head);
}

fn foreign(why: ForeignReason) -> Observed {
    Observed::Foreign(Foreign { head: AumHash([7; 32]), why, evidence: b"evidence".to_vec() })
}

#[test]
fn evidence_has_a_bound() {
    let (mut group, ..) = adopted(true);
    let mut of = |bytes: usize| {
        let evidence = vec![1; bytes];
        let why = ForeignReason::BreaksRules;
        let shown = Foreign { head: AumHash([bytes as u8; 32]), why, evidence };
        group.propose(observed(Observed::Foreign(shown)))
    };
    assert!(matches!(of(OBSERVED_BYTES), Verdict::Sealed(_)));
    assert!(matches!(of(7), Verdict::Sealed(_)));
    assert!(matches!(of(OBSERVED_BYTES + 1), Verdict::Refused(_)));
}
