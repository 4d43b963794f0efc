//! AUMs at the door (docs/door.md): each attack with the door, and without it.

use ledger::Refusal;
use ledger::history::door::finality::final_point;
use ledger::history::{
    AumsAdded, Event, EventRefusal, KNOWN_RULES, MemberDetails, Record, RevocationOpened, Verdict,
};
use ledger::ids::AumHash;
use ledger::limits::{FINAL_AFTER, KEY_AUMS, REVOCATIONS_OF_KEY};
use ledger::lock::builder::Change;
use ledger::lock::revocation::{NotRevoked, cosign, generate};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Key, Sealed, State};
use ledger::testing::{Group, key};

use crate::door::event;

fn locked(mut group: Group, seeds: &[u8]) -> Group {
    group.apply(group.initialization(1, seeds));
    group
}

fn head(group: &Group) -> AumHash {
    group.fold.authority().unwrap().head()
}

fn state(group: &Group, at: AumHash) -> State {
    group.fold.authority().unwrap().chain(&group.rows).state_at(&at).unwrap().unwrap()
}

fn id(seed: u8) -> Vec<u8> {
    key(seed).public().0.to_vec()
}

fn trusts(group: &Group, seed: u8) -> bool {
    group.fold.authority().unwrap().state().key(&id(seed)).is_some()
}

fn signed(aum: Aum, by: &[u8]) -> Sealed {
    by.iter().fold(Sealed::new(aum), |aum, seed| cosign(aum, &key(*seed)).unwrap())
}

/// An AUM of that kind on `at`, signed by these.
fn on(at: AumHash, kind: AumKind, by: &[u8], fill: impl FnOnce(&mut Aum)) -> Sealed {
    let mut aum = Aum::new(kind, Some(at));
    fill(&mut aum);
    signed(aum, by)
}

fn add(at: AumHash, seed: u8, votes: u64, by: u8) -> Sealed {
    let key = Key::ed25519(key(seed).public(), votes);
    on(at, AumKind::ADD_KEY, &[by], |aum| aum.key = Some(key))
}

fn remove(at: AumHash, seed: u8, by: u8) -> Sealed {
    on(at, AumKind::REMOVE_KEY, &[by], |aum| aum.key_id = Some(id(seed)))
}

fn no_op(at: AumHash, n: u64, by: u8) -> Sealed {
    on(at, AumKind::NO_OP, &[by], |aum| aum.key_id = Some(n.to_be_bytes().to_vec()))
}

/// A checkpoint on `at` with the state at `of` without these keys.
fn checkpoint(group: &Group, at: AumHash, of: AumHash, without: &[u8], by: &[u8]) -> Sealed {
    let mut state = state(group, of);
    state.last_aum = None;
    let keys = state.keys.as_mut().unwrap();
    keys.retain(|key| without.iter().all(|seed| key.id() != Some(&id(*seed))));
    on(at, AumKind::CHECKPOINT, by, |aum| aum.state = Some(state))
}

fn fork(aums: &[Sealed]) -> Event {
    let (signatures, reason, note) = (Vec::new(), None, None);
    Event::AumsAdded(AumsAdded { aums: aums.to_vec(), fork: true, signatures, reason, note })
}

fn take(group: &mut Group, aum: &Sealed) -> AumHash {
    group.apply(fork(std::slice::from_ref(aum)));
    assert_eq!(head(group), aum.hash());
    aum.hash()
}

fn refused(group: &mut Group, aum: &Sealed) -> Refusal {
    let before = head(group);
    let refusal = group.refuse(fork(std::slice::from_ref(aum)));
    assert_eq!(head(group), before);
    refusal
}

fn outvoted(refusal: Refusal) -> (u64, u64) {
    match event(refusal) {
        EventRefusal::Outvoted(stand) => (stand.present, stand.taken),
        other => panic!("not outvoted: {other:?}"),
    }
}

