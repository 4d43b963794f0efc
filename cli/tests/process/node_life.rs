//! A node's life, as `node show`, `lock status` and `lock log` tell it.

use data_encoding::BASE64;
use ledger::lock::node_keys::{NodeKeySignature, resign};
use ledger::testing::key;

use crate::harness::{Place, Transcript, node_key, tlpub};

#[test]
fn in_and_out_and_why() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();

    let mut seen = Transcript::new(&place);
    seen.name(&own, "signer");
    seen.name(&tlpub(2), "other signer");
    seen.name(&tlpub(7), "laptop");
    seen.name(place.json("node show signer --json")["node_key"].as_str().unwrap(), "machine");
    for (byte, name) in [(1, "first"), (2, "second"), (3, "third"), (9, "stranger")] {
        seen.name(&node_key(byte), name);
    }

    seen.remark("The lock is off: everybody is in.");
    seen.run("lock status");
    seen.run("lock log");
    place.init(&format!("--gen-disablements 2 {}?2", tlpub(2)));
    seen.remark("It is initialized, with another signing node's key besides.");
    seen.run("lock");
    seen.run("node show signer");

    seen.remark("A node joins: locked out.");
    seen.run(&format!("node add laptop --node-key {} --lock-key {}", node_key(1), tlpub(7)));
    seen.run("lock status");

    seen.remark("It is signed, with its own lock key for rotations: in.");
    seen.run(&format!("lock sign {} {}", node_key(1), tlpub(7)));
    seen.run("node show laptop");
    seen.run("lock status");

    seen.remark("It changes its node key and signs that itself: still in.");
    let signature = place.json("node show laptop --json")["signature"].clone();
    let signature = BASE64.decode(signature.as_str().unwrap().as_bytes()).unwrap();
    let signature = NodeKeySignature::decode(&signature).unwrap();
    let rotation = resign(&key(7), ledger::testing::node_key(2), &signature).unwrap();
    place.write("rotation", rotation.to_cbor());
    seen.run(&format!("node rotate laptop --node-key {} --signature rotation", node_key(2)));
    seen.run("lock status");

    seen.remark("It changes its node key without a signature: out.");
    seen.run(&format!("node rotate laptop --node-key {}", node_key(3)));
    seen.run("lock status");

    seen.remark("It is signed again: in.");
    seen.run(&format!("lock sign {}", node_key(3)));
    seen.run("node show laptop");

    seen.remark("Its signer is removed, and nobody signs for it again: out, and so is the signer.");
    seen.run(&format!("lock remove --re-sign=false {own}"));
    seen.run("node show laptop");
    seen.run("node show signer");
    seen.run("lock status");
    seen.run("lock log");
    seen.run("lock log --limit 1");

    seen.remark("Nobody here can let anybody in any more.");
    seen.run(&format!("lock sign {}", node_key(3)));
    seen.run(&format!("lock add {}", tlpub(4)));
    seen.run(&format!("lock sign {}", node_key(9)));
    seen.matches("node-life.txt");
}
