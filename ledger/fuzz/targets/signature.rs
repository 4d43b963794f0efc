//! A node-key signature in CBOR: what decodes is its own encoding, is judged alike alone and among
//! others, and rotates only within the bounds.
#![no_main]

use ledger::ids::NodeKey;
use ledger::limits::CBOR_DEPTH;
use ledger::lock::State;
use ledger::lock::client::{Admission, Client, Peer, judge};
use ledger::lock::node_keys::{
    NodeKeySignature, authorize, authorize_all, obsolete_keys, reissue, resign,
};
use ledger::lock::signatures::{OneCore, Signed, Unverified, verify_one};
use ledger::rows::{Draft, Memory};
use ledger::testing::{genesis, genesis_state, key, node_key, secret_value};
use ledger_fuzz::{lock_key, public};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let rows = Memory::new();
    let mut client = Client::open(&rows).expect("no rows");
    client.bootstrap(&mut Draft::on(&rows), &genesis(1, &[(&key(1), 1)])).expect("a lock");
    client
});

fuzz_target!(init: { secret_value(); }, |bytes: &[u8]| {
    let signature = match NodeKeySignature::decode(bytes) {
        Ok(signature) => signature,
        Err(error) => {
            assert!(error.offset <= bytes.len());
            return;
        }
    };
    assert_eq!(signature.to_cbor(), bytes);
    assert!(signature.depth() <= CBOR_DEPTH as usize);
    let mut unsigned = signature.clone();
    unsigned.signature = Vec::new();
    assert_eq!(unsigned.sig_hash(), signature.sig_hash());
    // People see a bounded text of it.
    assert!(signature.to_string().len() < 4096 + 16 * bytes.len());

    let mut claims = Vec::new();
    let shape = signature.claims(&mut claims);
    assert!(claims.len() <= signature.depth());
    let node = signature.node_key().unwrap_or_else(|| node_key(4));
    let state = genesis_state(1, &[(lock_key(1), 1)]);
    let alone = match verify_one(Unverified::new(signature.clone())) {
        Ok(verified) => {
            assert!(shape.is_ok());
            let authorized = authorize(&verified, node, &state);
            if let Ok(authorization) = &authorized {
                assert_eq!(signature.authorizing_key(), Ok(authorization.key));
                assert!(state.key(&authorization.key.0).is_some());
                let rotation = authorization.rotation.as_ref();
                let obsolete = obsolete_keys(rotation.map(|rotation| (node, rotation)));
                assert!(obsolete.len() <= signature.depth());
            }
            assert!(authorize(&verified, node, &State::default()).is_err());
            authorized.map(drop)
        }
        Err(refusal) => Err(refusal),
    };
    let again = authorize_all(&[(node, bytes)], &state, &OneCore);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].as_ref().map(drop), alone.as_ref().map(drop));
    let peer = Peer { node_key: node, signature: Some(bytes.to_vec()) };
    let admission = judge(&CLIENT, &[peer], &OneCore);
    match alone {
        Ok(()) => assert!(matches!(admission[..], [Admission::Signed | Admission::Obsolete])),
        Err(refusal) => assert_eq!(admission, [Admission::Refused(refusal)]),
    }
    rotates(&signature, node);
});

fn rotates(signature: &NodeKeySignature, node: NodeKey) {
    for next in [node, node_key(0x77)] {
        if let Ok(rotated) = resign(lock_key(2), next, signature) {
            let bytes = rotated.to_cbor();
            assert_eq!(NodeKeySignature::decode(&bytes), Ok(rotated));
        }
    }
    for rotation in [None, Some(public(3))] {
        let Ok(reissued) = reissue(lock_key(1), signature, rotation) else { continue };
        let bytes = reissued.to_cbor();
        assert_eq!(NodeKeySignature::decode(&bytes), Ok(reissued));
    }
}
