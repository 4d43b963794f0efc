//! Every command has a help text with an example, and every example works as it stands there.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Daemon, LOCKSTEP, Place, Tailscaled, node_key, tlpub};

/// A command, such as `lock init`, and its help text.
struct Helped {
    path: String,
    text: String,
}

/// The command at `path` and all below it, as the help texts list them.
fn all_below(place: &Place, path: &str, out: &mut Vec<Helped>) {
    let text = place.ok(&format!("{path} --help"));
    let listed = text.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let names: Vec<String> = listed
        .lines()
        .take_while(|line| !line.is_empty())
        // A description that goes on in the next line stands further to the right.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    for name in names {
        all_below(place, format!("{path} {name}").trim_start(), out);
    }
    out.push(Helped { path: path.to_owned(), text });
}

/// The lines below `Example:` or `Examples:`.
fn examples(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("\nExample") else { return Vec::new() };
    let lines = rest.lines().skip(1).take_while(|line| line.starts_with("  "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What an example needs that cannot be had here: these are only read. Whatever else they come to,
/// it is not a usage error.
const ONLY_READ: &[&str] = &[
    // A passphrase, which is asked for on a terminal.
    "--seal",
    "key seal",
    // A credential of the service manager.
    "credential:",
    // A revocation that others have begun.
    "MZXW6YTBOI",
    "file:blob.hex",
    // A group of which most is lost.
    "cluster recover",
    // What was signed on another machine.
    "lock submit",
    // Its exit code says that there is something new.
    "audit watch",
    "key sign",
    // Other members of the group, and somebody who waits to be one.
    "cluster approve",
    "cluster promote",
    "cluster demote",
    "cluster remove",
];

/// Puts things so that an example of this command can do what it says; returns what stands in
/// the places of the example's own words.
fn prepared(
    place: &Place,
    theirs: &Tailscaled,
    path: &str,
    example: &str,
) -> Vec<(&'static str, String)> {
    // An example may have set the lock aside on this machine, or taken in somebody else's.
    place.run("lock local-enable");
    place.run("adopt --end");
    place.run(&format!("lock disable disablement-secret:{}", "a5".repeat(32)));
    let on = place.json("lock status --json")["Enabled"].as_bool().unwrap();
    match path {
        "lock init" | "adopt" if on => drop(place.ok("lock disable file:secret.txt")),
        "lock init" | "adopt" => {}
        _ if !on => drop(place.write("secret.txt", place.init(""))),
        _ => {}
    }
    if path == "adopt" {
        // A lock that has not been here before.
        let id = 1000 + place.records("").len() as u64;
        let genesis = ledger::testing::genesis(id, &[(&ledger::testing::key(20), 1)]);
        place.write("export.json", genesis.bytes());
        place.write("status.json", r#"{"Enabled": true}"#);
        theirs.show_aums(&[&genesis]);
        if example.contains("--end") {
            let socket = theirs.socket.display();
            place.ok(&format!("adopt --follow {socket} --once --confirm"));
        }
    }
    if path == "lock local-enable" {
        place.ok("lock local-disable");
    }
    if path.starts_with("audit ") {
        // Evidence with a signed checkpoint, and a proof from it.
        let _ = fs::remove_file(place.file("evidence.tar"));
        if path != "audit export" {
            place.ok("audit demo stolen-key story");
            fs::copy(place.file("story/history.tar"), place.file("evidence.tar")).unwrap();
            place.write("record.tlog-proof", place.ok("audit prove 7 evidence.tar"));
        }
    }
    // An example that makes something finds it absent, one that uses something present.
    for file in ["request.json", "offline.key"] {
        let _ = fs::remove_file(place.file(file));
    }
    for name in ["laptop", "tv"] {
        place.run(&format!("node remove {name}"));
    }
    if path != "node add" {
        place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    }
    if path == "node rotate" {
        place.ok(&format!("lock sign {} {}", node_key(1), tlpub(7)));
    }
    for seed in [2, 3] {
        place.run(&format!("lock remove {}", tlpub(seed)));
    }
    let mut second = tlpub(2);
    if path != "lock init" && !example.contains("key generate") {
        let generated = place.ok("key generate offline.key").trim_end().to_owned();
        if example.contains("--key") {
            place.ok(&format!("lock add {generated}"));
            second = generated;
        }
        if path == "lock remove" {
            place.ok(&format!("lock add {}", tlpub(3)));
        }
    }
    if example.contains("--auth-key") {
        let plain = place.ok("authkey create");
        place.write("auth.key", place.ok(&format!("lock sign {plain}")));
    }
    let mut auth_key = "kABC123CNTRL".to_owned();
    if path == "authkey revoke" {
        place.ok("authkey create");
        let all = place.json("authkey list --json");
        auth_key = all.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    }
    place.write("node.key", node_key(1));
    let secret = fs::read_to_string(place.file("secret.txt")).unwrap();
    if path == "lock revoke-keys" {
        place.ok(&format!("lock add {}", tlpub(3)));
    }
    let first = match path {
        "lock add" | "lock remove" | "lock revoke-keys" => tlpub(3),
        _ => place.own_key(),
    };
    vec![
        ("nodekey:1abddef1", node_key(if path == "node rotate" { 2 } else { 1 })),
        ("tlpub:1234abcdef", first),
        ("tlpub:5678", second),
        ("kABC123CNTRL", auth_key),
        ("FINGERPRINT", "A".repeat(52)),
        ("disablement-secret:ABC1234", secret),
        ("/var/lib/lockstep", place.data().to_str().unwrap().to_owned()),
        ("/run/tailscale/tailscaled.sock", theirs.socket.to_str().unwrap().to_owned()),
    ]
}

/// Runs an example line in a shell; it must succeed.
fn runs(place: &Place, theirs: &Tailscaled, path: &str, example: &str) {
    let mut line = example.to_owned();
    for (word, ours) in prepared(place, theirs, path, example) {
        line = line.replace(word, &ours);
    }
    let ran = place.shell(&line);
    if ONLY_READ.iter().any(|words| example.contains(words)) {
        assert_ne!(ran.code, 2, "{example}, an example of '{path}': {ran:?}");
    } else {
        assert_eq!(ran.code, 0, "{example}, an example of '{path}': {ran:?}");
    }
    if let Some(secret) = ran.stdout.lines().find_map(|l| l.strip_prefix("\tdisablement-secret:")) {
        place.write("secret.txt", format!("disablement-secret:{secret}"));
    }
}

/// A daemon that serves, and stops when it is told to. One that joins is invited first.
fn serves(example: &str) {
    let place = Place::new();
    let words: Vec<String> = example
        .replace("/var/lib/lockstep", place.data().to_str().unwrap())
        .split_whitespace()
        .skip(1)
        .map(str::to_owned)
        .collect();
    // Somebody has invited whoever is to join.
    let host = example.contains("--join").then(|| {
        let host = Place::new();
        let daemon = host.start();
        let fingerprint = place.ok("cluster fingerprint --data-dir ./node2");
        let token = host.ok(&format!("cluster invite --for {fingerprint}"));
        place.write("invitation", token);
        (daemon, host)
    });
    let mut command = place.command();
    command.args(words);
    let daemon = Daemon::start(&place, command);
    assert_eq!(daemon.terminate().code(), Some(0));
    drop(host);
}

#[test]
fn every_command_has_examples_that_work() {
    let place = Place::new();
    // One example needs an escrow.
    let config = place.write("config.toml", "[support_escrow]\ncommand = ['/bin/cat']\n");
    let mut serve = place.serve();
    serve.arg("--config").arg(config);
    let _daemon = Daemon::start(&place, serve);
    let key = ledger::testing::key(7);
    crate::harness::private(&place.write("laptop.key", key.to_nlpriv().as_bytes()));
    // The original's command line, as far as an example needs it.
    place.program("tailscale", &format!("exec {LOCKSTEP} \"$@\""));
    // Examples read an export and an epoch that others have made.
    place.write("secret.txt", place.init(""));
    place.write("export.json", place.ok("lock log --json"));

    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    let mut commands = Vec::new();
    all_below(&place, "", &mut commands);
    let names: Vec<_> = commands.iter().map(|command| command.path.as_str()).collect();
    for known in ["", "serve", "lock", "lock init", "node rotate", "cluster records"] {
        assert!(names.contains(&known), "{names:?}");
    }
    for Helped { path, text } in &commands {
        let examples = examples(text);
        assert!(!examples.is_empty(), "'{path} --help' has no example:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for example in examples {
            if example.starts_with("lockstep serve") {
                serves(&example);
            } else {
                runs(&place, &theirs, path, &example);
            }
        }
    }
}

/// What no help lists is still told to whoever asks.
#[test]
fn help_in_every_spelling() {
    let place = Place::new();
    let help = place.ok("lock init --help");
    for words in ["lock init -h", "lock init -help", "lock init tlpub:12 --help", "lock -h init"] {
        let text = place.ok(words);
        assert_eq!(text == help, words != "lock -h init", "{words}: {text}");
    }
    let version = place.ok("--version");
    assert_eq!(version, format!("lockstep {}\n", env!("CARGO_PKG_VERSION")));
    // Without a daemon, without a home.
    let mut command = Command::new(LOCKSTEP);
    let output = command.arg("--help").env_clear().stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
}
