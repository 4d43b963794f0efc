//! Signing several nodes at once, and checking a disablement secret.

use serde_json::Value;

use crate::harness::{Place, node_key, terminal, tlpub};

fn add(place: &Place, name: &str, byte: u8, more: &str) {
    place.ok(&format!("node add {name} --node-key {} {more}", node_key(byte)));
}

fn signed(place: &Place, name: &str) -> bool {
    place.json(&format!("node show {name} --json"))["signed"].as_bool().unwrap()
}

/// The key that may rotate a node's key, as its signature names it.
fn rotation_key(place: &Place, name: &str) -> Value {
    let status = place.json("lock status --json");
    let peers = status["VisiblePeers"].as_array().unwrap();
    let peer = peers.iter().find(|peer| peer["DNSName"] == name).unwrap();
    peer["NodeKeySignature"]["WrappingPublicKey"].clone()
}

#[test]
fn each_of_several_node_keys_has_its_own_outcome() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    for (name, byte) in [("a", 1), ("b", 2), ("c", 3)] {
        add(&place, name, byte, "");
    }
    // Silent, as for a single one.
    let (one, two, three) = (node_key(1), node_key(2), node_key(3));
    assert_eq!(place.ok(&format!("lock sign {one} {} {two}", tlpub(7))), "");
    assert!(signed(&place, "a") && signed(&place, "b"));
    assert_eq!(rotation_key(&place, "a"), tlpub(7));
    assert_eq!(rotation_key(&place, "b"), Value::Null);

    // One of them is nobody's.
    let words = format!("lock sign {} {three} --request-id some", node_key(9));
    let stderr = place.run(&words).fails(1);
    assert!(stderr.contains(&format!("not signed: {}: signing failed: unknown", node_key(9))));
    assert!(stderr.contains(&format!("signed: {three}\n")), "{stderr}");
    assert!(stderr.contains("\n1 of 2 node keys were signed\n"), "{stderr}");
    assert!(signed(&place, "c"));
    // The printed command signs what is left, and nothing twice.
    add(&place, "i", 9, "");
    let before = place.records("").len();
    let line = stderr.lines().find_map(|line| line.strip_prefix('\t')).unwrap();
    place.shell(line).ok();
    assert!(signed(&place, "i"));
    assert_eq!(place.records("").len(), before + 1);

    let ran = place.run(&format!("lock sign {one} {} --json", node_key(8)));
    assert_eq!(ran.code, 1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["outcome"], "refused");
    assert_eq!(document["nodes"][0]["outcome"], "applied");
    assert_eq!(document["nodes"][1]["outcome"], "refused");
    assert_eq!(document["nodes"][1]["node_key"], node_key(8));

    // A mistake anywhere is found before anything is signed.
    let before = place.records("").len();
    for (words, what) in [
        (format!("lock sign {one} {one}"), "node key 2 is the same as node key 1"),
        (format!("lock sign {one} {two} x"), "decoding rotation-key 2: "),
        (format!("lock sign {one} {} x", tlpub(7)), "decoding node-key 2: "),
        (format!("lock sign {one} file:missing"), "reading missing: "),
        (format!("lock sign {one} {two} tlpub:{}", "0".repeat(64)), "anybody could sign"),
    ] {
        let stderr = place.run(&words).fails(1);
        assert!(stderr.contains(what), "{words}: {stderr}");
    }
    assert_eq!(place.records("").len(), before);
}

#[test]
fn who_is_locked_out_is_shown_before_it_is_signed() {
    let place = Place::new();
    let _daemon = place.start();
    let off = place.run("lock sign --locked-out").fails(1);
    assert!(off.starts_with("tailnet lock is not enabled\n"), "{off}");
    place.init("");
    assert_eq!(place.ok("lock sign --locked-out"), "No node is locked out.\n");
    add(&place, "a", 1, &format!("--lock-key {}", tlpub(7)));
    add(&place, "b", 2, "");
    let plan = place.ok("lock sign --locked-out");
    assert!(plan.contains(&format!("{}\t{}\tlocked out: nobody has", node_key(1), tlpub(7))));
    assert!(plan.contains(&format!("{}\tno rotation key\t", node_key(2))), "{plan}");
    assert!(!signed(&place, "a") && !signed(&place, "b"));
    // On a terminal it is asked, and only a yes is one.
    for answer in ["\n", "n\n", "maybe\n"] {
        let mut command = place.command();
        let asked = terminal(command.args(["lock", "sign", "--locked-out"]), answer);
        let lines: Vec<&str> = plan.lines().take(3).collect();
        assert_eq!(asked, (0, format!("{}\nSign all of them? [y/N] ", lines.join("\n"))));
    }
    assert!(!signed(&place, "a") && !signed(&place, "b"));
    // Whoever joins after that was not shown, and is not signed by the printed command.
    add(&place, "late", 3, "");
    place.shell(plan.lines().last().unwrap().trim_start()).ok();
    assert!(signed(&place, "a") && signed(&place, "b") && !signed(&place, "late"));
    assert_eq!(rotation_key(&place, "a"), tlpub(7));

    let mut command = place.command();
    let (code, _) = terminal(command.args(["lock", "sign", "--locked-out"]), "y\n");
    assert!(code == 0 && signed(&place, "late"));
    add(&place, "last", 4, "");
    let document = place.json("lock sign --locked-out --confirm --json");
    assert_eq!(document["outcome"], "applied");
    assert!(signed(&place, "last"));
    place.run(&format!("lock sign --locked-out {}", node_key(1))).fails(2);
    place.run(&format!("lock sign --confirm {}", node_key(1))).fails(2);
}

#[test]
fn a_secret_is_checked_without_being_spent() {
    let place = Place::new();
    let _daemon = place.start();
    let secret = place.init("");
    let before = place.records("").len();
    let right = "The secret is right: it would disable tailnet lock. Nothing was changed.\n";
    assert_eq!(place.ok(&format!("lock disable --check {secret}")), right);
    place.write("secret", format!("{secret}\r\n"));
    assert_eq!(place.ok("lock disable --check file:secret"), right);
    assert_eq!(place.run_with(&secret, "lock disable --check -").ok(), right);
    assert_eq!(place.json(&format!("lock disable --check --json {secret}"))["valid"], true);

    let wrong = format!("disablement-secret:{}", "AB".repeat(32));
    let stderr = place.run(&format!("lock disable --check {wrong}")).fails(1);
    assert!(stderr.starts_with("incorrect disablement secret\n"), "{stderr}");
    let ran = place.run(&format!("lock disable --check --json {wrong}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "{\n  \"valid\": false\n}\n"));
    let value = format!("disablement:{}", "ab".repeat(32));
    let stderr = place.run(&format!("lock disable --check {value}")).fails(1);
    assert!(stderr.contains("this is a disablement value"), "{stderr}");
    assert_eq!(place.records("").len(), before);
    assert_eq!(place.run_with(&secret, "lock disable -").code, 0);
    let stderr = place.run(&format!("lock disable --check {secret}")).fails(1);
    assert!(stderr.contains("tailnet-lock is not active"), "{stderr}");
}
