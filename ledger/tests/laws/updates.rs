//! Updates: checkpoints in time, the wall at 512 keys, removing always, lost races, cosigning.

use ledger::ids::LockKey;
use ledger::limits::{CHECKPOINT_EVERY, MAX_KEYS};
use ledger::lock::builder::{
    Change, NotBuilt, Overtaken, UpdateBuilder, capacity, still_means_the_same,
};
use ledger::lock::revocation::{NotRevoked, cosign, examine, generate};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Key, Meta, Sealed, State};
use ledger::{Failure, Refusal};
use proptest::prelude::*;

use crate::model::Model;
use crate::trees::{Node, genesis, id, key, signed, steps, tree};

impl Node {
    fn update(&self, changes: &[Change], signer: &PrivateKey) -> Result<Vec<Sealed>, Refusal> {
        let mut builder = UpdateBuilder::new(&self.rows, &self.authority, Some(signer)).unwrap();
        for change in changes {
            builder.change(change.clone())?;
        }
        builder.finish()
    }

    fn take(&mut self, changes: &[Change], signer: &PrivateKey) -> Vec<AumKind> {
        let aums = self.update(changes, signer).unwrap();
        self.inform(&aums).unwrap();
        aums.iter().map(|aum| aum.kind).collect()
    }
}

fn numbered(n: u32) -> Key {
    let mut public = [7; 32];
    public[..4].copy_from_slice(&n.to_be_bytes());
    Key::ed25519(LockKey(public), 1)
}

fn removal(n: u32) -> Change {
    Change::Remove(numbered(n).public.unwrap())
}

/// A node at which the next update is due a checkpoint.
fn due(keys: u32) -> Node {
    let mut node = Node::new(&genesis());
    let mut aums = vec![genesis()];
    for n in 0..keys.max(CHECKPOINT_EVERY as u32 - 1) {
        let mut aum = Aum::new(AumKind::NO_OP, Some(aums.last().unwrap().hash()));
        if n < keys {
            aum.kind = AumKind::ADD_KEY;
            aum.key = Some(numbered(n));
        }
        aums.push(signed(aum, [0]));
    }
    node.inform(&aums[1..]).unwrap();
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What the builder makes of changes that it takes is taken by the authority, leads to the
    /// state that it showed, and leaves no more than 50 AUMs without a checkpoint.
    #[test]
    fn what_is_built_is_taken(
        steps in steps(120), votes in prop::collection::vec(1..9u64, 1..70),
    ) {
        let aums = tree(&steps);
        let mut node = Node::new(&aums[0]);
        node.inform(&aums).unwrap();
        let Some(signer) = (0..5).find(|n| node.authority.state().key(&id(*n)).is_some()) else {
            return Ok(());
        };
        let changes: Vec<Change> =
            votes.iter().map(|votes| Change::Votes(id(signer), *votes)).collect();
        let built = node.update(&changes, &key(signer)).unwrap();
        let after = node.inform(&built).unwrap().head_after;
        prop_assert_eq!(after, built.last().unwrap().hash());
        let mut all = aums.clone();
        all.extend(built.iter().cloned());
        let model = Model::new(&all);
        let line = model.line(&after);
        let since = line.iter().position(|hash| model.aums[hash].kind == AumKind::CHECKPOINT);
        prop_assert!(since.unwrap() < CHECKPOINT_EVERY);
        let votes_after = model.state_at(&after).key(&id(signer)).unwrap().votes;
        prop_assert_eq!(votes_after, *votes.last().unwrap());
    }
}

#[test]
fn a_checkpoint_comes_in_time() {
    let mut node = due(0);
    let votes = |votes| [Change::Votes(id(0), votes)];
    assert_eq!(node.take(&votes(2), &key(0)), [AumKind::UPDATE_KEY, AumKind::CHECKPOINT]);
    assert_eq!(node.take(&votes(3), &key(0)), [AumKind::UPDATE_KEY]);
}

/// The original's update would be refused whole: its checkpoint is signed by the key removed.
#[test]
fn who_removes_itself_leaves_the_checkpoint_to_others() {
    let mut node = due(0);
    assert_eq!(node.take(&[Change::Remove(id(0))], &key(0)), [AumKind::REMOVE_KEY]);
    let next = node.take(&[Change::Votes(id(1), 9)], &key(1));
    assert_eq!(next, [AumKind::UPDATE_KEY, AumKind::CHECKPOINT]);
}

#[test]
fn the_wall_at_512_keys_stops_adding_and_nothing_else() {
    // Three from the genesis; other programs can go past the wall.
    let mut node = due(MAX_KEYS as u32 + 7);
    assert_eq!(node.authority.state().keys().len(), MAX_KEYS + 10);
    assert!(capacity(node.authority.state()).warns());
    let refused = node.update(&[Change::Add(numbered(9999))], &key(0)).unwrap_err();
    assert!(matches!(refused, Refusal::NotBuilt(NotBuilt::Full { have: 522, .. })));
    for n in 0..9 {
        assert_eq!(node.take(&[removal(n)], &key(0)), [AumKind::REMOVE_KEY]);
    }
    // 512 fit into a checkpoint again, which has been due all the time.
    assert_eq!(node.take(&[removal(9)], &key(0)), [AumKind::REMOVE_KEY, AumKind::CHECKPOINT]);
    assert!(node.update(&[Change::Add(numbered(9999))], &key(0)).is_err());
    node.take(&[removal(10)], &key(0));
    node.take(&[Change::Add(numbered(9999))], &key(0));
    node.check_reopened();
}

#[test]
fn the_warning_comes_at_80_percent() {
    let state = |keys| State { keys: Some((0..keys).map(numbered).collect()), ..State::default() };
    assert!(!capacity(&state(409)).warns());
    assert!(capacity(&state(410)).warns());
}

