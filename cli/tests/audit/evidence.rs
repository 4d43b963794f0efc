//! Evidence, questions and reports on the command line, over the sample story.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{Files, code, found, json, lockstep};

/// Runs `audit` with these words.
fn audit(words: &[&str]) -> Output {
    lockstep().arg("audit").args(words).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The sample story, in a directory of its own.
struct Story {
    files: Files,
}

impl Story {
    fn new() -> Self {
        let files = Files::new();
        let dir = files.path().join("story");
        let output = audit(&["demo", "stolen-key", dir.to_str().unwrap()]);
        assert_eq!(code(&output), 0, "{output:?}");
        Story { files }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn bundle(&self) -> String {
        self.path("story/history.tar")
    }

    fn write(&self, name: &str, text: &str) -> String {
        self.files.write(name, text.as_bytes()).to_str().unwrap().to_owned()
    }

    /// The report on the bundle with these flags, and its exit code.
    fn verify(&self, flags: &[&str]) -> (Value, i32) {
        let bundle = self.bundle();
        let output = audit(&[&["verify", "--json", &bundle], flags].concat());
        let report = json(&output);
        assert_eq!(report["exit_code"], code(&output));
        (report, code(&output))
    }
}

#[test]
fn keys_from_elsewhere_say_whose_history_it_is() {
    let story = Story::new();
    let keys = stdout(&audit(&["vkeys", &story.bundle()]));
    let key = keys.lines().next().unwrap();
    assert_eq!(story.verify(&["--require-anchor"]).1, 3);
    let (report, exit) = story.verify(&["--require-anchor", "--vkey", key]);
    assert_eq!((exit, &report["anchor"]["kind"]), (0, &"checkpoint".into()), "{report:#}");
    assert_eq!(report["source"]["kind"], "bundle");
    assert_eq!(report["checkpoint"]["signers"][0], key);
    let origin = report["origin"].as_str().unwrap();
    assert!(key.starts_with(origin));
    // The same key under the name of another ledger.
    let other = "lockstep/other+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(code(&audit(&["verify", "--vkey", other, &story.bundle()])), 2);
    assert_eq!(code(&audit(&["verify", "--vkey", "nonsense", &story.bundle()])), 2);
}

#[test]
fn a_bundle_is_exported_again_and_never_overwritten() {
    let story = Story::new();
    let (again, early) = (story.path("again.tar"), story.path("early.tar"));
    let served = story.path("served");
    let bundle = story.bundle();
    let output = audit(&["export", &again, &bundle, "--tiles", &served]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&bundle).unwrap());
    assert!(Path::new(&served).join("checkpoint").is_file());
    assert_eq!(code(&audit(&["export", &again, &bundle])), 3);
    let output = audit(&["export", &early, &bundle, "--at", "5"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no checkpoint in it"));
    let report = json(&audit(&["verify", "--json", &early]));
    assert_eq!((&report["exit_code"], &report["size"]), (&0.into(), &5.into()));
    assert_eq!(code(&audit(&["export", &story.path("b.tar"), &bundle, "--at", "999"])), 3);
    assert!(!Path::new(&story.path("b.tar")).exists());
    // An export of AUMs has no records.
    let export = story.files.export("chain-small.json");
    assert_eq!(code(&audit(&["export", &story.path("c.tar"), export.to_str().unwrap()])), 3);
}

#[test]
fn proofs_travel() {
    let story = Story::new();
    let bundle = story.bundle();
    let key = stdout(&audit(&["vkeys", &bundle])).trim().to_owned();
    let proof = stdout(&audit(&["prove", "7", &bundle]));
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "));
    let path = story.write("record.tlog-proof", &proof);
    let checked = audit(&["check-proof", "--json", "--vkey", &key, &path]);
    assert_eq!(code(&checked), 0, "{checked:?}");
    assert_eq!(json(&checked)["record"]["index"], 7);
    assert_eq!(code(&audit(&["check-proof", &path])), 3);
    assert_eq!(code(&audit(&["check-proof", &path, &bundle])), 0);
    let altered = story.write("altered", &proof.replace("index 7", "index 6"));
    assert_eq!(code(&audit(&["check-proof", "--vkey", &key, &altered])), 1);
    let growth = story.write("growth", &stdout(&audit(&["prove", "--from", "5", &bundle])));
    assert_eq!(code(&audit(&["check-proof", "--vkey", &key, &growth])), 3);
    assert_eq!(code(&audit(&["check-proof", &growth, &bundle])), 0);
    assert_eq!(code(&audit(&["prove", "99", &bundle])), 3);
    assert_eq!(code(&audit(&["prove", &bundle])), 2);
    assert_eq!(code(&audit(&["prove", "x", &bundle])), 2);
    // Without a signed checkpoint there is nothing to prove from, and one of more records than
    // there are is no help.
    let early = story.path("early.tar");
    audit(&["export", &early, &bundle, "--at", "9", "--progress"]);
    assert_eq!(code(&audit(&["prove", "3", &early])), 3);
    audit(&["export", &story.path("x.tar"), &bundle, "--tiles", &story.path("served")]);
    let checkpoint = story.path("served/checkpoint");
    assert_eq!(code(&audit(&["prove", "3", &early, "--checkpoint", &checkpoint])), 3);
    assert_eq!(code(&audit(&["prove", "3", &bundle, "--checkpoint", &checkpoint])), 0);
}

#[test]
fn the_end_of_a_history_is_remembered() {
    let story = Story::new();
    let bundle = story.bundle();
    let early = story.path("early.tar");
    audit(&["export", &early, &bundle, "--at", "9"]);
    let memory = story.path("memory");
    let run = |source: &str| audit(&["verify", "--json", "--resume", &memory, source]);
    assert_eq!(code(&run(&early)), 0);
    let first = std::fs::read_to_string(&memory).unwrap();
    assert_eq!(first.lines().nth(1), Some("9"));
    let later = run(&bundle);
    assert_eq!(code(&later), 0);
    assert!(json(&later)["resumed_from"].as_str().unwrap().contains("at 9 records"));
    assert_ne!(std::fs::read_to_string(&memory).unwrap(), first);
    // What ends sooner now is not remembered.
    let back = run(&early);
    assert_eq!(code(&back), 3);
    assert!(found(&json(&back)).contains(&"head.stale"));
    story.write("memory", &first.replacen("lockstep/", "lockstep/A", 1));
    assert_eq!(code(&run(&bundle)), 5);
    story.write("memory", "nonsense");
    assert_eq!(code(&run(&bundle)), 2);
}

#[test]
fn policies_and_acceptances_are_read_strictly() {
    let story = Story::new();
    let strict = story.write("strict.toml", "[changes]\ntwo-persons = true\n");
    let (report, exit) = story.verify(&["--policy", &strict]);
    assert_eq!((exit, &report["verdict"]), (4, &"holds".into()));
    assert!(found(&report).contains(&"policy.two-persons"));
    let findings = report["findings"].as_array().unwrap();
    let accept: String = findings
        .iter()
        .filter(|finding| finding["id"] == "policy.two-persons")
        .map(|finding| {
            let fingerprint = finding["fingerprint"].as_str().unwrap();
            format!(
                "[[accept]]\nfingerprint = '{fingerprint}'\nreason = 'a demo'\nexpires = 2999-12-31\n"
            )
        })
        .collect();
    let accept = story.write("accept.toml", &accept);
    let (report, exit) = story.verify(&["--policy", &strict, "--accept", &accept]);
    assert_eq!(exit, 0);
    assert!(!report["accepted"].as_array().unwrap().is_empty());
    let unknown = story.write("unknown.toml", "[changes]\ntwo-person = true\n");
    for flags in [["--policy", &unknown], ["--accept", &unknown], ["--policy", "/nowhere"]] {
        let output = audit(&["verify", flags[0], flags[1], &story.bundle()]);
        assert_eq!(code(&output), 2, "{flags:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn reports_are_written_beside_the_verdict() {
    let story = Story::new();
    let (sarif, html) = (story.path("report.sarif"), story.path("report.html"));
    let (report, _) = story.verify(&["--sarif", &sarif, "--html", &html]);
    let sarif: Value = serde_json::from_slice(&std::fs::read(&sarif).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), report["findings"].as_array().unwrap().len());
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.contains("default-src 'none'") && html.contains("What happened"));
    for finding in report["findings"].as_array().unwrap() {
        let id = format!("id=\"finding-{}\"", finding["fingerprint"].as_str().unwrap());
        assert!(html.contains(&id), "{id}");
    }
    let page = std::fs::read_to_string(story.path("story/report.html")).unwrap();
    assert!(page.contains("stolen on the train"));
}

#[test]
fn questions_end_with_the_verdicts_code() {
    let story = Story::new();
    let bundle = story.bundle();
    let log = json(&audit(&["log", "--json", &bundle]));
    assert_eq!(log["schema"], "lockstep.audit.log/1");
    let entries = log["entries"].as_array().unwrap();
    let stolen = entries.iter().find(|entry| entry["locked_out"].to_string().contains("printer"));
    assert!(stolen.is_some());
    for words in [
        &["show", "4", &bundle][..],
        &["state", &bundle],
        &["state", "--at", "2026-03-10", &bundle],
        &["state", "--at", "2026-03-23T05:00Z", &bundle],
        &["node", "printer", &bundle],
        &["forks", &bundle],
        &["diff", "4", "20", &bundle],
        &["log", "--since", "2026-03-23", "--kind", "aums-added", &bundle],
    ] {
        let output = audit(words);
        assert_eq!(code(&output), 0, "{words:?}: {output:?}");
        let text = stdout(&output);
        for line in text.lines() {
            let one_word = line.split_whitespace().count() <= 2;
            assert!(line.chars().count() <= 80 || one_word, "{words:?}: {line:?}");
        }
        let with_json = audit(&[words, &["--json"]].concat());
        assert_eq!(json(&with_json)["exit_code"], 0, "{words:?}");
    }
    let keys = json(&audit(&["state", "--json", "--at", "9", &bundle]));
    let keys = keys["trusted_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 4, "the thief's is among them");
    let thief = keys[3]["key"].as_str().unwrap();
    let life = json(&audit(&["key", thief, &bundle, "--json"]));
    assert_eq!(life["trusted"], false);
    // What is not there.
    for words in [
        &["show", "99", &bundle][..],
        &["node", "nobody", &bundle],
        &["state", "--at", "1999-01-01", &bundle],
    ] {
        assert_ne!(code(&audit(words)), 0, "{words:?}");
    }
    assert_eq!(code(&audit(&["show", "what?", &bundle])), 2);
    assert_eq!(code(&audit(&["key", "nlpriv:00", &bundle])), 2);
    assert_eq!(code(&audit(&["log", "--since", "soon", &bundle])), 2);
    assert_eq!(code(&audit(&["demo", "other-story", "x"])), 2);
    // A history that cannot be decided says so with its answer.
    let cut = story.files.export("chain-large.limit50.json");
    let output = audit(&["log", cut.to_str().unwrap()]);
    assert_eq!(code(&output), 3);
    assert!(!output.stdout.is_empty() && !output.stderr.is_empty());
    let nowhere = audit(&["log", "/nowhere"]);
    assert_eq!(code(&nowhere), 3);
    assert!(nowhere.stdout.is_empty());
}

#[test]
fn replicas_are_compared() {
    let story = Story::new();
    let early = story.path("early.tar");
    audit(&["export", &early, &story.bundle(), "--at", "9"]);
    assert_eq!(story.verify(&["--replica", &early, "--replica", &story.bundle()]).1, 0);
    let export: PathBuf = story.files.export("chain-small.json");
    let words: [OsString; 4] =
        ["verify".into(), "--replica".into(), export.into(), story.bundle().into()];
    let output = lockstep().arg("audit").args(words).output().unwrap();
    assert_eq!(code(&output), 3);
}

/// Runs `audit watch --once` and gives the alerts and the exit code.
fn look(words: &[&str]) -> (Vec<Value>, i32) {
    let output = audit(&[&["watch", "--once", "--json"], words].concat());
    let text = stdout(&output);
    let alerts = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (alerts, code(&output))
}

#[test]
fn a_watch_tells_each_thing_once_and_goes_on_where_it_stopped() {
    let story = Story::new();
    let (watched, memory) = (story.path("watched.tar"), story.path("memory.json"));
    let (metrics, heard) = (story.path("metrics"), story.path("heard"));
    let listener = story.write("listener.sh", &format!("#!/bin/sh\ncat >> '{heard}'\n"));
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&listener, runs).unwrap();
    let words = ["--resume", &memory, "--metrics", &metrics, "--exec", &listener, &watched];
    audit(&["export", &watched, &story.bundle(), "--at", "9"]);
    let (alerts, exit) = look(&words);
    assert_eq!(exit, 4);
    assert!(alerts.iter().any(|alert| alert["id"] == "head.unsigned"), "{alerts:?}");
    assert_eq!(look(&words), (Vec::new(), 0), "nothing is new");
    // The theft and what came of it.
    std::fs::copy(story.bundle(), &watched).unwrap();
    let (alerts, exit) = look(&words);
    assert_eq!(exit, 4);
    let told: Vec<_> = alerts.iter().map(|alert| alert["id"].as_str().unwrap()).collect();
    assert!(told.contains(&"revocation.won") && told.contains(&"node.locked-out"), "{told:?}");
    let figures = std::fs::read_to_string(&metrics).unwrap();
    assert!(figures.contains("lockstep_audit_records 21\n"), "{figures}");
    assert!(figures.contains("lockstep_audit_verdict{verdict=\"holds\"} 1\n"));
    assert!(std::fs::read_to_string(&heard).unwrap().contains("revocation.won"));
    // The end is gone again.
    std::fs::remove_file(&watched).unwrap();
    audit(&["export", &watched, &story.bundle(), "--at", "9"]);
    let (alerts, exit) = look(&words);
    assert_eq!(exit, 3);
    assert!(alerts.iter().any(|alert| alert["id"] == "head.stale"), "{alerts:?}");
    std::fs::remove_file(&watched).unwrap();
    let (alerts, exit) = look(&words);
    assert_eq!((exit, &alerts[0]["id"]), (3, &"source.unreadable".into()));
}

#[test]
fn silence_is_told_once() {
    let story = Story::new();
    let memory = story.path("memory.json");
    let bundle = story.bundle();
    let words = ["--resume", &memory, "--silence", "90d", &bundle];
    assert!(look(&words).0.iter().all(|alert| alert["event"] == "finding"));
    // The last change was long ago.
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&memory).unwrap()).unwrap();
    kept["changed_ms"] = 1.into();
    story.write("memory.json", &kept.to_string());
    let (alerts, exit) = look(&words);
    assert_eq!((exit, alerts.len(), &alerts[0]["event"]), (4, 1, &"silence".into()));
    assert_eq!(look(&words), (Vec::new(), 0));
    let text = stdout(&audit(&["watch", "--once", &bundle]));
    assert!(text.lines().any(|line| line.contains("note revocation.won: ")), "{text}");
    assert_eq!(code(&audit(&["watch", "--once", "--silence", "soon", &bundle])), 2);
    story.write("memory.json", "{}");
    assert_eq!(code(&audit(&["watch", "--once", "--resume", &memory, &bundle])), 2);
}
