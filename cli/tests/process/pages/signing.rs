//! `lock add`, `remove`, `sign`, `submit` and `key`.

use super::{initialize, page};
use crate::harness::{Place, node_key, private, tlpub};

#[test]
fn add_and_remove() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let (second, third, fourth) = (tlpub(2), tlpub(3), tlpub(4));
    let mut seen = page(&place);
    seen.remark("While the lock is off there are no trusted keys.");
    seen.run(&format!("lock add {second}"));
    seen.run(&format!("lock remove {second}"));

    initialize(&place, &mut seen, "");
    seen.remark("Keys are added, with votes where they are not 1. Success is silent.");
    seen.run(&format!("lock add {second} {third}?2"));
    seen.run("lock");
    seen.remark("Programs ask for JSON, and give their request a name: it happens once.");
    seen.run(&format!("lock add --json --request-id more-keys {fourth}"));
    seen.run(&format!("lock add --json --request-id more-keys {fourth}"));
    seen.run(&format!("lock remove --json --request-id more-keys {fourth}"));
    seen.remark("Keys are missing.");
    seen.run("lock add");
    seen.remark("It is trusted already.");
    seen.run(&format!("lock add {second}"));
    seen.remark("It was not copied whole.");
    seen.run("lock add tlpub:1234");
    seen.remark("A key without a vote has no use.");
    seen.run(&format!("lock add {}?0", tlpub(5)));
    seen.remark("Anybody could sign with the zero key.");
    seen.run(&format!("lock add tlpub:{}", "0".repeat(64)));
    seen.remark("A private key was pasted by mistake.");
    seen.run(&format!("lock add nlpriv:{}", "cd".repeat(64)));

    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    place.ok(&format!("lock sign {}", node_key(1)));
    seen.remark("Keys are removed. Nodes that they had let in are signed again.");
    seen.run(&format!("lock remove {second},{fourth}"));
    seen.run("lock");
    seen.remark("Keys are missing.");
    seen.run("lock remove");
    seen.remark("It is not trusted.");
    seen.run(&format!("lock remove {fourth}"));
    seen.remark("Nobody would sign again the nodes that it has let in.");
    seen.run(&format!("lock remove {own}"));
    seen.remark("Both spellings of one flag.");
    seen.run(&format!("lock remove --resign --re-sign=false {third}"));
    seen.remark("It is yes or no.");
    seen.run(&format!("lock remove --resign=maybe {third}"));
    seen.remark("The own key goes only where nobody is to be signed again by it.");
    seen.run(&format!("lock remove --resign=false {own}"));
    seen.run("lock status");
    seen.run(&format!("lock add {second}"));
    seen.matches("lock-add-remove.txt");
}

#[test]
fn the_last_key() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let mut seen = page(&place);
    initialize(&place, &mut seen, "");
    seen.remark("The last key cannot be removed: nobody could change the lock any more.");
    seen.run(&format!("lock remove {own}"));
    seen.run(&format!("lock remove --resign=false {own}"));
    seen.matches("lock-remove-last.txt");
}

#[test]
fn sign() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    for (name, byte) in [("laptop", 1), ("phone", 2), ("tv", 3)] {
        place.ok(&format!("node add {name} --node-key {}", node_key(byte)));
    }
    seen.remark("While the lock is off nothing needs to be signed.");
    seen.run(&format!("lock sign {}", node_key(1)));
    seen.run("lock sign --locked-out");
    initialize(&place, &mut seen, "");
    for (name, byte) in [("laptop", 4), ("phone", 5), ("tv", 6)] {
        place.ok(&format!("node rotate {name} --node-key {}", node_key(byte)));
    }
    let keys = [4, 5, 6].map(node_key);
    for (key, name) in keys.iter().zip(["new laptop", "new phone", "new tv"]) {
        seen.name(key, name);
    }
    seen.remark("Three nodes have changed their keys, and are locked out.");
    seen.run("lock sign --locked-out");
    seen.remark("One is signed, with its own lock key by which it may change its node key later.");
    seen.run(&format!("lock sign {} {}", keys[0], tlpub(7)));
    seen.run("node show laptop");
    seen.remark("Several at once. Of each it is said what became of it.");
    seen.run(&format!("lock sign {} {} {}", keys[1], node_key(9), keys[2]));
    seen.run("node list");
    place.write("node.key", format!("{}\r\n", keys[0]));
    seen.remark("A key from a file.");
    seen.run("lock sign file:node.key");
    seen.remark("The node key is missing.");
    seen.run("lock sign");
    seen.remark("It was not copied whole.");
    seen.run("lock sign nodekey:12");
    seen.remark("The zero key is nobody's.");
    seen.run(&format!("lock sign nodekey:{}", "0".repeat(64)));
    seen.remark("The roster does not know it.");
    seen.run(&format!("lock sign {}", node_key(9)));
    seen.remark("Anybody could rotate with the zero key.");
    seen.run(&format!("lock sign {} tlpub:{}", keys[0], "0".repeat(64)));
    seen.remark("A lock key stands in the place of the node key.");
    seen.run(&format!("lock sign {}", tlpub(7)));
    seen.remark("There is no such file.");
    seen.run("lock sign file:missing");
    seen.remark("A directory holds no key.");
    seen.run("lock sign file:.");
    seen.matches("lock-sign.txt");
}

#[test]
fn keys_outside_the_daemon() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    private(&place.write("passphrase", "correct horse\n"));
    seen.remark("A key is made in a new file. Its public half is printed.");
    let public = seen.run("key generate offline.key").stdout;
    seen.run("key generate offline.key");
    seen.run("key show offline.key");
    seen.run("key show offline.key --json");
    seen.remark("Sealed, it opens with its passphrase only.");
    seen.run("key seal offline.key sealed.key --passphrase-from file:passphrase");
    seen.run("key show sealed.key");
    seen.run("key show sealed.key --passphrase-from file:passphrase --json");
    seen.remark("What holds no key.");
    seen.run("key show missing.key");
    seen.run("key show .");
    seen.run("key show passphrase");

    initialize(&place, &mut seen, public.trim_end());
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    place.ok(&format!("node add phone --node-key {}", node_key(2)));
    seen.remark("The lock trusts it. It signs in the place of the daemon's key.");
    seen.run(&format!("lock sign --key offline.key {}", node_key(1)));
    seen.run("node show laptop");
    seen.run(&format!("lock add --key sealed.key --passphrase-from file:passphrase {}", tlpub(2)));
    seen.run(&format!("lock remove --key offline.key {}", tlpub(2)));
    seen.remark("On a machine without a network: export, carry, sign, carry back, submit.");
    seen.run(&format!(
        "lock sign --key {} --export request.json {}",
        public.trim_end(),
        node_key(2)
    ));
    seen.run("key sign request.json --key offline.key");
    seen.run("key sign request.json --key offline.key --confirm");
    seen.run("lock submit request.json.signed");
    seen.run("lock submit request.json.signed");
    seen.run("node show phone");
    seen.remark("What is not taken.");
    seen.run("lock submit request.json");
    seen.run("lock submit missing.json");
    seen.run(&format!("lock sign --key missing.key {}", node_key(2)));
    seen.matches("key.txt");
}