/// W4: one vote and a checkpoint, and nothing is left of what the others had.
#[test]
fn a_checkpoint_is_the_sum_of_what_came_before() {
    for (group, shut) in [(Group::new(), true), (Group::under_rules_1(), false)] {
        let mut group = locked(group, &[2, 3]);
        let at = head(&group);
        let mut state = state(&group, at);
        state.last_aum = None;
        let sum = on(at, AumKind::CHECKPOINT, &[3], |aum| aum.state = Some(state.clone()));
        let at = take(&mut group, &sum);
        let mut values = state.clone();
        values.disablement_values = Some(vec![Some([9; 32].to_vec())]);
        let mut others = state.clone();
        others.keys = Some(vec![Key::ed25519(key(30).public(), 1)]);
        let mut votes = state;
        votes.keys.as_mut().unwrap()[2].votes = 9;
        for evil in [values, others, votes] {
            let evil = on(at, AumKind::CHECKPOINT, &[3], |aum| aum.state = Some(evil.clone()));
            if shut {
                let refusal = refused(&mut group, &evil);
                assert!(matches!(&refusal, Refusal::NotRevoked(_)), "{refusal}");
            } else {
                assert!(matches!(group.propose(fork(&[evil])), Verdict::Sealed(_)));
                break;
            }
        }
    }
}

/// W5: whoever was trusted somewhere begins another branch there, and wins every tie by a RemoveKey
/// or by grinding.
#[test]
fn only_revocations_leave_the_line() {
    for (group, shut) in [(Group::new(), true), (Group::under_rules_1(), false)] {
        let mut group = locked(group, &[2, 3]);
        let genesis = head(&group);
        take(&mut group, &add(genesis, 4, 1, 1));
        let line = head(&group);
        let removal = remove(genesis, 1, 3);
        if shut {
            let parent = Some(genesis);
            let fork = EventRefusal::ForkWithoutRevocation { parent, head: line };
            assert_eq!(event(refused(&mut group, &removal)), fork);
            let follows_it =
                event(group.refuse(fork_of(&[&removal, &no_op(removal.hash(), 1, 3)])));
            assert_eq!(follows_it, fork);
        } else {
            take(&mut group, &removal);
            assert!(!trusts(&group, 1) && !trusts(&group, 4));
        }
    }
}

fn fork_of(aums: &[&Sealed]) -> Event {
    fork(&aums.iter().map(|aum| (*aum).clone()).collect::<Vec<_>>())
}

/// The founder's key is stolen: it goes back to where it was the only one.
#[test]
fn seniority_does_not_outvote() {
    for (group, shut) in [(Group::new(), true), (Group::under_rules_1(), false)] {
        let mut group = locked(group, &[]);
        let genesis = head(&group);
        let one = take(&mut group, &add(genesis, 2, 1, 1));
        let two = take(&mut group, &add(one, 3, 1, 1));
        // 2 and 3 revoke it, with two votes to one.
        let ids = [id(1)];
        let authority = group.fold.authority().unwrap();
        let made = generate(&group.rows, authority, &ids, &key(2).public(), Some(two)).unwrap();
        let revocation = signed(made, &[2, 3]);
        let won = take(&mut group, &revocation);
        // It answers from the genesis: keys of the past, none of which was trusted there.
        let mut then = state(&group, two);
        then.last_aum = None;
        then.keys.as_mut().unwrap().truncate(1);
        let answer = on(genesis, AumKind::CHECKPOINT, &[1], |aum| aum.state = Some(then));
        if shut {
            let refusal = refused(&mut group, &answer);
            assert_eq!(outvoted(refusal), (1, 2));
            assert_eq!(head(&group), won);
        } else {
            assert!(matches!(group.propose(fork(&[answer])), Verdict::Sealed(_)));
        }
    }
}

/// What the revoked did alone does not count for them, however much it is.
#[test]
fn what_a_thief_makes_of_itself_does_not_help_it() {
    let mut group = locked(Group::new(), &[2, 3]);
    let before = head(&group);
    let mut at = take(&mut group, &add(before, 30, 1, 3));
    for seed in 31..36 {
        at = take(&mut group, &add(at, seed, 4096, 30));
    }
    at = take(&mut group, &remove(at, 1, 31));
    take(&mut group, &remove(at, 2, 32));
    // One signature is not enough, two are.
    let revoked = [3, 30, 31, 32, 33, 34, 35];
    let one = checkpoint(&group, before, before, &revoked, &[1]);
    assert_eq!(outvoted(refused(&mut group, &one)), (1, 1));
    let two = checkpoint(&group, before, before, &revoked, &[1, 2]);
    let won = take(&mut group, &two);
    assert!(trusts(&group, 1) && trusts(&group, 2) && !trusts(&group, 3));
    // The thief's branch is gone, with all its votes.
    let back = no_op(at, 1, 31);
    assert!(matches!(
        event(refused(&mut group, &back)),
        EventRefusal::ForkWithoutRevocation { .. }
    ));
    let answer = checkpoint(&group, before, before, &[1, 2], &[3]);
    assert_eq!(outvoted(refused(&mut group, &answer)), (1, 2));
    assert_eq!(head(&group), won);
}

