//! Request IDs, `--json` and exit codes: what scripts rely on.

use std::sync::mpsc::channel;

use serde_json::Value;

use crate::harness::{Place, Proxy, Ran, node_key, tlpub};

/// The one JSON document on stdout.
#[track_caller]
fn outcome(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn a_request_is_applied_once() {
    let place = Place::new();
    let _daemon = place.start();
    let add = format!("node add laptop --node-key {} --request-id add.1_a-B --json", node_key(1));
    let first = place.run(&add);
    let document = outcome(&first);
    assert_eq!((first.code, first.stderr.as_str()), (0, ""));
    assert_eq!(document["outcome"], "applied");
    assert_eq!(document["request_id"], "add.1_a-B");
    assert_eq!(document["record_index"], 2);
    assert_eq!(document["name"], "laptop");
    assert!(document.get("error").is_none(), "{document}");
    let record = &place.records("--from 2")[0];
    assert_eq!(record["hash"], document["record_hash"]);
    assert_eq!(record["request_id"], "add.1_a-B");

    let again = place.run(&add);
    assert_eq!(again.code, 0);
    assert_eq!(again.stderr, "This request was on record already; nothing was done twice.\n");
    assert_eq!(outcome(&again), document);
    assert_eq!(place.records("").len(), 3);

    // The same name for something else: other arguments, or another verb.
    for other in [
        format!("node add laptop --node-key {} --request-id add.1_a-B --json", node_key(2)),
        "node remove laptop --request-id add.1_a-B --json".to_owned(),
    ] {
        let ran = place.run(&other);
        let document = outcome(&ran);
        assert_eq!(ran.code, 1);
        assert_eq!(document["outcome"], "refused");
        assert!(document["record_index"].is_null() && document["record_hash"].is_null());
        let error = document["error"].as_str().unwrap();
        assert!(error.contains("request add.1_a-B was used for something else in record 2"));
        assert!(ran.stderr.contains("choose another request ID"), "{}", ran.stderr);
    }
    assert_eq!(place.records("").len(), 3);

    for bad in ["", "a b", "a/b", &"x".repeat(65)] {
        let words = ["node", "remove", "laptop", "--request-id", bad];
        let stderr = place.run_words(words).fails(2);
        assert!(stderr.starts_with("--request-id: "), "{stderr}");
    }
}

/// Every verb that changes something prints the outcome as JSON, alone on stdout.
#[test]
fn every_change_has_an_outcome() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let init = place.run(&format!("lock init --json --confirm --request-id init {own}"));
    let secret = init.stderr.lines().find_map(|line| line.strip_prefix('\t')).unwrap().to_owned();
    let mut all = vec![init];
    for (id, words) in [
        ("add", format!("node add laptop --node-key {}", node_key(1))),
        ("sign", format!("lock sign {} {}", node_key(1), tlpub(7))),
        ("rotate", format!("node rotate laptop --node-key {}", node_key(2))),
        ("trust", format!("lock add {}?2", tlpub(2))),
        ("distrust", format!("lock remove {}", tlpub(2))),
        ("remove", "node remove laptop".to_owned()),
        ("end", format!("lock disable {secret}")),
    ] {
        all.push(place.run(&format!("{words} --json --request-id {id}")));
    }
    let records = place.records("--from 2");
    assert_eq!(records.len(), all.len());
    for (ran, record) in all.iter().zip(&records) {
        let document = outcome(ran);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(document["outcome"], "applied");
        assert_eq!(document["record_index"], record["index"]);
        assert_eq!(document["record_hash"], record["hash"]);
        assert_eq!(document["request_id"], record["request_id"]);
    }
    // Without a name one is drawn.
    let ran = place.run(&format!("node add other --node-key {} --json", node_key(3)));
    let drawn = outcome(&ran)["request_id"].as_str().unwrap().to_owned();
    assert_eq!(place.records("").last().unwrap()["request_id"], drawn.as_str());

    // What is refused by the command line, before anybody is asked, has an outcome too.
    for words in ["lock add", "lock add tlpub:12 --json", "lock disable --json nonsense"] {
        let ran = place.run(words);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(!ran.stderr.is_empty());
        if words.contains("--json") {
            let document = outcome(&ran);
            assert_eq!(document["outcome"], "refused");
            assert!(ran.stderr.starts_with(document["error"].as_str().unwrap()));
        }
    }
}

#[test]
fn exit_codes_tell_refused_from_misspelled() {
    let place = Place::new();
    let _daemon = place.start();
    for (words, code) in [
        ("lock", 0),
        ("node list", 0),
        ("cluster records", 0),
        ("--help", 0),
        ("lock init --help", 0),
        ("--version", 0),
        ("node show nobody", 1),
        ("lock sign nodekey:12", 1),
        ("lock log", 1),
        ("lock bogus", 1),
        ("", 2),
        ("bogus", 2),
        ("node", 2),
        ("node bogus", 2),
        ("node add laptop", 2),
        ("node show", 2),
        ("lock status --bogus", 2),
        ("lock log --limit x", 2),
        ("lock init --confirm=perhaps", 2),
        ("cluster records --from x", 2),
    ] {
        let ran = place.run(words);
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.stderr.is_empty(), code == 0, "{ran:?}");
    }
}

/// A connection that breaks leaves the outcome unknown; whether the request had arrived or not,
/// repeating it makes one record.
#[test]
fn an_unknown_outcome_can_be_asked_for_again() {
    let place = Place::new();
    let mut daemon = Some(place.start());
    for (number, arrives) in [(1, false), (2, true)] {
        let socket = place.file(&format!("proxy{number}.sock"));
        let (tell, killed) = channel();
        let daemon_dies = daemon.take().unwrap();
        Proxy::start(&socket, &place.socket(), {
            let mut daemon = Some(daemon_dies);
            move |exchange| {
                if arrives {
                    let answer = String::from_utf8(exchange.answer()).unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                }
                daemon.take().unwrap().kill();
                tell.send(()).unwrap();
            }
        });
        let words = format!("node add n{number} --node-key {}", node_key(number));
        let ran = place.run(&format!("{words} --json --socket {}", socket.display()));
        killed.recv().unwrap();
        assert_eq!(ran.code, 4, "{ran:?}");
        let document = outcome(&ran);
        assert_eq!(document["outcome"], "unknown");
        assert!(document["record_index"].is_null());
        let id = document["request_id"].as_str().unwrap();
        assert!(ran.stderr.starts_with("the outcome is unknown: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("--request-id {id}")), "{}", ran.stderr);

        daemon = Some(place.start());
        let again = place.run(&format!("{words} --json --request-id {id}"));
        assert_eq!(again.code, 0, "{again:?}");
        let repeated = again.stderr.contains("on record already");
        assert_eq!(repeated, arrives, "{again:?}");
        let records = place.records("");
        let of_it: Vec<_> = records.iter().filter(|record| record["request_id"] == id).collect();
        assert_eq!(of_it.len(), 1);
        assert_eq!(of_it[0]["index"], outcome(&again)["record_index"]);
    }
}
