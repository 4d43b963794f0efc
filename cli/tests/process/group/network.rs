//! A network of the test's own: a switch in a network namespace, and one more namespace for each
//! member, plugged into it. What passes the switch can be dropped, each way by itself.
//!
//! It takes root, `ip` and `nft`. Where the tests run as root, as in CI, the tools must be there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::harness::Member;
use crate::harness::{Daemon, LOCKSTEP};

/// Where every member listens for others.
const PORT: u16 = 7400;

/// A switch and what is plugged into it. Taken away when dropped, which is after the daemons.
pub(super) struct Network {
    /// What the names of all its namespaces begin with.
    name: String,
    ports: BTreeMap<String, u8>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Runs a program with these words; it must succeed.
#[track_caller]
fn run(words: &str) {
    let mut parts = words.split_whitespace();
    let output = Command::new(parts.next().unwrap()).args(parts).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{words}: {error}; tests of the network need iproute2 and nftables")
    });
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Says so where `.ci/run` counts it: what a test prints otherwise is kept from whoever runs it.
fn not_run(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN (NET-1): {}", why.trim_end());
}

impl Network {
    /// A switch without anything in it. `None` for whoever is not root, who cannot have one: that
    /// is said on stderr.
    pub(super) fn new() -> Option<Network> {
        if !rustix::process::geteuid().is_root() {
            not_run("network namespaces take root");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ls{}x{number}", std::process::id());
        let network = Network { name, ports: BTreeMap::new() };
        let switch = network.switch();
        let made = Command::new("ip").args(["netns", "add", &switch]).output();
        let made = made.unwrap_or_else(|error| {
            panic!("ip: {error}; tests of the network need iproute2 and nftables")
        });
        let why = String::from_utf8_lossy(&made.stderr);
        // Rule NET-1 of CONTRIBUTING.md: root in a container that may not make namespaces.
        if !made.status.success() && why.contains("Operation not permitted") {
            not_run(&format!("no network namespaces here: {why}"));
            return None;
        }
        assert!(made.status.success(), "{why}");
        run(&format!("ip -n {switch} link set lo up"));
        run(&format!("ip -n {switch} link add switch type bridge"));
        run(&format!("ip -n {switch} addr add 10.0.0.254/24 dev switch"));
        run(&format!("ip -n {switch} link set switch up"));
        network.nft("add table bridge f");
        network.nft("add chain bridge f passing { type filter hook forward priority 0 ; }");
        Some(network)
    }

    /// The switch's namespace.
    pub(super) fn switch(&self) -> String {
        format!("{}switch", self.name)
    }

    fn nft(&self, rule: &str) {
        run(&format!("ip netns exec {} nft {rule}", self.switch()));
    }

    /// A port and a namespace for this member, who has none yet.
    pub(super) fn plug(&mut self, member: &Member) {
        let number = u8::try_from(self.ports.len() + 1).unwrap();
        self.ports.insert(member.name.clone(), number);
        let (switch, own) = (self.switch(), self.namespace(member));
        run(&format!("ip netns add {own}"));
        run(&format!("ip -n {own} link set lo up"));
        run(&format!("ip -n {switch} link add p{number} type veth peer name eth0 netns {own}"));
        run(&format!("ip -n {switch} link set p{number} master switch up"));
        run(&format!("ip -n {own} addr add 10.0.0.{number}/24 dev eth0"));
        run(&format!("ip -n {own} link set eth0 up"));
    }

    fn namespace(&self, member: &Member) -> String {
        format!("{}n{}", self.name, self.ports[&member.name])
    }

    /// Where this member listens.
    pub(super) fn address(&self, member: &Member) -> String {
        format!("10.0.0.{}:{PORT}", self.ports[&member.name])
    }

    /// The command of this member's daemon, in its namespace.
    fn inside(&self, member: &Member, serve: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(member), LOCKSTEP]).args(serve.get_args());
        command.args(["--peer-listen", &self.address(member)]).env_clear();
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(member.place.root()).stdin(std::process::Stdio::null());
        command
    }

    /// Starts this member's daemon, with these words more.
    pub(super) fn start_with(&self, member: &mut Member, words: &[&str]) {
        let mut serve = member.serve();
        serve.args(words);
        member.daemon = Some(Daemon::start(&member.place, self.inside(member, &serve)));
    }

    pub(super) fn start(&self, member: &mut Member) {
        self.start_with(member, &[]);
    }

    /// A member more, invited by that one.
    pub(super) fn join_with(&self, member: &mut Member, inviter: &Member, words: &[&str]) {
        let mut joining = member.joining(&inviter.invites(member));
        joining.args(words);
        member.daemon = Some(Daemon::start(&member.place, self.inside(member, &joining)));
    }

    pub(super) fn join(&self, member: &mut Member, inviter: &Member) {
        self.join_with(member, inviter, &[]);
    }

    /// Three members, whole.
    pub(super) fn three(&mut self) -> Vec<Member> {
        let mut all: Vec<Member> = ["alpha", "beta", "gamma"].map(Member::new).into();
        all.iter().for_each(|member| self.plug(member));
        self.start(&mut all[0]);
        let (first, others) = all.split_at_mut(1);
        others.iter_mut().for_each(|other| self.join(other, &first[0]));
        for member in &all {
            member.is_whole(&["1", "2", "3"]);
        }
        all
    }

    /// From now on nothing that one sends reaches the other.
    pub(super) fn cut_one_way(&self, from: &Member, to: &Member) {
        let (from, to) = (self.ports[&from.name], self.ports[&to.name]);
        self.nft(&format!("add rule bridge f passing iifname p{from} oifname p{to} drop"));
    }

    pub(super) fn cut(&self, one: &Member, other: &Member) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// From now on so many of a hundred packets are lost.
    pub(super) fn lose(&self, percent: u8) {
        self.nft(&format!("add rule bridge f passing numgen random mod 100 < {percent} drop"));
    }

    /// Everything passes again.
    pub(super) fn heal(&self) {
        self.nft("flush chain bridge f passing");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let members = self.ports.values().map(|number| format!("{}n{number}", self.name));
        for namespace in members.chain([self.switch()]) {
            let _ = Command::new("ip").args(["netns", "del", &namespace]).output();
        }
    }
}
