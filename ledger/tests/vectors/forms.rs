//! The logical forms of FORMAT: AUMs, keys, states and node-key signatures as JSON, both ways.

use std::collections::BTreeMap;

use ledger::ids::AumHash;
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::{Aum, AumKind, AumSignature, Key, KeyKind, Meta, State};
use serde_json::{Map, Value, json};

use crate::case::{hex, list, member, nullable_bytes, number, text};

/// `f` of a value that may be null.
fn nullable<T>(value: &Value, f: impl FnOnce(&Value) -> T) -> Option<T> {
    if value.is_null() { None } else { Some(f(value)) }
}

fn byte(value: &Value) -> u8 {
    u8::try_from(number(value)).unwrap()
}

fn hex_or_null(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| json!(hex(bytes)))
}

fn hex_unless_empty(bytes: &[u8]) -> Value {
    hex_or_null(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

fn meta(value: &Value) -> Meta {
    let pairs: BTreeMap<String, String> = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), text(value).to_owned()))
        .collect();
    Meta(pairs)
}

fn meta_json(meta: Option<&Meta>) -> Value {
    meta.map_or(Value::Null, |meta| json!(meta.0))
}

/// A key from its logical form.
pub fn key(value: &Value) -> Key {
    Key {
        kind: KeyKind(byte(member(value, "kind"))),
        votes: number(member(value, "votes")),
        public: nullable_bytes(member(value, "public_hex")),
        meta: nullable(member(value, "meta"), meta),
    }
}

fn key_json(key: &Key) -> Value {
    json!({
        "kind": key.kind.0,
        "votes": key.votes,
        "public_hex": hex_or_null(key.public.as_deref()),
        "meta": meta_json(key.meta.as_ref()),
    })
}

/// A state from its logical form.
pub fn state(value: &Value) -> State {
    State {
        last_aum: nullable_bytes(member(value, "last_aum_hash_hex"))
            .map(|hash| AumHash(hash.try_into().unwrap())),
        disablement_values: nullable(member(value, "disablement_values_hex"), |values| {
            list(values).iter().map(nullable_bytes).collect()
        }),
        keys: nullable(member(value, "keys"), |keys| list(keys).iter().map(key).collect()),
        state_id1: number(member(value, "state_id1")),
        state_id2: number(member(value, "state_id2")),
    }
}

/// The logical form of a state.
pub fn state_json(state: &State) -> Value {
    let values = state
        .disablement_values
        .as_ref()
        .map(|values| values.iter().map(|value| hex_or_null(value.as_deref())).collect::<Vec<_>>());
    json!({
        "last_aum_hash_hex": hex_or_null(state.last_aum.as_ref().map(|hash| &hash.0[..])),
        "disablement_values_hex": values,
        "keys": state.keys.as_ref().map(|keys| keys.iter().map(key_json).collect::<Vec<_>>()),
        "state_id1": state.state_id1,
        "state_id2": state.state_id2,
    })
}

/// An AUM from its logical form.
pub fn aum(value: &Value) -> Aum {
    let signatures = nullable(member(value, "signatures"), |signatures| {
        list(signatures)
            .iter()
            .map(|signature| AumSignature {
                key_id: nullable_bytes(member(signature, "key_id_hex")),
                signature: nullable_bytes(member(signature, "signature_hex")),
            })
            .collect()
    });
    Aum {
        kind: AumKind(byte(member(value, "message_kind"))),
        parent: nullable_bytes(member(value, "prev_aum_hash_hex")),
        key: nullable(member(value, "key"), key),
        key_id: nullable_bytes(member(value, "key_id_hex")),
        state: nullable(member(value, "state"), state),
        votes: nullable(member(value, "votes"), number),
        meta: nullable(member(value, "meta"), meta),
        signatures: signatures.unwrap_or_default(),
    }
}

/// The logical form of an AUM that was decoded from canonical bytes.
pub fn aum_json(aum: &Aum) -> Value {
    let signatures: Vec<Value> = aum
        .signatures
        .iter()
        .map(|signature| {
            json!({
                "key_id_hex": hex_or_null(signature.key_id.as_deref()),
                "signature_hex": hex_or_null(signature.signature.as_deref()),
            })
        })
        .collect();
    json!({
        "message_kind": aum.kind.0,
        "prev_aum_hash_hex": hex_or_null(aum.parent.as_deref()),
        "key": aum.key.as_ref().map(key_json),
        "key_id_hex": hex_or_null(aum.key_id.as_deref()),
        "state": aum.state.as_ref().map(state_json),
        "votes": aum.votes,
        "meta": meta_json(aum.meta.as_ref()),
        "signatures": if signatures.is_empty() { Value::Null } else { signatures.into() },
    })
}

/// The logical form of a node-key signature.
pub fn signature_json(signature: &NodeKeySignature) -> Value {
    let mut form = Map::new();
    form.insert("sig_kind".into(), json!(signature.kind.0));
    for (name, bytes) in [
        ("pubkey_hex", &signature.pubkey),
        ("key_id_hex", &signature.key_id),
        ("signature_hex", &signature.signature),
        ("wrapping_pubkey_hex", &signature.wrapping),
    ] {
        form.insert(name.into(), hex_unless_empty(bytes));
    }
    let nested = signature.nested.as_deref().map(signature_json);
    form.insert("nested".into(), nested.unwrap_or_default());
    form.into()
}