/// A removal at the head is final against a single vote: the removed key cannot bring itself back.
#[test]
fn what_others_decided_is_not_undone_by_the_way() {
    let mut group = locked(Group::new(), &[2, 3, 4]);
    let before = head(&group);
    let at = take(&mut group, &remove(before, 4, 1));
    let at = take(&mut group, &add(at, 5, 1, 2));
    // Nothing is taken away, but 4 would be back.
    let back = checkpoint(&group, before, before, &[], &[4]);
    assert_eq!(
        outvoted_or_nothing(refused(&mut group, &back)),
        NotRevoked::Contradicts { by: remove(before, 4, 1).hash() }
    );
    // 3 is taken away by the others, and 4 would be back by the way.
    let by_the_way = checkpoint(&group, before, before, &[3], &[1, 2, 4]);
    let refusal = outvoted_or_nothing(refused(&mut group, &by_the_way));
    assert_eq!(refusal, NotRevoked::Contradicts { by: remove(before, 4, 1).hash() });
    let idle = checkpoint(&group, at, at, &[], &[1]);
    take(&mut group, &idle);
}

/// What somebody changes above what a thief has done does not bind him when he revokes the thief:
/// otherwise it could be that nothing of what was trusted before can be trusted again.
#[test]
fn whoever_decided_something_meanwhile_can_take_it_back_with_the_rest() {
    let mut group = locked(Group::new(), &[2, 3, 4, 5]);
    let two_votes = |seed: u8, by: u8, at| {
        on(at, AumKind::UPDATE_KEY, &[by], |aum| {
            (aum.key_id, aum.votes) = (Some(id(seed)), Some(2));
        })
    };
    let genesis = head(&group);
    let before = take(&mut group, &two_votes(4, 1, genesis));
    // The thief removes 1; 3 gives 2 more votes instead, and both are removed too.
    let at = take(&mut group, &remove(before, 1, 4));
    let more = two_votes(2, 3, at);
    let at = take(&mut group, &more);
    let at = take(&mut group, &remove(at, 3, 4));
    take(&mut group, &remove(at, 2, 4));
    // What 3 has decided binds the others, but not 3.
    let without_3 = {
        let mut state = state(&group, before);
        state.last_aum = None;
        state.keys.as_mut().unwrap().retain(|key| key.id() != Some(&id(4)));
        on(before, AumKind::CHECKPOINT, &[1, 2, 5], |aum| aum.state = Some(state))
    };
    let refusal = outvoted_or_nothing(refused(&mut group, &without_3));
    assert_eq!(refusal, NotRevoked::Contradicts { by: more.hash() });
    // It can wait for the signature of 3, though.
    let opened = RevocationOpened { aum: without_3, keys: Vec::new(), reason: None, note: None };
    group.apply(Event::RevocationOpened(Box::new(opened)));
    let all = checkpoint(&group, before, before, &[4], &[1, 2, 3, 5]);
    take(&mut group, &all);
    assert!(trusts(&group, 1) && trusts(&group, 2) && trusts(&group, 3) && !trusts(&group, 4));
    assert_eq!(group.fold.fold_hash(), refolded(&group));
}

