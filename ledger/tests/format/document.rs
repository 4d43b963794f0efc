//! The document against the code: examples, limits, names; and the verifier over both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ledger::history::{Event, Proposal};
use ledger::limits;
use ledger::rows::watermark::{FILE_BYTES, Watermark, slot_offset};
use ledger::rows::{raft, tables};
use ledger::testing::Group;

use crate::cbor::{Value, decode, encode};
use crate::example::{Step, door_example, example, member_example};
use crate::verifier::Verifier;

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn document() -> String {
    fs::read_to_string(path("../docs/ledger-format.md")).unwrap()
}

/// The text of a block that begins with "```text NAME".
fn block<'a>(document: &'a str, name: &str) -> &'a str {
    let open = format!("```text {name}\n");
    let at = document.find(&open).unwrap_or_else(|| panic!("the document has no block {name}"));
    let rest = &document[at + open.len()..];
    rest.split_once("```").unwrap_or_else(|| panic!("block {name} does not end")).0
}

/// Hex in lines of 128 digits.
fn hex_lines(bytes: &[u8]) -> String {
    let hex = HEXLOWER.encode(bytes);
    let lines = hex.as_bytes().chunks(128).map(|line| std::str::from_utf8(line).unwrap());
    lines.map(|line| format!("{line}\n")).collect()
}

/// What section 3 shows of an event: its diagnostic notation, then its bytes.
fn shown_event(event: &Value) -> String {
    format!("{}\n\n{}", event.shown(0), hex_lines(&encode(event)))
}

fn event_of(step: &Step) -> Value {
    let signed = decode(step.record.proposal().bytes()).unwrap();
    let proposal = signed.fields(&[1, 2, 3], &[]).unwrap().get(1).bytes().unwrap().to_vec();
    let all: Vec<u64> = (1..=10).collect();
    decode(&proposal).unwrap().fields(&all, &[]).unwrap().get(10).clone()
}

fn hashes(step: &Step) -> String {
    let record = &step.record;
    format!(
        "record {} {}\n  record hash {}\n            = {}\n  fold hash   {}\n  Merkle root {}\n",
        record.index(),
        record.proposal().proposal().event.kind_name(),
        record.hash().to_hex(),
        record.hash(),
        step.fold_hash,
        HEXLOWER.encode(&step.merkle_root),
    )
}

fn hashes_and_final_aum(step: &Step) -> String {
    let shown = step.final_aum.map(|(hash, height)| {
        format!("  final AUM   {}\n  its height  {}\n", HEXLOWER.encode(&hash.0), height)
    });
    hashes(step) + &shown.unwrap_or_default()
}

fn record_in_hex(step: &Step) -> String {
    format!("record {}\n{}", step.record.index(), hex_lines(step.record.bytes()))
}

/// Every example of the document, by the name of its block.
fn examples() -> BTreeMap<String, String> {
    let (steps, members) = (example(), member_example());
    let mut blocks = BTreeMap::new();
    for step in steps.iter().chain(&members) {
        let event = event_of(step);
        let kind = event.tuple::<2>().unwrap()[0].uint().unwrap();
        blocks.entry(format!("event-{kind}")).or_insert_with(|| shown_event(&event));
    }
    // All examples stay under the rules with which they begin.
    let activation = Value::Map(vec![(Value::Uint(1), Value::Uint(2))]);
    let activation = Value::Array(vec![Value::Uint(10), activation]);
    blocks.insert("event-10".into(), shown_event(&activation));

    blocks.insert("hashes".into(), steps.iter().map(hashes).collect());

    let record = decode(steps[2].record.bytes()).unwrap();
    let signed = decode(steps[2].record.proposal().bytes()).unwrap();
    let proposal = decode(signed.fields(&[1, 2, 3], &[]).unwrap().get(1).bytes().unwrap()).unwrap();
    let shown = [record, signed, proposal].map(|value| value.shown(0) + "\n");
    blocks.insert("record-2".into(), shown.join("\n"));

    blocks.insert("records".into(), steps.iter().map(record_in_hex).collect());
    let steps = door_example();
    blocks.insert("door-hashes".into(), steps.iter().map(hashes_and_final_aum).collect());
    blocks.insert("door-records".into(), steps.iter().map(record_in_hex).collect());
    blocks.insert("member-hashes".into(), members.iter().map(hashes).collect());
    blocks.insert("member-records".into(), members.iter().map(record_in_hex).collect());

    let mark = Watermark { term: 3, vote: 1, last_term: 3, last_index: 40 };
    let slot = format!(
        "write 5 of term 3, vote 1, last term 3, last index 40, at byte {}:\n",
        slot_offset(5)
    );
    blocks.insert("watermark".into(), slot + &hex_lines(&mark.to_slot(5)));
    blocks
}

