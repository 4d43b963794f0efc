//! AUMs as JSON, for people's eyes.

use data_encoding::{BASE64URL, HEXLOWER};

use crate::formats::{Json, Layout};
use crate::lock::{Aum, AumSignature, Key, Meta, Sealed, State};

/// The schema version that is written, and the only one that is read.
pub const SCHEMA_VERSION: &str = "1";

/// What the current source calls a state's list of disablement values.
pub(super) const VALUES: &str = "DisablementValues";
/// What versions up to 1.96 call it (spec 15.8).
pub(super) const SECRETS: &str = "DisablementSecrets";

/// The whole document for AUMs from head to oldest, as `lock log --json` prints it, newline included.
pub fn write<'a>(aums: impl IntoIterator<Item = &'a Sealed>) -> String {
    let messages = aums.into_iter().map(message).collect();
    let document = Json::object([
        Some(("SchemaVersion", Json::text(SCHEMA_VERSION))),
        Some(("Messages", Json::List(messages))),
    ]);
    let mut out = String::new();
    document.write(Layout::Indented, 0, &mut out);
    out.push('\n');
    out
}

/// One element of `Messages`.
pub fn message(aum: &Sealed) -> Json {
    message_named(aum, VALUES)
}

pub(super) fn message_named(aum: &Sealed, values: &str) -> Json {
    Json::object([
        Some(("Hash", Json::text(aum.hash().to_string()))),
        Some(("AUM", aum_named(aum, values))),
        Some(("Raw", Json::text(BASE64URL.encode(aum.bytes())))),
    ])
}

/// The rendering of an AUM: every field that it has, keys as `tlpub:`.
pub fn render(aum: &Aum) -> Json {
    aum_named(aum, VALUES)
}

fn aum_named(aum: &Aum, values: &str) -> Json {
    Json::object([
        Some(("MessageKind", Json::text(aum.kind.to_string()))),
        aum.parent_hash().map(|hash| ("PrevAUMHash", Json::text(hash.to_string()))),
        aum.key.as_ref().map(|key| ("Key", key_json(key))),
        aum.key_id.as_ref().map(|id| ("KeyID", key_text(id))),
        aum.state
            .as_ref()
            .filter(|state| **state != State::default())
            .map(|state| ("State", state_json(state, values))),
        aum.votes.filter(|votes| *votes != 0).map(|votes| ("Votes", Json::number(votes))),
        meta_json(aum.meta.as_ref()),
        (!aum.signatures.is_empty()).then(|| {
            let signatures = aum.signatures.iter().map(signature_json).collect();
            ("Signatures", Json::List(signatures))
        }),
    ])
}

fn state_json(state: &State, values: &str) -> Json {
    let list = state.disablement_values.as_ref().map_or(Json::Null, |values| {
        let hex = |v: &Option<Vec<u8>>| Json::Text(HEXLOWER.encode(v.as_deref().unwrap_or(&[])));
        Json::List(values.iter().map(hex).collect())
    });
    let keys = state
        .keys
        .as_ref()
        .map_or(Json::Null, |keys| Json::List(keys.iter().map(key_json).collect()));
    Json::object([
        state.last_aum.map(|hash| ("LastAUMHash", Json::text(hash.to_string()))),
        Some((values, list)),
        Some(("Keys", keys)),
        Some(("StateID1", Json::number(state.state_id1))),
        Some(("StateID2", Json::number(state.state_id2))),
    ])
}

fn key_json(key: &Key) -> Json {
    Json::object([
        Some(("Kind", Json::text(key.kind.to_string()))),
        Some(("Votes", Json::number(key.votes))),
        Some(("Public", key_text(key.public.as_deref().unwrap_or(&[])))),
        meta_json(key.meta.as_ref()),
    ])
}

fn signature_json(signature: &AumSignature) -> Json {
    let bytes = signature.signature.as_deref().unwrap_or(&[]);
    Json::object([
        Some(("KeyID", key_text(signature.key_id.as_deref().unwrap_or(&[])))),
        Some(("Signature", Json::Text(BASE64URL.encode(bytes)))),
    ])
}

fn meta_json(meta: Option<&Meta>) -> Option<(&'static str, Json)> {
    let meta = meta.filter(|meta| !meta.0.is_empty())?;
    let pairs = meta.0.iter().map(|(k, v)| (k.clone(), Json::text(v.as_str()))).collect();
    Some(("Meta", Json::Object(pairs)))
}

/// Key IDs need not have 32 bytes in the original's data (spec W7).
fn key_text(id: &[u8]) -> Json {
    Json::Text(format!("tlpub:{}", HEXLOWER.encode(id)))
}