fn outvoted_or_nothing(refusal: Refusal) -> NotRevoked {
    match refusal {
        Refusal::NotRevoked(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_revocation_takes_something_away() {
    let mut group = locked(Group::new(), &[2, 3]);
    let before = head(&group);
    take(&mut group, &no_op(before, 1, 1));
    let nothing = checkpoint(&group, before, before, &[], &[1, 2, 3]);
    assert_eq!(outvoted_or_nothing(refused(&mut group, &nothing)), NotRevoked::TakesNothing);
    let opened = RevocationOpened { aum: nothing, keys: Vec::new(), reason: None, note: None };
    let refusal = group.refuse(Event::RevocationOpened(Box::new(opened)));
    assert_eq!(outvoted_or_nothing(refusal), NotRevoked::TakesNothing);
}

fn go_on(group: &mut Group, by: u8, times: usize) -> AumHash {
    for n in 0..times {
        let aum = no_op(head(group), n as u64, by);
        take(group, &aum);
    }
    head(group)
}

fn is_final(group: &Group) -> AumHash {
    final_point(&group.rows, group.fold.authority().unwrap()).unwrap().at.hash
}

/// An AUM is final when most votes have gone on from it, and then only most votes undo it.
#[test]
fn most_votes_make_final_and_undo() {
    let mut group = locked(Group::new(), &[2, 3, 4]);
    let genesis = head(&group);
    take(&mut group, &add(genesis, 30, 1, 4));
    go_on(&mut group, 1, 3 * FINAL_AFTER);
    go_on(&mut group, 2, FINAL_AFTER);
    assert_eq!(is_final(&group), genesis, "two of four votes are not most");
    go_on(&mut group, 3, FINAL_AFTER - 1);
    assert_eq!(is_final(&group), genesis);
    go_on(&mut group, 3, 1);
    // 1 and 2 had gone on before 3 began: what 1 signed last counts.
    let point = is_final(&group);
    assert_ne!(point, genesis);
    let now = head(&group);
    assert_eq!(group.fold.fold_hash(), refolded(&group));

    let revoke = |group: &Group, by: &[u8]| {
        let mut state = state(group, now);
        state.last_aum = None;
        let gone = [id(4), id(30)];
        state.keys.as_mut().unwrap().retain(|key| gone.iter().all(|id| key.id() != Some(id)));
        on(genesis, AumKind::CHECKPOINT, by, |aum| aum.state = Some(state))
    };
    let (two, three) = (revoke(&group, &[1, 2]), revoke(&group, &[1, 2, 3]));
    let two = event(refused(&mut group, &two));
    assert_eq!(two, EventRefusal::Final { at: point, votes: 2, needed: 3 });
    let three = take(&mut group, &three);
    assert_eq!(is_final(&group), three, "most votes are final at once");
}

/// Most votes go back to before the final AUM: what was signed above there is on the line no more,
/// and does not count for what becomes final next.
#[test]
fn what_most_votes_undo_does_not_count_as_gone_on() {
    let mut group = locked(Group::new(), &[2, 3, 4]);
    let genesis = head(&group);
    for by in [1, 2, 3] {
        go_on(&mut group, by, FINAL_AFTER);
    }
    for by in [1, 2] {
        go_on(&mut group, by, FINAL_AFTER);
    }
    assert_ne!(is_final(&group), genesis);
    let undone = checkpoint(&group, genesis, genesis, &[4], &[1, 2, 3]);
    let undone = take(&mut group, &undone);
    go_on(&mut group, 1, FINAL_AFTER - 1);
    go_on(&mut group, 2, FINAL_AFTER);
    assert_eq!(is_final(&group), undone, "1 has signed one AUM too few");
    go_on(&mut group, 1, 1);
    assert_eq!(is_final(&group), undone, "1 has gone on from it, and no further");
    assert_eq!(group.fold.fold_hash(), refolded(&group));
}

/// Only a checkpoint says what is trusted: another AUM may have a state, and follows as it is.
#[test]
fn a_state_beside_a_checkpoint_says_nothing() {
    let mut group = locked(Group::new(), &[2]);
    let genesis = head(&group);
    let mut other = state(&group, genesis);
    other.last_aum = None;
    other.keys.as_mut().unwrap().pop();
    let with = |at, state| on(at, AumKind::NO_OP, &[1], |aum| aum.state = Some(state));
    let beside = with(genesis, other);
    take(&mut group, &beside);
    assert!(trusts(&group, 1) && trusts(&group, 2));
    let fork = with(genesis, state(&group, genesis));
    assert!(matches!(
        event(refused(&mut group, &fork)),
        EventRefusal::ForkWithoutRevocation { .. }
    ));
}

/// A minority can make nothing final, however much it signs and adds.
#[test]
fn a_minority_makes_nothing_final() {
    let mut group = locked(Group::new(), &[2, 3]);
    let genesis = head(&group);
    take(&mut group, &add(genesis, 30, 4096, 3));
    go_on(&mut group, 30, 4 * FINAL_AFTER);
    go_on(&mut group, 3, 4 * FINAL_AFTER);
    assert_eq!(is_final(&group), genesis);
    let undone = checkpoint(&group, genesis, genesis, &[3], &[1, 2]);
    take(&mut group, &undone);
}

#[test]
fn a_key_signs_only_so_much_until_others_go_on() {
    let mut group = locked(Group::new(), &[2]);
    go_on(&mut group, 1, KEY_AUMS as usize);
    let more = no_op(head(&group), 1 << 32, 1);
    let spent = event(refused(&mut group, &more));
    let first = key(1).public();
    assert!(matches!(spent, EventRefusal::KeyQuota { key, .. } if key == first), "{spent}");
    // Another one can, and removing always works.
    let other = no_op(head(&group), 1 << 32, 2);
    take(&mut group, &other);
    let removal = remove(head(&group), 2, 1);
    take(&mut group, &removal);
}

#[test]
fn what_goes_on_ends_the_count() {
    let mut group = locked(Group::new(), &[2]);
    go_on(&mut group, 1, KEY_AUMS as usize);
    go_on(&mut group, 2, FINAL_AFTER);
    go_on(&mut group, 1, 1);
    assert_ne!(is_final(&group), group.fold.authority().unwrap().oldest().hash);
}

#[test]
fn one_key_leaves_room_for_revocations_of_others() {
    let mut group = locked(Group::new(), &[2, 3, 4]);
    let open = |group: &mut Group, by: u8| {
        let at = head(group);
        let revocation = checkpoint(group, at, at, &[4], &[by]);
        let event = RevocationOpened { aum: revocation, keys: vec![], reason: None, note: None };
        let verdict = group.propose(Event::RevocationOpened(Box::new(event)));
        go_on(group, 1, 1);
        verdict
    };
    for _ in 0..REVOCATIONS_OF_KEY {
        assert!(matches!(open(&mut group, 3), Verdict::Sealed(_)));
    }
    let Verdict::Refused(refusal) = open(&mut group, 3) else { panic!("not refused") };
    assert_eq!(event(refusal), EventRefusal::RevocationsOfKey(key(3).public()));
    for _ in 0..REVOCATIONS_OF_KEY {
        assert!(matches!(open(&mut group, 2), Verdict::Sealed(_)));
    }
    let Verdict::Refused(refusal) = open(&mut group, 1) else { panic!("not refused") };
    assert!(matches!(event(refusal), EventRefusal::RevocationsOfActor(_)));
    assert_eq!(group.fold.fold_hash(), refolded(&group));
}

/// A ledger that began without the door gets it by a record, and judges what came before as before.
#[test]
fn the_door_opens_and_closes_with_a_record() {
    let mut group = locked(Group::under_rules_1(), &[2, 3]);
    let genesis = head(&group);
    take(&mut group, &add(genesis, 4, 1, 1));
    let removal = remove(genesis, 1, 3);
    take(&mut group, &removal);
    let details = MemberDetails { rules: KNOWN_RULES, ..group.details() };
    group.apply(Event::MemberChanged(details));
    group.apply(Event::RulesActivated(2));
    let again = remove(genesis, 2, 3);
    assert!(matches!(
        event(refused(&mut group, &again)),
        EventRefusal::ForkWithoutRevocation { .. }
    ));
    assert_eq!(group.fold.fold_hash(), refolded(&group));
}

/// The fold hash of the records, judged from nothing, by somebody who keeps all of them and by
/// somebody who keeps only those that are read again.
fn refolded(group: &Group) -> ledger::history::FoldHash {
    use ledger::history::Fold;
    use ledger::history::records::is_read_again;
    use ledger::lock::signatures::{Unverified, verify_one};
    use ledger::rows::{Draft, Memory, Table, tables};
    let judged = |left_out: &dyn Fn(&Record) -> &'static [Table]| {
        let mut rows = Memory::new();
        let mut fold = Fold::open(&rows).unwrap();
        for record in group.records() {
            let mut draft = Draft::leaving_out(&rows, left_out(&record));
            let record = verify_one(Unverified::new(record)).unwrap();
            let verdict = fold.replay(&mut draft, &record).unwrap();
            assert!(matches!(verdict, Verdict::Sealed(_)), "{verdict:?}");
            let changes = draft.finish();
            rows.apply(changes);
        }
        (rows, fold.fold_hash())
    };
    let (rows, hash) = judged(&|_| &[]);
    assert_eq!(rows, group.rows);
    let (_, same) = judged(&|record| match is_read_again(record) {
        true => &[],
        false => &[tables::RECORDS],
    });
    assert_eq!(same, hash);
    hash
}

#[test]
fn an_update_of_many_keys_passes() {
    let mut group = locked(Group::new(), &[2]);
    let keys: Vec<PrivateKey> = (10..200).map(key).collect();
    let adds = keys.iter().map(|key| Change::Add(Key::ed25519(key.public(), 1))).collect();
    let aums = group.build(&group.lock, adds);
    assert!(aums.iter().any(|aum| aum.kind == AumKind::CHECKPOINT));
    group.apply(Group::added(aums));
}
