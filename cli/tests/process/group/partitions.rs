//! Parted, lossy and slow networks, under load.

use super::clients::Clients;
use super::harness::{Member, end_well};
use super::network::Network;
use super::relay::Relays;

const IDS: [&str; 3] = ["1", "2", "3"];
const CLIENTS: u64 = 6;

/// Who leads, and the two others.
fn parts(all: &[Member]) -> (&Member, [&Member; 2]) {
    let status = all[0].is_whole(&IDS);
    let leader = status["leader"].as_str().unwrap().parse::<usize>().unwrap() - 1;
    (&all[leader], [&all[(leader + 1) % 3], &all[(leader + 2) % 3]])
}

fn are_whole(all: &[Member]) {
    for member in all {
        member.is_whole(&IDS);
    }
}

fn has_no_quorum(member: &Member) {
    let status = member.sees("that it is alone", |status| status["health"] == "no-quorum");
    assert_eq!(status["stale"], true, "{status:#}");
}

#[test]
fn a_parted_group_loses_nothing_and_shows_nothing_old() {
    let Some(mut network) = Network::new() else { return };
    let mut all = network.three();
    let clients = Clients::of(&all);
    clients.while_busy(CLIENTS, || {
        clients.go_on(20);
        // A minority of one, a follower and then the leader.
        for leads in [false, true] {
            let (leader, others) = parts(&all);
            let (alone, rest) =
                if leads { (leader, others) } else { (others[0], [leader, others[1]]) };
            rest.iter().for_each(|other| network.cut(alone, other));
            clients.go_on(20);
            has_no_quorum(alone);
            clients.go_on(10);
            network.heal();
            are_whole(&all);
        }
        // The leader is heard, and hears nobody; then the other way round.
        for heard in [true, false] {
            let (leader, others) = parts(&all);
            for other in others {
                let (from, to) = if heard { (other, leader) } else { (leader, other) };
                network.cut_one_way(from, to);
            }
            clients.go_on(20);
            network.heal();
            are_whole(&all);
        }
        // The leader and one of the others do not see each other; the third sees both.
        let (leader, others) = parts(&all);
        network.cut(leader, others[0]);
        clients.go_on(20);
        network.heal();
        are_whole(&all);
        // One link after the other, for as long as a few changes take.
        for round in 0..4 {
            let (leader, others) = parts(&all);
            network.cut(leader, others[round % 2]);
            clients.go_on(4);
            network.heal();
        }
        // Many packets are lost.
        network.lose(10);
        clients.go_on(20);
        network.heal();
        are_whole(&all);
        // Nobody reaches anybody: nothing is decided, and then it goes on.
        for pair in [[0, 1], [0, 2], [1, 2]] {
            network.cut(&all[pair[0]], &all[pair[1]]);
        }
        all.iter().for_each(has_no_quorum);
        let at_rest = clients.count();
        all.iter().for_each(has_no_quorum);
        assert_eq!(clients.count(), at_rest, "acknowledged without a quorum");
        network.heal();
        clients.go_on(20);
        are_whole(&all);
    });
    clients.check(&all[0]);
    end_well(&mut all);
}

#[test]
fn a_slow_network_changes_no_leader() {
    let Some(mut network) = Network::new() else { return };
    // Every byte between members takes its time on the way.
    let mut all: Vec<Member> = ["alpha", "beta", "gamma"].map(Member::new).into();
    all.iter().for_each(|member| network.plug(member));
    let targets: Vec<String> = all.iter().map(|member| network.address(member)).collect();
    let relays = Relays::start(&network.switch(), &targets);
    let reached: Vec<String> = relays.addresses().map(str::to_owned).collect();
    let at = |number: usize| ["--peer-address", reached[number].as_str()];
    network.start_with(&mut all[0], &at(0));
    let (first, others) = all.split_at_mut(1);
    for (number, other) in (1..).zip(others) {
        network.join_with(other, &first[0], &at(number));
    }
    are_whole(&all);
    let clients = Clients::of(&all);
    clients.while_busy(CLIENTS, || {
        for milliseconds in [10, 60] {
            relays.delay(milliseconds);
            let before = all[0].is_whole(&IDS)["term"].clone();
            clients.go_on(40);
            let after = all[0].is_whole(&IDS)["term"].clone();
            assert_eq!(before, after, "another leader at {milliseconds} ms each way");
        }
        // Nor does it keep the others from electing one.
        let leader = parts(&all).0.name.clone();
        let at_leader = all.iter().position(|member| member.name == leader).unwrap();
        all[at_leader].kill();
        clients.go_on(10);
        network.start_with(&mut all[at_leader], &at(at_leader));
        are_whole(&all);
    });
    assert!(relays.carried() > 0, "the members did not use the relays");
    clients.check(&all[0]);
    end_well(&mut all);
}
