//! Everything that people and programs write as text: hashes, keys, IDs, secrets, auth keys,
//! deeplinks, signed notes and proofs. What parses has one canonical text, and that parses to the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ledger::formats::deeplink::Deeplink;
use ledger::formats::tlog::{
    Checkpoint, KeyType, Note, Proof, Standing, Tile, VerifierKey, begins_with, root_of_inclusion,
};
use ledger::history::{
    AuthKeyHash, AuthKeyId, ClusterId, InvitationKey, LogKey, MemberFingerprint, MemberKey,
    RecordHash, RequestId,
};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::limits::{AUTH_KEY_ID_BYTES, REQUEST_ID_BYTES};
use ledger::lock::disablement::{DisablementText, secret_to_text, value_to_text};
use ledger::lock::node_keys::{AuthKey, auth_key_meta, is_wrapped, pre_auth_id};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::testing::{key, node_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    binary(bytes);
    transparency(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // One text per value.
    exact::<AumHash>(text);
    exact::<RecordHash>(text);
    exact::<ClusterId>(text);
    exact::<MemberFingerprint>(text);
    exact::<RequestId>(text);
    exact::<AuthKeyId>(text);
    exact::<VerifierKey>(text);
    exact::<Tile>(text);
    // Hex digits in either case.
    canonical::<NodeKey>(text);
    canonical::<MemberKey>(text);
    canonical::<LogKey>(text);
    canonical::<InvitationKey>(text);
    canonical::<AuthKeyHash>(text);
    // And with either prefix.
    if let Ok(key) = text.parse::<LockKey>() {
        for text in [key.to_tlpub(), key.to_nlpub(), key.to_string()] {
            assert_eq!(text.parse(), Ok(key));
        }
    }
    hashes(text);
    if let Ok(id) = text.parse::<RequestId>() {
        assert!(!id.as_str().is_empty() && id.as_str().len() <= REQUEST_ID_BYTES);
    }
    secrets(text);
    auth_key(text);
    for state_id in [0, 7, u64::MAX] {
        deeplink(text, state_id);
    }
});

/// Notes, checkpoints and proofs have one spelling, and none holds that nobody has signed.
fn transparency(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        let key = VerifierKey::new("log", KeyType::Ed25519, key(1).public().0).expect("a name");
        assert!(!matches!(note.by(&key), Standing::Signed(_)));
    }
    if let Ok((checkpoint, note)) = Checkpoint::of_note(bytes) {
        assert_eq!(checkpoint.to_string(), note.text());
    }
    match Proof::parse(bytes) {
        Ok(Proof::Inclusion(proof)) => {
            assert_eq!(proof.to_string().as_bytes(), bytes);
            let _ = root_of_inclusion([7; 32], proof.index, proof.index | 1, &proof.hashes);
        }
        Ok(Proof::Consistency(proof)) => {
            assert_eq!(proof.to_string().as_bytes(), bytes);
            let new = (proof.old.saturating_mul(3), &[7; 32]);
            let _ = begins_with(new, (proof.old, &[9; 32]), &proof.hashes);
        }
        Err(_) => {}
    }
}

fn exact<T>(text: &str)
where
    T: FromStr<Err: Debug> + Display,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fn canonical<T>(text: &str)
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        assert_eq!(written, text.to_ascii_lowercase());
        assert_eq!(written.parse::<T>().expect("its own text"), value);
    }
}

/// A hash in any of the ways in which people write it.
fn hashes(text: &str) {
    if let Ok(hash) = AumHash::from_any(text) {
        assert!(text.len() == 52 || text.len() == 64);
        assert_eq!(AumHash::from_any(&hash.to_hex()), Ok(hash));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        // The two kinds are written alike.
        assert_eq!(RecordHash::from_any(text), Ok(RecordHash(hash.0)));
    } else {
        assert!(text.parse::<AumHash>().is_err());
        assert!(RecordHash::from_any(text).is_err());
    }
}

fn secrets(text: &str) {
    match DisablementText::parse(text) {
        Ok(DisablementText::Secret(secret)) => {
            let written = secret_to_text(&secret);
            assert!(written.eq_ignore_ascii_case(text));
            assert!(secret.len() <= text.len() / 2);
        }
        Ok(DisablementText::Value(value)) => {
            assert!(value_to_text(&value).eq_ignore_ascii_case(text));
        }
        Err(error) => assert!(!error.to_string().contains("secret:0")),
    }
    if let Ok(key) = PrivateKey::from_nlpriv(text) {
        assert!(key.to_nlpriv().eq_ignore_ascii_case(text));
        let again = PrivateKey::from_pair(&key.to_pair()).expect("both halves");
        assert_eq!(*again.to_nlpriv(), *key.to_nlpriv());
    }
}

fn auth_key(text: &str) {
    match AuthKey::parse(text) {
        AuthKey::Plain(plain) => assert_eq!(*plain, text),
        AuthKey::Wrapped(wrapped) => {
            assert!(is_wrapped(text));
            assert!(text.starts_with(&*wrapped.auth_key));
            assert!(!is_wrapped(&wrapped.auth_key));
            if let Ok(signature) = wrapped.join(node_key(4)) {
                assert_eq!(signature.node_key(), Some(node_key(4)));
                assert_eq!(signature.nested.as_deref(), Some(&wrapped.signature));
            }
        }
    }
    let id = AuthKeyId::of(text);
    if let Some(id) = &id {
        assert!(id.as_str().len() <= AUTH_KEY_ID_BYTES);
        assert!(text.starts_with(&format!("tskey-auth-{id}-")));
        assert_eq!(pre_auth_id(&auth_key_meta(text, "n1CNTRL", 7).0), Some(id.as_str()));
    }
}

fn deeplink(text: &str, state_id: u64) {
    let Ok(link) = Deeplink::validate(text, state_id) else { return };
    // A link that we would make ourselves is made the same.
    if let Ok(url) = link.to_url(state_id) {
        assert_eq!(Deeplink::validate(&url, state_id), Ok(link));
        assert!(Deeplink::validate(&url, state_id ^ 1).is_err());
    }
}

/// What is binary.
fn binary(bytes: &[u8]) {
    if let Ok(key) = NodeKey::from_binary(bytes) {
        assert_eq!(key.to_binary(), bytes);
        assert!(key.to_short().len() < 10);
    }
    if let Ok(pair) = <&[u8; 64]>::try_from(bytes)
        && let Ok(key) = PrivateKey::from_pair(pair)
    {
        assert_eq!(*key.to_pair(), *pair);
    }
}