#[test]
fn a_lost_race_is_built_again_only_if_it_means_the_same() {
    let mut node = Node::new(&genesis());
    let seen = node.authority.state().clone();
    let add = |n, votes| Change::Add(Key::ed25519(key(n).public(), votes));
    let add_4 = [add(4, 1)];
    let remove_1 = [Change::Remove(id(1))];
    let ours = Some(key(0).public());
    node.take(&[add(3, 1)], &key(1));
    let same = |changes: &[Change], node: &Node| {
        still_means_the_same(changes, &seen, node.authority.state(), ours)
    };
    assert_eq!(same(&add_4, &node), Ok(()));
    assert_eq!(same(&remove_1, &node), Ok(()));
    node.take(&[Change::Votes(id(1), 7)], &key(1));
    assert_eq!(same(&remove_1, &node), Err(Overtaken::Changed(id(1))));
    node.take(&[Change::Remove(id(1)), add(4, 2)], &key(2));
    assert_eq!(same(&remove_1, &node), Err(Overtaken::Removed(id(1))));
    assert_eq!(same(&add_4, &node), Err(Overtaken::Added(id(4))));
    node.take(&[Change::Remove(id(0))], &key(2));
    assert_eq!(same(&[], &node), Err(Overtaken::Signer(key(0).public())));
    let other = State { state_id1: 77, ..seen.clone() };
    assert_eq!(still_means_the_same(&[], &seen, &other, ours), Err(Overtaken::OtherLock));
}

#[test]
fn metadata_is_replaced_but_not_by_none() {
    let mut node = Node::new(&genesis());
    let meta = Meta([("a".to_owned(), "b".to_owned())].into());
    node.take(&[Change::Meta(id(1), meta.clone())], &key(0));
    assert_eq!(node.authority.state().key(&id(1)).unwrap().meta, Some(meta));
    let refused = node.update(&[Change::Meta(id(1), Meta::default())], &key(0)).unwrap_err();
    assert_eq!(refused, Refusal::NotBuilt(NotBuilt::EmptyMeta(id(1))));
}

/// Spec 16.7: the original cosigns whatever it is given.
#[test]
fn only_revocations_pass_the_examination() {
    let mut node = Node::new(&genesis());
    node.take(&[Change::Add(Key::ed25519(key(3).public(), 1))], &key(0));
    let fork = node.authority.oldest().hash;
    let keys = [id(3)];
    let made = generate(&node.rows, &node.authority, &keys, &key(0).public(), None).unwrap();
    assert_eq!(made.parent_hash(), Some(fork));
    let revocation = cosign(Sealed::new(made.clone()), &key(0)).unwrap();
    let again = cosign(revocation.clone(), &key(0)).unwrap_err();
    assert_eq!(again, Refusal::NotRevoked(NotRevoked::AlreadySigned));

    let seen = examine(&node.rows, &node.authority, &revocation).unwrap();
    assert_eq!(seen.fork_point, fork);
    assert_eq!(
        seen.removed.iter().filter_map(Key::lock_key).collect::<Vec<_>>(),
        [key(3).public()]
    );
    assert_eq!(seen.undone, [node.authority.head()]);
    // A thief who adds a key meanwhile does not void it.
    node.take(&[Change::Add(Key::ed25519(key(4).public(), 1))], &key(3));
    let seen = examine(&node.rows, &node.authority, &revocation).unwrap();
    assert_eq!((seen.removed.len(), seen.undone.len()), (2, 2));
    // What is begun now leaves the thief's second key, and says so.
    let late = generate(&node.rows, &node.authority, &keys, &key(0).public(), None).unwrap();
    let late = examine(&node.rows, &node.authority, &late).unwrap();
    let planted: Vec<_> = late.planted.iter().filter_map(Key::lock_key).collect();
    assert_eq!((planted, seen.planted.len()), (vec![key(4).public()], 0));
    // Nor does one who puts another disablement value in place (W4); it is undone as well.
    let mut other = node.authority.state().clone();
    (other.last_aum, other.disablement_values) = (None, Some(vec![Some(vec![7; 32])]));
    let mut put = Aum::new(AumKind::CHECKPOINT, Some(node.authority.head()));
    put.state = Some(other);
    assert!(!seen.disablement);
    node.inform(&[cosign(Sealed::new(put), &key(3)).unwrap()]).unwrap();
    let seen = examine(&node.rows, &node.authority, &revocation).unwrap();
    assert!(seen.disablement);
    assert_eq!((seen.removed.len(), seen.undone.len()), (2, 3));

    let changed = |change: &dyn Fn(&mut Aum)| {
        let mut aum = made.clone();
        change(&mut aum);
        let refused = examine(&node.rows, &node.authority, &aum).unwrap_err();
        assert!(matches!(refused, Failure::Refused(_)), "{refused}");
    };
    let state = |aum: &mut Aum, change: &dyn Fn(&mut State)| change(aum.state.as_mut().unwrap());
    changed(&|aum| *aum = Aum::new(AumKind::NO_OP, Some(fork)));
    changed(&|aum| aum.parent = None);
    changed(&|aum| aum.parent = Some(vec![5; 32]));
    changed(&|aum| state(aum, &|state| state.state_id2 = 9));
    changed(&|aum| state(aum, &|state| state.disablement_values = Some(vec![Some(vec![1; 32])])));
    changed(&|aum| state(aum, &|state| state.keys.as_mut().unwrap()[0].votes = 4));
    changed(&|aum| state(aum, &|state| state.keys.as_mut().unwrap().push(numbered(1))));
}
