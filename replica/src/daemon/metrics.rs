//! The metrics, in Prometheus's text format 0.0.4. They name no key, no node and no secret.

use std::fmt::{Display, Write};
use std::path::Path;

use ledger::Fault;
use ledger::history::{cosigning, invitations, members};
use ledger::limits::{
    INVITATIONS_OPEN, MAX_DISABLEMENT_VALUES, MAX_KEYS, MEMBERS_AT_ONCE, REVOCATIONS_PENDING,
    ROSTER_AT_ONCE, ROSTER_NODES,
};
use ledger::lock::Authority;

use crate::core::Role;
use crate::disk::space;
use crate::node::Handle;
use crate::security_log::Denial;

/// Text that grows by families of samples.
struct Text(String);

impl Text {
    /// A family of samples, each with its labels.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP lockstep_{name} {help}\n# TYPE lockstep_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "lockstep_{name}{labels} {value}");
        }
    }

    fn gauge<V: Display>(&mut self, name: &str, help: &str, value: V) {
        self.family(name, "gauge", help, [(String::new(), value)]);
    }

    fn counter<V: Display>(&mut self, name: &str, help: &str, value: V) {
        self.family(name, "counter", help, [(String::new(), value)]);
    }
}

/// All of them.
pub(super) fn metrics(node: &Handle, data_dir: &Path, ready: bool) -> Result<String, Fault> {
    let mut out = Text(String::new());
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    out.family("build_info", "gauge", "Which program this is; always 1.", [(version, 1)]);
    out.gauge("ready", "Whether this replica answers requests.", u8::from(ready));
    ledger(&mut out, node);
    headroom(&mut out, node)?;
    group(&mut out, node);
    disk(&mut out, node, data_dir);
    let denied = Denial::ALL
        .map(|denial| (format!("{{event=\"{}\"}}", denial.name()), node.security().count(denial)));
    let help = "Denied operations since the start; security.log names them.";
    out.family("denied_operations_total", "counter", help, denied);
    Ok(out.0)
}

fn ledger(out: &mut Text, node: &Handle) {
    let view = node.view();
    let fold = view.fold();
    let keys = fold.authority().map(Authority::state).map_or(0, |state| state.keys().len());
    out.counter("records_total", "Records in the ledger of this replica.", fold.next_index());
    out.gauge("rules", "Rules of the ledger in force.", fold.rules());
    out.gauge("lock_enabled", "Whether tailnet lock is on.", u8::from(fold.lifecycle().is_on()));
    let epoch = fold.epoch().map_or(0, |epoch| epoch.0);
    out.gauge("lock_epoch", "Epochs of the lock so far.", epoch);
    out.gauge("trusted_keys", "Keys that the lock trusts.", keys);
    out.gauge("nodes", "Nodes in the roster.", fold.nodes());
}

/// What each limit is, and how much of it is left.
fn headroom(out: &mut Text, node: &Handle) -> Result<(), Fault> {
    let view = node.view();
    let (fold, rows) = (view.fold(), view.rows());
    let state = fold.authority().map(Authority::state);
    let values = state.into_iter().flat_map(|state| state.disablement_values()).count();
    let (room, most) = node.queue_room();
    // The numbers of nodes begin at 1 and are never given again.
    let numbered = fold.next_node().0.saturating_sub(1);
    let limits: [(&str, u64, u64); 8] = [
        ("trusted_keys", state.map_or(0, |state| state.keys().len()) as u64, MAX_KEYS as u64),
        ("disablement_values", values as u64, MAX_DISABLEMENT_VALUES as u64),
        ("roster_nodes", fold.nodes(), ROSTER_AT_ONCE),
        ("roster_numbers", numbered, ROSTER_NODES),
        ("members", members::live(rows)?.len() as u64, MEMBERS_AT_ONCE as u64),
        ("open_invitations", invitations::unused(rows)?.len() as u64, INVITATIONS_OPEN as u64),
        ("pending_revocations", cosigning::list(rows)?.len() as u64, REVOCATIONS_PENDING as u64),
        ("proposal_queue_bytes", most.saturating_sub(room) as u64, most as u64),
    ];
    let label = |name: &str| format!("{{limit=\"{name}\"}}");
    let most = limits.map(|(name, _, most)| (label(name), most));
    let left = limits.map(|(name, used, most)| (label(name), most.saturating_sub(used)));
    out.family("limit", "gauge", "What there may be at most, by limit.", most);
    out.family("limit_headroom", "gauge", "How much of each limit is left.", left);
    Ok(())
}

fn disk(out: &mut Text, node: &Handle, data_dir: &Path) {
    let full = u8::from(node.group().full.is_some());
    let help = "Whether the disk is full, so that this replica records nothing: an alarm.";
    out.gauge("disk_full", help, full);
    let group = node.group();
    let mending = u8::from(group.mending.is_some() || group.refetching.is_some());
    let help = "Whether a damaged database is being made anew, or its records fetched: an alarm.";
    out.gauge("mending", help, mending);
    // Without an answer there is no sample.
    let free = space::free_bytes(data_dir).ok().map(|bytes| (String::new(), bytes));
    let help = "Bytes that can still be written below the data directory.";
    out.family("disk_free_bytes", "gauge", help, free);
}

fn group(out: &mut Text, node: &Handle) {
    let group = node.group();
    let raft = &group.raft;
    let own = node.replica();
    let view = node.view();
    let role = match raft.role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower if raft.group.voters.contains(&own.0) => "follower",
        Role::Follower => "learner",
    };
    let roles = ["leader", "follower", "candidate", "learner"]
        .map(|name| (format!("{{role=\"{name}\"}}"), u8::from(name == role)));
    out.family("raft_role", "gauge", "Which part this replica has: 1 for one of them.", roles);
    out.gauge("raft_term", "Raft term.", raft.term);
    let leader = raft.leader.map_or(0, |leader| leader.0);
    out.gauge("raft_leader_id", "Replica that leads, as far as is known; 0 if none.", leader);
    out.gauge("raft_has_leader", "Whether a leader is known.", u8::from(raft.leader.is_some()));
    out.gauge("raft_committed_index", "Raft log index known to be committed.", raft.committed);
    out.gauge("raft_applied_index", "Raft log index applied last.", view.applied());
    out.gauge("group_voters", "Voters of the group.", raft.group.voters.len());
    out.gauge("group_learners", "Learners of the group.", raft.group.learners.len());
    let others = raft.group.voters.iter().chain(&raft.group.learners).filter(|id| **id != own.0);
    let up = others.map(|id| {
        let up = group.up.keys().any(|up| up.0 == *id);
        (format!("{{replica_id=\"{id}\"}}"), u8::from(up))
    });
    let help = "Whether this replica is connected to each of the others.";
    out.family("peer_connected", "gauge", help, up);
    let heads = group.heads.iter().map(|(id, head)| (*id, head.record));
    let head = view.fold().next_index().checked_sub(1).map(|record| (own, record));
    let heads = heads.chain(head).map(|(id, record)| (format!("{{replica_id=\"{id}\"}}"), record));
    let help = "Last record of each replica, as it has said.";
    out.family("replica_record_index", "gauge", help, heads);
    let fetching = u8::from(group.fetching.is_some());
    out.gauge("catching_up", "Whether this replica is fetching records.", fetching);
    let help = "Replicas whose history or fold differs from this one's: an alarm.";
    out.gauge("replicas_disagreeing", help, group.disagreements.len());
    let shut_out = u8::from(group.is_shut_out(own));
    out.gauge("shut_out", "Whether most others say that this replica was removed.", shut_out);
}
