//! The roster against a model that knows only this: a node is in if there is no lock, or if the
//! signature that it last brought for its present key in this epoch rests on a trusted key.

use std::collections::{BTreeMap, BTreeSet};

use ledger::history::roster;
use ledger::history::{Event, NodeId, NodeSignature, Record, Verdict};
use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::testing::Group;
use proptest::prelude::*;

use crate::moves::moves;

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    node_key: NodeKey,
    lock_key: Option<LockKey>,
    own: bool,
    signature: Option<NodeKeySignature>,
    /// In, because there is no lock or by its signature, or out; and since which record.
    side: (Side, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    NoLock,
    In,
    Out,
}

#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<NodeId, Entry>,
    next: u64,
}

impl Model {
    fn sign(&mut self, signatures: &[NodeSignature]) {
        for item in signatures {
            self.nodes.get_mut(&item.node).unwrap().signature = Some(item.signature.clone());
        }
    }

    /// A record, and the keys that are trusted after it; none without a lock.
    fn record(&mut self, record: &Record, trusted: Option<&BTreeSet<LockKey>>) {
        match &record.proposal().proposal().event {
            Event::NodeAdded(new) => {
                self.next += 1;
                let entry = Entry {
                    name: new.name.clone(),
                    node_key: new.node_key,
                    lock_key: new.lock_key,
                    own: new.own,
                    signature: new.signature.clone(),
                    side: (Side::NoLock, u64::MAX),
                };
                self.nodes.insert(NodeId(self.next), entry);
            }
            Event::NodeChanged(changed) => {
                let entry = self.nodes.get_mut(&changed.node).unwrap();
                if changed.signature.is_some() || entry.node_key != changed.node_key {
                    entry.signature = changed.signature.clone();
                }
                (entry.node_key, entry.lock_key) = (changed.node_key, changed.lock_key);
            }
            Event::NodeRemoved(node) => {
                self.nodes.remove(node).unwrap();
            }
            Event::NodeKeysSigned(signatures) => self.sign(signatures),
            Event::AumsAdded(added) => self.sign(&added.signatures),
            Event::LockInitialized(init) => self.sign(&init.signatures),
            // An adoption that is given up earlier finds no signatures.
            Event::LockDisabled(_) | Event::AdoptionEnded => {
                self.nodes.values_mut().for_each(|entry| entry.signature = None);
            }
            _ => {}
        }
        for entry in self.nodes.values_mut() {
            let side = match (trusted, &entry.signature) {
                (None, _) => Side::NoLock,
                (Some(trusted), Some(signature)) if trusted.contains(&rests_on(signature)) => {
                    Side::In
                }
                _ => Side::Out,
            };
            if entry.side.1 == u64::MAX || entry.side.0 != side {
                entry.side = (side, record.index());
            }
        }
    }

    fn check(&self, group: &Group) {
        let listed = roster::list(&group.rows).unwrap();
        let ids: Vec<NodeId> = listed.iter().map(|node| node.id).collect();
        assert_eq!(ids, self.nodes.keys().copied().collect::<Vec<_>>());
        assert_eq!(group.fold.nodes(), ids.len() as u64);
        assert_eq!(group.fold.next_node(), NodeId(self.next + 1));
        let mut resting = BTreeMap::<LockKey, Vec<NodeId>>::new();
        for node in &listed {
            let entry = &self.nodes[&node.id];
            assert_eq!((&node.name, node.node_key), (&entry.name, entry.node_key));
            assert_eq!((node.lock_key, node.member.is_some()), (entry.lock_key, entry.own));
            assert_eq!(node.signature, entry.signature);
            let side = (entry.side.0 != Side::Out, entry.side.1);
            assert_eq!((node.standing.is_in(), node.standing.since_record), side, "{node:?}");
            assert!(node.standing.reason_record >= node.standing.since_record);
            assert_eq!(roster::by_name(&group.rows, &node.name).unwrap().as_ref(), Some(node));
            let found = roster::by_node_key(&group.rows, node.node_key).unwrap();
            assert_eq!(found.as_ref(), Some(node));
            if let Some(signature) = &node.signature {
                resting.entry(rests_on(signature)).or_default().push(node.id);
            }
        }
        for (key, nodes) in resting {
            assert_eq!(roster::signed_by(&group.rows, key).unwrap(), nodes);
        }
    }
}

/// The innermost signer.
fn rests_on(signature: &NodeKeySignature) -> LockKey {
    let innermost = signature.levels().last().unwrap();
    LockKey(innermost.key_id.clone().try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_node_is_in_when_its_signature_holds(moves in moves(60)) {
        let mut group = Group::new();
        let mut model = Model::default();
        for one in &moves {
            if let Some((_, Verdict::Sealed(record))) = one.make(&mut group) {
                let trusted = group.fold.authority().map(|authority| {
                    authority.state().keys().iter().filter_map(|key| key.lock_key()).collect()
                });
                model.record(&record, trusted.as_ref());
            }
            model.check(&group);
        }
    }
}
