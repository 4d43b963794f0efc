//! Exports of the original's own making: the verdict agrees with the original's, and no change
//! that is not mere spelling goes unnoticed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use audit::report::Report;
use audit::source::{Detected, detect_bytes};
use audit::{Options, verify_aums};

#[path = "../../../ledger/tests/vectors/files.rs"]
#[allow(dead_code, unreachable_pub)]
mod files;
mod originals;
mod tampering;

fn audit(bytes: &[u8]) -> Option<Report> {
    match detect_bytes(bytes, Path::new("export")) {
        Ok(Detected::Aums(aums)) => Some(verify_aums("export", aums, &Options::default())),
        _ => None,
    }
}

fn ids(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.check.id).collect()
}

fn names() -> Vec<String> {
    let names = files::list("log_json").into_iter();
    names.filter(|name| name.ends_with(".json") && !name.ends_with(".expect.json")).collect()
}

fn read(name: &str) -> Vec<u8> {
    files::read(&format!("log_json/{name}")).unwrap()
}

#[test]
fn verdicts_agree_with_the_original() {
    let mut complete = 0;
    for name in names() {
        let report = audit(&read(&name)).unwrap();
        println!("{name}: {} {:?}", report.exit_code, ids(&report));
        let Some(base) = name.strip_suffix(".json").filter(|base| !base.contains(".limit")) else {
            continue;
        };
        let expect = read(&format!("{base}.expect.json"));
        let expect: serde_json::Value = serde_json::from_slice(&expect).unwrap();
        let keys: Vec<&str> = expect["trusted_keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|k| k.as_str().unwrap())
            .collect();
        let votes: Vec<u64> = expect["state"]["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|k| k["votes"].as_u64().unwrap())
            .collect();
        assert_eq!((report.verdict.to_string().as_str(), report.exit_code), ("holds", 0), "{name}");
        assert_eq!(report.head.unwrap().to_string(), expect["head_b32"], "{name}");
        assert_eq!(report.oldest.unwrap().to_string(), expect["oldest_ancestor_b32"], "{name}");
        assert_eq!(report.aums, expect["aums_in_log"].as_u64().unwrap(), "{name}");
        let trusted: Vec<&str> = report.trusted_keys.iter().map(|k| k.key.as_str()).collect();
        assert_eq!(trusted, keys, "{name}");
        assert_eq!(report.trusted_keys.iter().map(|k| k.votes).collect::<Vec<_>>(), votes);
        let (a, b) = report.state_id.unwrap();
        assert_eq!(expect["state"]["state_id1"].as_u64(), Some(a), "{name}");
        assert_eq!(expect["state"]["state_id2"].as_u64(), Some(b), "{name}");
        complete += 1;
    }
    assert!(complete > 0);
}

#[test]
fn what_comes_before_any_known_state_is_undecidable() {
    let report = audit(&read("chain-large.limit50.json")).unwrap();
    assert_eq!((report.verdict.to_string().as_str(), report.exit_code), ("undecidable", 3));
    assert_eq!((report.aums, report.verified), (50, 32));
    assert!(ids(&report).contains("root.assumed"));
    assert!(report.unchecked.iter().any(|item| item.id == "before-root"));
    let whole = audit(&read("chain-large.json")).unwrap();
    assert_eq!(report.head, whole.head);
    assert_eq!(report.trusted_keys, whole.trusted_keys);
}
