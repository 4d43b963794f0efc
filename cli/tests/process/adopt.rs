//! `lockstep adopt SOURCE`: a lock that exists already becomes this ledger's, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Place, Proxy, Tailscaled, node_key, recorded, terminal, tlpub, vector};

/// What the original found of one of its exports.
fn expected(name: &str) -> Value {
    serde_json::from_slice(&vector(&format!("log_json/{name}.expect.json"))).unwrap()
}

fn export(place: &Place, name: &str) -> PathBuf {
    place.write(&format!("{name}.json"), vector(&format!("log_json/{name}.json")))
}

/// A tailscaled's state directory, as the profile of somebody.
fn state_dir(place: &Place, name: &str) -> PathBuf {
    let profiles = place.file("state/tka-profiles");
    fs::create_dir_all(&profiles).unwrap();
    let store = vector(&format!("log_json/{name}.tar"));
    tar::Archive::new(store.as_slice()).unpack(&profiles).unwrap();
    fs::rename(profiles.join(name), profiles.join("a1b2")).unwrap();
    place.file("state")
}

/// 2,000 AUMs, one after the other in a file.
fn long(place: &Place) -> PathBuf {
    let text = String::from_utf8(vector("bench/chain2000.hex")).unwrap();
    let aums = text.lines().map(|line| data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap());
    place.write("long.cbor", aums.flatten().collect::<Vec<u8>>())
}

fn adopt(source: &Path, more: &str) -> String {
    format!("adopt {} {more}", source.display())
}

/// Whether the daemon's lock is what the original has found.
fn agrees(place: &Place, name: &str) {
    let expect = expected(name);
    let log = place.ok("lock log --json --limit 100000");
    let log: Value = serde_json::from_str(&log).unwrap();
    let messages = log["Messages"].as_array().unwrap();
    assert_eq!(messages[0]["Hash"], expect["head_b32"], "{name}");
    assert_eq!(messages.len() as u64, expect["aums_in_log"].as_u64().unwrap(), "{name}");
    let status = place.json("lock status --json");
    let keys: Vec<_> =
        status["TrustedKeys"].as_array().unwrap().iter().map(|key| &key["Public"]).collect();
    let theirs = expect["trusted_keys"].as_array().unwrap();
    assert_eq!(keys, theirs.iter().collect::<Vec<_>>(), "{name}");
    let audit = place.run(&format!("audit verify {}", place.socket().display()));
    assert_eq!(audit.code, 0, "{audit:?}");
}

#[test]
fn an_export_is_shown_and_then_adopted() {
    let place = Place::new();
    let _daemon = place.start();
    let source = export(&place, "chain-small");
    let expect = expected("chain-small");

    // Without --confirm nothing happens but that the plan is shown.
    let shown = place.ok(&adopt(&source, ""));
    let head = expect["head_b32"].as_str().unwrap();
    for text in [
        "the genesis",
        head,
        "other branches cannot be seen in this source",
        "nothing from outside",
        "please re-run this command with the --confirm flag:\n\tlockstep adopt --confirm ",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    let (code, text) = terminal(place.command().args(adopt(&source, "").split_whitespace()), "n\n");
    assert!(code == 0 && text.ends_with("Adopt this lock? [y/N] "), "{text}");
    assert_eq!(place.json("lock status --json")["Enabled"], false);

    // The line that was shown does it.
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix('\t').filter(|l| l.starts_with("lockstep adopt")));
    let done = place.shell(line.unwrap()).ok();
    assert!(done.contains("Adopted as epoch 1 (record "), "{done}");
    assert!(done.contains("is not trusted by the lock: it signs nothing"), "{done}");
    agrees(&place, "chain-small");

    // Again the same: nothing is done twice.
    let before = place.records("").len();
    let again = place.run(&adopt(&source, "--confirm"));
    assert!(again.stderr.contains("nothing was done twice"), "{again:?}");
    again.ok();
    assert_eq!(place.records("").len(), before);
    // Another lock is refused while this one is on.
    let other = place.run(&adopt(&export(&place, "chain-linear"), "--confirm")).fails(1);
    assert!(other.starts_with("tailnet lock is already enabled here\n"), "{other}");

    // Whoever is not trusted by it is told so.
    let add = place.run(&format!("lock add {}", tlpub(9))).fails(1);
    assert!(add.contains("does not have a trusted tailnet lock key"), "{add}");
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    let sign = place.run(&format!("lock sign {}", node_key(1))).fails(1);
    assert!(sign.contains("not trusted by Tailnet Lock"), "{sign}");
    let end = place.run("adopt --end").fails(1);
    assert!(end.starts_with("no lock that exists elsewhere is being adopted or followed"), "{end}");
}

