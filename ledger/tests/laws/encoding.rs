//! Spec 14.1, items 1, 2 and 17: encoding, hashes, the decoders on arbitrary bytes.

use std::collections::BTreeMap;

use ledger::ids::AumHash;
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use ledger::lock::{Aum, AumKind, AumSignature, Key, KeyKind, Meta, Sealed, State};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..4), vec(any::<u8>(), 32), vec(any::<u8>(), 64)]
}

fn meta() -> impl Strategy<Value = Option<Meta>> {
    let pairs: BoxedStrategy<BTreeMap<String, String>> =
        btree_map(".{0,4}", ".{0,30}", 0..4).boxed();
    option::of(pairs.prop_map(Meta))
}

fn key() -> impl Strategy<Value = Key> {
    (any::<u8>(), any::<u64>(), option::of(bytes()), meta())
        .prop_map(|(kind, votes, public, meta)| Key { kind: KeyKind(kind), votes, public, meta })
}

fn state() -> impl Strategy<Value = State> {
    (
        option::of(any::<[u8; 32]>().prop_map(AumHash)),
        option::of(vec(option::of(bytes()), 0..3)),
        option::of(vec(key(), 0..4)),
        prop_oneof![Just(0), any::<u64>()],
        prop_oneof![Just(0), any::<u64>()],
    )
        .prop_map(|(last_aum, disablement_values, keys, state_id1, state_id2)| State {
            last_aum,
            disablement_values,
            keys,
            state_id1,
            state_id2,
        })
}

fn aum() -> impl Strategy<Value = Aum> {
    let signature = (option::of(bytes()), option::of(bytes()))
        .prop_map(|(key_id, signature)| AumSignature { key_id, signature });
    (
        any::<u8>(),
        option::of(bytes()),
        option::of(key()),
        option::of(bytes()),
        option::of(state()),
        option::of(any::<u64>()),
        meta(),
        vec(signature, 0..4),
    )
        .prop_map(|(kind, parent, key, key_id, state, votes, meta, signatures)| Aum {
            kind: AumKind(kind),
            parent,
            key,
            key_id,
            state,
            votes,
            meta,
            signatures,
        })
}

fn signature() -> impl Strategy<Value = NodeKeySignature> {
    let level = (any::<u8>(), bytes(), bytes(), bytes(), bytes()).prop_map(
        |(kind, pubkey, key_id, signature, wrapping)| NodeKeySignature {
            kind: SigKind(kind),
            pubkey,
            key_id,
            signature,
            nested: None,
            wrapping,
        },
    );
    vec(level, 1..=16).prop_map(|levels| {
        let nest = |nested: Option<NodeKeySignature>, mut level: NodeKeySignature| {
            level.nested = nested.map(Box::new);
            Some(level)
        };
        levels.into_iter().fold(None, nest).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(aum in aum()) {
        let sealed = Sealed::new(aum);
        let decoded = Sealed::decode(sealed.bytes()).unwrap();
        prop_assert_eq!(&decoded, &sealed);
        prop_assert_eq!(decoded.to_cbor(), sealed.bytes());
        prop_assert_eq!(sealed.hash(), AumHash::of(sealed.bytes()));
    }

    #[test]
    fn many_decode_as_each_does(aums in vec((aum(), option::of(any::<prop::sample::Index>())), 0..80)) {
        // Some are cut off somewhere.
        let inputs: Vec<Vec<u8>> = aums
            .into_iter()
            .map(|(aum, cut)| {
                let mut bytes = aum.to_cbor();
                bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
                bytes
            })
            .collect();
        let many = Sealed::decode_many(&inputs);
        prop_assert_eq!(many.len(), inputs.len());
        for (decoded, bytes) in many.into_iter().zip(&inputs) {
            prop_assert_eq!(&decoded, &Sealed::decode(bytes));
            if let Ok(decoded) = decoded {
                prop_assert_eq!(decoded.hash(), AumHash::of(bytes));
                prop_assert_eq!(decoded.bytes(), &bytes[..]);
                prop_assert_eq!(decoded.sig_hash(), Sealed::decode(bytes).unwrap().sig_hash());
                prop_assert_eq!(decoded.sig_hash(), decoded.into_aum().sig_hash());
            }
        }
    }

    #[test]
    fn the_signature_hash_ignores_signatures_and_the_hash_does_not(aum in aum()) {
        let signed = Sealed::new(aum);
        let mut other = signed.clone().into_aum();
        other.signatures.push(AumSignature { key_id: Some(vec![1]), signature: None });
        let other = Sealed::new(other);
        prop_assert_eq!(signed.sig_hash(), other.sig_hash());
        prop_assert_ne!(signed.hash(), other.hash());
    }

    #[test]
    fn signatures_decode_to_themselves(signature in signature()) {
        let bytes = signature.to_cbor();
        let decoded = NodeKeySignature::decode(&bytes).unwrap();
        prop_assert_eq!(decoded.to_cbor(), bytes);
        // The outermost signature is not part of what is signed; everything nested is.
        let mut other = signature.clone();
        other.signature.push(0);
        prop_assert_eq!(other.sig_hash(), signature.sig_hash());
        if let Some(nested) = &mut other.nested {
            nested.signature.push(0);
            prop_assert_ne!(other.sig_hash(), signature.sig_hash());
        }
        prop_assert_eq!(decoded, signature);
    }

    #[test]
    fn what_decodes_is_its_own_encoding(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(sealed) = Sealed::decode(&bytes) {
            prop_assert_eq!(sealed.to_cbor(), &bytes[..]);
        }
        if let Ok(signature) = NodeKeySignature::decode(&bytes) {
            prop_assert_eq!(signature.to_cbor(), bytes);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_something_else(
        aum in aum(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let sealed = Sealed::new(aum);
        let mut bytes = sealed.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(other) = Sealed::decode(&bytes) {
            prop_assert_eq!(other.to_cbor(), &bytes[..]);
            prop_assert_ne!(other.hash(), sealed.hash());
        }
        prop_assert!(Sealed::decode(&sealed.bytes()[..at]).is_err());
    }

    #[test]
    fn a_refused_transition_changes_nothing(before in state(), aum in aum()) {
        let aum = Sealed::new(aum);
        let mut after = before.clone();
        match after.apply(&aum) {
            Ok(()) => prop_assert_eq!(after.last_aum, Some(aum.hash())),
            Err(_) => prop_assert_eq!(after, before),
        }
    }
}
