//! `lock log` as text. (Its JSON is `ledger::formats::log_json`.)

use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use ledger::lock::{Aum, AumKind, Key, KeyKind, Meta, Sealed, State};
use serde_json::{Value, json};

use super::line;

/// The changes from head to oldest, each followed by a blank line.
pub(crate) fn text(aums: &[Sealed], colour: bool) -> String {
    let (on, off) = if colour { ("\x1b[33m", "\x1b[0m") } else { ("", "") };
    let mut out = String::new();
    for aum in aums {
        let _ = writeln!(out, "{on}update {} ({}){off}", aum.hash().to_hex(), aum.kind);
        change(&mut out, aum);
        out.push('\n');
    }
    out
}

/// What an AUM changes, line by line.
pub(super) fn change(out: &mut String, aum: &Aum) {
    match aum.kind {
        AumKind::ADD_KEY => {
            if let Some(added) = &aum.key {
                key(out, "", added);
            }
        }
        AumKind::REMOVE_KEY | AumKind::UPDATE_KEY => {
            let id = aum.key_id.as_deref().unwrap_or_default();
            let _ = writeln!(out, "KeyID: {}", HEXLOWER.encode(id));
            if let Some(votes) = aum.votes {
                let _ = writeln!(out, "Votes: {votes}");
            }
            if let Some(meta) = &aum.meta {
                metadata(out, "", meta);
            }
        }
        AumKind::CHECKPOINT => {
            out.push_str("Disablement values:\n");
            for value in aum.state.iter().flat_map(State::disablement_values) {
                let _ = writeln!(out, " - {}", HEXLOWER.encode(value));
            }
            out.push_str("Keys:\n");
            for trusted in aum.state.iter().flat_map(|state| state.keys()) {
                key(out, "  ", trusted);
            }
        }
        _ => {
            let _ = writeln!(out, "{}", raw(aum));
        }
    }
}

fn key(out: &mut String, indent: &str, key: &Key) {
    let _ = writeln!(out, "{indent}Type: {}", key.kind);
    match (key.kind, key.public.as_deref().unwrap_or_default()) {
        (KeyKind::ED25519, public) => {
            let _ = writeln!(out, "{indent}KeyID: {}", HEXLOWER.encode(public));
        }
        (kind, _) => {
            let _ = writeln!(out, "{indent}KeyID: <Error: unknown key kind: {kind}>");
        }
    }
    let _ = writeln!(out, "{indent}Votes: {}", key.votes);
    if let Some(meta) = &key.meta {
        metadata(out, indent, meta);
    }
}

/// Pairs as Go prints a map: sorted, unquoted.
fn metadata(out: &mut String, indent: &str, meta: &Meta) {
    let pairs: Vec<_> = meta.0.iter().map(|(k, v)| format!("{}:{}", line(k), line(v))).collect();
    let _ = writeln!(out, "{indent}Metadata: map[{}]", pairs.join(" "));
}

/// An AUM that has no text of its own, such as a no-op: its fields as JSON, as the original does.
fn raw(aum: &Aum) -> String {
    let bytes = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => Value::String(BASE64.encode(bytes)),
        None => Value::Null,
    };
    let meta = |meta: &Option<Meta>| match meta {
        Some(meta) => json!(meta.0),
        None => Value::Null,
    };
    let key = |key: &Key| {
        json!({ "Kind": key.kind.0, "Votes": key.votes, "Public": bytes(&key.public),
                "Meta": meta(&key.meta) })
    };
    let signatures = if aum.signatures.is_empty() {
        Value::Null
    } else {
        aum.signatures
            .iter()
            .map(|s| json!({ "KeyID": bytes(&s.key_id), "Signature": bytes(&s.signature) }))
            .collect()
    };
    let state = aum.state.as_ref().map(|state| {
        let values = state.disablement_values().map(|value| BASE64.encode(value));
        json!({ "DisablementValues": values.collect::<Vec<_>>(),
                "Keys": state.keys().iter().map(key).collect::<Vec<_>>(),
                "StateID1": state.state_id1, "StateID2": state.state_id2 })
    });
    let fields = [
        ("MessageKind", json!(aum.kind.0)),
        ("PrevAUMHash", bytes(&aum.parent)),
        ("Key", aum.key.as_ref().map_or(Value::Null, key)),
        ("KeyID", bytes(&aum.key_id)),
        ("State", state.unwrap_or(Value::Null)),
        ("Votes", json!(aum.votes)),
        ("Meta", meta(&aum.meta)),
        ("Signatures", signatures),
    ];
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("\t\"{name}\": {}", tabbed(value).replace('\n', "\n\t")))
        .collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