#[test]
fn a_state_directory_brings_its_losing_branches() {
    let place = Place::new();
    let daemon = place.start();
    let source = state_dir(&place, "chain-large");
    let shown = place.ok(&adopt(&source, ""));
    assert!(shown.contains("218, 215 of them on the active branch;"), "{shown}");
    assert!(shown.contains("lost"), "{shown}");
    let words = adopt(&source, "--confirm --json --request-id from-state");
    let done: Value = serde_json::from_str(&place.ok(&words)).unwrap();
    assert_eq!((&done["outcome"], &done["aums"]), (&"applied".into(), &218.into()));
    agrees(&place, "chain-large");
    let again: Value = serde_json::from_str(&place.ok(&words)).unwrap();
    for field in ["outcome", "epoch", "head", "record_index"] {
        assert_eq!(again[field], done[field], "{field}");
    }
    // The same after a restart, and the records alone give it.
    daemon.kill();
    let _daemon = place.start();
    agrees(&place, "chain-large");
    let audit = place.run(&format!("audit verify {} --json", place.data().display()));
    let report: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["aums"]), (&"holds".into(), &218.into()), "{report:#}");
    let found = report["findings"].to_string();
    assert!(found.contains("fork.resolved"), "{found}");
}

#[test]
fn what_is_not_whole_is_refused_with_the_reason() {
    let place = Place::new();
    let _daemon = place.start();
    let refused = |words: &str| place.run(words).fails(1);
    let cut = export(&place, "chain-large.limit50");
    let why = refused(&adopt(&cut, "--confirm"));
    assert!(why.contains("cannot be adopted: ") && why.contains("before any known state"), "{why}");
    assert!(why.contains("--limit 100000"), "{why}");
    let text = String::from_utf8(vector("log_json/chain-small.json")).unwrap();
    let broken = place.write("broken.json", text.replacen("\"Votes\": 1", "\"Votes\": 2", 1));
    assert!(refused(&adopt(&broken, "--confirm")).contains("cannot be adopted: "));
    let source = export(&place, "chain-small");
    let named = refused(&adopt(&source, &format!("--confirm --genesis {}", "A".repeat(52))));
    assert!(named.contains("--genesis names "), "{named}");
    let socket = refused(&format!("adopt {} --confirm", place.socket().display()));
    assert!(socket.contains("is a socket") && socket.contains("--follow"), "{socket}");
    let own = refused(&format!("adopt {} --confirm", place.data().display()));
    assert!(own.contains("data directory"), "{own}");
    assert!(refused("adopt nothing.json --confirm").contains("No such file"));
    assert_eq!(place.run("adopt").code, 2);
    assert_eq!(place.run("adopt --end export.json").code, 2);
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    // Nothing of all that was recorded.
    assert!(place.records("").iter().all(|record| record["kind"] != "adoption-begun"));
    // With a name from elsewhere it is said what vouches for it.
    let head = expected("chain-small")["head_b32"].as_str().unwrap().to_owned();
    let shown = place.ok(&adopt(&source, &format!("--head {head}")));
    assert!(shown.contains("which you named with --head"), "{shown}");
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_in_force_and_is_resumed() {
    let place = Place::new();
    let daemon = place.start();
    let source = long(&place);
    // The connection of the second page breaks.
    let between = place.file("between.sock");
    let mut pages = 0;
    Proxy::start(&between, &place.socket(), move |exchange| {
        pages += usize::from(exchange.posts("lockstep/adoption/aums"));
        if pages < 2 {
            exchange.pass();
        }
    });
    let words = adopt(&source, "--confirm --request-id long");
    let cut = place.run(&format!("{words} --socket {}", between.display()));
    assert_eq!(cut.code, 4, "{cut:?}");
    daemon.kill();

    let daemon = place.start();
    let status = place.run("lock status");
    assert!(status.stdout.starts_with("Tailnet lock is NOT enabled."), "{status:?}");
    assert!(status.stderr.contains("1025 of 2000 AUMs are on record"), "{status:?}");
    let init = place.run(&format!("lock init --confirm {}", place.own_key()));
    assert!(init.code == 1 && init.stderr.contains("is being adopted as epoch 1"), "{init:?}");
    let other = place.run(&adopt(&export(&place, "chain-small"), "--confirm")).fails(1);
    assert!(other.starts_with("another adoption is under way"), "{other}");
    place.ok(&words);
    let log: Value = serde_json::from_str(&place.ok("lock log --json --limit 100000")).unwrap();
    assert_eq!(log["Messages"].as_array().unwrap().len(), 2000);
    let adopted = place.records("").iter().filter(|r| r["kind"] == "aums-adopted").count();
    assert_eq!(adopted, 2);
    daemon.kill();
    let _daemon = place.start();
    assert_eq!(place.json("lock status --json")["Enabled"], true);
}

#[test]
fn an_adoption_can_be_given_up() {
    let place = Place::new();
    let _daemon = place.start();
    let source = long(&place);
    let between = place.file("between.sock");
    Proxy::start(&between, &place.socket(), |exchange| {
        if !exchange.posts("lockstep/adoption/aums") {
            exchange.pass();
        }
    });
    let words = adopt(&source, "--confirm");
    assert_eq!(place.run(&format!("{words} --socket {}", between.display())).code, 4);
    let ended = place.ok("adopt --end");
    assert!(ended.starts_with("The adoption was given up"), "{ended}");
    place.ok(&adopt(&export(&place, "chain-linear"), "--confirm"));
    agrees(&place, "chain-linear");
}

#[test]
fn it_is_refused_before_its_plan_while_the_lock_is_set_aside() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    place.ok("lock local-disable");
    for more in ["", "--confirm"] {
        let ran = place.run(&adopt(&export(&place, "chain-linear"), more));
        assert_eq!(ran.stdout, "");
        let stderr = ran.fails(1);
        assert!(stderr.starts_with("tailnet lock is on, but set aside on this node"), "{stderr}");
    }
}