/// `UPDATE_FORMAT=1` writes the examples into the document, to be read.
#[test]
fn the_examples_are_as_the_code_makes_them() {
    let mut text = document();
    for (name, made) in examples() {
        if env::var_os("UPDATE_FORMAT").is_some() {
            let shown = format!("```text {name}\n{}```", block(&text, &name));
            text = text.replace(&shown, &format!("```text {name}\n{made}```"));
        } else {
            assert_eq!(block(&text, &name), made, "example {name} is stale");
        }
    }
    if env::var_os("UPDATE_FORMAT").is_some() {
        fs::write(path("../docs/ledger-format.md"), &text).unwrap();
    }
    let shown = text.matches("```text ").count();
    assert_eq!(shown, examples().len(), "the document has a block that no example fills");
}

/// The records in a block of the document, from its text.
fn documented_records(name: &str) -> Vec<Vec<u8>> {
    let mut records: Vec<String> = Vec::new();
    for line in block(&document(), name).lines() {
        if line.starts_with("record ") {
            records.push(String::new());
        } else {
            records.last_mut().unwrap().push_str(line);
        }
    }
    records.iter().map(|hex| HEXLOWER.decode(hex.as_bytes()).unwrap()).collect()
}

/// What a block says after each record, by what it is: in the order of the records, which all have
/// it, but for the first ones.
fn documented(name: &str, what: &str) -> Vec<String> {
    let text = document();
    let lines = block(&text, name).lines().filter_map(|line| line.trim().strip_prefix(what));
    lines.map(|rest| rest.trim().to_owned()).collect()
}

/// The blocks of the examples: records, and what is said of them.
const EXAMPLES: [(&str, &str); 3] =
    [("records", "hashes"), ("door-records", "door-hashes"), ("member-records", "member-hashes")];

#[test]
fn the_verifier_confirms_the_examples() {
    for (block, said) in EXAMPLES {
        let said = |what| documented(said, what);
        let mut verifier = Verifier::default();
        let mut finals = Vec::new();
        let (records, texts, folds, roots) =
            (said("record hash"), said("="), said("fold hash"), said("Merkle root"));
        for (i, record) in documented_records(block).iter().enumerate() {
            verifier.take(record).unwrap_or_else(|e| panic!("{block} {i}: {e}"));
            let hash = verifier.last_hash();
            assert_eq!(HEXLOWER.encode(&hash), records[i]);
            assert_eq!(BASE32_NOPAD.encode(&hash), texts[i]);
            assert_eq!(HEXLOWER.encode(&verifier.fold_hash), folds[i]);
            assert_eq!(HEXLOWER.encode(&verifier.merkle_root()), roots[i]);
            finals.extend(verifier.final_aum());
        }
        assert_eq!(folds.len(), documented_records(block).len());
        if block == "door-records" {
            let hashes: Vec<String> =
                finals.iter().map(|(hash, _)| HEXLOWER.encode(hash)).collect();
            let heights: Vec<String> =
                finals.iter().map(|(_, height)| height.to_string()).collect();
            assert_eq!((hashes, heights), (said("final AUM"), said("its height")));
        }
    }
}

#[test]
fn the_verifier_refuses_changed_examples() {
    for (block, _) in EXAMPLES {
        let records = documented_records(block);
        let mut verifier = Verifier::default();
        for (i, record) in records.iter().enumerate() {
            for at in (i % 7..record.len()).step_by(7) {
                let mut changed = record.clone();
                changed[at] ^= 1 << (at % 8);
                assert!(verifier.clone().take(&changed).is_err(), "{block} {i}, byte {at}");
            }
            let elsewhere = records.iter().enumerate().filter(|(j, _)| *j != i);
            for (j, other) in elsewhere {
                assert!(verifier.clone().take(other).is_err(), "{block} {j} as {i}");
            }
            verifier.take(record).unwrap();
        }
    }
}

