//! Machines that die, stall, lose their disks and are replaced, one after the other, under load.

use std::fs;
use std::thread;

use rustix::process::{Signal, kill_process};

use super::clients::Clients;
use super::harness::{Member, end_well, roles};
use super::network::Network;

const CLIENTS: u64 = 4;

/// What happens to a group on its network.
struct Group<'a> {
    network: &'a mut Network,
    members: Vec<Member>,
    clients: &'a Clients,
}

impl Group<'_> {
    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.members.iter().map(Member::id).collect();
        ids.sort_by_key(|id| id.parse::<u64>().unwrap());
        ids
    }

    /// Waits until everybody sees everybody; then where the leader is among them.
    fn whole(&self) -> usize {
        let ids = self.ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut leader = String::new();
        for member in &self.members {
            leader = member.is_whole(&ids)["leader"].as_str().unwrap().to_owned();
        }
        self.members.iter().position(|member| member.id() == leader).unwrap()
    }

    fn start(&mut self, number: usize) {
        self.network.start(&mut self.members[number]);
    }

    /// All that are down, at once.
    fn start_all(&mut self) {
        let network = &*self.network;
        thread::scope(|scope| {
            for member in self.members.iter_mut().filter(|member| member.daemon.is_none()) {
                scope.spawn(|| network.start(member));
            }
        });
    }

    fn leader_killed(&mut self) {
        let leader = self.whole();
        self.members[leader].kill();
        self.clients.go_on(15);
        self.start(leader);
        self.whole();
    }

    /// The leader does nothing for longer than an election takes, and goes on as if it led.
    fn leader_stalled(&mut self) {
        let leader = self.whole();
        let pid = self.members[leader].daemon.as_ref().unwrap().pid();
        kill_process(pid, Signal::STOP).unwrap();
        let left: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
        let stalled = self.members[leader].id();
        for number in left {
            self.members[number].sees("another leader", |status| {
                status["leader"].is_string() && status["leader"] != stalled.as_str()
            });
        }
        kill_process(pid, Signal::CONT).unwrap();
        self.clients.go_on(15);
        self.whole();
    }

    fn majority_lost_and_back(&mut self) {
        let leader = self.whole();
        let follower = (leader + 1) % 3;
        self.members[leader].kill();
        self.members[follower].kill();
        let alone = &self.members[(leader + 2) % 3];
        alone.sees("that it is alone", |status| status["health"] == "no-quorum");
        self.start(follower);
        self.clients.go_on(15);
        self.start(leader);
        self.whole();
    }

    fn all_killed_and_restarted(&mut self) {
        self.whole();
        self.members.iter_mut().for_each(Member::kill);
        self.start_all();
        self.clients.go_on(15);
        self.whole();
    }

    /// Its key and everything else are gone: it is another member after that.
    fn wiped_and_joined_anew(&mut self, number: usize) {
        self.whole();
        let old = self.members[number].id();
        self.members[number].kill();
        fs::remove_dir_all(self.members[number].place.data()).unwrap();
        let helper = (number + 1) % 3;
        self.members[helper].insists(&format!("cluster remove {old}")).ok();
        let (wiped, helper) = pair(&mut self.members, number, helper);
        self.network.join(wiped, helper);
        self.clients.go_on(15);
        self.whole();
    }

    /// Another machine takes its place.
    fn replaced(&mut self, number: usize, name: &str) {
        self.whole();
        let mut new = Member::new(name);
        self.network.plug(&new);
        self.network.join(&mut new, &self.members[number]);
        new.sees("its own vote", |status| roles(status, "voter").contains(&new.id()));
        let old = self.members[number].id();
        new.insists(&format!("cluster remove {old}")).ok();
        let mut gone = std::mem::replace(&mut self.members[number], new);
        self.clients.meet(&self.members);
        assert_eq!(gone.daemon.take().unwrap().ends().0, 1);
        self.clients.go_on(15);
        self.whole();
    }
}

fn pair(members: &mut [Member], one: usize, other: usize) -> (&mut Member, &Member) {
    let [one, other] = members.get_disjoint_mut([one, other]).unwrap();
    (one, other)
}

#[test]
fn a_group_outlives_every_machine_that_it_began_with() {
    let Some(mut network) = Network::new() else { return };
    let members = network.three();
    members[0].place.init("");
    let clients = Clients::of(&members);
    let mut members = clients.while_busy(CLIENTS, || {
        let mut group = Group { network: &mut network, members, clients: &clients };
        group.leader_killed();
        group.leader_stalled();
        group.majority_lost_and_back();
        group.all_killed_and_restarted();
        group.wiped_and_joined_anew(2);
        for (number, name) in ["delta", "epsilon", "zeta"].into_iter().enumerate() {
            group.replaced(number, name);
        }
        assert_eq!(group.ids(), ["5", "6", "7"]);
        group.leader_killed();
        group.members
    });
    clients.check(&members[0]);
    end_well(&mut members);
}
