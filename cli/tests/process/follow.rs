//! `lockstep adopt --follow`: an archive of a tailnet whose coordination server is somebody else's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ledger::ids::AumHash;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Key, Sealed};
use ledger::testing::{genesis, key};
use serde_json::{Value, json};

use crate::harness::{Place, Ran, Tailscaled, node_key, tlpub};

/// After this a follower that says nothing is taken for hung, and the test for failed.
const PATIENCE: Duration = Duration::from_secs(180);

fn look(place: &Place, theirs: &Tailscaled) -> Ran {
    place.run(&format!("adopt --follow {} --once --confirm --json", theirs.socket.display()))
}

/// What a single look has told last.
fn told(ran: &Ran) -> Value {
    let line = ran.stdout.lines().last().unwrap_or_else(|| panic!("{ran:?}"));
    serde_json::from_str(line).unwrap()
}

#[track_caller]
fn is(ran: &Ran, taken: u64, alarm: Option<&str>) {
    let told = told(ran);
    assert_eq!(told["taken"], taken, "{ran:?}");
    assert_eq!(told["seen"]["alarm"].as_str(), alarm, "{ran:?}");
    assert_eq!(ran.code, i32::from(alarm.is_some()), "{ran:?}");
}

/// The kinds of the last records.
fn last_kinds(place: &Place, number: usize) -> Vec<String> {
    let records = place.records("");
    let kinds = records.iter().map(|record| record["kind"].as_str().unwrap().to_owned());
    kinds.skip(records.len() - number).collect()
}

