//! What the LocalAPI's requests and answers say, as serde types.
//!
//! `tailscaled` has the original's own; `ours` is what lies below `/localapi/v0/lockstep/`, and
//! `outside` the part of it that is about keys outside the daemon, `revocations` the part that is
//! about those, `adoption` the part about locks that exist elsewhere, and `group` the part about
//! the replicas.

mod adoption;
mod group;
mod ours;
mod outside;
mod revocations;
mod tailscaled;

use std::fmt;

use ledger::ids::{AumHash, LockKey, NodeKey};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

pub use crate::go_json::Base64;
pub use adoption::*;
pub use group::*;
pub use ours::*;
pub use outside::{
    AskedBody, BadSigning, MAX_BYTES as MAX_SIGNING_BYTES, ModifyBody, REQUEST_SCHEMA, RevokeBody,
    RotateBody, SIGNED_SCHEMA, SignBody, SignedRequest, SigningRequest, UnsignedRequest,
    UnsignedSignature, VoterBody,
};
pub use revocations::*;
pub use tailscaled::*;

/// Text that is a secret: shown by nothing, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        SecretText(Zeroizing::new(text.into()))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretText::new)
    }
}

/// A tailnet-lock key in a field that carries `nlpub:` and 64 hex digits.
mod nlpub {
    use super::*;

    pub(super) fn serialize<S: Serializer>(key: &LockKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_nlpub())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LockKey, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A node key in a field that carries `nodekey:` and 64 hex digits.
mod node_key {
    use super::*;

    pub(super) fn serialize<S: Serializer>(key: &NodeKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeKey, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// As [`node_key`], or `null`.
mod nullable_node_key {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        key: &Option<NodeKey>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        key.map(|key| key.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<NodeKey>, D::Error> {
        Option::<String>::deserialize(from)?
            .map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// An AUM hash as Go writes a `[32]byte`: an array of 32 numbers.
mod hash_numbers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(hash: &AumHash, to: S) -> Result<S::Ok, S::Error> {
        hash.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<AumHash, D::Error> {
        <[u8; 32]>::deserialize(from).map(AumHash)
    }
}

/// As [`hash_numbers`], or `null`.
mod nullable_hash_numbers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        hash: &Option<AumHash>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        hash.map(|hash| hash.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AumHash>, D::Error> {
        Ok(Option::<[u8; 32]>::deserialize(from)?.map(AumHash))
    }
}

/// Writes JSON as the original's LocalAPI does: tabs, no final newline, `<`, `>` and `&` escaped.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    if value.serialize(&mut serializer).is_err() {
        // Only a map with keys that are no strings could fail, and there is none here.
        return b"null".to_vec();
    }
    escape_html(&out)
}

/// These characters stand only inside strings, so replacing bytes is enough.
fn escape_html(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for byte in json {
        match byte {
            b'<' => out.extend_from_slice(br"\u003c"),
            b'>' => out.extend_from_slice(br"\u003e"),
            b'&' => out.extend_from_slice(br"\u0026"),
            byte => out.push(*byte),
        }
    }
    out
}

/// Reads a request as Go's decoder does (spec 15.6): the first JSON value counts and what follows
/// it is ignored, unknown fields too, names match in any letter case, and `null` is the empty
/// request.
pub fn from_go_json<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter();
    let mut value: serde_json::Value = match values.next() {
        Some(value) => value?,
        None => return Err(serde_json::Error::custom("empty body")),
    };
    if value.is_null() {
        return Ok(T::default());
    }
    if !value.is_object() {
        return Err(serde_json::Error::custom("expected an object"));
    }
    unify_names(&mut value);
    serde_json::from_value(value)
}

/// The names of all request fields of tailscaled's endpoints.
const NAMES: [&str; 16] = [
    "Keys",
    "DisablementValues",
    "SupportDisablement",
    "DisablementHolders",
    "AddKeys",
    "RemoveKeys",
    "NodeKey",
    "RotationPublic",
    "Kind",
    "Votes",
    "Public",
    "Meta",
    "URL",
    "TSKey",
    "TKAKey",
    "ForkFrom",
];

fn unify_names(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(unify_names),
        serde_json::Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&name));
                // The names inside metadata are data.
                if known != Some(&"Meta") {
                    unify_names(&mut value);
                }
                // An explicit null leaves a field as it was.
                if known.is_none() || !value.is_null() {
                    fields.insert(known.map_or(name, |known| (*known).to_owned()), value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inactive_lock_in_go_spelling() {
        let text = String::from_utf8(to_json(&LockStatus::default())).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            text,
            format!(
                "{{\n\t\"Enabled\": false,\n\t\"Head\": null,\n\t\"PublicKey\": \"nlpub:{zeros}\",\n\t\
                 \"NodeKey\": null,\n\t\"NodeKeySigned\": false,\n\t\"NodeKeySignature\": null,\n\t\
                 \"TrustedKeys\": null,\n\t\"VisiblePeers\": null,\n\t\"FilteredPeers\": null,\n\t\
                 \"StateID\": 0\n}}"
            )
        );
        assert_eq!(serde_json::from_str::<LockStatus>(&text).unwrap(), LockStatus::default());
    }

    #[test]
    fn requests_are_read_as_go_reads_them() {
        let key = "nodekey:".to_owned() + &"ab".repeat(32);
        let body =
            format!("{{\"nodekey\": \"{key}\", \"ROTATIONPUBLIC\": \"AQI=\", \"x\": 1}} end");
        let request: SignRequest = from_go_json(body.as_bytes()).unwrap();
        assert_eq!(request.node_key, NodeKey([0xab; 32]));
        assert_eq!(request.rotation_public, Some(Base64(vec![1, 2])));
        assert_eq!(from_go_json::<SignRequest>(b"null").unwrap(), SignRequest::default());
        assert_eq!(from_go_json::<SignRequest>(b"{}").unwrap(), SignRequest::default());
        for bad in ["", "[]", "3", "{not json", r#"{"NodeKey": "nodekey:12"}"#] {
            assert!(from_go_json::<SignRequest>(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [r#"{"AddKeys":"x"}"#, r#"{"AddKeys":[{"Public":"not base64!"}]}"#] {
            assert!(from_go_json::<ModifyRequest>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_inside_metadata_are_data() {
        let body = r#"{"addkeys":[{"kind":1,"votes":2,"public":"AAAA","meta":{"keys":"v"}}]}"#;
        let request: ModifyRequest = from_go_json(body.as_bytes()).unwrap();
        let key = &request.add_keys.unwrap()[0];
        assert_eq!(key.votes, 2);
        assert_eq!(key.meta.as_ref().unwrap().get("keys").map(String::as_str), Some("v"));
    }

    #[test]
    fn html_is_escaped_inside_strings() {
        let json = to_json(&ErrorBody { error: "a <b> & c".into() });
        assert_eq!(json, b"{\n\t\"Error\": \"a \\u003cb\\u003e \\u0026 c\"\n}");
    }
}
