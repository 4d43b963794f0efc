//! Revocations: what wins by the ledger's count wins by fork resolution, and the other way round.

use ledger::Refusal;
use ledger::history::{AumsAdded, Event, RevocationOpened, RevocationWithdrawn, Verdict};
use ledger::lock::builder::Change;
use ledger::lock::revocation::{cosign, examine, generate, votes};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Key, Sealed};
use ledger::testing::{Group, key as seeded};
use proptest::prelude::*;

use crate::model::Model;
use crate::trees::{KEYS, Node, id, key, steps, tree};

/// A revocation to try: of which keys, by which, from the fork point or this far back.
#[derive(Debug, Clone)]
struct Attempt {
    of: u8,
    by: u8,
    from: Option<prop::sample::Index>,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (1..32u8, 1..32u8, prop::option::of(any::<prop::sample::Index>()))
        .prop_map(|(of, by, from)| Attempt { of, by, from })
}

fn chosen(bits: u8) -> impl Iterator<Item = u8> {
    (0..KEYS).filter(move |n| bits & 1 << n != 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// On any chain with any forks.
    #[test]
    fn a_revocation_wins_when_fork_resolution_says_so(
        steps in steps(40), attempts in prop::collection::vec(attempt(), 1..6),
    ) {
        let aums = tree(&steps);
        let mut node = Node::new(&aums[0]);
        node.inform(&aums).unwrap();
        let mut all = aums;
        for Attempt { of, by, from } in attempts {
            let model = Model::new(&all);
            let line = model.line(&model.head());
            let from = from.map(|index| line[index.index(line.len())]);
            let ids: Vec<Vec<u8>> = chosen(of).map(id).collect();
            let own = key(chosen(by).next().unwrap()).public();
            let made = generate(&node.rows, &node.authority, &ids, &own, from);
            let Ok(made) = made else { continue };
            let fork_point = made.parent_hash().unwrap();
            let state = model.state_at(&fork_point);
            let signed = chosen(by)
                .filter(|n| state.key(&id(*n)).is_some())
                .fold(Sealed::new(made), |aum, n| cosign(aum, &key(n)).unwrap());
            if signed.signatures.is_empty() || model.aums.contains_key(&signed.hash()) {
                continue;
            }
            let examined = examine(&node.rows, &node.authority, &signed);
            // The same keys were taken away here before, by a revocation with other signatures.
            let Ok(examined) = examined else { continue };
            let undone: Vec<_> = line.iter().take_while(|hash| **hash != fork_point).collect();
            prop_assert_eq!(examined.undone.iter().collect::<Vec<_>>(), undone);
            let votes = votes(&node.rows, &node.authority, &signed).unwrap();
            prop_assert_eq!(votes.present, model.weight(&signed));
            all.push(signed.clone());
            let wins = Model::new(&all).head() == signed.hash();
            prop_assert_eq!(votes.wins, wins);
            prop_assert_eq!(votes.missing() == 0, wins);
            node.inform(std::slice::from_ref(&signed)).unwrap();
            prop_assert_eq!(node.authority.head() == signed.hash(), wins);
        }
    }

    /// In a ledger without a door: it is recorded if and only if it wins.
    #[test]
    fn a_finish_is_recorded_when_fork_resolution_says_so(
        moves in prop::collection::vec((0..6u8, 2..8u8, 1..4u64, attempt()), 1..16),
    ) {
        let mut group = Group::under_rules_1();
        group.apply(group.initialization(1, &[2, 3]));
        let keys: Vec<PrivateKey> = (1..=KEYS).map(seeded).collect();
        let chosen = |bits: u8| (0..KEYS).filter(move |n| bits & 1 << n != 0).map(usize::from);
        let mut all = genesis_of(&group);
        for (what, seed, votes, Attempt { of, by, from }) in moves {
            let authority = group.fold.authority().unwrap().clone();
            let about = seeded(seed).public().0.to_vec();
            let known = authority.state().key(&about).is_some();
            let change = match what {
                0 | 1 if !known => Change::Add(Key::ed25519(seeded(seed).public(), votes)),
                0 | 1 => Change::Votes(about, votes),
                2 if known => Change::Remove(about),
                _ => {
                    let model = Model::new(&all);
                    let line = model.line(&model.head());
                    let from = from.map(|index| line[index.index(line.len())]);
                    let ids: Vec<Vec<u8>> =
                        chosen(of).map(|n| keys[n].public().0.to_vec()).collect();
                    let own = keys[chosen(by).next().unwrap()].public();
                    let Ok(made) = generate(&group.rows, &authority, &ids, &own, from) else {
                        continue;
                    };
                    let state = model.state_at(&made.parent_hash().unwrap());
                    let trusted = |n: &usize| state.key(&keys[*n].public().0).is_some();
                    let aum = chosen(by)
                        .filter(trusted)
                        .fold(Sealed::new(made), |aum, n| cosign(aum, &keys[n]).unwrap());
                    if aum.signatures.is_empty() || model.aums.contains_key(&aum.hash()) {
                        continue;
                    }
                    let with: Vec<Sealed> = all.iter().chain([&aum]).cloned().collect();
                    let wins = Model::new(&with).head() == aum.hash();
                    let opened = RevocationOpened {
                        aum: aum.clone(),
                        keys: Vec::new(),
                        reason: None,
                        note: None,
                    };
                    let revocation = aum.sig_hash();
                    match group.propose(Event::RevocationOpened(Box::new(opened))) {
                        Verdict::Sealed(_) => {}
                        // Finished before with other signatures, or from another fork's time.
                        Verdict::Refused(Refusal::NotRevoked(_)) => continue,
                        other => panic!("{other:?}"),
                    }
                    let verdict = group.propose(Event::AumsAdded(AumsAdded {
                        aums: vec![aum],
                        fork: true,
                        signatures: Vec::new(),
                        reason: None,
                        note: None,
                    }));
                    prop_assert_eq!(matches!(verdict, Verdict::Sealed(_)), wins, "{:?}", verdict);
                    if wins {
                        all = with;
                    } else {
                        let note = None;
                        let withdrawn = RevocationWithdrawn { revocation, note };
                        group.apply(Event::RevocationWithdrawn(withdrawn));
                    }
                    // Whoever signs next must be trusted still.
                    if group.fold.authority().unwrap().state().key(&group.lock.public().0).is_none() {
                        return Ok(());
                    }
                    continue;
                }
            };
            let aums = group.build(&group.lock, vec![change]);
            group.apply(Group::added(aums.clone()));
            all.extend(aums);
        }
        prop_assert_eq!(group.fold.authority().unwrap().head(), Model::new(&all).head());
    }
}

fn genesis_of(group: &Group) -> Vec<Sealed> {
    let authority = group.fold.authority().unwrap();
    vec![authority.chain(&group.rows).aum(&authority.head()).unwrap().unwrap()]
}