#[test]
fn the_status_brings_nodes_and_says_who_is_out() {
    let place = Place::new();
    let _daemon = place.start();
    let source = place.write("revoked.json", recorded("revoked.export"));
    let raw = place.write("raw.json", recorded("revoked.status"));
    // The same in the schema of the current command line.
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    theirs.show("revoked");
    let document = place.ok(&format!("--socket {} lock status --json", theirs.socket.display()));
    let document = place.write("document.json", document);
    let machine = r#"{"BackendState": "Running", "Self": {"PublicKey": "nodekey:b5e2b9b6e9f1ca02391a2f92a4a5c268c8fe1c118ae1d22b72dc41deea0e551a", "HostName": "Bob's Laptop", "DNSName": ""}}"#;
    let machine = place.write("machine.json", machine);
    let off = place.write("off.json", r#"{"Enabled": false}"#);
    let words = |status: &Path| {
        adopt(
            &source,
            &format!(
                "--confirm --json --status {} --status {}",
                status.display(),
                machine.display()
            ),
        )
    };
    let refused = place.run(&adopt(&source, &format!("--confirm --status {}", off.display())));
    assert!(refused.fails(1).contains("tailnet lock is not enabled there"));

    let mut brought = Vec::new();
    for status in [&raw, &document] {
        let done: Value = serde_json::from_str(&place.ok(&words(status))).unwrap();
        let node = |node: &Value| {
            (node["name"].as_str().unwrap().to_owned(), node["locked_out"].is_null())
        };
        let mut nodes: Vec<_> = done["nodes"].as_array().unwrap().iter().map(node).collect();
        nodes.sort();
        brought.push(nodes);
    }
    let node = |name: &str, admitted| (name.to_owned(), admitted);
    let nodes = [
        node("bob-s-laptop", true),
        node("node2", true),
        node("node3", true),
        node("node4", true),
        node("node5", false),
    ];
    // The second has brought the same nodes, and changed nothing.
    assert_eq!(brought, [nodes.clone(), nodes]);
    for node in place.json("node list --json").as_array().unwrap() {
        let own = node["name"] == "signer";
        assert_eq!(node["signed"], !own && node["name"] != "node5", "{node}");
    }
    let told = place.ok(&adopt(&source, &format!("--confirm --status {}", raw.display())));
    assert!(told.contains("Nodes: 4 in, 1 locked out.\n\tlocked out: node5\tnodekey:"), "{told}");
}
