//! `cluster records` and `audit verify`.

use super::{initialize, page};
use crate::harness::{Place, Transcript, node_key, tlpub};

/// Hides who runs the test.
fn without_user(place: &Place, seen: &mut Transcript<'_>) {
    let records = place.records("");
    let actor = records.iter().map(|record| &record["actor"]).find(|actor| !actor["uid"].is_null());
    let actor = actor.unwrap();
    let (uid, name) = (&actor["uid"], actor["name"].as_str().unwrap());
    seen.hide(&format!("uid {uid} ({name})"), "uid <uid> (<user>)");
    seen.hide(&format!("by {name}, "), "by <user>, ");
    seen.hide(&format!("\"uid\":{uid},\"name\":\"{name}\""), "\"uid\":<uid>,\"name\":\"<user>\"");
    seen.hide(&format!("\"maker\":\"{name}\""), "\"maker\":\"<user>\"");
}

#[test]
fn records() {
    let place = Place::new();
    let daemon = place.start();
    let mut seen = page(&place);
    let secret = place.ok(&format!(
        "lock init --confirm --disablement-for safe --request-id first-lock {}",
        place.own_key()
    ));
    assert!(secret.contains("disablement-secret:"));
    place.ok(&format!("lock add --request-id second-key {}", tlpub(2)));
    without_user(&place, &mut seen);
    seen.remark("Everything that was ever changed, oldest first.");
    seen.run("cluster records");
    seen.remark("As JSON, a record a line, with its bytes.");
    seen.run("cluster records --json --from 2 --limit 1");
    seen.run("cluster records --from 3");
    seen.remark("There are not so many.");
    seen.run("cluster records --from 100");
    seen.remark("The same from the daemon's directory, whether it runs or not.");
    assert_eq!(place.ok("cluster records data"), place.ok("cluster records"));
    assert_eq!(daemon.terminate().code(), Some(0));
    seen.run("cluster records --limit 1 data");
    seen.remark("No daemon runs.");
    seen.run("cluster records");
    seen.remark("There is no such directory.");
    seen.run("cluster records nowhere");
    seen.remark("Records are counted.");
    seen.run("cluster records --from now");
    seen.matches("cluster-records.txt");
}

#[test]
fn verify() {
    let place = Place::new();
    let daemon = place.start();
    let mut seen = page(&place);
    let pid = daemon.pid().as_raw_nonzero();
    seen.hide(&format!("process {pid}"), "process <pid>");
    place.ok(&format!("node add laptop --node-key {}", node_key(1)));
    initialize(&place, &mut seen, "");
    place.ok(&format!("lock add {}?2", tlpub(2)));
    place.ok(&format!("node add phone --node-key {}", node_key(2)));
    place.write("export.json", place.ok("lock log --json"));
    let log = place.json("lock log --json");
    let genesis = log["Messages"][1]["Hash"].as_str().unwrap();
    seen.name(genesis, "genesis");

    seen.remark("An export, as 'lock log --json' writes it.");
    seen.run("audit verify export.json");
    seen.remark("Whose history it is only a hash from elsewhere can say.");
    seen.run(&format!("audit verify export.json --genesis {genesis}"));
    seen.remark("It is another one.");
    seen.run(&format!("audit verify export.json --genesis {}", "A".repeat(52)));
    seen.remark("Without such a hash nothing may be decided.");
    seen.run("audit verify export.json --require-anchor");
    seen.remark("A running daemon: nodes, records and times as well.");
    seen.run("audit verify s.sock");
    seen.remark("The directory, while the daemon uses it.");
    seen.run("audit verify data");
    seen.remark("The code of the exit can depend on what is found: here there is no warning.");
    seen.run("audit verify data --fail-on warning");
    seen.remark("As JSON.");
    seen.run("audit verify data --json");

    let export = place.ok("lock log --json");
    let raw = log["Messages"][0]["Raw"].as_str().unwrap();
    let (before, after) = raw.split_at(raw.len() - 20);
    let (other, rest) = (if after.starts_with('A') { "B" } else { "A" }, &after[1..]);
    place.write("damaged.json", export.replace(raw, &format!("{before}{other}{rest}")));
    seen.remark("A signature was damaged: the history does not hold.");
    seen.run("audit verify damaged.json");
    seen.remark("What is no history.");
    seen.run("audit verify secret");
    seen.remark("There is no such file.");
    seen.run("audit verify missing");
    seen.remark("This is no hash.");
    seen.run("audit verify export.json --genesis xyz");
    seen.remark("This is no severity.");
    seen.run("audit verify export.json --fail-on panic");
    seen.remark("The source is missing.");
    seen.run("audit verify");
    seen.matches("audit-verify.txt");
}
