//! The classes of tampering with an export. Each must be caught: exit not 0, or a finding of at
//! least `warning` that the untouched export does not have.
//!
//! What cannot be caught without a hash from elsewhere is in docs/audit.md: newest messages that
//! are left out.

use std::collections::BTreeSet;

use audit::checks::Severity;
use audit::source::{Detected, detect};
use audit::{Options, verify_aums};
use serde_json::Value;

use super::{audit, files, ids, read};

fn warnings(bytes: &[u8]) -> Option<BTreeSet<(&'static str, String)>> {
    let report = audit(bytes).filter(|report| report.exit_code == 0)?;
    let severe = report.findings.iter().filter(|f| f.check.severity >= Severity::Warning);
    Some(severe.map(|f| (f.check.id, f.fingerprint())).collect())
}

/// Whether the change from `before` to `after` is noticed.
fn caught(before: &BTreeSet<(&'static str, String)>, after: &[u8]) -> bool {
    warnings(after).is_none_or(|after| !after.is_subset(before))
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn every_bit_and_every_byte_counts() {
    // The shortest export completely, the others at places spread evenly.
    for (name, step) in
        [("chain-genesis.json", 1), ("chain-small.json", 173), ("chain-linear.json", 997)]
    {
        let bytes = read(name);
        let before = warnings(&bytes).unwrap();
        for bit in (0..bytes.len() * 8).step_by(step) {
            assert!(caught(&before, &flip(&bytes, bit)), "{name}: bit {bit}");
        }
        for at in (0..bytes.len()).step_by(step) {
            let mut less = bytes.clone();
            less.remove(at);
            assert!(caught(&before, &less), "{name}: byte {at} deleted");
            assert!(caught(&before, &bytes[..at]), "{name}: cut off at {at}");
        }
    }
}

/// The files of a store, by path.
fn store(name: &str) -> Vec<(String, Vec<u8>)> {
    let packed = files::read(&format!("log_json/{name}.tar")).unwrap();
    let mut archive = tar::Archive::new(packed.as_slice());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if entry.header().entry_type().is_file() {
            found.push((path, bytes));
        }
    }
    found
}

#[test]
fn every_bit_of_a_store_counts_but_its_times() {
    let files = store("chain-genesis");
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in &files {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, bytes).unwrap();
    }
    let look = || {
        let Ok(Detected::Aums(aums)) = detect(dir.path()) else { return None };
        let report = verify_aums("store", aums, &Options::default());
        let severe = report.findings.iter().filter(|f| f.check.severity >= Severity::Warning);
        (report.exit_code == 0).then(|| severe.map(|f| (f.check.id, f.fingerprint())).collect())
    };
    let before: BTreeSet<_> = look().unwrap();
    let mut tried = 0;
    for (path, bytes) in &files {
        let at = dir.path().join(path);
        // After the AUM and the number of the field: the time, with its sign and length.
        let times = if path.ends_with("last_active_ancestor") { 0 } else { 5 };
        for bit in 0..bytes.len() * 8 {
            std::fs::write(&at, flip(bytes, bit)).unwrap();
            let after: Option<BTreeSet<_>> = look();
            let noticed = after.is_none_or(|after| !after.is_subset(&before));
            let excused = bit / 8 >= bytes.len() - times || times == 0;
            assert!(noticed || excused, "{path}: bit {bit}");
            tried += 1;
        }
        std::fs::write(&at, bytes).unwrap();
    }
    assert!(tried > 1000 && look().is_some());
}

/// An export taken apart, to be put together otherwise in the same spelling.
struct Messages {
    all: Vec<Value>,
}

impl Messages {
    fn of(bytes: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(bytes).unwrap();
        Messages { all: document["Messages"].as_array().unwrap().clone() }
    }

    /// In the original's spelling, so that the edit itself has to be noticed and not the writing.
    fn write(messages: &[Value]) -> Vec<u8> {
        let ordered = |value: &Value| reorder(value);
        let list: Vec<_> = messages.iter().map(ordered).collect();
        let document = ledger::formats::Json::object([
            Some(("SchemaVersion", ledger::formats::Json::text("1"))),
            Some(("Messages", ledger::formats::Json::List(list))),
        ]);
        let mut out = String::new();
        document.write(ledger::formats::Layout::Indented, 0, &mut out);
        out.push('\n');
        out.into_bytes()
    }
}

/// Fields in the order of the original's types; serde_json sorts them by name.
const ORDER: &[&str] = &[
    "Hash",
    "AUM",
    "Raw",
    "MessageKind",
    "PrevAUMHash",
    "Key",
    "KeyID",
    "State",
    "LastAUMHash",
    "DisablementValues",
    "Keys",
    "StateID1",
    "StateID2",
    "Kind",
    "Votes",
    "Public",
    "Meta",
    "Signatures",
    "Signature",
];

