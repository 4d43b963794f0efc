//! What nodes of the roster bring and say: a genesis of their own, and what they have applied.

use ledger::history::acknowledgements::{self, Acknowledgement};
use ledger::history::{
    Acknowledged, Applied, BroughtGenesis, Epoch, Event, EventRefusal, Initialization, NodeId,
    lifecycle,
};
use ledger::ids::AumHash;
use ledger::lock::builder::Change;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Key, Sealed};
use ledger::testing::{Group, SECRET, genesis, key};
use ledger::{Failure, Refusal};

use crate::door::event;

fn said(node: NodeId, epoch: u32, applied: Applied) -> Event {
    Event::NodeAcknowledged(Acknowledged { node, epoch: Epoch(epoch), applied })
}

fn brought(node: NodeId, key: &PrivateKey, genesis: &Sealed) -> Event {
    let (key, genesis) = (key.public(), genesis.clone());
    Event::GenesisBrought(Box::new(BroughtGenesis { node, key, genesis }))
}

fn finish(group: &Group, node: NodeId, key: &PrivateKey, genesis: &Sealed) -> Event {
    Event::LockInitialized(Box::new(Initialization {
        genesis: genesis.clone(),
        signatures: group.signatures(key),
        labels: Vec::new(),
        brought_by: Some(node),
    }))
}

fn head(group: &Group) -> AumHash {
    group.fold.authority().unwrap().head()
}

#[test]
fn a_node_says_what_it_has_applied_once() {
    let mut group = Group::new();
    let laptop = group.add_node("laptop", 5);
    let refusal = event(group.refuse(said(laptop, 1, Applied::Disabled)));
    assert_eq!(refusal, EventRefusal::UnknownEpoch(Epoch(1)));
    group.apply(group.initialization(1, &[]));
    let first = head(&group);
    let record = group.apply(said(laptop, 1, Applied::Head(first))).index();
    let again = event(group.refuse(said(laptop, 1, Applied::Head(first))));
    assert_eq!(again, EventRefusal::AlreadyAcknowledged(record));
    let early = event(group.refuse(said(laptop, 1, Applied::Disabled)));
    assert_eq!(early, EventRefusal::LockOn(Epoch(1)));
    let strange = AumHash([9; 32]);
    let refusal = event(group.refuse(said(laptop, 1, Applied::Head(strange))));
    assert_eq!(refusal, EventRefusal::UnknownAum { epoch: Epoch(1), aum: strange });
    let nobody = event(group.refuse(said(NodeId(9), 1, Applied::Head(first))));
    assert_eq!(nobody, EventRefusal::UnknownNode(NodeId(9)));

    let added = group.build(&group.lock, vec![Change::Add(Key::ed25519(key(2).public(), 1))]);
    group.apply(Group::added(added));
    let second = head(&group);
    group.apply(said(laptop, 1, Applied::Head(second)));
    group.apply(group.disablement());
    let record = group.apply(said(laptop, 1, Applied::Disabled)).index();
    let last = Acknowledgement { epoch: Epoch(1), applied: Applied::Disabled, record };
    assert_eq!(acknowledgements::of(&group.rows, laptop, Epoch(1)).unwrap(), Some(last));

    group.apply(group.initialization(2, &[]));
    let third = head(&group);
    let other_epoch = event(group.refuse(said(laptop, 2, Applied::Head(second))));
    assert_eq!(other_epoch, EventRefusal::UnknownAum { epoch: Epoch(2), aum: second });
    let record = group.apply(said(laptop, 2, Applied::Head(third))).index();
    let newest = Acknowledgement { epoch: Epoch(2), applied: Applied::Head(third), record };
    assert_eq!(acknowledgements::by_node(&group.rows, laptop).unwrap(), [last, newest]);

    // What a node has said goes with it.
    group.apply(Event::NodeRemoved(laptop));
    assert_eq!(acknowledgements::by_node(&group.rows, laptop).unwrap(), []);
}

