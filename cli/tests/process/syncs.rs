//! Nothing is acknowledged before it is on the disk: shown on the system calls themselves.

use std::thread::scope;

use crate::harness::{Daemon, Place, calls, node_key, tlpub, traced};

/// Each change that is answered with success was written to the database's log, and that was
/// synced, before a byte of the answer left the process.
#[test]
fn every_acknowledgement_follows_a_sync_that_covers_it() {
    let place = Place::new();
    let daemon = Daemon::start(&place, traced(&place, &[]));
    let own = place.own_key();
    let mut words = vec![format!("lock init --confirm {own} {}", tlpub(2))];
    for n in 1..5 {
        words.push(format!("node add n{n} --node-key {}", node_key(n)));
        words.push(format!("lock sign {} {}", node_key(n), tlpub(7)));
        words.push(format!("lock add {}", tlpub(10 + n)));
    }
    words.push(format!("lock remove {}", tlpub(2)));
    words.push("node rotate signer".into());
    let mut ids = Vec::new();
    let mut ask = |words: &str| {
        let id = format!("request-{}-", ids.len());
        place.ok(&format!("{words} --request-id {id}"));
        ids.push(id);
    };
    words.iter().for_each(|words| ask(words));
    // Many at once share their syncs.
    scope(|scope| {
        let mut workers = Vec::new();
        for worker in 0..6_u8 {
            let place = &place;
            workers.push(scope.spawn(move || {
                let each = (0..5_u8).map(|n| {
                    let id = format!("crowd-{worker}-{n}-");
                    let key = node_key(100 + worker * 10 + n);
                    place.ok(&format!("node add c{worker}-{n} --node-key {key} --request-id {id}"));
                    id
                });
                each.collect::<Vec<_>>()
            }));
        }
        for worker in workers {
            ids.extend(worker.join().unwrap());
        }
    });
    assert_eq!(daemon.terminate().code(), Some(0));

    let calls = calls(&place);
    let database = place.data().join("db");
    for id in &ids {
        let answer = calls
            .iter()
            .find(|call| {
                call.target().starts_with("socket:")
                    && call.arguments.contains("lockstep-outcome: applied")
                    && call.arguments.contains(&format!("lockstep-request-id: {id}\\r"))
            })
            .unwrap_or_else(|| panic!("no answer to {id}"));
        let covered = calls.iter().any(|written| {
            let log = written.target();
            log.starts_with(database.to_str().unwrap())
                && log.ends_with(".log")
                && written.arguments.contains(id.as_str())
                && written.result > 0
                && calls.iter().any(|sync| {
                    matches!(sync.name.as_str(), "fdatasync" | "fsync")
                        && sync.target() == log
                        && sync.result == 0
                        && written.ended < sync.began
                        && sync.ended < answer.began
                })
        });
        assert!(covered, "{id} was acknowledged before it was synced");
    }
    // It is the log's sync that counts, not one for each answer.
    let syncs = calls.iter().filter(|call| call.target().ends_with(".log")).count();
    assert!(syncs > words.len(), "{syncs}");
}
