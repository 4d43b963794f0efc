//! Spec 14.1, items 15, 16 and 18: node-key signatures, obsolete keys, disablement.

use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::{
    NodeKeySignature, Rotation, SigKind, authorize, obsolete_keys, reissue, resign,
    sign_credential, sign_direct,
};
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, Verified, verify_one};
use ledger::lock::{Key, State, disablement};
use proptest::collection::vec;
use proptest::prelude::*;

fn private(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

fn trusting(keys: &[LockKey]) -> State {
    let keys = keys.iter().map(|key| Key::ed25519(*key, 1)).collect();
    State { keys: Some(keys), ..State::default() }
}

fn verified(signature: &NodeKeySignature) -> Verified<NodeKeySignature> {
    verify_one(Unverified::new(signature.clone())).unwrap()
}

/// A direct signature or credential by key 1, rotated by key 2 to each of the node keys.
fn chain(on_credential: bool, node_keys: &[[u8; 32]]) -> NodeKeySignature {
    let (first, rest) = node_keys.split_first().unwrap();
    let start = if on_credential {
        let credential = sign_credential(&private(1), private(2).public()).unwrap();
        resign(&private(2), NodeKey(*first), &credential).unwrap()
    } else {
        sign_direct(&private(1), NodeKey(*first), Some(private(2).public())).unwrap()
    };
    rest.iter().fold(start, |old, key| resign(&private(2), NodeKey(*key), &old).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_the_named_node_key_gets_in_and_only_while_the_signer_is_trusted(
        on_credential: bool,
        node_keys in vec(any::<[u8; 32]>(), 1..40),
        other: [u8; 32],
    ) {
        let signature = chain(on_credential, &node_keys);
        prop_assert!(signature.depth() <= 16);
        prop_assert_eq!(NodeKeySignature::decode(&signature.to_cbor()), Ok(signature.clone()));

        let node_key = NodeKey(node_keys[node_keys.len() - 1]);
        let signature = verified(&signature);
        let state = trusting(&[private(1).public(), private(3).public()]);
        let authorization = authorize(&signature, node_key, &state).unwrap();
        prop_assert_eq!(authorization.key, private(1).public());
        if NodeKey(other) != node_key {
            prop_assert!(authorize(&signature, NodeKey(other), &state).is_err());
        }
        // Neither the rotation key nor anybody else is a replacement for the signer.
        let without = trusting(&[private(2).public(), private(3).public()]);
        prop_assert!(authorize(&signature, node_key, &without).is_err());

        let again = reissue(&private(3), signature.get(), Some(private(4).public())).unwrap();
        let kept = if on_credential { private(4) } else { private(2) }.public();
        prop_assert_eq!(again.wrapping_key(), Some(&kept.0[..]));
        prop_assert!(authorize(&verified(&again), node_key, &without).is_ok());
    }

    #[test]
    fn a_changed_signature_lets_nobody_in(
        on_credential: bool,
        node_keys in vec(any::<[u8; 32]>(), 1..5),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let mut bytes = chain(on_credential, &node_keys).to_cbor();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(signature) = NodeKeySignature::decode(&bytes)
            && let Ok(signature) = verify_one(Unverified::new(signature))
        {
            let state = trusting(&[private(1).public()]);
            for node_key in node_keys {
                prop_assert!(authorize(&signature, NodeKey(node_key), &state).is_err());
            }
        }
    }

    #[test]
    fn obsolete_keys_do_not_depend_on_the_order(
        rotations in vec((0u8..12, vec(0u8..12, 0..4), 0u8..3, any::<bool>()), 0..10)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let (given, shuffled) = rotations;
        let obsolete = |rotations: &[(u8, Vec<u8>, u8, bool)]| {
            let rotations: Vec<(NodeKey, Rotation)> = rotations
                .iter()
                .map(|(node_key, previous, wrapping, direct)| {
                    let initial = NodeKeySignature {
                        kind: if *direct { SigKind::DIRECT } else { SigKind::CREDENTIAL },
                        pubkey: Vec::new(),
                        key_id: vec![1; 32],
                        signature: vec![0; 64],
                        nested: None,
                        wrapping: vec![*wrapping; 32],
                    };
                    let previous = previous.iter().map(|n| NodeKey([*n; 32])).collect();
                    (NodeKey([*node_key; 32]), Rotation { previous, initial })
                })
                .collect();
            obsolete_keys(rotations.iter().map(|(node_key, rotation)| (*node_key, rotation)))
        };
        prop_assert_eq!(obsolete(&given), obsolete(&shuffled));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn only_listed_secrets_turn_the_lock_off(listed: [u8; 32], other in vec(any::<u8>(), 0..40)) {
        let value = disablement::image(&listed);
        let state =
            State { disablement_values: Some(vec![Some(value.to_vec())]), ..State::default() };
        prop_assert_eq!(state.disablement_value_of(&listed), Some(value));
        if other != listed {
            prop_assert_eq!(state.disablement_value_of(&other), None);
        }
    }
}
