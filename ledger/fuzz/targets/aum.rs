//! An AUM in CBOR: what decodes is its own encoding, and all ways to look at it agree.
#![no_main]

use ledger::formats::log_json;
use ledger::ids::AumHash;
use ledger::lock::signatures::{Signed, Unverified, verify_one};
use ledger::lock::{AumKind, Sealed, State};
use ledger::testing::{genesis_state, secret_value};
use ledger_fuzz::lock_key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { secret_value(); }, |bytes: &[u8]| {
    let first = Sealed::decode_first(bytes);
    match Sealed::decode(bytes) {
        Ok(aum) => {
            holds(&aum, bytes);
            assert_eq!(first.as_ref(), Ok(&(aum, bytes.len())));
        }
        Err(error) => assert!(error.offset <= bytes.len()),
    }
    match first {
        Ok((aum, length)) => assert_eq!(Sealed::decode(&bytes[..length]), Ok(aum)),
        Err(error) => assert!(error.offset <= bytes.len()),
    }
});

fn holds(aum: &Sealed, bytes: &[u8]) {
    assert_eq!(aum.bytes(), bytes);
    assert_eq!(aum.to_cbor(), bytes);
    assert_eq!(aum.hash(), AumHash::of(bytes));
    assert_eq!(&Sealed::new(aum.clone().into_aum()), aum);
    // The sealed one takes it from its bytes, the other encodes anew.
    assert_eq!(aum.sig_hash(), aum.clone().into_aum().sig_hash());
    assert_eq!(aum.parent_hash().is_some(), aum.parent.as_ref().is_some_and(|p| !p.is_empty()));

    // An export of it says nothing else.
    let text = log_json::write([aum]);
    let export = log_json::read(text.as_bytes()).expect("our own export is read");
    assert_eq!(export.respelled, None, "{text}");
    assert_eq!(export.messages.len(), 1);
    assert_eq!(export.messages[0].aum.as_ref(), Ok(aum));
    assert!(export.messages[0].oddities.is_empty(), "{text}");

    // Whoever verifies has seen every claim.
    let mut claims = Vec::new();
    let shape = aum.claims(&mut claims);
    let verified = verify_one(Unverified::new(aum.clone()));
    assert!(shape.is_ok() || verified.is_err());
    assert!(aum.signatures.len() <= claims.len() || shape.is_err());
    applies(aum);
}

/// Applying it changes a state as a whole or not at all.
fn applies(aum: &Sealed) {
    let began = State::at_checkpoint(aum);
    assert_eq!(began.is_some(), aum.kind == AumKind::CHECKPOINT && aum.state.is_some());
    let mut states: Vec<State> = began.into_iter().collect();
    states.push(State::default());
    states.push(genesis_state(7, &[(lock_key(1), 1)]));
    for mut state in states {
        for last in [aum.parent_hash(), None] {
            state.last_aum = last;
            let before = state.clone();
            match state.apply(aum) {
                Ok(()) => assert_eq!(state.last_aum, Some(aum.hash()), "{before:?}"),
                Err(_) => assert_eq!(state, before),
            }
            state = before;
        }
    }
}
