//! Exit codes, alone and several at once: 2, 5, 1, 3, 4, 0.

use std::ffi::OsString;
use std::path::Path;

use super::{Files, code, json, report, vector, verify, verify_from};

/// A hash that nothing has.
const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An export in which one signature was altered.
fn broken(name: &str) -> Vec<u8> {
    let text = String::from_utf8(vector(name)).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let raw = document["Messages"][0]["Raw"].as_str().unwrap();
    let mut aum = data_encoding::BASE64URL.decode(raw.as_bytes()).unwrap();
    *aum.last_mut().unwrap() ^= 1;
    let altered = data_encoding::BASE64URL.encode(&aum);
    text.replace(raw, &altered).into_bytes()
}

fn run(source: &Path, flags: &[&str]) -> i32 {
    let mut arguments: Vec<OsString> = flags.iter().map(OsString::from).collect();
    arguments.push(source.into());
    let output = verify(arguments);
    if code(&output) != 2 {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(text.contains("state: "), "{text}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    code(&output)
}

#[test]
fn each_code_alone() {
    let files = Files::new();
    let whole = files.export("chain-small.json");
    assert_eq!(run(&whole, &[]), 0);
    assert_eq!(run(&files.write("broken", &broken("chain-small.json")), &[]), 1);
    assert_eq!(run(&files.export("chain-large.limit50.json"), &[]), 3);
    assert_eq!(run(&whole, &["--fail-on", "note"]), 4);
    assert_eq!(run(&whole, &["--genesis", OTHER]), 5);
    assert_eq!(run(&whole, &["--head", OTHER]), 5);
    assert_eq!(run(&whole, &["--state-id", "1:2"]), 5);
    assert_eq!(run(&whole, &["--require-anchor"]), 3);
}

#[test]
fn the_wrong_usage_is_always_2() {
    let files = Files::new();
    let whole = files.export("chain-small.json");
    let broken = files.write("broken", &broken("chain-small.json"));
    for source in [&whole, &broken, &files.path().join("nowhere")] {
        for flags in [
            &["--genesis", "short"][..],
            &["--genesis", &OTHER[1..]],
            &["--head", &format!("{OTHER}A")],
            &["--head"],
            &["--state-id", "1"],
            &["--state-id", "1:x"],
            &["--state-id", "1:18446744073709551616"],
            &["--fail-on", "fatal"],
            &["--fail-on="],
            &["--no-such-flag"],
            &["--json=perhaps"],
            &["--json", "--json"],
            &["another source"],
        ] {
            assert_eq!(run(source, flags), 2, "{flags:?}");
        }
    }
    assert_eq!(code(&verify::<&str>([])), 2);
    let nothing = verify(["--genesis", "nlpriv:0011"]);
    assert_eq!(code(&nothing), 2);
    assert!(!String::from_utf8_lossy(&nothing.stderr).contains("0011"));
}

#[test]
fn several_at_once() {
    let files = Files::new();
    let whole = files.export("chain-small.json");
    let broken = files.write("broken", &broken("chain-small.json"));
    let cut = files.export("chain-large.limit50.json");
    let genesis = report(&whole)["oldest"].as_str().unwrap().to_owned();
    let head = report(&cut)["head"].as_str().unwrap().to_owned();
    // 5 before 1 before 3 before 4.
    assert_eq!(run(&broken, &["--genesis", OTHER, "--require-anchor", "--fail-on=note"]), 5);
    assert_eq!(run(&broken, &["--require-anchor", "--fail-on=note"]), 1);
    assert_eq!(run(&cut, &["--require-anchor", "--fail-on=note"]), 3);
    assert_eq!(run(&cut, &["--state-id", "1:2", "--fail-on=note"]), 5);
    assert_eq!(run(&whole, &["--genesis", &genesis, "--require-anchor", "--fail-on=note"]), 4);
    assert_eq!(run(&whole, &["--genesis", &genesis, "--head", OTHER]), 5);
    // A hash that lies before what an export shows is neither confirmed nor contradicted.
    assert_eq!(run(&cut, &["--genesis", OTHER]), 3);
    // One that it shows is known, though the rest cannot be decided.
    assert_eq!(run(&cut, &["--head", &head, "--require-anchor"]), 3);
}

#[test]
fn hashes_in_every_spelling_confirm_a_history() {
    let files = Files::new();
    let whole = files.export("chain-small.json");
    let shown = report(&whole);
    let hex = |hash: &str| {
        let bytes = data_encoding::BASE32_NOPAD.decode(hash.as_bytes()).unwrap();
        data_encoding::HEXLOWER.encode(&bytes)
    };
    for field in ["oldest", "head"] {
        let hash = shown[field].as_str().unwrap();
        let flag = if field == "head" { "--head" } else { "--genesis" };
        for spelled in [hash.to_owned(), hash.to_lowercase(), hex(hash), hex(hash).to_uppercase()] {
            assert_eq!(run(&whole, &[flag, &spelled, "--require-anchor"]), 0, "{spelled}");
        }
    }
    let state_id = shown["state_id"].as_str().unwrap();
    assert_eq!(run(&whole, &["--state-id", state_id]), 0);
    // It proves nothing: whoever forges a chain copies it.
    assert_eq!(run(&whole, &["--state-id", state_id, "--require-anchor"]), 3);
    let output = verify([
        OsString::from("--json"),
        "--head".into(),
        shown["head"].as_str().unwrap().into(),
        whole.into(),
    ]);
    let anchored = json(&output);
    assert_eq!(anchored["anchor"]["kind"], "head");
    assert_eq!(anchored["anchor"]["value"], shown["head"]);
    assert!(!anchored["unchecked"].to_string().contains("anchor"));
    assert!(shown["anchor"].is_null() && shown["unchecked"].to_string().contains("anchor"));
}

#[test]
fn what_cannot_be_read_is_undecided() {
    let files = Files::new();
    let nowhere = files.path().join("nowhere");
    let empty = files.write("empty", b"");
    let noise = files.write("noise", &[0xff; 100]);
    let text = files.write("text", b"this is no export\n");
    let cut = files.write("cut", &vector("chain-small.json")[..1000]);
    let directory = files.path().join("directory");
    std::fs::create_dir(&directory).unwrap();
    for source in [&nowhere, &empty, &noise, &text, &cut, &directory] {
        assert_eq!(run(source, &[]), 3, "{}", source.display());
        let report = report(source);
        assert_eq!(report["verdict"], "undecidable");
        assert!(report["findings"][0]["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
    assert_eq!(code(&verify_from(["-"], b"")), 3);
}

/// AUMs alone have no records to go on from: the flag was ignored once, and a shorter export held.
#[test]
fn an_export_cannot_be_resumed() {
    let files = Files::new();
    let export = files.export("chain-small.json");
    let memory = export.with_file_name("memory");
    let output = verify([Path::new("--resume"), &memory, &export]);
    assert_eq!(code(&output), 2);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("--resume: this source holds AUMs and no records"), "{stderr}");
    assert!(stderr.contains("--head") && output.stdout.is_empty(), "{stderr}");
}

#[test]
fn no_report_is_written_over_its_source() {
    let files = Files::new();
    let export = files.export("chain-small.json");
    let before = std::fs::read(&export).unwrap();
    let link = export.with_extension("link");
    std::os::unix::fs::symlink(&export, &link).unwrap();
    for flag in ["--html", "--sarif"] {
        for path in [&export, &link] {
            let output = verify([Path::new(flag), path, &export]);
            assert_eq!(code(&output), 2, "{flag}");
            assert!(String::from_utf8(output.stderr).unwrap().contains("over its source"));
        }
    }
    assert_eq!(std::fs::read(&export).unwrap(), before);
}

#[test]
fn stdin_is_a_source_like_a_file() {
    for name in ["chain-small.json", "chain-large.limit50.json"] {
        let files = Files::new();
        let path = files.export(name);
        let piped = verify_from(["-", "--json"], &vector(name));
        assert_eq!(json(&piped), report(&path));
        assert_eq!(json(&piped)["exit_code"], code(&piped));
    }
}
