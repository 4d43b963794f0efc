//! Stores of AUMs that nobody has verified: the active chain is found, or it is said why there is
//! none, and what is found is a chain by the rules.
//!
//! Input: AUMs by choices: kind, parent, votes, signers; then the hint.
#![no_main]

use std::collections::BTreeMap;

use ledger::ids::AumHash;
use ledger::lock::forks::{NotOpened, open};
use ledger::lock::{Aum, AumKind, AumSignature, Key, Sealed, State};
use ledger::testing::{genesis_state, secret_value};
use ledger_fuzz::{Choices, lock_key, public};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { secret_value(); }, |input: &[u8]| {
    let mut choices = Choices::new(input);
    let hint = choices.byte();
    let mut made: Vec<Sealed> = Vec::new();
    while !choices.is_over() && made.len() < 40 {
        let aum = aum(&made, &mut choices);
        made.push(aum);
    }
    let mut store: BTreeMap<AumHash, Sealed> =
        made.iter().map(|aum| (aum.hash(), aum.clone())).collect();
    // Some of them were deleted.
    if hint & 1 == 1 && made.len() > 2 {
        store.remove(&made[usize::from(hint) % made.len()].hash());
    }
    let hint = made.get(usize::from(hint >> 1)).map(Sealed::hash);
    for hint in [hint, None] {
        opened(&store, hint);
    }
});

fn opened(store: &BTreeMap<AumHash, Sealed>, hint: Option<AumHash>) {
    let found = open(store, hint);
    assert_eq!(found, open(store, hint));
    let opened = match found {
        Ok(opened) => opened,
        Err(NotOpened::Empty) => return assert!(store.is_empty()),
        Err(NotOpened::SeveralChains) => return assert!(store.len() > 1),
        Err(NotOpened::MissingParent(parent)) => return assert!(!store.contains_key(&parent)),
        Err(NotOpened::NotApplicable { at, .. }) => return assert!(store.contains_key(&at)),
        Err(NotOpened::Genesis(kind)) => return assert_ne!(kind, AumKind::CHECKPOINT),
    };
    assert_eq!(opened.active.first(), Some(&opened.oldest));
    assert_eq!(opened.head(), *opened.active.last().expect("the oldest is in it"));
    let aums: Vec<&Sealed> =
        opened.active.iter().map(|hash| store.get(hash).expect("of the store")).collect();
    // From the oldest to an AUM on which nothing was built, each on the one before.
    assert!(aums[0].parent_hash().is_none_or(|parent| !store.contains_key(&parent)));
    for pair in aums.windows(2) {
        assert_eq!(pair[1].parent_hash(), Some(pair[0].hash()));
    }
    assert!(store.values().all(|aum| aum.parent_hash() != Some(opened.head())));
    // The state is what applying them one after the other gives.
    let mut state = State::at_checkpoint(aums[0]).unwrap_or_else(|| {
        let mut state = State::default();
        state.apply(aums[0]).expect("it has begun with it");
        state
    });
    for (aum, parent) in aums[1..].iter().zip(&aums) {
        // And no sibling is to be preferred.
        let siblings = store.values().filter(|a| a.parent_hash() == Some(parent.hash()));
        for sibling in siblings {
            assert!(state.weight(sibling) <= state.weight(aum));
        }
        state.apply(aum).expect("it was applied");
    }
    assert_eq!(state, opened.state);
}

fn aum(made: &[Sealed], choices: &mut Choices<'_>) -> Sealed {
    let kind = match choices.byte() {
        kind @ 0..=7 => kind,
        kind => 1 + kind % 5,
    };
    let mut aum = Aum::new(AumKind(kind), None);
    let parent = usize::from(choices.byte());
    aum.parent = match made.get(parent) {
        Some(parent) => Some(parent.hash().0.to_vec()),
        None if parent >= 0xf0 => Some(vec![parent as u8; choices.below(40)]),
        None if parent >= 0xe0 => None,
        None => made.last().map(|last| last.hash().0.to_vec()),
    };
    let subject = public(1 + choices.byte() % 6);
    let votes = u64::from(choices.byte());
    match kind {
        1 => aum.key = Some(Key::ed25519(subject, votes)),
        2 => aum.key_id = Some(subject.0.to_vec()),
        4 => {
            aum.key_id = Some(subject.0.to_vec());
            aum.votes = Some(if votes == 255 { u64::MAX } else { votes });
        }
        5 => {
            let signers = [1, 2, 3].map(lock_key);
            let keys = signers.into_iter().zip([votes, 2, u64::MAX]).take(1 + choices.below(3));
            let keys: Vec<_> = keys.collect();
            aum.state = (votes > 0).then(|| genesis_state(u64::from(votes < 200), &keys));
        }
        _ => aum.key_id = Some(vec![votes as u8; 3]),
    }
    for _ in 0..choices.below(4) {
        let signer = choices.byte();
        let id = match signer {
            0xf0.. => vec![signer; choices.below(40)],
            signer => public(1 + signer % 6).0.to_vec(),
        };
        aum.signatures.push(AumSignature { key_id: Some(id), signature: Some(vec![7; 64]) });
    }
    Sealed::new(aum)
}
