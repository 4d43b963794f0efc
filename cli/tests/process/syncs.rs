//! Nothing is acknowledged before it is on the disk: shown on the system calls themselves.

use std::thread::scope;

use crate::harness::{Call, Daemon, Place, calls, nobody_listens, node_key, tlpub, traced};

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
    for id in &ids {
        assert!(covered(&place, &calls, id), "{id} was acknowledged before it was synced");
    }
    // It is the log's sync that counts, not one for each answer.
    let syncs = calls.iter().filter(|call| call.target().ends_with(".log")).count();
    assert!(syncs > words.len(), "{syncs}");
}

/// What a daemon has written but not synced when it ends may survive it. The next one says so only
/// when it is safe.
#[test]
fn what_a_crash_left_unsynced_is_synced_before_it_is_acknowledged() {
    let place = Place::new();
    assert_eq!(place.start().terminate().code(), Some(0));
    // The first sync that fails comes later and later, until it is one of a change. (strace counts
    // those of each thread apart, so that the start may do with fewer than the changes.)
    let mut keys = 1..;
    for first in 1..40 {
        let inject = format!("inject=fdatasync:error=EIO:when={first}+");
        let command = traced(&place, &["-e", &inject]);
        let Ok(daemon) = Daemon::try_start(&place, command) else { continue };
        let lost = (1..=first).find_map(|number| {
            let id = format!("half-done-{first}-{number}-");
            let key = node_key(keys.next().expect("a key"));
            let words = format!("node add n{first}-{number} --node-key {key} --request-id {id}");
            let ran = place.run(&words);
            // Whoever asks when the replica has stopped, or the daemon has ended, hears that nothing was
            // done.
            let stopped = ran.code == 1
                && (ran.stderr.contains("the replica has stopped") || nobody_listens(&ran));
            assert!(matches!(ran.code, 0 | 4) || stopped, "{ran:?}");
            (ran.code != 0).then_some((id, words))
        });
        let (id, words) = lost.expect("a sync that fails");
        assert_eq!(daemon.ends().0, 1);

        let daemon = Daemon::start(&place, traced(&place, &[]));
        let again = place.run(&words);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(daemon.terminate().code(), Some(0));
        assert!(covered(&place, &calls(&place), &id));
        // Otherwise it failed before the change was written at all.
        if again.stderr.contains("on record already") {
            return;
        }
    }
    panic!("no change was written and not synced");
}

/// Whether the answer to a request left after a sync of a database's file that had been written
/// with the request in it.
fn covered(place: &Place, calls: &[Call], id: &str) -> bool {
    let database = place.data().join("db");
    let answer = calls
        .iter()
        .find(|call| {
            call.target().starts_with("socket:")
                && call.arguments.contains("lockstep-outcome: applied")
                && call.arguments.contains(&format!("lockstep-request-id: {id}\\r"))
        })
        .unwrap_or_else(|| panic!("no answer to {id}"));
    calls.iter().any(|written| {
        let file = written.target();
        file.starts_with(database.to_str().unwrap())
            && holds(&written.arguments, id)
            && written.result > 0
            && calls.iter().any(|sync| {
                matches!(sync.name.as_str(), "fdatasync" | "fsync")
                    && sync.target() == file
                    && sync.result == 0
                    && written.ended < sync.began
                    && sync.ended < answer.began
            })
    })
}

/// Whether strace shows the ID in what was written to the database's log: whole, or cut in two by
/// the seven bytes that begin each block of 32 KiB, the last of which tells a continuation.
fn holds(arguments: &str, id: &str) -> bool {
    let cut = |at: usize| {
        let (front, back) = id.split_at(at);
        ["\\3", "\\4", "\\003", "\\004"].iter().any(|continued| {
            arguments.match_indices(&format!("{continued}{back}")).any(|(end, _)| {
                // Each of the other six is shown by one to four characters.
                (6..=24).any(|shown| {
                    let before = end.checked_sub(shown).and_then(|end| arguments.get(..end));
                    before.is_some_and(|before| before.ends_with(front))
                })
            })
        })
    };
    arguments.contains(id) || (1..id.len()).any(cut)
}
