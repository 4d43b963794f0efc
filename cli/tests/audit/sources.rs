//! The forms of source: each is recognized, and gives the original's head and keys.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::{Files, code, files, found, report, vector, verify};

/// The complete exports of the vectors.
fn exports() -> Vec<String> {
    let names: Vec<String> = files::list("log_json")
        .into_iter()
        .filter_map(|name| name.strip_suffix(".expect.json").map(str::to_owned))
        .collect();
    assert!(!names.is_empty());
    names
}

/// Whether a report says what the original has found.
fn agrees(report: &Value, name: &str) {
    let expect: Value = serde_json::from_slice(&vector(&format!("{name}.expect.json"))).unwrap();
    assert_eq!(report["verdict"], "holds", "{name}: {report:#}");
    assert_eq!(report["head"], expect["head_b32"], "{name}");
    let keys: Vec<_> =
        report["trusted_keys"].as_array().unwrap().iter().map(|k| &k["key"]).collect();
    assert_eq!(
        keys,
        expect["trusted_keys"].as_array().unwrap().iter().collect::<Vec<_>>(),
        "{name}"
    );
    let state = &expect["state"];
    let state_id = format!("{}:{}", state["state_id1"], state["state_id2"]);
    assert_eq!(report["state_id"], state_id, "{name}");
}

#[test]
fn exports_give_the_originals_head_and_keys() {
    let files = Files::new();
    for name in exports() {
        let report = report(&files.export(&format!("{name}.json")));
        agrees(&report, &name);
        assert_eq!(report["source"]["kind"], "log-json");
        assert_eq!(report["source"]["sha256"].as_str().unwrap().len(), 64);
        assert!(!found(&report).contains(&"export.respelled"));
    }
    let cut = report(&files.export("chain-large.limit50.json"));
    let whole = report(&files.export("chain-large.json"));
    assert_eq!((&cut["exit_code"], &cut["verdict"]), (&3.into(), &"undecidable".into()));
    for field in ["head", "trusted_keys", "state_id"] {
        assert_eq!(cut[field], whole[field], "{field}");
    }
    assert!(cut["unchecked"].to_string().contains("before-root"));
}

/// Unpacks a tailscaled's store as the profile `profile`.
fn unpack(name: &str, profiles: &Path, profile: &str) {
    let store = vector(&format!("{name}.tar"));
    tar::Archive::new(store.as_slice()).unpack(profiles).unwrap();
    std::fs::rename(profiles.join(name), profiles.join(profile)).unwrap();
}

#[test]
fn state_directories_give_the_originals_head_and_keys() {
    for name in exports() {
        let files = Files::new();
        let profiles = files.path().join("tka-profiles");
        unpack(&name, &profiles, "7f3a");
        // A profile that was never locked.
        std::fs::create_dir(profiles.join("0000")).unwrap();
        std::fs::write(files.path().join("tailscaled.state"), "{}").unwrap();
        for source in [files.path(), &profiles, &profiles.join("7f3a")] {
            let report = report(source);
            agrees(&report, &name);
            assert_eq!(report["source"]["kind"], "state-dir");
        }
    }
}

#[test]
fn of_several_profiles_one_must_be_named() {
    let files = Files::new();
    let profiles = files.path().join("tka-profiles");
    unpack("chain-small", &profiles, "a1b2");
    unpack("chain-genesis", &profiles, "c3d4");
    let both = report(files.path());
    assert_eq!((&both["exit_code"], &both["source"]["kind"]), (&3.into(), &"state-dir".into()));
    let message = both["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("tka-profiles/a1b2") && message.contains("tka-profiles/c3d4"));
    agrees(&report(&profiles.join("a1b2")), "chain-small");
    agrees(&report(&profiles.join("c3d4")), "chain-genesis");
}

#[test]
fn a_tampered_store_is_noticed() {
    let store = |change: &dyn Fn(&Path)| {
        let files = Files::new();
        unpack("chain-small", files.path(), "1");
        change(&files.path().join("1"));
        report(files.path())
    };
    // Not the newest: that one nobody can miss.
    let document: Value = serde_json::from_slice(&vector("chain-small.json")).unwrap();
    let hash = document["Messages"][5]["Hash"].as_str().unwrap().to_owned();
    let one_file = |dir: &Path| dir.join(&hash[..2]).join(&hash);
    let before = store(&|_| {});
    assert_eq!(before["exit_code"], 0);
    let gone = store(&|dir| std::fs::remove_file(one_file(dir)).unwrap());
    assert_ne!(gone["exit_code"], 0, "{gone:#}");
    let flipped = store(&|dir| {
        let path = one_file(dir);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    });
    assert_eq!(flipped["exit_code"], 1, "{flipped:#}");
    assert!(flipped["findings"][0]["file"].as_str().unwrap().starts_with("1/"));
    let hint = store(&|dir| std::fs::write(dir.join("last_active_ancestor"), b"short").unwrap());
    assert_eq!((&hint["exit_code"], found(&hint)[0]), (&1.into(), "store.damaged"));
    let odd = store(&|dir| {
        let path = one_file(dir);
        std::fs::rename(&path, dir.join("ZZ").join(path.file_name().unwrap())).unwrap_or_else(
            |_| {
                std::fs::create_dir(dir.join("ZZ")).unwrap();
                std::fs::rename(&path, dir.join("ZZ").join(path.file_name().unwrap())).unwrap();
            },
        );
    });
    assert_eq!((&odd["exit_code"], found(&odd)[0]), (&1.into(), "store.damaged"));
}

#[test]
fn a_file_of_aums_is_read_in_any_order() {
    let document: Value = serde_json::from_slice(&vector("chain-small.json")).unwrap();
    let mut aums: Vec<Vec<u8>> = document["Messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| data_encoding::BASE64URL.decode(m["Raw"].as_str().unwrap().as_bytes()).unwrap())
        .collect();
    let files = Files::new();
    let newest_first = report(&files.write("a", &aums.concat()));
    agrees(&newest_first, "chain-small");
    assert_eq!(newest_first["source"]["kind"], "cbor");
    aums.reverse();
    agrees(&report(&files.write("b", &aums.concat())), "chain-small");
    aums.swap(1, 5);
    agrees(&report(&files.write("c", &aums.concat())), "chain-small");
    let last = aums.pop().unwrap();
    let cut = [aums.concat().as_slice(), &last[..last.len() - 1]].concat();
    assert_eq!(report(&files.write("d", &cut))["exit_code"], 1);
}

/// Two thousand AUMs, the most that the original opens, take well under a second: here with what
/// starting a process and a busy machine take.
#[test]
fn two_thousand_aums_are_a_matter_of_an_instant() {
    let chain = files::read("bench/chain2000.hex").expect("the project's own vectors");
    let aums: Vec<ledger::lock::Sealed> = String::from_utf8(chain)
        .unwrap()
        .lines()
        .rev()
        .map(|line| {
            let bytes = data_encoding::HEXLOWER.decode(line.trim().as_bytes()).unwrap();
            ledger::lock::Sealed::decode(&bytes).unwrap()
        })
        .collect();
    assert_eq!(aums.len(), 2000);
    let files = Files::new();
    let export = files.write("export.json", ledger::formats::log_json::write(&aums).as_bytes());
    let run = || {
        let start = Instant::now();
        let output = verify([&export]);
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stdout));
        start.elapsed()
    };
    let best = (0..5).map(|_| run()).min().unwrap();
    println!("2,000 AUMs in {best:?}");
    assert!(best.as_millis() < 1000, "{best:?}");
}