fn reorder(value: &Value) -> ledger::formats::Json {
    use ledger::formats::Json;
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Number(n) => Json::Number(n.to_string()),
        Value::String(s) => Json::text(s.as_str()),
        Value::Array(items) => Json::List(items.iter().map(reorder).collect()),
        Value::Object(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.clone(), reorder(v))).collect();
            pairs.sort_by_key(|(name, _)| {
                (ORDER.iter().position(|n| n == name).unwrap_or(ORDER.len()), name.clone())
            });
            Json::Object(pairs)
        }
    }
}

#[test]
fn messages_cannot_be_removed_swapped_or_repeated() {
    for name in ["chain-genesis.json", "chain-small.json", "chain-linear.json"] {
        let bytes = read(name);
        let before = warnings(&bytes).unwrap();
        let all = Messages::of(&bytes).all;
        assert_eq!(Messages::write(&all), bytes, "{name}");
        for i in 0..all.len() {
            let mut less = all.clone();
            less.remove(i);
            // Without an anchor nobody can miss the newest message.
            if i > 0 || all.len() == 1 {
                assert!(caught(&before, &Messages::write(&less)), "{name}: {i} removed");
            }
            let mut twice = all.clone();
            twice.insert(i, all[i].clone());
            assert!(caught(&before, &Messages::write(&twice)), "{name}: {i} repeated");
            let mut replayed = all.clone();
            replayed.insert(0, all[i].clone());
            assert!(caught(&before, &Messages::write(&replayed)), "{name}: {i} replayed");
            if i > 0 {
                let mut swapped = all.clone();
                swapped.swap(i - 1, i);
                assert!(caught(&before, &Messages::write(&swapped)), "{name}: {i} swapped");
                assert!(caught(&before, &Messages::write(&all[..i])), "{name}: older than {i} cut");
            }
        }
    }
}

/// Every leaf of a message's shown parts, changed to something else of the same type.
fn edits(value: &Value, edit: &mut dyn FnMut(Value)) {
    match value {
        Value::Object(pairs) => {
            for (name, inner) in pairs {
                let mut without = pairs.clone();
                without.remove(name);
                edit(Value::Object(without));
                edits(inner, &mut |changed| {
                    let mut pairs = pairs.clone();
                    pairs.insert(name.clone(), changed);
                    edit(Value::Object(pairs));
                });
            }
        }
        Value::Array(items) => {
            for (i, inner) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(i);
                edit(Value::Array(without));
                edits(inner, &mut |changed| {
                    let mut items = items.clone();
                    items[i] = changed;
                    edit(Value::Array(items));
                });
            }
        }
        Value::String(text) => {
            edit(Value::String(format!("{text}A")));
            edit(Value::String(text.chars().rev().collect()));
            edit(Value::Null);
        }
        Value::Number(n) => edit(Value::from(n.as_u64().unwrap() / 2 + 1)),
        _ => {}
    }
}

#[test]
fn nothing_shown_can_be_edited() {
    for (name, step) in [("chain-genesis.json", 1), ("chain-small.json", 7)] {
        let bytes = read(name);
        let before = warnings(&bytes).unwrap();
        let all = Messages::of(&bytes).all;
        let mut tried = 0usize;
        for i in 0..all.len() {
            edits(&all[i].clone(), &mut |changed| {
                tried += 1;
                let same = changed == all[i];
                if !same && tried.is_multiple_of(step) {
                    let mut messages = all.clone();
                    messages[i] = changed;
                    let written = Messages::write(&messages);
                    assert!(caught(&before, &written), "{name}: {i}: {}", messages[i]);
                }
            });
        }
        assert!(tried > 20);
    }
}

#[test]
fn a_forged_signature_is_named_and_the_rest_still_verified() {
    let bytes = read("chain-small.json");
    let mut messages = Messages::of(&bytes).all;
    let at = messages.len() - 10;
    let raw = messages[at]["Raw"].as_str().unwrap().to_owned();
    let mut aum = data_encoding::BASE64URL.decode(raw.as_bytes()).unwrap();
    // The last bytes of an AUM are those of its last signature.
    *aum.last_mut().unwrap() ^= 1;
    let forged = ledger::lock::Sealed::decode(&aum).unwrap();
    let written = ledger::formats::log_json::write([&forged]);
    messages[at] = Messages::of(written.as_bytes()).all.remove(0);
    let report = audit(&Messages::write(&messages)).unwrap();
    assert_eq!(report.exit_code, 1);
    let named: Vec<_> = report.findings.iter().filter(|f| f.check.id == "aum.signature").collect();
    assert_eq!(named.len(), 1, "{:?}", ids(&report));
    assert_eq!(named[0].aum, Some(forged.hash()));
    // Its children name the AUM that was replaced, so they are cut off; the older ones hold.
    assert!(report.verified >= 9);
}

#[test]
fn every_export_at_hand_is_one_that_is_written_so() {
    for name in super::names() {
        let report = audit(&files::read(&format!("log_json/{name}")).unwrap()).unwrap();
        assert!(!ids(&report).contains("export.respelled"), "{name}");
    }
}
