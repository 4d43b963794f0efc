//! Members that leave, and others that take their places.

use std::fs;

use super::harness::{Member, end_well, roles, three};
use crate::harness::{Daemon, node_key};

#[test]
fn a_removed_member_ends_and_its_machine_comes_back_as_another_one() {
    let mut all = three();
    let keys: Vec<String> = all.iter().map(|member| member.place.own_key()).collect();
    all[0].place.ok(&format!("lock init --confirm {}", keys.join(" ")));

    let ran = all[0].place.run("cluster remove 3");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout, "Replica 3 (gamma) is a member no more.\n");
    // Its lock key outlives it: what to do about that is said.
    assert!(ran.stderr.contains(&format!("lockstep lock revoke-keys {}", keys[2])), "{ran:?}");
    assert!(ran.stderr.contains(&format!("lockstep lock remove {}", keys[2])), "{ran:?}");
    let gone = all[2].daemon.take().unwrap();
    let (code, log) = gone.ends();
    assert_eq!(code, 1);
    assert!(log.contains("replica 3 was removed from its group"), "{log}");
    assert!(log.contains("lockstep cluster invite"), "{log}");
    let status = all[0].is_whole(&["1", "2"]);
    assert_eq!(status["members"].as_array().unwrap().len(), 2);
    let again = all[1].place.run("cluster remove 3");
    assert!(again.fails(1).contains("was removed"));

    // With what it still has it is not let in again, by any token.
    let Err(ran) = Daemon::try_start(&all[2].place, all[2].serve()) else { panic!("it serves") };
    assert!(ran.fails(1).contains("replica 3 was removed from its group"));

    // Its machine, wiped, is another member.
    fs::remove_dir_all(all[2].place.data()).unwrap();
    let token = all[1].invites(&all[2]);
    all[2].join(&token);
    assert_eq!(all[2].id(), "4");
    all[0].is_whole(&["1", "2", "4"]);
    all[2].place.ok(&format!("node add laptop --node-key {}", node_key(1)));

    // One that removes itself answers, and ends.
    let ran = all[1].place.run("cluster remove 2 --json");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(all[1].daemon.take().unwrap().ends().0, 1);
    all[0].is_whole(&["1", "4"]);

    // Of two, neither may go while the other one is away.
    all[2].kill();
    all[0].sees("the loss", |status| status["health"] != "healthy");
    let ran = all[0].place.run("cluster remove 4");
    assert!(ran.code == 1 || ran.code == 4, "{ran:?}");
    all[2].start();
    all[0].is_whole(&["1", "4"]);
    let [first, _, third] = all;
    end_well(&mut [first, third]);
}

#[test]
fn a_joiner_that_nobody_wants_is_removed_before_it_is_let_in() {
    let first = Member::founder("alpha");
    let guest = Member::new("guest");
    let serve = guest.joining(&first.place.ok("cluster invite"));
    std::thread::scope(|scope| {
        let joining = scope.spawn(|| Daemon::try_start(&guest.place, serve));
        first.sees("somebody who waits", |status| !roles(status, "pending").is_empty());
        let text = first.place.ok("cluster remove 2");
        assert_eq!(text, "Replica 2 (guest) is a member no more.\n");
        let Err(ran) = joining.join().unwrap() else { panic!("it was let in") };
        assert!(ran.fails(1).contains("replica 2 was removed from the group"));
    });
    assert_eq!(first.status().1["members"].as_array().unwrap().len(), 1);
}

#[test]
fn members_are_replaced_one_by_one_until_none_of_the_first_is_left() {
    let mut all = three();
    for (number, member) in (1..).zip(&all) {
        let name = &member.name;
        member.place.ok(&format!("node add of-{name} --node-key {}", node_key(number)));
    }
    let first_records = all[0].place.records("");
    for (place, name) in ["delta", "epsilon", "zeta"].into_iter().enumerate() {
        let mut new = Member::new(name);
        // Whoever is next to go invites its successor.
        let token = all[place].invites(&new);
        new.join(&token);
        new.sees("its own vote", |status| roles(status, "voter").contains(&new.id()));
        let old = all[place].id();
        let text = new.insists(&format!("cluster remove {old}")).ok();
        assert!(text.contains("is a member no more"), "{text}");
        let (code, log) = all[place].daemon.take().unwrap().ends();
        assert_eq!(code, 1, "{log}");
        all[place] = new;
    }
    for member in &all {
        let status = member.is_whole(&["4", "5", "6"]);
        assert_eq!(status["failures_tolerated"], 1);
        let records = member.place.records("");
        assert_eq!(records[..first_records.len()], first_records);
        member.place.ok("node show of-alpha");
    }
    all[2].place.ok(&format!("node add last --node-key {}", node_key(99)));
    end_well(&mut all);
}
