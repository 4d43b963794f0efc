//! What nodes are told and say: `node pull`, `lock status --all`, `lock local-disable`.

use crate::harness::{Place, Transcript, node_key, tlpub};

#[test]
fn a_node_elsewhere_hears_of_the_lock_and_of_its_end() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let mut seen = Transcript::new(&place);
    seen.name(&own, "signer");
    seen.name(&tlpub(2), "second key");
    seen.name(&node_key(9), "stranger");
    let machine = place.json("node show signer --json")["node_key"].clone();
    seen.name(machine.as_str().unwrap(), "signer's");
    seen.remark("A node that is no signing node follows the lock in a directory of its own.");
    place.ok(&format!("node add laptop --node-key {} --lock-key {}", node_key(1), tlpub(7)));
    seen.run("node pull laptop");
    seen.remark("A lock begins, and a stranger comes whom nobody signs.");
    let secret = place.init("");
    place.ok(&format!("node add stranger --node-key {}", node_key(9)));
    seen.run("node pull laptop");
    seen.run("node pull laptop --json");
    seen.run(&format!("lock add {}", tlpub(2)));
    seen.run("node pull laptop");

    seen.remark("It may set the lock aside for itself, and take that back.");
    seen.run("node pull laptop --local-disable");
    seen.run("node pull laptop --local-disable");
    seen.run("node pull laptop --local-enable");

    seen.remark("The lock ends, and another one begins, while nobody tells the node.");
    place.write("secret", &secret);
    seen.run("lock disable file:secret");
    place.init("");
    seen.run("node pull laptop");

    seen.remark("A directory that belongs to another node is left alone.");
    seen.run("node pull stranger --dir data/nodes/2");
    seen.remark("Who can pull, and who not.");
    seen.run("node pull nobody");
    seen.run("node pull signer");
    seen.run("node pull");
    seen.matches("node-pull.txt");
}

#[test]
fn the_status_of_everybody() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    for (name, byte) in [("laptop", 1), ("phone", 2)] {
        place.ok(&format!("node add {name} --node-key {}", node_key(byte)));
    }
    let secret = place.init("");
    place.ok(&format!("node rotate phone --node-key {}", node_key(3)));
    place.ok("node pull laptop");
    place.ok("node pull phone");
    place.write("secret", &secret);
    place.ok("lock disable file:secret");
    place.ok("node pull laptop");
    let all = place.ok("lock status --all");
    assert!(all.starts_with(&place.ok("lock status")), "{all}");
    assert!(
        all.ends_with(
            "\nEpoch 1 was disabled in record 8.\n\tacknowledged by: signer, laptop\n\tnot yet \
             by: phone\n"
        ),
        "{all}"
    );
    assert!(all.contains("\tlaptop\tn2CNTRL\tsince record 8\ttailnet lock is off\n"), "{all}");
    assert!(all.contains("\t\tepoch 1: has ended the lock (record 9)\n"), "{all}");

    place.init("");
    place.ok(&format!("node rotate phone --node-key {}", node_key(4)));
    let all = place.ok("lock status --all");
    assert!(
        all.contains(&format!(
            "\tsigner\tn1CNTRL\tsince record 10\tsigned by {own}\t(us)\n\t\trotation depth \
             1\n\t\tSigKind: direct\n"
        )),
        "{all}"
    );
    assert!(all.contains("\tphone\tn3CNTRL\tsince record 11\tlocked out: "), "{all}");
    let json = place.json("lock status --all --json");
    assert_eq!(json["SchemaVersion"], "1");
    assert_eq!(json["AllNodes"][0]["rotation_depth"], 1);
    assert_eq!(json["AllNodes"][2]["rotation_depth"], 0);
    assert_eq!(json["AllNodes"][1]["acknowledged"][0]["head"], serde_json::Value::Null);
    assert_eq!(json["EndedEpochs"][0]["acknowledged_by"], serde_json::json!([1, 2]));
    assert_eq!(json["EndedEpochs"][0]["not_acknowledged_by"], serde_json::json!([3]));
}

#[test]
fn local_disable_lasts_until_local_enable_or_the_next_lock() {
    let place = Place::new();
    let daemon = place.start();
    let stderr = place.run("lock local-disable").fails(1);
    assert!(
        stderr.starts_with(
            "tailnet-lock local disable failed: tailnet-lock is not active\nInitialize"
        ) || stderr.starts_with(
            "tailnet-lock local disable failed: tailnet-lock is not active\ninitialize"
        ),
        "{stderr}"
    );
    place.run("lock local-disable extra").fails(1);
    let secret = place.init("");
    let on = place.ok("lock status");
    assert_eq!(place.ok("lock local-disable"), "");
    let ran = place.run("lock status");
    let noted = ran.stderr.clone();
    assert!(noted.contains("disabled on this node alone"), "{noted}");
    assert!(ran.ok().starts_with("Tailnet lock is NOT enabled.\n"));
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    assert_eq!(daemon.terminate().code(), Some(0));

    let _daemon = place.start();
    assert_eq!(place.json("lock status --json")["Enabled"], false);
    let stderr = place.run(&format!("lock sign {}", node_key(1))).fails(1);
    assert!(stderr.contains("lock local-enable"), "{stderr}");
    let stderr = place.run(&format!("lock add {}", tlpub(3))).fails(1);
    assert!(stderr.starts_with("tailnet lock is on, but set aside on this node"), "{stderr}");
    place.run("lock local-disable").fails(1);
    let outcome = place.json("lock local-enable --json");
    assert_eq!(outcome["outcome"], "applied");
    assert_eq!(place.ok("lock status"), on);
    place.run("lock local-enable").fails(1);

    place.ok("lock local-disable");
    place.write("secret", &secret);
    place.ok("lock disable file:secret");
    place.init("");
    assert_eq!(place.json("lock status --json")["Enabled"], true);
    assert_eq!(place.run("lock status").stderr, "");
}
