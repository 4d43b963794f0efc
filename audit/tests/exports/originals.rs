//! The original's own verdicts on AUMs and stores of all kinds, forks and damage among them, beside
//! the audit's: the same head and keys, and nothing holds that the original refuses.

use std::path::Path;

use audit::report::Report;
use audit::source::{Detected, detect, detect_bytes};
use audit::verdict::Verdict;
use audit::{Options, verify_aums};
use serde_json::Value;

use super::{files, ids};

fn cases(name: &str) -> Vec<Value> {
    serde_json::from_slice(&files::read(name).unwrap()).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn audit(detected: Result<Detected, audit::source::Unreadable>) -> Option<Report> {
    match detected {
        Ok(Detected::Aums(aums)) => Some(verify_aums("source", aums, &Options::default())),
        _ => None,
    }
}

/// The keys and votes of a state as the vectors write it.
fn keys(state: &Value) -> Vec<(String, u64)> {
    let key = |key: &Value| {
        (
            format!("tlpub:{}", key["public_hex"].as_str().unwrap_or("")),
            key["votes"].as_u64().unwrap(),
        )
    };
    list(&state["keys"]).iter().map(key).collect()
}

fn trusted(report: &Report) -> Vec<(String, u64)> {
    report.trusted_keys.iter().map(|key| (key.key.clone(), key.votes)).collect()
}

#[test]
fn forks_end_in_the_originals_head() {
    let mut compared = 0;
    for case in cases("forks.json") {
        let name = case["name"].as_str().unwrap();
        let aums: Vec<Vec<u8>> = list(&case["input"]["aums_hex"]).iter().map(bytes).collect();
        for order in list(&case["expect"]["orders"]) {
            let refused = list(&order["informs"]).iter().any(|step| !step["error"].is_null());
            if refused {
                continue;
            }
            let mut reversed = aums.clone();
            reversed.reverse();
            for file in [aums.concat(), reversed.concat()] {
                let report = audit(detect_bytes(&file, Path::new("cbor"))).unwrap();
                if ids(&report).contains("aum.noncanonical") {
                    continue;
                }
                assert_eq!(report.verdict, Verdict::Holds, "{name}: {:?}", report.findings);
                assert_eq!(report.head.unwrap().to_string(), order["final_head_b32"], "{name}");
                assert_eq!(trusted(&report), keys(&case["expect"]["final_state"]), "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}

#[test]
fn what_the_original_refuses_does_not_hold() {
    let (mut held, mut broken) = (0, 0);
    for case in cases("verify.json") {
        let name = case["name"].as_str().unwrap();
        let (input, expect) = (&case["input"], &case["expect"]);
        let Some(first) = input["bootstrap_hex"].as_str().filter(|hex| !hex.is_empty()) else {
            continue;
        };
        let mut file = data_encoding::HEXLOWER.decode(first.as_bytes()).unwrap();
        let batches = list(&input["informs_hex"]);
        file.extend(batches.iter().flat_map(list).flat_map(bytes));
        let error = |step: &Value| step["error"].as_str().map(str::to_owned);
        let bootstrap = expect["bootstrap_error"].as_str().map(str::to_owned);
        let refused = bootstrap.or_else(|| list(&expect["informs"]).iter().find_map(error));
        // How AUMs are handed over is no matter of theirs.
        let handed = ["empty slice", "missing parent", "file does not exist", "not empty"];
        if refused.as_ref().is_some_and(|why| handed.iter().any(|part| why.contains(part))) {
            continue;
        }
        let Some(report) = audit(detect_bytes(&file, Path::new("cbor"))) else {
            assert!(refused.is_some(), "{name} is not even read");
            continue;
        };
        match refused {
            Some(why) => {
                assert_ne!(report.verdict, Verdict::Holds, "{name}: the original says {why}");
                broken += 1;
            }
            None if ids(&report).contains("aum.noncanonical") => {}
            None => {
                assert_eq!(report.verdict, Verdict::Holds, "{name}: {:?}", report.findings);
                assert_eq!(trusted(&report), keys(&expect["final_state"]), "{name}");
                held += 1;
            }
        }
    }
    assert!(held > 0 && broken > 0, "{held} {broken}");
}

#[test]
fn stores_open_at_the_originals_head() {
    let mut compared = 0;
    for case in cases("chonkfile.json").iter().filter(|case| case["type"] == "chonkdir") {
        let name = case["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in case["input"]["files_hex"].as_object().unwrap() {
            let at = dir.path().join(path);
            if path.ends_with('/') {
                std::fs::create_dir_all(at).unwrap();
            } else {
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, bytes(content)).unwrap();
            }
        }
        let Some(report) = audit(detect(dir.path())) else {
            assert!(case["expect"]["head_b32"].is_null(), "{name} is not even read");
            continue;
        };
        let head = report.head.map(|head| head.to_string());
        println!("{name}: {} {:?}", report.verdict, ids(&report));
        match case["expect"]["head_b32"].as_str() {
            None => assert_ne!(report.verdict, Verdict::Holds, "{name}"),
            // The original verifies nothing when it opens a store, and takes other spellings.
            Some(_) if report.verdict == Verdict::Broken => {}
            Some(theirs) => {
                assert_eq!(head.as_deref(), Some(theirs), "{name}");
                assert_eq!(trusted(&report), keys(&case["expect"]["state"]), "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}
