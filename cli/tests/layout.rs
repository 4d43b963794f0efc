//! Holds the workspace to the arrows that ARCHITECTURE.md draws: who may import whom.
//!
//! It reads the sources as text, without the tests at a file's foot and without comments.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file: its path below `src` and its code.
struct Source {
    path: String,
    code: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(package: &str) -> Vec<Source> {
    fn walk(dir: &Path, root: &Path, out: &mut Vec<Source>) {
        let mut entries: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, root, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.push(Source { path, code: code_of(&text) });
            }
        }
    }
    let root = workspace().join(package).join("src");
    let mut out = Vec::new();
    walk(&root, &root, &mut out);
    assert!(!out.is_empty(), "no sources below {}", root.display());
    out
}

fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines()
        .map(|line| match line.find("//") {
            // A URL in a string is no comment.
            Some(at) if !line[..at].ends_with(':') => &line[..at],
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The modules of its own crate that the code names: after `crate::`, alone or in braces.
fn modules_named(code: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        names.insert(name(&group[i..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            names.insert(name(rest));
        }
    }
    names.remove("");
    names
}

/// Whether the code names `word` as a whole word.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(part)
            && !code[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Complaints about the files for which `here` holds and which name one of `words`.
fn naming(package: &str, here: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources(package).iter().filter(|source| here(&source.path)) {
        for word in words.iter().filter(|word| names(&source.code, word)) {
            found.push(format!("{package}/src/{} names {word}", source.path));
        }
    }
    found
}

/// Complaints about files below `room` that import a module of their crate that `may` lacks.
fn importing(package: &str, room: &str, may: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources(package) {
        let inside =
            source.path == format!("{room}.rs") || source.path.starts_with(&format!("{room}/"));
        for module in modules_named(&source.code) {
            // Types at the root of a crate begin with a capital.
            let is_module = module.starts_with(|c: char| c.is_ascii_lowercase());
            if inside && is_module && module != room && !may.contains(&module.as_str()) {
                found.push(format!("{package}/src/{} imports {module}", source.path));
            }
        }
    }
    found
}

fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "against ARCHITECTURE.md:\n{}", found.join("\n"));
}

#[test]
fn the_ledger_does_no_io_and_knows_no_clock_or_chance() {
    let everywhere = |_: &str| true;
    nothing(naming(
        "ledger",
        everywhere,
        &[
            "tokio",
            "rocksdb",
            "getrandom",
            "serde",
            "HashMap",
            "HashSet",
            "SystemTime",
            "Instant",
            "std::fs",
            "std::io",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "std::env",
            "std::process",
            "std::thread",
            "async",
            "println",
            "eprintln",
            "f32",
            "f64",
            "unsafe",
        ],
    ));
}

#[test]
fn the_rooms_of_the_ledger_import_only_what_lies_below_them() {
    let mut found = Vec::new();
    for (room, may) in [
        ("limits", [].as_slice()),
        ("cbor", &["limits"]),
        ("ids", &["limits", "cbor"]),
        ("rows", &["limits", "cbor", "ids"]),
        ("lock", &["limits", "cbor", "ids", "rows"]),
        ("history", &["limits", "cbor", "ids", "rows", "lock"]),
        ("formats", &["limits", "cbor", "ids", "rows", "lock", "history"]),
    ] {
        found.extend(importing("ledger", room, may));
    }
    nothing(found);
}

#[test]
fn one_place_names_each_dangerous_crate() {
    let mut found = naming("ledger", |path| !path.starts_with("cbor/"), &["ciborium_ll"]);
    found.extend(naming(
        "ledger",
        |path| !path.starts_with("lock/signatures"),
        &["ed25519_dalek", "ed25519_zebra"],
    ));
    found.extend(naming("replica", |path| !path.starts_with("disk/rocks"), &["rocksdb"]));
    found.extend(naming("replica", |path| path != "peers/tls.rs", &["rustls"]));
    found.extend(naming("audit", |path| path != "rocks.rs", &["rocksdb"]));
    nothing(found);
}

/// A program that lent the ledger images of its own could have it believe any secret.
#[test]
fn no_program_remembers_images_of_secrets() {
    let everywhere = |_: &str| true;
    let found = ["audit", "cli", "replica"].map(|room| naming(room, everywhere, &["fn image"]));
    nothing(found.concat());
}

#[test]
fn the_core_and_the_operations_of_a_replica_do_no_io() {
    let inside = |path: &str| {
        ["core/", "operations/", "node_rpc/"].iter().any(|room| path.starts_with(room))
    };
    let mut found = naming(
        "replica",
        inside,
        &[
            "tokio",
            "hyper",
            "rocksdb",
            "rustix",
            "getrandom",
            "HashMap",
            "HashSet",
            "SystemTime",
            "Instant",
            "std::fs",
            "std::io",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "async",
        ],
    );
    let judges = |path: &str| path.starts_with("operations/") || path.starts_with("node_rpc/");
    found.extend(naming("replica", judges, &["raft"]));
    found.extend(importing("replica", "core", &[]));
    found.extend(importing("replica", "peers", &["core"]));
    found.extend(importing("replica", "operations", &[]));
    found.extend(importing("replica", "node_rpc", &["operations", "go_json"]));
    found.extend(importing("replica", "go_json", &[]));
    nothing(found);
}

#[test]
fn packages_depend_downwards_only() {
    let ours = ["audit", "benches", "cli", "ledger", "replica", "simulations"];
    let ledger = fs::read_to_string(workspace().join("ledger/Cargo.toml")).unwrap();
    for foreign in ["raft", "rocksdb", "tokio", "hyper", "rustix", "getrandom"] {
        assert!(!ledger.lines().any(|line| line.starts_with(foreign)), "ledger needs {foreign}");
    }
    for (package, may) in [
        ("ledger", [].as_slice()),
        ("replica", &["ledger"]),
        ("audit", &["ledger"]),
        ("cli", &["audit", "ledger", "replica"]),
        ("simulations", &["audit", "ledger", "replica"]),
    ] {
        let path = workspace().join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(path).unwrap();
        for other in ours.iter().filter(|other| **other != package && !may.contains(other)) {
            assert!(
                !manifest.lines().any(|line| line.starts_with(&format!("{other}.workspace"))
                    || line.starts_with(&format!("{other} ="))),
                "{package} depends on {other}"
            );
        }
    }
}

#[test]
fn the_reader_of_imports_sees_groups_and_single_names() {
    let code = "use crate::{cbor::{Reader, x}, ids, Fault};\nlet a = crate::lock::State;";
    let seen: Vec<String> = modules_named(code).into_iter().collect();
    assert_eq!(seen, ["Fault", "cbor", "ids", "lock"]);
    assert!(names("use tokio::net;", "tokio") && !names("use tokio_x::net;", "tokio"));
}
