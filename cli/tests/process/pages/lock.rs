//! `lock init`, `status`, `disable`, `disablement-kdf`, `log`, `local-disable`.

use super::{initialize, page};
use crate::harness::{Place, node_key, tlpub};

#[test]
fn init() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();
    let (second, third) = (tlpub(2), tlpub(3));
    let mut seen = page(&place);
    seen.remark("The lock is off. This machine's key is shown: it must be among the first.");
    seen.run("lock");
    seen.remark("Without --confirm the plan is shown, and the line that carries it out.");
    seen.run(&format!("lock init {own} {second}?2"));
    seen.remark("Three secrets, and the value of a fourth that was made elsewhere.");
    seen.run(&format!("lock init --gen-disablements 3 {own} disablement:{}", "ab".repeat(32)));

    seen.remark(
        "Mistakes are found before anything is printed that must be kept. The own key is missing.",
    );
    seen.run("lock init");
    seen.remark("Another key alone would lock this machine out.");
    seen.run(&format!("lock init {second}"));
    seen.remark("A key counts once.");
    seen.run(&format!("lock init {own} {own}"));
    seen.remark("A key was not copied whole.");
    seen.run(&format!("lock init {own} tlpub:1234"));
    seen.remark("Votes are a number from 1 on ..");
    seen.run(&format!("lock init {own}?0"));
    seen.remark(".. to 4096 ..");
    seen.run(&format!("lock init {own}?4097"));
    seen.remark(".. in digits.");
    seen.run(&format!("lock init {own}?many"));
    seen.remark("Without a secret nobody could turn the lock off.");
    seen.run(&format!("lock init --gen-disablements 0 {own}"));
    seen.remark("There are at most 32.");
    seen.run(&format!("lock init --gen-disablements 33 {own}"));
    seen.remark("And no fewer than none.");
    seen.run(&format!("lock init --gen-disablements=-1 {own}"));
    seen.remark("A secret would be public from then on; its value is what belongs here.");
    seen.run(&format!("lock init {own} disablement-secret:{}", "AB".repeat(32)));
    seen.remark("A private key was pasted by mistake. It is not repeated.");
    seen.run(&format!("lock init {own} nlpriv:{}", "cd".repeat(64)));
    seen.remark("The support secret needs a place to go to.");
    seen.run(&format!("lock init --confirm --gen-disablement-for-support {own}"));

    seen.remark("With --confirm the lock is initialized. Where the secrets are is on record.");
    let line = "lockstep lock init --confirm --gen-disablements 2 --disablement-for 'office safe'";
    let ran = seen.shell(&format!("{line} {own} {second}?2,{third}"));
    assert_eq!(ran.stdout.matches("disablement-secret:").count(), 2);
    seen.run("lock");
    seen.remark("Once is enough.");
    seen.run(&format!("lock init --confirm {own}"));
    seen.matches("lock-init.txt");
}

#[test]
fn status() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("While the lock is off there is little to say.");
    seen.run("lock status");
    seen.remark("Programs read JSON.");
    seen.run("lock status --json");

    place.ok(&format!("node add laptop --node-key {} --lock-key {}", node_key(1), tlpub(7)));
    initialize(&place, &mut seen, &format!("{}?2", tlpub(2)));
    place.ok(&format!("node add phone --node-key {}", node_key(2)));
    seen.remark("It is on. The laptop was there and was signed; the phone came later.");
    seen.run("lock status");
    seen.run("lock status --json");
    seen.remark("Everybody, why they are in or out and since when.");
    seen.run("lock status --all");
    seen.remark("The same for programs.");
    seen.run("lock status --all --json");

    seen.remark("JSON has a version; a number asks for it.");
    assert_eq!(place.ok("lock status --json=1"), place.ok("lock status --json"));
    seen.run("lock status --json=2");
    seen.remark("Anything else is no version.");
    seen.run("lock status --json=some");
    seen.remark("What is no command is said to be none.");
    seen.run("lock status now");
    seen.remark("A subcommand was misspelled.");
    seen.run("lock stats");
    seen.remark("No daemon listens there.");
    seen.run("lock --socket nowhere.sock");
    seen.matches("lock-status.txt");
}

