//! `node`, and what `authkey` says of mistakes (its life is in `auth-keys.txt`).

use super::{initialize, page};
use crate::harness::{Place, node_key, tlpub};

#[test]
fn the_roster() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("A new roster has this machine in it.");
    seen.run("node list");
    seen.remark("Nodes are entered with their keys.");
    seen.run(&format!("node add laptop --node-key {} --lock-key {}", node_key(1), tlpub(7)));
    seen.run(&format!("node add phone --node-key {} --json", node_key(2)));
    seen.run("node list");
    seen.remark("A node goes by its name, its number, its stable ID or its node key.");
    seen.run("node show laptop");
    for name in ["2", "n2CNTRL", &node_key(1)] {
        assert_eq!(place.ok(&format!("node show {name}")), place.ok("node show laptop"));
    }
    seen.run("node show laptop --json");
    seen.remark("Name and node key are missing.");
    seen.run("node add");
    seen.remark("A name is given once ..");
    seen.run(&format!("node add laptop --node-key {}", node_key(3)));
    seen.remark(".. and so is a node key.");
    seen.run(&format!("node add tv --node-key {}", node_key(1)));
    seen.remark("It was not copied whole.");
    seen.run("node add tv --node-key nodekey:12");
    seen.remark("Nor was this one.");
    seen.run(&format!("node add tv --node-key {} --lock-key tlpub:12", node_key(3)));
    seen.remark("A name is one label of a DNS name.");
    seen.shell(&format!("lockstep node add 'living room' --node-key {}", node_key(3)));

    initialize(&place, &mut seen, "");
    seen.remark("Under the lock a new node key needs a signature.");
    seen.run(&format!("node rotate phone --node-key {}", node_key(4)));
    seen.run("node list");
    seen.run(&format!("node rotate phone --node-key {}", node_key(4)));
    seen.remark("The roster has no such node.");
    seen.run(&format!("node rotate nobody --node-key {}", node_key(4)));
    seen.remark("There is no such file.");
    seen.run("node rotate phone --signature missing");
    seen.remark("This machine's own node key is made anew, and signed by its own lock key.");
    let ran = seen.run("node rotate signer");
    assert!(ran.stdout.contains("Signed:       yes"));

    seen.remark("A node leaves. Its number is not given again.");
    seen.run("node remove phone");
    seen.run("node list");
    seen.remark("The roster for programs.");
    seen.run("node list --json");
    seen.remark("It is gone.");
    seen.run("node show phone");
    seen.run("node remove phone");
    seen.remark("This machine stays as long as its daemon runs.");
    seen.run("node remove signer");
    seen.matches("node.txt");
}

#[test]
fn auth_keys() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("The key is printed once, and its secret is on no record.");
    let day = "authkey create --expiry 24h";
    let plain = seen.run("authkey create --expiry never").stdout;
    let plain = plain.trim_end();
    seen.run("authkey list");
    seen.run("authkey list --json");
    seen.remark("A duration has numbers and units ..");
    seen.run("authkey create --expiry soon");
    seen.remark(".. and some length.");
    seen.run("authkey create --expiry 0s");
    seen.remark("It takes no argument.");
    seen.run("authkey create again");
    assert!(place.run(day).stderr.contains("is for one node until"));

    seen.remark("Wrapping it needs a lock.");
    seen.run(&format!("lock sign {plain}"));
    initialize(&place, &mut seen, "");
    seen.remark("Under the lock it is wrapped.");
    let wrapped = seen.run(&format!("lock sign {plain}")).stdout;
    seen.remark("Once is enough.");
    seen.run(&format!("lock sign {}", wrapped.trim_end()));
    seen.remark("By the old name of the command.");
    seen.run(&format!("lock tskey-wrap {plain}"));
    seen.remark("The auth key is missing.");
    seen.run("lock tskey-wrap");
    seen.remark("Each time a key is trusted for the credential alone.");
    seen.run("lock log --limit 1");
    seen.remark("Its secret was changed: nobody is let in.");
    seen.run(&format!("node add tv --node-key {} --auth-key {plain}x", node_key(3)));
    seen.remark("There is no such file.");
    seen.run(&format!("node add tv --node-key {} --auth-key file:missing", node_key(3)));
    seen.remark("This is no auth key.");
    seen.run(&format!("node add tv --node-key {} --auth-key hello", node_key(3)));
    seen.remark("There is none of that ID.");
    seen.run("authkey revoke kNOBODY");
    seen.remark("The ID is missing.");
    seen.run("authkey revoke");
    let id = plain.split('-').nth(2).unwrap();
    seen.remark("It is revoked.");
    seen.run(&format!("authkey revoke {id} --json --request-id no-more"));
    seen.remark("Nobody joins by it any more.");
    seen.run(&format!("node add tv --node-key {} --auth-key {}", node_key(3), wrapped.trim_end()));
    seen.remark("Once is enough.");
    seen.run(&format!("authkey revoke {id}"));
    seen.matches("authkey.txt");
}