#[test]
fn a_genesis_that_a_node_brings_waits_for_its_signatures() {
    let mut group = Group::new();
    let laptop = group.add_node("laptop", 5);
    let phone = group.add_node("phone", 6);
    let maker = key(5);
    let waits = |group: &Group| {
        lifecycle::waiting(&group.rows).unwrap().map(|waiting| waiting.brought.genesis.hash())
    };
    let first = genesis(1, &[(&maker, 1)]);
    let second = genesis(2, &[(&maker, 1)]);
    let refusal = event(group.refuse(finish(&group, laptop, &maker, &first)));
    assert_eq!(refusal, EventRefusal::NoSuchGenesis { node: laptop });

    // It must hold by itself, and trust whoever brings it.
    let mut broken = first.clone().into_aum();
    broken.signatures[0].signature = Some(vec![7; 64]);
    let refusal = group.refuse(brought(laptop, &maker, &Sealed::new(broken)));
    assert!(matches!(refusal, Refusal::BadClaim(_)), "{refusal:?}");
    let refusal = event(group.refuse(brought(laptop, &key(7), &first)));
    assert_eq!(refusal, EventRefusal::InitializerNotTrusted { key: key(7).public() });
    let refusal = event(group.refuse(brought(NodeId(9), &maker, &first)));
    assert_eq!(refusal, EventRefusal::UnknownNode(NodeId(9)));
    assert_eq!(waits(&group), None);

    group.apply(brought(laptop, &maker, &first));
    assert_eq!(waits(&group), Some(first.hash()));
    assert!(!group.fold.lifecycle().is_on());
    // A later one takes its place, whoever brings it.
    group.apply(brought(laptop, &maker, &second));
    let refusal = event(group.refuse(finish(&group, laptop, &maker, &first)));
    assert_eq!(refusal, EventRefusal::NoSuchGenesis { node: laptop });
    let refusal = event(group.refuse(finish(&group, phone, &maker, &second)));
    assert_eq!(refusal, EventRefusal::NoSuchGenesis { node: phone });
    let early = finish(&group, laptop, &maker, &second);
    let late = group.add_node("late", 8);
    let refusal = event(group.refuse(early));
    assert_eq!(refusal, EventRefusal::RosterChanged { node: late });

    group.apply(finish(&group, laptop, &maker, &second));
    assert_eq!(head(&group), second.hash());
    assert!(group.node(phone).standing.is_in());
    assert_eq!(waits(&group), None);
    let refusal = event(group.refuse(brought(laptop, &maker, &first)));
    assert_eq!(refusal, EventRefusal::LockOn(Epoch(1)));

    // Once ended, a state ID is not used again.
    group.apply(group.disablement());
    let refusal = event(group.refuse(brought(laptop, &maker, &second)));
    assert_eq!(refusal, EventRefusal::StateIdUsed(Epoch(1)));
    group.apply(brought(laptop, &maker, &first));
    // A node that leaves takes its genesis along; it would lock everybody with a stranger's key.
    group.apply(Event::NodeRemoved(laptop));
    assert_eq!(waits(&group), None);
    let refusal = event(group.refuse(finish(&group, laptop, &maker, &first)));
    assert_eq!(refusal, EventRefusal::NoSuchGenesis { node: laptop });
    group.apply(brought(phone, &maker, &first));
    group.apply(Event::NodeRemoved(late));
    assert_eq!(waits(&group), Some(first.hash()));
    // The member's own initialization does not wait for it.
    group.apply(group.initialization(3, &[]));
    assert_eq!(waits(&group), None);
}

#[test]
fn a_client_of_the_group_ends_its_lock_with_the_recorded_secret() {
    use ledger::lock::client::Client;
    use ledger::lock::signatures::OneCore;
    use ledger::rows::{Draft, Memory};

    let mut group = Group::new();
    group.apply(group.initialization(1, &[]));
    let rows = Memory::new();
    let mut client = Client::open(&rows).unwrap();
    let mut draft = Draft::on(&rows);
    let authority = group.fold.authority().unwrap();
    let root = authority.chain(&group.rows).aum(&authority.head()).unwrap().unwrap();
    client.bootstrap(&mut draft, &root).unwrap();
    assert!(matches!(client.disable(&mut draft, b"guess", &OneCore), Err(Failure::Refused(_))));
    client.disable(&mut draft, SECRET, &OneCore).unwrap();
    assert_eq!(client.head(), None);
}