#[test]
fn disable() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("The value of a secret is what the lock keeps. No daemon is needed for it.");
    seen.run("lock disablement-kdf A5A5A5A5A5A5A5A5");
    seen.remark("The digits are missing.");
    seen.run("lock disablement-kdf");
    seen.remark("These are no digits.");
    seen.run("lock disablement-kdf xyz");
    seen.remark("The digits stand without their prefix here.");
    seen.run("lock disablement-kdf disablement-secret:A5A5");
    seen.remark("There is nothing to disable.");
    seen.run("lock disable disablement-secret:A5A5A5A5A5A5A5A5");

    initialize(&place, &mut seen, "");
    seen.remark("A secret can be tried without using it, here from a file.");
    seen.run("lock disable --check file:secret");
    seen.remark("Or from stdin.");
    seen.shell("lockstep lock disable --check - < secret");
    seen.remark("Another secret is wrong.");
    seen.run("lock disable --check disablement-secret:A5A5A5A5A5A5A5A5");
    seen.remark("Mistakes change nothing. The secret is missing.");
    seen.run("lock disable");
    seen.run("lock disable disablement-secret:A5A5A5A5A5A5A5A5");
    seen.remark("A value is not a secret.");
    seen.run(&format!("lock disable disablement:{}", "a5".repeat(32)));
    seen.remark("There is no such file.");
    seen.run("lock disable file:missing");
    seen.remark("What may be a secret is not repeated.");
    seen.run("lock disable hello");

    seen.remark("It is used, and public from now on. Everybody is in.");
    seen.run("lock disable file:secret");
    seen.run("lock status");
    seen.run("lock disable file:secret");
    seen.remark("The history stays.");
    seen.run("lock log --epoch 1");
    seen.matches("lock-disable.txt");
}

#[test]
fn log() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("There is no log of a lock that has never been on.");
    seen.run("lock log");
    initialize(&place, &mut seen, "");
    place.ok(&format!("lock add {}?2", tlpub(2)));
    place.ok(&format!("lock remove {}", tlpub(2)));
    seen.remark("Newest first.");
    seen.run("lock log");
    seen.remark("At most one.");
    seen.run("lock log --limit 1");
    seen.remark("As JSON, with the bytes of each change: what 'lockstep audit verify' reads.");
    seen.run("lock log --json --limit 2");
    seen.remark("None.");
    seen.run("lock log --limit 0");
    seen.remark("Below 1 there is nothing to list.");
    seen.run("lock log --limit=-1");
    seen.remark("A limit is a number.");
    seen.run("lock log --limit many");
    seen.run("lock log --json=2");
    seen.remark("There have not been so many locks.");
    seen.run("lock log --epoch 7");
    seen.matches("lock-log.txt");
}

#[test]
fn local_disable() {
    let place = Place::new();
    let _daemon = place.start();
    let mut seen = page(&place);
    seen.remark("Without a lock there is nothing to set aside.");
    seen.run("lock local-disable");
    seen.remark("Nor to take back.");
    seen.run("lock local-enable");
    initialize(&place, &mut seen, "");
    seen.remark("It is set aside on this machine alone: who is out elsewhere gets in here.");
    seen.run("lock local-disable");
    seen.run("lock status");
    seen.remark("Meanwhile this machine signs nothing.");
    seen.run(&format!("lock add {}", tlpub(2)));
    seen.run(&format!("lock remove {}", tlpub(2)));
    seen.run("lock remove --unused-preauth-keys");
    seen.run(&format!("lock sign {}", node_key(1)));
    seen.run("lock sign --locked-out");
    seen.run("lock log");
    seen.run("lock local-disable");
    seen.remark("What is to be run repeats --socket if it was given, in the daemon's words too.");
    seen.run("lock log --socket s.sock");
    seen.run("lock status --socket s.sock");
    seen.run(&format!("lock sign {} --socket s.sock", node_key(1)));
    seen.remark("And back.");
    seen.run("lock local-enable");
    seen.run("lock status");
    seen.run("lock local-enable");
    seen.remark("It takes no argument.");
    seen.run("lock local-disable extra");
    seen.matches("lock-local-disable.txt");
}
