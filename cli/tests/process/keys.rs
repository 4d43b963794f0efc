//! Lock keys that no daemon holds: made, sealed, and used here or on another machine.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use ledger::lock::signatures::Signer;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::{Place, Ran, conversation, node_key, private, tlpub};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A file with a passphrase.
fn passphrase(place: &Place, name: &str, text: &str) {
    private(&place.write(name, text));
}

/// The file of a key that is made from a seed.
fn key_file(place: &Place, name: &str, seed: u8) -> String {
    let key = ledger::testing::key(seed);
    private(&place.write(name, format!("{}\n", *key.to_nlpriv())));
    key.public().to_tlpub()
}

#[test]
fn keys_are_made_and_shown() {
    let place = Place::new();
    let public = place.ok("key generate a.key");
    assert!(public.starts_with("tlpub:") && public.len() == 71, "{public}");
    let mode = fs::metadata(place.file("a.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let text = fs::read_to_string(place.file("a.key")).unwrap();
    assert!(text.starts_with("nlpriv:") && text.len() == 7 + 128 + 1);
    assert_eq!(place.ok("key show a.key"), public);
    let shown = place.json("key show a.key --json");
    assert_eq!(shown["key"], public.trim_end());
    assert_eq!((&shown["sealed"], &shown["checked"]), (&false.into(), &true.into()));

    // Nothing takes the place of another file, whatever it is.
    let stderr = place.run("key generate a.key").fails(1);
    assert!(stderr.starts_with("a.key exists"), "{stderr}");
    assert_eq!(fs::read_to_string(place.file("a.key")).unwrap(), text);
    symlink("/nonexistent", place.file("link")).unwrap();
    place.run("key generate link").fails(1);
    place.run("key generate /nonexistent/a.key").fails(1);
    let made = place.json("key generate b.key --json");
    assert_ne!(made["key"], public.trim_end());
    assert_eq!(made["file"], "b.key");
}

#[test]
fn a_passphrase_is_asked_for_without_an_echo() {
    let place = Place::new();
    let typed = |line: &str, steps: &[(&str, &str)]| {
        let mut command = place.command();
        conversation(command.args(words(line)), steps)
    };
    let (new, again) = ("New passphrase: ", "The same passphrase again: ");
    let seal = "key generate --seal a.key";
    let (code, text) = typed(seal, &[(new, "correct horse\n"), (again, "correct hose\n")]);
    assert_eq!(code, 1);
    assert!(text.contains("the two passphrases differ; nothing was written"), "{text}");
    assert!(!place.file("a.key").exists());
    let (code, text) = typed(seal, &[(new, "\n")]);
    assert!(code == 1 && text.contains("gives no passphrase"), "{text}");

    let (code, text) = typed(seal, &[(new, "correct horse\n"), (again, "correct horse\n")]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("horse"), "{text}");
    let public = text.lines().last().unwrap();
    let sealed = fs::read_to_string(place.file("a.key")).unwrap();
    assert!(sealed.starts_with("lockstep-sealed-key:"), "{sealed}");
    // Its public half needs no passphrase.
    let ran = place.run("key show a.key");
    assert_eq!((ran.code, ran.stdout.trim_end()), (0, public));
    assert!(ran.stderr.contains("The file is sealed"), "{}", ran.stderr);

    // Opened, it is the same key: here it signs what it is asked to.
    let _daemon = place.start();
    place.init(public);
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    let sign = format!("lock sign --key a.key {}", node_key(1));
    let question = "Passphrase of a.key: ";
    let (code, text) = typed(&sign, &[(question, "wrong\n")]);
    assert!(code == 1 && text.contains("does not open: the passphrase is another one"), "{text}");
    let (code, text) = typed(&sign, &[(question, "correct horse\r\n")]);
    assert_eq!((code, text.as_str()), (0, "Passphrase of a.key: \n"), "{text}");
    assert_eq!(place.json("node show laptop --json")["signed"], true);
    // There is nobody to ask.
    let stderr = place.run(&sign).fails(1);
    assert!(stderr.contains("a.key is sealed: say with --passphrase-from"), "{stderr}");
}

#[test]
fn a_passphrase_comes_from_where_it_is_said_to_be() {
    let place = Place::new();
    passphrase(&place, "pass", "correct horse\n");
    passphrase(&place, "wrong", "incorrect horse\n");
    let public = place.ok("key generate plain.key");
    let ran = place.run("key seal plain.key sealed.key --passphrase-from file:pass");
    assert_eq!(ran.stdout, public);
    assert!(ran.stderr.contains("plain.key still holds the key without a passphrase"));
    let shown = place.json("key show sealed.key --passphrase-from file:pass --json");
    assert_eq!((&shown["sealed"], &shown["checked"]), (&true.into(), &true.into()));
    let stderr = place.run("key show sealed.key --passphrase-from file:wrong").fails(1);
    assert!(stderr.contains("does not open"), "{stderr}");
    assert_eq!(
        place.shell("lockstep key show sealed.key --passphrase-from fd:3 3<pass").stdout,
        public
    );
    let piped = "cat pass | lockstep key show sealed.key --passphrase-from fd:0";
    assert_eq!(place.shell(piped).stdout, public);
    let credentials = "mkdir c; cp pass c/p; cp sealed.key c/k; chmod 400 c/*; export \
                       CREDENTIALS_DIRECTORY=$PWD/c; lockstep key show credential:k \
                       --passphrase-from credential:p";
    assert_eq!(place.shell(credentials).stdout, public);
    let stderr = place.run("key show credential:k").fails(1);
    assert!(stderr.contains("there is no credential k: CREDENTIALS_DIRECTORY"), "{stderr}");

    place.run("key seal sealed.key twice.key --passphrase-from file:pass").fails(1);
    let stderr = place.run("key generate x.key --passphrase-from file:pass").fails(2);
    assert!(stderr.contains("Add --seal."), "{stderr}");
    // The passphrase itself is not taken, and not repeated.
    for words in [
        "key show sealed.key --passphrase-from hunter2hunter2",
        "serve --passphrase-from hunter2hunter2",
    ] {
        let stderr = place.run(words).fails(2);
        assert!(stderr.starts_with("--passphrase-from: "), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn hostile_key_files_are_refused() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    let before = place.records("").len();
    key_file(&place, "good", 7);
    fs::copy(place.file("good"), place.file("open")).unwrap();
    fs::set_permissions(place.file("open"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("good", place.file("link")).unwrap();
    for (name, content) in [
        ("empty", String::new()),
        ("garbage", "\x1b[31mred".to_owned()),
        ("short", "nlpriv:abababababababab".to_owned()),
        ("member", format!("lockstep-member-key:{}", "ab".repeat(64))),
        ("public", tlpub(7)),
        ("halves", format!("nlpriv:{}", "ab".repeat(64))),
        ("sealed", format!("lockstep-sealed-key:{}", "AAAA".repeat(50))),
    ] {
        private(&place.write(name, content));
    }
    private(&place.write("binary", [0xff, 0xfe, 0x00]));
    fs::create_dir(place.file("directory")).unwrap();
    File::create(place.file("huge")).unwrap().set_len(1 << 30).unwrap();
    private(&place.file("huge"));
    mknodat(CWD, place.file("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (file, says) in [
        ("missing", "opening missing: No such file or directory"),
        ("directory", "directory is not a regular file"),
        ("fifo", "fifo is not a regular file"),
        ("huge", "huge has more than 1024 bytes"),
        ("open", "open has mode 0644, so others can get at the secret in it"),
        ("link", "opening link: "),
        ("binary", "binary holds no tailnet-lock key: it is not text"),
        ("empty", "empty holds no tailnet-lock key: it begins neither"),
        ("garbage", "garbage holds no tailnet-lock key: it begins neither"),
        ("short", "short holds no tailnet-lock key: the key in it is damaged"),
        ("halves", "halves holds no tailnet-lock key: the key in it is damaged"),
        ("member", "member holds no tailnet-lock key: it holds another key of a signing node"),
        ("public", "public holds no tailnet-lock key: it holds a public key"),
        ("sealed", "sealed holds no tailnet-lock key: "),
    ] {
        let others = [
            format!("lock sign --key {file} {}", node_key(1)),
            format!("lock add --key {file} {}", tlpub(3)),
            format!("node rotate laptop --node-key {} --key {file}", node_key(2)),
            format!("key show {file}"),
            format!("key seal {file} out"),
            format!("serve --data-dir other --socket other.sock --lock-key {file}"),
        ];
        for words in others {
            let ran = place.run(&words);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.stderr.contains(says), "{words}: {}", ran.stderr);
            assert!(!ran.stderr.contains("abab") && !ran.stderr.contains('\x1b'), "{ran:?}");
        }
    }
    // What is typed in the place of a file's name and is a key itself.
    let digits = "ab".repeat(64);
    for (word, says) in [
        (format!("nlpriv:{digits}"), "this is a private key"),
        (format!("privkey:{}", &digits[..64]), "this is a private key"),
        ("credential:../x".to_owned(), "this is no credential's name"),
    ] {
        let stderr = place.run(&format!("lock sign --key {word} {}", node_key(1))).fails(1);
        assert!(stderr.contains(says) && !stderr.contains("abab"), "{stderr}");
        let stderr = place.run(&format!("key show {word}")).fails(1);
        assert!(stderr.contains(says) && !stderr.contains("abab"), "{stderr}");
    }
    let stderr = place.run(&format!("lock sign --key {} {}", tlpub(7), node_key(1))).fails(2);
    assert!(stderr.contains("--key: this is a public key"), "{stderr}");
    assert_eq!(place.records("").len(), before);
}

/// The daemon signs with whatever it is given, and can do without.
#[test]
fn a_daemon_with_its_lock_key_elsewhere() {
    let place = Place::new();
    let public = key_file(&place, "lock.key", 7);
    passphrase(&place, "pass", "correct horse");
    place.ok("key seal lock.key sealed.key --passphrase-from file:pass");
    let started = |more: &[&str]| {
        let mut serve = place.serve();
        serve.args(more);
        crate::harness::Daemon::start(&place, serve)
    };
    let daemon = started(&["--lock-key", "sealed.key", "--passphrase-from", "file:pass"]);
    assert_eq!(place.own_key(), public);
    place.init("");
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(!place.data().join("keys/lock.key").exists());

    // Without one it serves, and says that it cannot sign.
    let daemon = started(&["--lock-key", "none"]);
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    let stderr = place.run(&format!("lock sign {}", node_key(1))).fails(1);
    assert!(stderr.contains("this node has no tailnet-lock key"), "{stderr}");
    place.ok(&format!("lock sign --key lock.key {}", node_key(1)));
    assert_eq!(place.json("node show laptop --json")["signed"], true);
    assert_eq!(daemon.terminate().code(), Some(0));

    let ran = crate::harness::Daemon::try_start(&place, {
        let mut serve = place.serve();
        serve.args(["--lock-key", "sealed.key"]);
        serve
    });
    let Err(Ran { code, stderr, .. }) = ran else { panic!("it opened a sealed key by itself") };
    assert!(code == 1 && stderr.contains("sealed.key is sealed"), "{stderr}");
}

#[test]
fn a_key_at_hand_signs_instead_of_the_daemons() {
    let place = Place::new();
    let _daemon = place.start();
    let cold = key_file(&place, "cold.key", 7);
    place.init(&cold);
    place.ok(&format!("node add laptop --node-key {} --lock-key {}", node_key(1), tlpub(9)));
    key_file(&place, "laptop.key", 9);
    let own = place.own_key();
    let signer = |name: &str| place.json(&format!("node show {name} --json"))["reason"].clone();

    assert_eq!(place.ok(&format!("lock sign --key cold.key {} {}", node_key(1), tlpub(9))), "");
    assert_eq!(signer("laptop"), format!("signed by {cold}"));
    let text = place.ok(&format!("node rotate laptop --node-key {} --key laptop.key", node_key(2)));
    assert!(text.contains("Signed:       yes"), "{text}");
    assert_eq!(place.ok(&format!("lock add --key cold.key {}?3", tlpub(2))), "");
    let stderr = place.run(&format!("lock remove --key cold.key {cold}")).fails(1);
    assert!(stderr.contains("cannot remove local trusted signing key while"), "{stderr}");
    // What the daemon's key signed is signed again by the other.
    let asked = place.json(&format!("lock remove --key cold.key {own} --json --request-id gone"));
    assert_eq!(asked["outcome"], "applied");
    assert_eq!(signer("signer"), format!("signed by {cold}"));
    let again = place.json(&format!("lock remove --key cold.key {own} --json --request-id gone"));
    assert_eq!(again["record_index"], asked["record_index"]);
    assert_eq!(again["record_hash"], asked["record_hash"]);

    // A key that the lock does not trust, and one that may not rotate.
    let stderr = place.run(&format!("lock add --key laptop.key {}", tlpub(4))).fails(1);
    assert!(stderr.contains("is no trusted key of the lock"), "{stderr}");
    let stderr = place.run(&format!("lock sign --key laptop.key {}", node_key(2))).fails(1);
    assert!(stderr.contains("is no trusted key of the lock"), "{stderr}");
    key_file(&place, "other.key", 8);
    let words = format!("node rotate laptop --node-key {} --key other.key", node_key(3));
    let stderr = place.run(&words).fails(1);
    assert!(
        stderr.contains("may not sign rotations of node 2: by its signature tlpub:"),
        "{stderr}"
    );
    let stderr = place.run("node rotate laptop --key laptop.key").fails(2);
    assert!(stderr.contains("--key needs --node-key"), "{stderr}");
    // Nothing of the private keys has reached the ledger, the log or the directory.
    let digits = &ledger::testing::key(7).to_nlpriv()[7..39];
    for entry in ["serve.log", "data/identity"] {
        let text = fs::read_to_string(place.file(entry)).unwrap();
        assert!(!text.contains(digits));
    }
}

#[test]
fn a_key_on_another_machine() {
    let here = Place::new();
    let _daemon = here.start();
    // No daemon there, and no way to reach ours.
    let there = Place::new();
    let cold = key_file(&there, "cold.key", 7);
    here.init(&cold);
    let carry = |name: &str, from: &Place, to: &Place| {
        fs::copy(from.file(name), to.file(name)).unwrap();
    };
    let socket = here.socket();
    let words = format!(
        "lock add --key {cold} --export request.json {}?3 --socket {}",
        tlpub(2),
        socket.display()
    );
    assert_eq!(
        here.ok(&words),
        format!(
            "What {cold} is to sign was written to request.json. On the machine that has the key, \
             run:\n\tlockstep key sign request.json --key KEY_FILE\nThen bring request.json.signed \
             here and run:\n\tlockstep lock submit request.json.signed --socket {}\n",
            socket.display()
        )
    );
    assert_eq!(here.json("lock status --json")["TrustedKeys"].as_array().unwrap().len(), 2);
    carry("request.json", &here, &there);

    // What is signed is shown first, and only signed when that is wanted.
    let head = here.json("lock log --json --limit 1")["Messages"][0]["Hash"].clone();
    let head = data_encoding::BASE32_NOPAD.decode(head.as_str().unwrap().as_bytes()).unwrap();
    let head = data_encoding::HEXLOWER.encode(&head);
    let plan = format!(
        "1. update (add-key) on top of {head}\n   Type: 25519\n   KeyID: {}\n   Votes: 3\n",
        tlpub(2).trim_start_matches("tlpub:")
    );
    let text = there.ok("key sign request.json --key cold.key");
    assert!(text.starts_with(&format!("To be signed by {cold}.\n")), "{text}");
    assert!(text.contains(&plan), "{text}");
    let line = text.lines().last().unwrap().trim().to_owned();
    assert_eq!(line, "lockstep key sign --confirm --key cold.key request.json");
    assert!(!there.file("request.json.signed").exists());
    let mut command = there.command();
    command.args(["key", "sign", "request.json", "--key", "cold.key"]);
    let (code, text) = conversation(&mut command, &[("Sign all of this? [y/N] ", "\n")]);
    assert_eq!(code, 0, "{text}");
    assert!(!there.file("request.json.signed").exists());
    let (code, text) = conversation(&mut command, &[("Sign all of this? [y/N] ", "y\n")]);
    assert!(code == 0 && text.contains("lockstep lock submit request.json.signed"), "{text}");
    // A second file is not written over the first.
    there.shell(&line).fails(1);
    carry("request.json.signed", &there, &here);

    let done = here.json("lock submit request.json.signed --json");
    assert_eq!(done["outcome"], "applied");
    assert_eq!(here.json("lock status --json")["TrustedKeys"].as_array().unwrap().len(), 3);
    let ran = here.run("lock submit request.json.signed");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("nothing was done twice"), "{}", ran.stderr);
}

#[test]
fn what_was_signed_elsewhere_and_does_not_fit() {
    let place = Place::new();
    let _daemon = place.start();
    let cold = key_file(&place, "cold.key", 7);
    key_file(&place, "other.key", 8);
    place.init(&cold);
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    place.ok(&format!("lock sign --key {cold} --export r {}", node_key(1)));
    let stderr = place.run("key sign r --key other.key").fails(1);
    assert!(stderr.contains("is to be signed by") && stderr.contains(&tlpub(8)), "{stderr}");
    let stderr = place.run("key sign r --key cold.key --out r").fails(1);
    assert!(stderr.starts_with("r exists already"), "{stderr}");
    place.ok("key sign r --key cold.key --confirm");

    // The node has another key by then.
    place.ok(&format!("node rotate laptop --node-key {}", node_key(2)));
    let stderr = place.run("lock submit r.signed").fails(1);
    assert!(stderr.contains("unknown node key"), "{stderr}");
    // Another change of the lock came first.
    place.ok(&format!("lock add --key {cold} --export add {}", tlpub(2)));
    place.ok("key sign add --key cold.key --confirm");
    place.ok(&format!("lock add {}", tlpub(3)));
    let before = place.records("").len();
    let stderr = place.run("lock submit add.signed").fails(1);
    assert!(stderr.contains("has changed since this was made to be signed"), "{stderr}");
    assert!(stderr.contains("Export it again"), "{stderr}");

    // Files that are something else, or hostile.
    let good = fs::read_to_string(place.file("add.signed")).unwrap();
    let request = fs::read_to_string(place.file("add")).unwrap();
    place.write("deep", "[".repeat(100_000));
    place.write("empty", "");
    place.write("other", good.replace("signed-request/1", "signed-request/2"));
    place.write("more", good.replacen('{', "{\"more\": 1,", 1));
    File::create(place.file("huge")).unwrap().set_len(1 << 30).unwrap();
    mknodat(CWD, place.file("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for file in ["missing", "empty", "deep", "other", "more", "huge", "fifo", "add", "."] {
        let stderr = place.run(&format!("lock submit {file}")).fails(1);
        assert!(!stderr.is_empty());
        if file != "add" {
            let stderr = place.run(&format!("key sign {file} --key cold.key")).fails(1);
            assert!(!stderr.is_empty());
        }
    }
    // Names in a file are shown harmless.
    let escape = request.replace("\"cluster_id\": \"", "\"cluster_id\": \"\\u001b[31m");
    place.write("escape", escape);
    let text = place.ok("key sign escape --key cold.key");
    assert!(text.contains("\\u{1b}[31m") && !text.contains('\x1b'), "{text}");

    for (words, says) in [
        (format!("lock add --export x {}", tlpub(4)), "--export: it is not said who is to sign"),
        (format!("lock add --passphrase-from fd:0 {}", tlpub(4)), "no sealed key is named"),
    ] {
        let stderr = place.run(&words).fails(2);
        assert!(stderr.contains(says), "{stderr}");
    }
    let ran = place.run(&format!("lock add --key {cold} --export x --json {}", tlpub(4)));
    assert!(ran.code == 2 && ran.stderr.contains("--json: an export changes nothing"), "{ran:?}");
    let exists = place.run(&format!("lock add --key {cold} --export add {}", tlpub(4))).fails(1);
    assert!(exists.contains("writing add: File exists"), "{exists}");
    assert_eq!(place.records("").len(), before);
}

/// Many sign at the same time: each is planned and signed again until it has its turn.
#[test]
fn keys_at_hand_take_turns() {
    let place = Place::new();
    let _daemon = place.start();
    let keys: Vec<String> = (20..24).map(|n| key_file(&place, &format!("{n}.key"), n)).collect();
    place.init(&keys.join(" "));
    std::thread::scope(|scope| {
        for n in 20..24_u8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..4 {
                    place.ok(&format!("lock add --key {n}.key {}", tlpub(n * 4 + round)));
                }
            });
        }
    });
    let status = place.json("lock status --json");
    assert_eq!(status["TrustedKeys"].as_array().unwrap().len(), 5 + 16);
    let mut verify = place.command();
    verify.args(["audit", "verify"]).arg(place.socket()).stdout(Stdio::null());
    assert_eq!(verify.status().unwrap().code(), Some(0));
}
