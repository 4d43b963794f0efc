//! Changes at the same time: nobody has to try again.

use std::sync::Barrier;
use std::thread::scope;

use serde_json::Value;

use crate::harness::{Place, node_key, tlpub};

/// Each AUM names the one before: of two that are made at the same time, one is made again.
#[test]
fn two_adds_at_once_both_succeed() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    for round in 0..10_u8 {
        let start = Barrier::new(2);
        scope(|scope| {
            for side in 0..2 {
                let (place, start) = (&place, &start);
                scope.spawn(move || {
                    let words = format!("lock add {}", tlpub(10 + 2 * round + side));
                    start.wait();
                    let ran = place.run(&words);
                    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
                });
            }
        });
    }
    let status = place.json("lock status --json");
    assert_eq!(status["TrustedKeys"].as_array().unwrap().len(), 21);
    let log = place.json("lock log --json --limit 100");
    let messages = log["Messages"].as_array().unwrap();
    assert_eq!(messages.len(), 21);
    for pair in messages.windows(2) {
        assert_eq!(pair[0]["AUM"]["PrevAUMHash"], pair[1]["Hash"]);
    }
}

/// Every verb at once, on keys and nodes of its own.
#[test]
fn a_crowd_of_verbs() {
    let place = Place::new();
    let _daemon = place.start();
    place.init("");
    let start = Barrier::new(4);
    scope(|scope| {
        for writer in 0..4_u8 {
            let (place, start) = (&place, &start);
            scope.spawn(move || {
                start.wait();
                for step in 0..5 {
                    let number = writer * 10 + step + 1;
                    let (key, next) = (node_key(number), node_key(100 + number));
                    place.ok(&format!("node add n{number} --node-key {key}"));
                    place.ok(&format!("lock add {}", tlpub(number)));
                    place.ok(&format!("lock sign {key}"));
                    place.ok(&format!("node rotate n{number} --node-key {next}"));
                    place.ok(&format!("lock sign {next}"));
                    if step % 2 == 0 {
                        place.ok(&format!("lock remove {}", tlpub(number)));
                    }
                }
            });
        }
    });
    let status = place.json("lock status --json");
    let trusted: Vec<_> = status["TrustedKeys"].as_array().unwrap().iter().collect();
    assert_eq!(trusted.len(), 1 + 4 * 2);
    let visible: &Vec<Value> = status["VisiblePeers"].as_array().unwrap();
    assert_eq!(visible.len(), 20);
    // As Go writes a list of none.
    assert!(status["FilteredPeers"].is_null());
}
