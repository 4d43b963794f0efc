//! `adopt`: taking over a lock that exists already, and following one.

use ledger::limits::EVENT_AUMS;

use super::{initialize, page};
use crate::harness::{Place, Proxy, Tailscaled, recorded, tlpub, vector};

#[test]
fn taking_over() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    place.write("export.json", recorded("revoked.export"));
    place.write("status.json", recorded("revoked.status"));
    place.write("part.json", vector("log_json/chain-large.limit50.json"));
    place.write("other.json", vector("log_json/chain-small.json"));
    let head = {
        let export: serde_json::Value =
            serde_json::from_slice(&recorded("revoked.export")).unwrap();
        export["Messages"][0]["Hash"].as_str().unwrap().to_owned()
    };
    seen.name(&head, "head");

    seen.remark("What is to be adopted must be named.");
    seen.run("adopt");
    seen.remark("There is no such file.");
    seen.run("adopt missing.json");
    seen.remark("What is no history.");
    seen.run("adopt status.json");
    seen.remark("A history without its beginning: everything in it rests on what is not there.");
    seen.run("adopt part.json");
    seen.remark("This signing node's own directory, and its socket, have no history of another.");
    seen.run("adopt data");
    seen.run("adopt s.sock");

    seen.remark("Without --confirm it is shown what the lock rests on, and nothing is changed.");
    seen.run("adopt export.json --status status.json");
    seen.run("lock");
    seen.remark("Another lock was expected.");
    seen.run(&format!("adopt export.json --genesis {}", "A".repeat(52)));
    seen.remark("This is no hash.");
    seen.run("adopt export.json --head xyz");
    seen.remark("This says nothing of nodes.");
    seen.run("adopt export.json --status export.json");

    seen.remark("A node that is trusted has shown the head, which vouches for all the rest.");
    seen.run(&format!("adopt --confirm export.json --status status.json --head {head}"));
    seen.run("lock");
    seen.remark("The same again changes nothing.");
    seen.run("adopt --confirm export.json");
    seen.remark("There is one lock at a time.");
    seen.run("adopt other.json");
    seen.remark("It is complete, and cannot be given up.");
    seen.run("adopt --end");
    seen.remark("This machine's own key is not among those that the lock trusts.");
    seen.run(&format!("lock add {}", tlpub(2)));
    seen.matches("adopt.txt");
}

#[test]
fn cut_short() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    let text = String::from_utf8(vector("bench/chain2000.hex")).unwrap();
    let aums = text.lines().map(|line| data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap());
    place.write("history.cbor", aums.flatten().collect::<Vec<u8>>());
    assert!(text.lines().count() > EVENT_AUMS, "it fits into one record");
    // The connection breaks with the second page.
    let mut pages = 0;
    Proxy::start(&place.file("broken.sock"), &place.socket(), move |exchange| {
        pages += usize::from(exchange.posts("lockstep/adoption/aums"));
        if pages < 2 {
            exchange.pass();
        }
    });
    seen.remark("A long history goes into several records. Here the connection broke after one.");
    seen.run("adopt --confirm history.cbor --socket broken.sock --request-id long");
    seen.remark("Nothing of it is in force.");
    seen.run("lock");
    seen.remark("No other lock begins meanwhile.");
    seen.run(&format!("lock init --confirm {}", place.own_key()));
    seen.remark("It can be given up ..");
    seen.run("adopt --end");
    seen.run("lock");
    seen.remark(".. and begun again.");
    seen.run("adopt --confirm history.cbor --request-id again");
    seen.matches("adopt-cut-short.txt");
}

#[test]
fn following() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("That is this signing node itself.");
    seen.run("adopt --follow s.sock --once");
    seen.remark("Nobody listens there.");
    seen.run("adopt --follow tailscaled.sock --once");
    let theirs = Tailscaled::start(place.file("tailscaled.sock"));
    seen.remark("The tailnet has no lock.");
    seen.run("adopt --follow tailscaled.sock --once");
    theirs.show("added");
    seen.remark("Looks are some time apart, at most a day.");
    seen.run("adopt --follow tailscaled.sock --interval 0");

    seen.remark("The first time it is shown what the lock rests on.");
    seen.run("adopt --follow tailscaled.sock --once");
    seen.run("adopt --follow tailscaled.sock --once --confirm");
    seen.remark("Afterwards there is nothing to ask. Here nothing was new.");
    seen.run("adopt --follow tailscaled.sock --once");
    seen.remark("The lock is changed where its server is.");
    seen.run(&format!("lock add {}", tlpub(2)));
    theirs.show("revoked");
    seen.remark("Keys were revoked there.");
    seen.run("adopt --follow tailscaled.sock --once");
    seen.remark("As JSON.");
    seen.run("adopt --follow tailscaled.sock --once --json");

    theirs.show("added");
    seen.remark("The server shows an old state as if it were the last.");
    seen.run("adopt --follow tailscaled.sock --once");
    seen.run("lock");
    theirs.show("revoked");
    seen.remark("It has come to its senses. What it did stays on record.");
    seen.run("adopt --follow tailscaled.sock --once");
    seen.run("lock status");

    seen.remark("The archive ends, the lock does not.");
    seen.run("adopt --end");
    seen.run("adopt --end");
    seen.remark("Under a lock of this ledger's own there is nothing to follow.");
    initialize(&place, &mut seen, "");
    seen.run("adopt --follow tailscaled.sock --once --confirm");
    seen.matches("adopt-follow.txt");
}
