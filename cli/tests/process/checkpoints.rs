//! The daemon signs what it has recorded, for whoever audits it elsewhere or later.

use std::fs;

use crate::harness::Place;

#[test]
fn what_a_daemon_signs_goes_with_the_evidence() {
    let place = Place::new();
    let daemon = place.start();
    place.init("");
    let socket = place.socket();
    let socket = socket.to_str().unwrap();

    // From the running daemon: a checkpoint of all that is exported.
    let written = place.run(&format!("audit export live.tar {socket}"));
    assert_eq!(written.code, 0, "{written:?}");
    let records = place.ok("cluster records --json").lines().count();
    let covers = format!("The checkpoint in it covers {records} of them.");
    assert!(written.stderr.contains(&covers), "{written:?}");
    // A key of the log that came from elsewhere says whose it is.
    let key = place.ok(&format!("audit vkeys {socket}"));
    let key = key.lines().next().unwrap().to_owned();
    place.write("vkey", &key);
    place.ok(&format!("audit verify live.tar --vkey {key} --require-anchor"));
    let other = place
        .run(&format!("audit verify live.tar --vkey {}A --require-anchor", &key[..key.len() - 1]));
    assert_ne!(other.code, 0, "{other:?}");
    // And a proof of one record stands on it.
    let proof = place.ok(&format!("audit prove 1 {socket}"));
    place.write("proof", &proof);
    place.ok(&format!("audit check-proof proof --vkey {key}"));

    // From the directory of a daemon that is gone.
    daemon.kill();
    let left = place.data().join("checkpoint");
    let note = fs::read_to_string(&left).unwrap();
    assert!(note.starts_with("lockstep/"), "{note}");
    let data = place.data();
    let written = place.run(&format!("audit export dead.tar {}", data.display()));
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.stderr.contains("The checkpoint in it covers"), "{written:?}");
    // One that is of another history is not taken.
    fs::write(&left, note.replacen("lockstep/", "lockstep/x", 1)).unwrap();
    let written = place.run(&format!("audit export other.tar {}", data.display()));
    assert!(written.stderr.contains("own checkpoint is not used"), "{written:?}");
}