fn tabbed(value: &Value) -> String {
    use serde::Serialize;
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut to = serde_json::Serializer::with_formatter(&mut out, indent);
    match value.serialize(&mut to) {
        Ok(()) => super::lines(&String::from_utf8_lossy(&out)),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use ledger::ids::LockKey;

    use super::*;

    #[test]
    fn the_form_of_the_page() {
        let mut genesis = Aum::new(AumKind::CHECKPOINT, None);
        genesis.state = Some(State {
            disablement_values: Some(vec![Some(vec![0x12; 32]), Some(vec![0x98; 32])]),
            keys: Some(vec![Key::ed25519(LockKey([0xab; 32]), 1)]),
            ..State::default()
        });
        let genesis = Sealed::new(genesis);
        let hash = genesis.hash();
        let expected = format!(
            "update {} (checkpoint)\nDisablement values:\n - {}\n - {}\nKeys:\n  Type: 25519\n  \
             KeyID: {}\n  Votes: 1\n\n",
            hash.to_hex(),
            "12".repeat(32),
            "98".repeat(32),
            "ab".repeat(32)
        );
        assert_eq!(text(std::slice::from_ref(&genesis), false), expected);
        assert!(text(&[genesis], true).starts_with("\x1b[33mupdate "));

        let mut add = Aum::new(AumKind::ADD_KEY, Some(hash));
        let mut key = Key::ed25519(LockKey([1; 32]), 2);
        let pairs = [("b".to_owned(), "2\n".to_owned()), ("a".to_owned(), "1".to_owned())];
        key.meta = Some(Meta(pairs.into()));
        add.key = Some(key);
        let mut update = Aum::new(AumKind::UPDATE_KEY, Some(hash));
        update.key_id = Some(vec![1; 32]);
        update.votes = Some(9);
        let mut remove = Aum::new(AumKind::REMOVE_KEY, Some(hash));
        remove.key_id = Some(vec![1; 32]);
        let text = text(&[add, update, remove].map(Sealed::new), false);
        let id = "01".repeat(32);
        let blocks: Vec<_> = text
            .split("\n\n")
            .map(|block| block.split_once('\n').map_or("", |(_, rest)| rest))
            .collect();
        assert_eq!(
            blocks,
            [
                format!("Type: 25519\nKeyID: {id}\nVotes: 2\nMetadata: map[a:1 b:2\\u{{a}}]"),
                format!("KeyID: {id}\nVotes: 9"),
                format!("KeyID: {id}"),
                String::new(),
            ]
        );
    }

    #[test]
    fn a_no_op_is_shown_whole() {
        let text = text(&[Sealed::new(Aum::new(AumKind::NO_OP, None))], false);
        let (_, body) = text.split_once('\n').unwrap();
        assert_eq!(
            body,
            "{\n\t\"MessageKind\": 3,\n\t\"PrevAUMHash\": null,\n\t\"Key\": null,\n\t\"KeyID\": \
             null,\n\t\"State\": null,\n\t\"Votes\": null,\n\t\"Meta\": null,\n\t\"Signatures\": \
             null\n}\n\n"
        );
    }
}
