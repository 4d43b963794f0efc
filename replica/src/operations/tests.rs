//! Plans against a group in memory, where a test can move the ground between plan and record.

mod outside;

use ledger::history::{Event, LogKey, ReplicaId, Verdict, roster};
use ledger::ids::LockKey;
use ledger::lock::Key;
use ledger::lock::builder::Overtaken;
use ledger::lock::signatures::Signer;
use ledger::testing::{Group, SECRET, key, node_key, secret_value};

use super::*;

fn ground(group: &Group) -> Ground<'_> {
    Ground { fold: &group.fold, rows: &group.rows }
}

fn trusted(seed: u8) -> Key {
    Key::ed25519(key(seed).public(), 1)
}

fn order(keys: &[Key]) -> init::Order {
    init::Order {
        keys: keys.to_vec(),
        disablement_values: vec![secret_value().to_vec()],
        state_id: (1, 2),
        labels: Vec::new(),
    }
}

fn refusal(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn sealed(group: &mut Group, event: Event) {
    let verdict = group.propose(event);
    assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
}

/// A group whose lock trusts the member's key (seed 1) and these.
fn locked(seeds: &[u8]) -> Group {
    let mut group = Group::new();
    let keys: Vec<Key> = [1].iter().chain(seeds).map(|seed| trusted(*seed)).collect();
    let event = init::plan(ground(&group), &order(&keys), &key(1)).unwrap();
    sealed(&mut group, event);
    group
}

fn joining(group: &Group, name: &str) -> Event {
    let order = nodes::Order {
        name: name.to_owned(),
        node_key: node_key(1),
        lock_key: None,
        auth_key: None,
        signature: None,
    };
    nodes::add(ground(group), &order)
}

fn add_keys(seeds: &[u8]) -> modify::Order {
    modify::Order { add: seeds.iter().map(|s| trusted(*s)).collect(), ..Default::default() }
}

/// A name of digits once shadowed another node's number: `node remove 2` removed the wrong node.
#[test]
fn a_name_that_is_another_nodes_number_names_nobody() {
    let mut group = Group::new();
    for (name, byte) in [("a", 1), ("b", 2)] {
        group.add_node(name, byte);
    }
    let id = |group: &Group, name: &str| roster::by_name(&group.rows, name).unwrap().unwrap().id;
    let (a, b) = (id(&group, "a"), id(&group, "b"));
    let shadow = group.add_node(&a.to_string(), 3);
    let find = |text: &str| ground(&group).node(text).map(|node| node.id);
    assert!(matches!(find(&a.to_string()), Err(NotPlanned::AmbiguousNode { named, .. })
        if named == shadow));
    for (text, meant) in [
        (format!("n{a}CNTRL"), a),
        ("a".to_owned(), a),
        (b.to_string(), b),
        (format!("n{shadow}CNTRL"), shadow),
        (node_key(2).to_string(), b),
    ] {
        assert_eq!(find(&text).unwrap(), meant, "{text}");
    }
    assert!(matches!(find("77"), Err(NotPlanned::UnknownNode(_))));
}

/// The original's bug: the genesis and its signatures were made for nodes as they once were.
#[test]
fn an_init_for_an_old_roster_is_refused_whole_and_planned_again() {
    let mut group = Group::new();
    let joining = joining(&group, "a");
    sealed(&mut group, joining);
    let order = order(&[trusted(1)]);
    let stale = init::plan(ground(&group), &order, &key(1)).unwrap();
    let node = roster::by_name(&group.rows, "a").unwrap().unwrap();
    sealed(&mut group, nodes::rotate(&node, node_key(2), None));
    let refusal = refusal(group.propose(stale));
    assert!(was_stale(&refusal), "{refusal}");
    assert!(group.fold.authority().is_none());
    let fresh = init::plan(ground(&group), &order, &key(1)).unwrap();
    sealed(&mut group, fresh);
    assert!(roster::by_name(&group.rows, "a").unwrap().unwrap().standing.is_in());
}

#[test]
fn an_init_without_the_own_key_is_not_planned() {
    let group = Group::new();
    let plan = init::plan(ground(&group), &order(&[trusted(2)]), &key(1));
    assert!(matches!(plan, Err(NotPlanned::OwnKeyMissing(own)) if own == key(1).public()));
}

#[test]
fn an_update_that_lost_a_race_is_rebased_while_it_means_the_same() {
    let mut group = locked(&[]);
    let seen = group.fold.authority().unwrap().state().clone();
    let plan = |group: &Group, order: &modify::Order| {
        modify::plan(ground(group), order, Some(&seen), &key(1))
    };
    let order = add_keys(&[2]);
    let stale = plan(&group, &order).unwrap().unwrap();
    let first = plan(&group, &add_keys(&[3])).unwrap().unwrap();
    sealed(&mut group, first);
    let refusal = refusal(group.propose(stale));
    assert!(was_stale(&refusal), "{refusal}");
    let fresh = plan(&group, &order).unwrap().unwrap();
    sealed(&mut group, fresh);
    assert_eq!(group.fold.authority().unwrap().state().keys().len(), 3);

    // Somebody else has added the key since: it may have other votes.
    let overtaken = plan(&group, &order);
    assert!(matches!(overtaken, Err(NotPlanned::Refused(Refusal::Overtaken(Overtaken::Added(_))))));
}

#[test]
fn removing_never_takes_the_last_key() {
    let group = locked(&[2]);
    let remove = |keys: &[LockKey]| modify::Order { remove: keys.to_vec(), ..Default::default() };
    let plan = |order| modify::plan(ground(&group), &order, None, &key(1));
    assert!(plan(remove(&[key(2).public()])).is_ok());
    let both = plan(remove(&[key(2).public(), key(1).public()]));
    assert!(matches!(both, Err(NotPlanned::LastKey)), "{both:?}");
    assert!(plan(modify::Order::default()).unwrap().is_none());
    let order = modify::Order { resign: true, ..remove(&[key(1).public()]) };
    assert!(matches!(plan(order), Err(NotPlanned::OwnKeyWhileResigning)));
}

#[test]
fn a_wrong_secret_reveals_nothing() {
    let mut group = locked(&[]);
    assert!(matches!(disable::plan(ground(&group), b"no"), Err(NotPlanned::WrongSecret)));
    let event = disable::plan(ground(&group), SECRET).unwrap();
    sealed(&mut group, event);
    assert!(matches!(disable::plan(ground(&group), SECRET), Err(NotPlanned::LockOff)));
}

/// Whatever the key files hold, a few records later the ledger has the same, and then there is
/// nothing left to say.
#[test]
fn a_start_records_what_the_machine_holds_and_no_more() {
    let mut group = Group::new();
    let settle = |group: &mut Group, lock: u8, node: u8| {
        let lock = key(lock);
        let own =
            enrol::Own { log_key: LogKey([5; 32]), lock: Some(&lock), node_key: node_key(node) };
        let mut records = 0;
        while let Some(event) =
            enrol::next(ground(group), ReplicaId(1), "first", own, None).unwrap()
        {
            sealed(group, event);
            records += 1;
            assert!(records < 5);
        }
        let node = enrol::own_node(ground(group), ReplicaId(1)).unwrap().unwrap();
        assert_eq!((node.node_key, node.lock_key), (own.node_key, Some(lock.public())));
        (records, node)
    };
    // The log key, then the machine.
    assert_eq!(settle(&mut group, 1, 1).0, 2);
    assert_eq!(settle(&mut group, 1, 1).0, 0);
    assert_eq!(settle(&mut group, 2, 2).0, 2);
    let event = init::plan(ground(&group), &order(&[trusted(2)]), &key(2)).unwrap();
    sealed(&mut group, event);

    let (_, node) = settle(&mut group, 2, 3);
    assert!(node.standing.is_in());
    assert_eq!(node.signature.unwrap().depth(), 2);
    // A key that nobody trusts signs nothing.
    assert!(!settle(&mut group, 4, 4).1.standing.is_in());
    // Back to the trusted one, which signs anew.
    let (_, node) = settle(&mut group, 2, 5);
    assert!(node.standing.is_in());
    assert_eq!(node.signature.unwrap().depth(), 1);
}

/// A ledger from before the door gets it when the daemon is upgraded.
#[test]
fn a_start_brings_a_ledger_under_the_rules_that_all_know() {
    let mut group = Group::under_rules_1();
    let own = enrol::Own { log_key: LogKey([5; 32]), lock: None, node_key: node_key(2) };
    let mut kinds = Vec::new();
    while let Some(event) = enrol::next(ground(&group), ReplicaId(1), "first", own, None).unwrap() {
        kinds.push(event.kind_name());
        sealed(&mut group, event);
    }
    assert_eq!(kinds, ["member-changed", "rules-activated", "node-added"]);
    assert_eq!(group.fold.rules(), ledger::history::KNOWN_RULES);
}

#[test]
fn a_machine_takes_another_name_when_its_own_is_taken() {
    let mut group = Group::new();
    let joining = joining(&group, "first");
    sealed(&mut group, joining);
    let own = enrol::Own { log_key: LogKey([5; 32]), lock: None, node_key: node_key(2) };
    while let Some(event) = enrol::next(ground(&group), ReplicaId(1), "first", own, None).unwrap() {
        sealed(&mut group, event);
    }
    let node = enrol::own_node(ground(&group), ReplicaId(1)).unwrap().unwrap();
    assert_eq!(node.name, "first-2");
}
