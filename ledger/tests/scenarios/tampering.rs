//! Whoever changes a bit of a record has no record: it does not decode, a signature or a secret in
//! it does not hold, or it does not fit where it stands.

use ledger::history::{Event, Fold, NewNode, NodeId, NodeSignature, Record, ReplicaId, Verdict};
use ledger::lock::Key;
use ledger::lock::builder::Change;
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::rows::{Draft, Memory};
use ledger::testing::{Group, key, node_key};

/// A history with most kinds of events.
fn history() -> Vec<Record> {
    let mut group = Group::new();
    let node = group.add_node("a", 4);
    group.apply(group.initialization(1, &[2]));
    let add = vec![Change::Add(Key::ed25519(key(3).public(), 1))];
    group.apply(Group::added(group.build(&group.lock, add)));
    let signature = group.signature(&key(3), node);
    group.apply(Event::NodeKeysSigned(vec![NodeSignature { node, signature }]));
    let signature = ledger::lock::node_keys::sign_direct(&key(2), node_key(5), None).unwrap();
    group.apply(Event::NodeAdded(NewNode {
        name: "b".into(),
        node_key: node_key(5),
        lock_key: None,
        own: true,
        signature: Some(signature),
        auth_key: None,
    }));
    group.apply(Event::NodeRemoved(NodeId(1)));
    group.apply(Event::MemberChanged(group.details()));
    group.apply(group.disablement());
    group.enrol(20);
    group.apply(Event::MemberRemoved(ReplicaId(2)));
    let begun = group.beginning(21);
    assert!(matches!(group.begin_incarnation(21, begun), Verdict::Sealed(_)));
    group.records()
}

/// Whether a record with these bytes is taken after `fold`.
fn taken(rows: &Memory, fold: &Fold, bytes: &[u8]) -> bool {
    let Ok(record) = Record::decode(bytes) else { return false };
    let Ok(record) = verify_one(Unverified::new(record)) else { return false };
    let mut draft = Draft::on(rows);
    let verdict = fold.clone().replay(&mut draft, &record).unwrap();
    matches!(verdict, Verdict::Sealed(_))
}

#[test]
fn no_changed_byte_of_a_record_is_taken() {
    let records = history();
    let mut rows = Memory::new();
    let mut fold = Fold::open(&rows).unwrap();
    for record in &records {
        assert!(taken(&rows, &fold, record.bytes()));
        // To check a secret takes its time.
        let secret = matches!(record.proposal().proposal().event, Event::LockDisabled(_));
        for at in (0..record.bytes().len()).step_by(if secret { 9 } else { 1 }) {
            let mut changed = record.bytes().to_vec();
            changed[at] ^= 1 << (at % 8);
            assert!(!taken(&rows, &fold, &changed), "record {}, byte {at}", record.index());
        }
        for cut in 0..record.bytes().len() {
            assert!(Record::decode(&record.bytes()[..cut]).is_err());
        }
        assert!(Record::decode(&[record.bytes(), &[0]].concat()).is_err());

        let verified = verify_one(Unverified::new(record.clone())).unwrap();
        let mut draft = Draft::on(&rows);
        fold.replay(&mut draft, &verified).unwrap();
        let changes = draft.finish();
        rows.apply(changes);
    }
}

/// A leader that leaves a record out, swaps two, or repeats one is noticed at once.
#[test]
fn records_are_taken_in_their_order_only() {
    let records = history();
    let mut rows = Memory::new();
    let mut fold = Fold::open(&rows).unwrap();
    for (i, record) in records.iter().enumerate() {
        for (j, other) in records.iter().enumerate() {
            assert_eq!(taken(&rows, &fold, other.bytes()), i == j, "record {j} as record {i}");
        }
        let verified = verify_one(Unverified::new(record.clone())).unwrap();
        let mut draft = Draft::on(&rows);
        fold.replay(&mut draft, &verified).unwrap();
        let changes = draft.finish();
        rows.apply(changes);
    }
}
