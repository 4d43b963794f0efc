//! Golden pages of the commands: what somebody types and sees, line by line, to be read as
//! documentation (`golden/*.txt`). Each page covers a command, what it says when all is well and
//! what it says of mistakes.

mod adopt;
mod ledger;
mod lock;
mod nodes;
mod signing;

use crate::harness::{Place, Transcript, node_key, tlpub};

/// A page of a place whose keys have names.
fn page(place: &Place) -> Transcript<'_> {
    let mut seen = Transcript::new(place);
    seen.name(&place.own_key(), "signer");
    let machine = place.json("node show signer --json")["node_key"].clone();
    seen.name(machine.as_str().unwrap(), "signer's");
    for (seed, name) in [(2, "second"), (3, "third"), (4, "fourth"), (7, "laptop lock")] {
        seen.name(&tlpub(seed), name);
    }
    for (byte, name) in [(1, "laptop"), (2, "phone"), (3, "tv"), (4, "new phone"), (9, "nobody")] {
        seen.name(&node_key(byte), name);
    }
    seen
}

/// Initializes the lock; its secret is in the file `secret` and named so.
fn initialize(place: &Place, seen: &mut Transcript<'_>, more: &str) {
    let secret = place.init(more);
    seen.name(&secret, "secret");
    place.write("secret", secret);
}
