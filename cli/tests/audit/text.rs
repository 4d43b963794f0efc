//! The report for people: narrow enough, and with nothing that a terminal would obey.

use std::collections::BTreeMap;

use ledger::ids::LockKey;
use ledger::lock::{Aum, AumKind, AumSignature, Key, Meta, Sealed, State};

use super::{Files, code, json, report, vector, verify};

fn text(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn eighty_columns_and_the_verdict_first() {
    let files = Files::new();
    for name in ["chain-small.json", "chain-large.limit50.json", "chain-large.json"] {
        let source = files.export(name);
        let text = text(&verify([&source]));
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("  source: "));
        for line in text.lines() {
            // A path or a hash that is longer stands alone.
            let words = line.split_whitespace().count();
            assert!(line.chars().count() <= 80 || words <= 2, "{line:?}");
            assert!(!line.ends_with(' '), "{line:?}");
        }
        let shown = report(&source);
        for field in ["head", "oldest", "state_id"] {
            assert!(text.contains(shown[field].as_str().unwrap()), "{field}");
        }
        for item in shown["unchecked"].as_array().unwrap() {
            assert!(text.contains(item["id"].as_str().unwrap()), "{item}");
        }
        for finding in shown["findings"].as_array().unwrap() {
            assert!(text.contains(finding["id"].as_str().unwrap()), "{finding}");
        }
    }
}

/// An export whose every text tries to be something else.
fn hostile() -> Vec<u8> {
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\r\n  state: HOLDS\u{202e}\u{200b}<script>";
    let mut key = Key::ed25519(LockKey([7; 32]), 1);
    key.meta = Some(Meta(BTreeMap::from([(evil.to_owned(), evil.to_owned())])));
    let mut genesis = Aum::new(AumKind::CHECKPOINT, None);
    genesis.state = Some(State {
        last_aum: None,
        disablement_values: Some(vec![Some(vec![3; 32])]),
        keys: Some(vec![key]),
        state_id1: 1,
        state_id2: 2,
    });
    genesis
        .signatures
        .push(AumSignature { key_id: Some(vec![7; 32]), signature: Some(vec![9; 64]) });
    let written = ledger::formats::log_json::write([&Sealed::new(genesis)]);
    // The names in a path of what differs are foreign too.
    let spelled = serde_json::to_string(&format!("{evil}x")).unwrap();
    let plain =
        serde_json::to_string(evil).unwrap().replace('<', "\\u003c").replace('>', "\\u003e");
    let changed = written.replacen(&plain, &spelled, 1);
    assert_ne!(changed, written);
    changed.into_bytes()
}

#[test]
fn foreign_text_is_inert() {
    let files = Files::new();
    let source = files.write("evil \u{1b}[31m name.json", &hostile());
    let output = verify([&source]);
    assert_eq!(code(&output), 1);
    for stream in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(stream).unwrap();
        let bad = text
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{200b}' | '\u{202e}'));
        assert_eq!(bad, None);
        assert!(!text.lines().any(|line| line.trim_start() == "state: HOLDS"));
    }
    let output = verify([source.as_os_str(), std::ffi::OsStr::new("--json")]);
    let raw = text(&output);
    assert!(!raw.contains('\u{1b}') && !raw.contains("<script>"));
    assert!(json(&output)["findings"].to_string().contains("<script>"));
}

#[test]
fn the_json_report_has_the_agreed_fields() {
    let files = Files::new();
    let shown = report(&files.export("chain-small.json"));
    assert_eq!(shown["schema"], "lockstep.audit/1");
    for field in [
        "source",
        "verdict",
        "exit_code",
        "anchor",
        "origin",
        "size",
        "root",
        "head",
        "state_id",
        "aums",
        "records",
        "epochs",
        "trusted_keys",
        "findings",
        "accepted",
        "unchecked",
    ] {
        assert!(shown.get(field).is_some(), "{field}");
    }
    assert_eq!(shown["head"].as_str().unwrap().len(), 52);
    assert!(shown["aums"].is_u64() && shown["records"] == 0 && shown["epochs"] == 1);
    assert!(shown["trusted_keys"][0]["key"].as_str().unwrap().starts_with("tlpub:"));
    assert!(shown["trusted_keys"][0]["votes"].is_u64());
    let broken = report(&files.write("evil.json", &hostile()));
    for finding in broken["findings"].as_array().unwrap() {
        for field in ["id", "severity", "fingerprint", "message", "remedy", "doc"] {
            assert!(finding[field].is_string(), "{field}: {finding}");
        }
        let doc = finding["doc"].as_str().unwrap();
        let anchor = finding["id"].as_str().unwrap().replace('.', "");
        assert_eq!(doc, format!("docs/audit.md#{anchor}"));
    }
}

#[test]
fn nobody_reading_changes_no_code() {
    let files = Files::new();
    let source = files.write("part", &vector("chain-large.limit50.json"));
    let mut child = super::lockstep()
        .args(["audit", "verify"])
        .arg(&source)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}