#[test]
fn a_lock_is_followed_through_what_its_server_does() {
    let place = Place::new();
    let _daemon = place.start();
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    let nothing = look(&place, &theirs).fails(1);
    assert!(nothing.contains("there is nothing to follow"), "{nothing}");

    theirs.show("added");
    let unasked = place.ok(&format!("adopt --follow {} --once", theirs.socket.display()));
    assert!(unasked.contains("its own server goes on deciding"), "{unasked}");
    is(&look(&place, &theirs), 7, None);
    let status = place.run("lock status");
    assert_eq!(status.stderr, "", "{status:?}");
    let names = |signed: bool| {
        let nodes = place.json("node list --json");
        let of = nodes.as_array().unwrap().iter().filter(|node| node["signed"] == signed);
        let mut names: Vec<String> =
            of.map(|node| node["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(true), ["node1", "node2", "node3", "node5", "watcher"]);

    // Nothing new, no record.
    let before = place.records("").len();
    is(&look(&place, &theirs), 7, None);
    assert_eq!(place.records("").len(), before);
    assert_eq!(place.run("lock status").stderr, "");

    // Keys were revoked there, and node5 has a signature by one of them; the one that it had before
    // still holds.
    theirs.show("revoked");
    let revoked = look(&place, &theirs);
    is(&revoked, 18, None);
    assert_eq!(names(false), ["signer"], "{revoked:?}");
    assert_eq!(names(true), ["node1", "node2", "node3", "node5", "watcher"], "{revoked:?}");

    // Nothing is signed through us, and nothing ended.
    let refused = |words: &str| place.run(words).fails(1);
    for words in
        [format!("lock add {}", tlpub(9)), "lock disable disablement-secret:00ff".to_owned()]
    {
        let why = refused(&words);
        assert!(why.contains("is followed: its own coordination server decides it"), "{why}");
    }

    // It goes back.
    theirs.show("added");
    let back = look(&place, &theirs);
    is(&back, 18, Some("behind"));
    assert!(back.stderr.contains("ALARM: the server of the followed lock: its head went back"));
    assert_eq!(last_kinds(&place, 1), ["lock-observed"]);
    let status = place.run("lock status");
    assert!(status.stderr.starts_with("ALARM: the server of the followed lock: its head went"));
    assert_eq!(status.code, 0);
    let all = place.json("lock status --all --json");
    assert_eq!(all["Adoption"]["seen"]["alarm"], "behind", "{all:#}");
    let all = place.ok("lock status --all");
    assert!(all.contains("\tALARM: its head went back"), "{all}");

    // It comes to its senses; what it did is remembered.
    theirs.show("revoked-twice");
    let back = look(&place, &theirs);
    is(&back, 19, None);
    let objection = told(&back)["last_objection"]["aum"].as_str().unwrap().to_owned();
    let text = format!("adopt --follow {} --once --confirm", theirs.socket.display());
    let says = format!("has taken AUM {objection}, which this ledger would have refused");
    assert!(place.run(&text).stderr.contains(&says), "{text}");
    let status = place.run("lock status");
    assert!(status.stderr.contains("has raised 1 alarms; the last is in record "), "{status:?}");
    // The second revocation had fewer votes than this ledger asks for.
    assert!(status.stderr.contains("1 AUMs that this ledger would have refused"), "{status:?}");

    // Another lock in its place, then none.
    theirs.show("checkpointed");
    is(&look(&place, &theirs), 19, Some("other-lock"));
    theirs.tamper(|_, status| *status = json!({ "Enabled": false }));
    is(&look(&place, &theirs), 19, Some("lock-off"));

    // The ledger holds all of it, and an audit of it names the alarms.
    let audit = place.run(&format!("audit verify {} --json", place.socket().display()));
    let report: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!(report["verdict"], "holds", "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let alarms: Vec<&Value> =
        findings.iter().filter(|finding| finding["id"] == "follow.alarm").collect();
    // Three of what the server showed; the others name an AUM that the door would have refused.
    let of_aums = alarms.iter().filter(|finding| finding["aum"].is_string()).count();
    assert_eq!(alarms.len() - of_aums, 3, "{report:#}");
    assert!(of_aums > 0, "{report:#}");

    let ended = place.ok("adopt --end");
    assert!(ended.starts_with("The lock of epoch 1 is followed no longer."), "{ended}");
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    // It can be followed anew.
    theirs.show("revoked-twice");
    is(&look(&place, &theirs), 19, None);
}

fn adds(parent: &Sealed, new: u8, signer: &PrivateKey) -> Sealed {
    let mut aum = Aum::new(AumKind::ADD_KEY, Some(parent.hash()));
    aum.key = Some(Key::ed25519(key(new).public(), 1));
    cosign(Sealed::new(aum), signer).unwrap()
}

#[test]
fn what_cannot_be_is_kept_as_evidence() {
    let place = Place::new();
    let _daemon = place.start();
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    let root = genesis(5, &[(&key(20), 1), (&key(21), 2)]);
    let first = adds(&root, 22, &key(20));
    let heavy = adds(&first, 23, &key(21));
    theirs.show_aums(&[&heavy, &first, &root]);
    is(&look(&place, &theirs), 3, None);

    // A branch is active there that loses to the one that was shown before. It is taken in.
    let light = adds(&first, 24, &key(20));
    theirs.show_aums(&[&light, &first, &root]);
    is(&look(&place, &theirs), 4, Some("losing-branch"));
    assert_eq!(last_kinds(&place, 2), ["aums-adopted", "lock-observed"]);

    // An AUM of nobody's, on top of the head.
    let forged = adds(&heavy, 25, &key(26));
    theirs.show_aums(&[&forged, &heavy, &first, &root]);
    is(&look(&place, &theirs), 4, Some("breaks-rules"));
    let holds = |evidence: &Sealed| {
        let raw = place.records("").last().unwrap()["raw"].as_str().unwrap().to_owned();
        let raw = data_encoding::BASE64.decode(raw.as_bytes()).unwrap();
        raw.windows(evidence.bytes().len()).any(|window| window == evidence.bytes())
    };
    assert!(holds(&forged));
    // It says so once.
    let before = place.records("").len();
    is(&look(&place, &theirs), 4, Some("breaks-rules"));
    assert_eq!(place.records("").len(), before);

    // What is sound below something unsound is taken in first.
    let sound = adds(&heavy, 27, &key(21));
    let unsound = adds(&sound, 28, &key(29));
    theirs.show_aums(&[&unsound, &sound, &heavy, &first, &root]);
    is(&look(&place, &theirs), 5, Some("breaks-rules"));
    assert!(holds(&unsound));

    // It withholds what comes before.
    let hidden = adds(&sound, 30, &key(21));
    let shown = adds(&hidden, 31, &key(21));
    theirs.show_aums(&[&shown]);
    is(&look(&place, &theirs), 5, Some("unconnected"));
    assert!(holds(&shown));

    // Bytes that are no AUM, under a hash that they do not have.
    theirs.tamper(|log, status| {
        log[0]["Raw"] = "AAAA".into();
        log[0]["Hash"] = json!(AumHash([9; 32]).0);
        status["Head"] = json!(AumHash([9; 32]).0);
    });
    is(&look(&place, &theirs), 5, Some("breaks-rules"));
    theirs.show_aums(&[&shown, &hidden, &sound, &heavy, &first, &root]);
    is(&look(&place, &theirs), 7, None);
    assert_eq!(place.json("lock status --json")["Head"], shown.hash().to_string());
}

/// A follower that runs, and what it tells.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(place: &Place, theirs: &Tailscaled) -> Self {
        let mut command = place.command();
        command.args(["adopt", "--confirm", "--json", "--interval", "1", "--follow"]);
        command.arg(&theirs.socket).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            stdout.lines().map(Result::unwrap).for_each(|line| drop(send.send(line)));
        });
        Follower { child, lines }
    }

    /// Waits until it tells of so many AUMs.
    fn tells(&self, taken: u64) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("a follower that tells");
            let told: Value = serde_json::from_str(&line).unwrap();
            if told["taken"] == taken && !told["seen"].is_null() {
                return told;
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn it_survives_restarts_of_either_side_and_its_own() {
    let place = Place::new();
    let daemon = place.start();
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    theirs.show("added");
    let follower = Follower::start(&place, &theirs);
    follower.tells(7);

    // Our daemon dies, and something happens meanwhile.
    daemon.kill();
    theirs.show("revoked");
    let daemon = place.start();
    follower.tells(18);

    // Theirs is away for a while.
    theirs.away();
    theirs.show("revoked-twice");
    theirs.back();
    follower.tells(19);
    follower.kill();

    // The follower itself is started again: it goes on from the ledger, without asking.
    theirs.show("added");
    let follower = Follower::start(&place, &theirs);
    assert_eq!(follower.tells(19)["seen"]["alarm"], "behind");
    follower.kill();
    daemon.kill();
    let _daemon = place.start();
    let status = place.run("lock status");
    assert!(status.stderr.starts_with("ALARM: "), "{status:?}");
}

/// One node that no ledger takes in ended the following, and of two nodes whose names begin alike one
/// took the other's place at every look.
#[test]
fn whatever_nodes_a_server_shows_the_others_come() {
    let place = Place::new();
    let _daemon = place.start();
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    theirs.show("added");
    let shown = |name: &str, node_key: String| {
        json!({ "Name": name, "ID": 1, "StableID": "n1", "NodeKey": node_key,
                "NodeKeySignature": { "SigKind": 0 } })
    };
    theirs.tamper(|_, status| {
        status["FilteredPeers"] = json!([
            shown("weak.a.ts.net.", format!("nodekey:01{}", "00".repeat(31))),
            shown("web.a.ts.net.", node_key(0x51)),
            shown("web.b.ts.net.", node_key(0x52)),
            shown(&format!("web.{}", "c".repeat(1 << 20)), node_key(0x53)),
        ]);
    });
    let names = || {
        let nodes = place.json("node list --json");
        let names = nodes.as_array().unwrap().iter().map(|node| {
            let text = |field: &str| node[field].as_str().unwrap().to_owned();
            (text("name"), text("node_key"))
        });
        let mut names: Vec<_> = names.filter(|(name, _)| name.starts_with('w')).collect();
        names.sort();
        names
    };
    let first = look(&place, &theirs);
    assert_eq!(first.code, 1, "{first:?}");
    let missing = &told(&first)["not_brought"][0];
    assert_eq!(missing["name"], "weak.a.ts.net", "{first:?}");
    assert!(first.stderr.contains("not brought in: 1 of the followed lock's nodes"), "{first:?}");
    let expected: Vec<_> = [("web", 0x51), ("web-2", 0x52), ("web-3", 0x53)]
        .map(|(name, key)| (name.to_owned(), node_key(key)))
        .into_iter()
        .collect();
    let now = names();
    assert!(expected.iter().all(|node| now.contains(node)), "{now:?}");
    // Looking again changes nothing.
    let before = place.records("").len();
    look(&place, &theirs);
    assert_eq!(place.records("").len(), before);
    // Who gets another key stays who it is.
    theirs.tamper(|_, status| {
        status["FilteredPeers"] =
            json!(
                [shown("web.a.ts.net.", node_key(0x51)), shown("web.b.ts.net.", node_key(0x54)),]
            );
    });
    is(&look(&place, &theirs), 7, None);
    let now = names();
    assert!(now.contains(&("web-2".to_owned(), node_key(0x54))), "{now:?}");
}
