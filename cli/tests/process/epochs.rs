//! Ending the lock, and beginning again.

use crate::harness::{Place, node_key, tlpub};

#[test]
fn a_disabled_lock_keeps_its_history_and_the_next_is_epoch_2() {
    let place = Place::new();
    let daemon = place.start();
    let own = place.own_key();
    let secret = place.init(&format!("--gen-disablements 2 {}?2", tlpub(2)));
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    place.ok(&format!("lock add {}", tlpub(3)));
    let first = place.ok("lock log --json --limit 100");
    let first_text = place.ok("lock log");
    assert_eq!(place.json("node show laptop --json")["signed"], false);

    // The secret comes as an argument, from stdin or from a file.
    place.write("secret", format!("{secret}\n"));
    let stderr = place.run_with("disablement-secret:00\n", "lock disable -").fails(1);
    assert!(stderr.contains("incorrect disablement secret"), "{stderr}");
    place.ok("lock disable file:secret");

    let stderr = place.run(&format!("lock disable {secret}")).fails(1);
    assert!(stderr.contains("tailnet-lock is not active"), "{stderr}");
    let status = place.json("lock status --json");
    assert_eq!(status["Enabled"], false);
    // Everybody is in; no signature means anything any more.
    let laptop = place.json("node show laptop --json");
    assert_eq!(laptop["reason"], "tailnet lock is off");
    let stderr = place.run("lock log").fails(1);
    assert_eq!(
        stderr,
        "Tailnet Lock is not enabled\nA past lock can be read with --epoch: 'lockstep lock log \
         --epoch 1'.\n"
    );
    for words in [format!("lock add {}", tlpub(4)), format!("lock remove {}", tlpub(2))] {
        let stderr = place.run(&words).fails(1);
        assert!(stderr.starts_with("tailnet lock is not enabled\n"), "{stderr}");
    }
    let stderr = place.run(&format!("lock sign {}", node_key(1))).fails(1);
    assert!(stderr.contains("tailnet-lock is not active"), "{stderr}");
    assert_eq!(place.ok("lock log --epoch 1 --json --limit 100"), first);

    // The next lock is another one: its own secrets, its own keys, its own state ID.
    let second_secret = place.init("");
    assert_ne!(second_secret, secret);
    let stderr = place.run(&format!("lock disable {secret}")).fails(1);
    assert!(stderr.contains("incorrect disablement secret"), "{stderr}");
    let status = place.json("lock status --json");
    assert_eq!(status["TrustedKeys"].as_array().unwrap().len(), 1);
    assert_eq!(status["TrustedKeys"][0]["Public"], own.as_str());
    assert_eq!(place.json("node show laptop --json")["signed"], true);
    let log = place.json("lock log --json");
    assert_eq!(log["Messages"].as_array().unwrap().len(), 1);
    assert_eq!(place.ok("lock log --epoch 2"), place.ok("lock log"));
    assert_eq!(place.ok("lock log --epoch 1"), first_text);
    for (epoch, code, says) in [("3", 1, "the lock has had no epoch 3"), ("0", 1, "no epoch 0")] {
        let stderr = place.run(&format!("lock log --epoch {epoch}")).fails(code);
        assert!(stderr.contains(says), "{stderr}");
    }
    place.run("lock log --epoch -1").fails(2);
    place.run("lock log --epoch x").fails(2);

    // It is all there after a restart.
    let records = place.ok("cluster records --json");
    assert_eq!(daemon.terminate().code(), Some(0));
    let data = place.data();
    assert_eq!(place.ok(&format!("cluster records --json {}", data.display())), records);
    let _daemon = place.start();
    assert_eq!(place.ok("cluster records --json"), records);
    assert_eq!(place.ok("lock log --epoch 1 --json --limit 100"), first);
    assert_eq!(place.json("lock log --json"), log);
}
