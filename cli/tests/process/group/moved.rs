//! Members that were away, and come back to a group that has moved on: they have another address, or
//! the others have, or all whom they knew were replaced.

use std::process::Command;

use super::harness::{Member, end_well, roles, shown, three};
use crate::harness::{Daemon, node_key};

/// What runs a member's daemon where nobody has reached it before.
fn serve_at(member: &Member, ip: &str) -> Command {
    let mut command = member.serve();
    command.arg("--peer-listen").arg(format!("{ip}:0"));
    command
}

fn start_at(member: &mut Member, ip: &str) {
    let daemon = Daemon::start(&member.place, serve_at(member, ip));
    assert!(daemon.ready["peer_addr"].as_str().unwrap().starts_with(ip), "{}", daemon.ready);
    member.daemon = Some(daemon);
}

fn add(member: &Member, number: u8) {
    let words = format!("node add n{number} --node-key {}", node_key(number));
    assert_eq!(member.insists(&words).code, 0);
}

/// Its new address is not on record before it is led, and it is not led before it is reached.
#[test]
fn a_member_that_moved_while_it_was_behind_is_reached() {
    let mut all = three();
    all[2].stop();
    add(&all[0], 1);
    start_at(&mut all[2], "127.0.0.2");
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
        let status = member.sees("its address", |status| {
            shown(status, "3")["peer_addr"].as_str().is_some_and(|at| at.starts_with("127.0.0.2:"))
        });
        assert_eq!(status["health"], "healthy");
    }

    // Now the others do, and it is where they know it.
    all[2].stop();
    for (at, ip) in [(0, "127.0.0.3"), (1, "127.0.0.4")] {
        all[at].stop();
        start_at(&mut all[at], ip);
        add(&all[at], 2 + at as u8);
    }
    start_at(&mut all[2], "127.0.0.2");
    for member in &all {
        member.is_whole(&["1", "2", "3"]);
    }
    add(&all[2], 9);
    end_well(&mut all);
}

/// Whom it knows is gone, and whoever is there it does not know: those show it who has let them in.
#[test]
fn a_member_that_was_away_while_all_others_were_replaced_comes_back() {
    let mut all = Vec::from(three());
    all[2].stop();
    for (left, name, voters) in [("1", "delta", ["2", "3", "4"]), ("2", "epsilon", ["3", "4", "5"])]
    {
        let mut new = Member::new(name);
        let host = if left == "1" { 0 } else { 3 };
        let token = all[host].invites(&new);
        new.join(&token);
        all.push(new);
        let host = all.last().unwrap();
        host.sees("a voter", |status| roles(status, "voter").len() == 4);
        assert_eq!(host.insists(&format!("cluster remove {left}")).code, 0);
        host.sees("the other one out", |status| roles(status, "voter") == voters);
        add(host, left.parse().unwrap());
        let out = if left == "1" { 0 } else { 1 };
        let (code, log) = all[out].daemon.take().unwrap().ends();
        assert_eq!(code, 1, "{log}");
    }
    all[2].start();
    for at in [2, 3, 4] {
        all[at].is_whole(&["3", "4", "5"]);
    }
    assert!(all[2].log().contains("has shown that it is one"), "{}", all[2].log());
    add(&all[2], 9);
    // It votes: without it there is no majority.
    all[3].kill();
    add(&all[4], 10);
    all[3].start();
    all[3].is_whole(&["3", "4", "5"]);
    end_well(&mut all[2..]);
}
