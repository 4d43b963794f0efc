//! Clocks that jump. Time in the records is the proposer's word; nothing that was acknowledged
//! depends on it, and who is far off is told so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::harness::{Member, PATIENCE, end_well, three};
use crate::harness::{Daemon, Ran, node_key};

/// Where Debian's libfaketime is, for whichever processor.
fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists()).expect("libfaketime, which is not installed")
}

/// Lets the member run by a clock that is off by what is in a file; elapsed time is as it is.
fn start_with_clock(member: &mut Member) {
    set_clock(member, "+0");
    let mut command: Command = member.serve();
    command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", member.place.file("clock"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    member.daemon = Some(Daemon::start(&member.place, command));
}

/// Turns the clock: `+30`, `-3600`, `+0`, in seconds.
fn set_clock(member: &Member, off: &str) {
    let fresh = member.place.write("clock.new", format!("{off}\n"));
    fs::rename(fresh, member.place.file("clock")).unwrap();
}

struct Client {
    number: u8,
    acknowledged: Vec<Value>,
}

impl Client {
    /// Asks for a change, by the name of another node each time.
    fn asks(&mut self, member: &Member) -> Ran {
        self.number += 1;
        let words =
            format!("node add n{} --node-key {} --json", self.number, node_key(self.number));
        let ran = member.place.run(&words);
        if ran.code == 0 {
            self.acknowledged.push(serde_json::from_str(&ran.stdout).unwrap());
        }
        ran
    }

    /// Asks for a change that must be made.
    #[track_caller]
    fn adds(&mut self, member: &Member) {
        self.asks(member).ok();
    }

    /// Asks for a change that is refused because of the clock, and is not made.
    #[track_caller]
    fn is_refused(&mut self, member: &Member) {
        let ran = self.asks(member);
        self.was_refused(member, &ran);
    }

    #[track_caller]
    fn was_refused(&self, member: &Member, ran: &Ran) {
        assert_eq!(ran.code, 1, "{ran:?}");
        let Ran { stderr, .. } = ran;
        assert!(stderr.contains("clock is more than 10 s off the leader's"), "{stderr}");
        assert!(stderr.contains("set this machine's clock"), "{stderr}");
        let nodes = member.place.ok("node list");
        assert!(!nodes.contains(&format!("n{} ", self.number)), "{nodes}");
    }

    /// Lets a member lead and asks another one for a change. Once more where an election came in
    /// between, as it may on a machine that has other things to do.
    #[track_caller]
    fn asks_under(&mut self, leader: &str, member: &Member) -> Ran {
        let led = || -> (Value, Value) {
            // An alarm, such as one about clocks, has an exit code of its own.
            let status = member.place.run("cluster status --json").stdout;
            let status: Value = serde_json::from_str(&status).unwrap();
            (status["leader"].clone(), status["term"].clone())
        };
        let since = Instant::now();
        loop {
            member.place.ok(&format!("cluster transfer-leader {leader}"));
            let before = led();
            let ran = self.asks(member);
            if (before.0 == leader && led() == before) || since.elapsed() > PATIENCE {
                return ran;
            }
        }
    }
}

#[test]
fn clocks_that_jump_cost_nothing_that_was_acknowledged() {
    let mut all = three();
    for member in &mut all {
        member.stop();
        start_with_clock(member);
    }
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    let mut client = Client { number: 0, acknowledged: Vec::new() };
    all[0].place.ok("cluster transfer-leader 1");
    all.iter().for_each(|member| client.adds(member));

    // A follower's clock: what it proposes is refused, and nobody else minds.
    for off in ["+30", "-30", "+86400", "-86400"] {
        set_clock(&all[1], off);
        client.is_refused(&all[1]);
        client.adds(&all[0]);
        client.adds(&all[2]);
        // A little is no matter.
        set_clock(&all[1], "+5");
        client.adds(&all[1]);
    }
    set_clock(&all[1], "+0");

    // The leader's: it is the others who are off now, until another one leads.
    for off in ["+3600", "-3600"] {
        all[0].place.ok("cluster transfer-leader 1");
        set_clock(&all[0], off);
        let ran = client.asks_under("1", &all[2]);
        client.was_refused(&all[2], &ran);
        client.asks_under("2", &all[2]).ok();
        let ran = client.asks_under("2", &all[0]);
        client.was_refused(&all[0], &ran);
        set_clock(&all[0], "+0");
        client.adds(&all[0]);
    }

    // All of them, at once and apart: elections and reads go by elapsed time.
    for (member, off) in all.iter().zip(["+7200", "-7200", "+7"]) {
        set_clock(member, off);
    }
    all[2].place.ok("cluster transfer-leader 3");
    client.adds(&all[2]);
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
        set_clock(member, "+0");
    }
    all.iter().for_each(|member| client.adds(member));
    for member in &all {
        let records = member.place.records("");
        for outcome in &client.acknowledged {
            let index = outcome["record_index"].as_u64().unwrap() as usize;
            assert_eq!(records[index]["hash"], outcome["record_hash"]);
        }
    }
    end_well(&mut all);
}