/// The rows of the table whose header is `header`: their cells.
fn table(header: &str) -> Vec<Vec<String>> {
    let text = document();
    let at = text.find(header).unwrap_or_else(|| panic!("no table {header}"));
    let rows = text[at..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

macro_rules! values {
    ($($name:ident),* $(,)?) => {
        BTreeMap::from([$((stringify!($name), u64::try_from(limits::$name).unwrap())),*])
    };
}

#[test]
fn limits_are_documented() {
    let values = values![
        PROPOSAL_BYTES,
        RECORD_BYTES,
        REQUEST_ID_BYTES,
        REQUEST_PARTS,
        ACTOR_NAME_BYTES,
        NAME_BYTES,
        ADDRESS_BYTES,
        MEMBERS_AT_ONCE,
        INVITATIONS_OPEN,
        LABEL_BYTES,
        NOTE_BYTES,
        EVENT_AUMS,
        OBSERVED_BYTES,
        EVENT_SIGNATURES,
        DISABLEMENT_SECRET_BYTES,
        ROSTER_AT_ONCE,
        ROSTER_NODES,
        AUTH_KEY_ID_BYTES,
        REVOCATIONS_PENDING,
        REVOCATIONS_OF_KEY,
        REVOCATIONS_OF_ACTOR,
        FINAL_AFTER,
        KEY_AUMS,
        KEY_AUMS_RECORDS,
        CBOR_DEPTH,
        CBOR_ARRAY_ELEMENTS,
        CBOR_MAP_PAIRS,
        MAX_VOTES,
        MAX_KEY_META_BYTES,
        MAX_KEYS,
        MAX_DISABLEMENT_VALUES,
        DISABLEMENT_VALUE_BYTES,
    ];
    // These bind nobody but ourselves: what we propose, offer, keep and warn of.
    let ours = [
        "KEYS_WARNING",
        "CHECKPOINT_EVERY",
        "OFFER_WALK",
        "ROTATION_KEYS_KEPT",
        "COMPACTION_MIN_CHAIN",
        "COMPACTION_MIN_AGE_SECS",
    ];
    let source = fs::read_to_string(path("src/limits.rs")).unwrap();
    let consts = source.lines().filter_map(|line| line.strip_prefix("pub const "));
    let names: BTreeSet<&str> = consts.map(|rest| rest.split(':').next().unwrap()).collect();
    let known: BTreeSet<&str> = values.keys().copied().chain(ours).collect();
    assert_eq!(names, known);
    let documented: BTreeMap<String, u64> = table("| limit | value |")
        .iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap()))
        .collect();
    let values: BTreeMap<String, u64> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(documented, values);
}

/// The names of an enum's variants, from its source.
fn variants(source: &str) -> BTreeSet<String> {
    let body = source.split_once("pub enum EventRefusal {").unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    let named = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    named
        .map(|line| line.trim().chars().take_while(|c| c.is_alphanumeric()).collect::<String>())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect()
}

#[test]
fn refusals_are_documented() {
    let source = fs::read_to_string(path("src/history/refusal.rs")).unwrap();
    let names = variants(&source);
    assert!(names.contains("Shape") && names.contains("RecordRepeats"));
    let documented: BTreeSet<String> =
        table("| refusal | when |").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, names);
}

/// A kind is documented with its number and name, and no other kind decodes.
#[test]
fn kinds_are_documented() {
    let text = document();
    let steps = example().into_iter().chain(member_example());
    let events = steps.map(|step| step.record.proposal().proposal().event.clone());
    let mut named: BTreeMap<u64, &str> =
        events.map(|event| (event.kind(), event.kind_name())).collect();
    let activation = Event::RulesActivated(2);
    named.insert(activation.kind(), activation.kind_name());
    for (kind, name) in &named {
        assert!(text.contains(&format!("### Kind {kind}: `{name}`\n")), "{name}");
    }
    assert_eq!(text.matches("### Kind ").count(), named.len());

    let mut group = Group::new();
    let Value::Map(fields) = decode(&group.proposal(activation).to_cbor()).unwrap() else {
        panic!("a proposal is a map")
    };
    for kind in 0..64 {
        let mut fields = fields.clone();
        // A field that no kind has.
        let body = Value::Map(vec![(Value::Uint(0), Value::Null)]);
        fields[9].1 = Value::Array(vec![Value::Uint(kind), body]);
        let refusal = Proposal::decode(&encode(&Value::Map(fields))).unwrap_err().to_string();
        let unknown = refusal == format!("unknown kind of event: {kind}");
        assert_eq!(unknown, !named.contains_key(&kind), "{kind}: {refusal}");
    }
}

#[test]
fn effects_and_tables_are_documented() {
    let source = fs::read_to_string(path("src/history/effects.rs")).unwrap();
    let calls = source.split("self.effect(").skip(1);
    let numbers: BTreeSet<String> =
        calls.map(|call| call.chars().take_while(char::is_ascii_digit).collect()).collect();
    let documented: BTreeSet<String> =
        table("| effect | array |").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, numbers);

    let text = document();
    for table in tables::ALL.iter().chain(raft::TABLES) {
        assert!(text.contains(&format!("| `{}` | ", table.0)), "table {}", table.0);
    }
    for key in [raft::BASE, raft::HARD, raft::APPLIED, raft::GROUP, raft::IDENTITY] {
        let key = std::str::from_utf8(key).unwrap();
        assert!(text.contains(&format!("| `{key}` | ")), "row {key}");
    }
    assert_eq!(FILE_BYTES, 8192);
}
