//! The Raft group follows the records: who is on record as a member becomes one here.
//!
//! Records say who is to be a member, and whether it is to vote. The leader compares that with
//! Raft's own configuration and proposes what is missing: a new member first receives, and votes
//! once it is close; whoever left the records leaves the group. Several changes at once go through
//! joint consensus. A change that raft-rs refuses becomes an empty entry, and is proposed again if
//! it is still missing; so only the applied configuration counts as success.

use std::collections::BTreeMap;

use ledger::Fault;
use ledger::history::ReplicaId;
use ledger::rows::raft::Group;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use raft::{RawNode, StateRole};

use super::conf_change::ConfChange;
use super::configuration::group_of;
use super::window::Window;

/// Entries that a member may lack when it becomes a voter. The vote of one that is further behind
/// would hold the others up.
const CLOSE_ENTRIES: u64 = 256;

/// What the records want a member to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedRole {
    /// To vote, as soon as it is close.
    Voter,
    /// Only to receive.
    Learner,
}

/// The members that the records name.
pub type Wanted = BTreeMap<ReplicaId, WantedRole>;

/// What a leader has to do for the group to become what the records want.
#[derive(Debug, PartialEq)]
pub(super) enum Missing {
    /// Nothing, or nothing that could be done now.
    Nothing,
    /// To propose this.
    Change(ConfChangeV2),
    /// To let somebody else lead, because this member is to lose its vote.
    Successor,
}

/// What is missing, as this leader sees it.
pub(super) fn missing(id: ReplicaId, raft: &RawNode<Window>, wanted: &Wanted) -> Missing {
    let raft = &raft.raft;
    if raft.state != StateRole::Leader || raft.has_pending_conf() || wanted.is_empty() {
        return Missing::Nothing;
    }
    let group = raft.prs().conf().to_conf_state();
    if !group.voters_outgoing.is_empty() {
        // Whoever led when the change began has not finished it.
        return Missing::Change(ConfChangeV2::default());
    }
    let mut changes = Vec::new();
    let mut change = |kind, node_id: u64| {
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = node_id;
        changes.push(single);
    };
    let mut voters = 0;
    for member in &group.voters {
        match wanted.get(&ReplicaId(*member)) {
            Some(WantedRole::Voter) => voters += 1,
            _ if *member == id.0 && group.voters.len() > 1 => return Missing::Successor,
            Some(WantedRole::Learner) => change(ConfChangeType::AddLearnerNode, *member),
            None => change(ConfChangeType::RemoveNode, *member),
        }
    }
    for member in &group.learners {
        match wanted.get(&ReplicaId(*member)) {
            Some(WantedRole::Voter) => {
                let close = raft.prs().get(*member).is_some_and(|progress| {
                    progress.recent_active
                        && progress.matched > 0
                        && progress.matched + CLOSE_ENTRIES >= raft.raft_log.committed
                });
                if close {
                    voters += 1;
                    change(ConfChangeType::AddNode, *member);
                }
            }
            Some(WantedRole::Learner) => {}
            None => change(ConfChangeType::RemoveNode, *member),
        }
    }
    for member in wanted.keys() {
        if !group.voters.contains(&member.0) && !group.learners.contains(&member.0) {
            change(ConfChangeType::AddLearnerNode, member.0);
        }
    }
    if changes.is_empty() || voters == 0 {
        return Missing::Nothing;
    }
    let mut all = ConfChangeV2::default();
    all.set_transition(ConfChangeTransition::Auto);
    all.set_changes(changes.into());
    Missing::Change(all)
}

/// The voter that is closest to this leader, to lead in its place.
pub(super) fn successor(id: ReplicaId, raft: &RawNode<Window>, wanted: &Wanted) -> Option<u64> {
    let prs = raft.raft.prs();
    let group = prs.conf().to_conf_state();
    let closest = |others: &mut dyn Iterator<Item = u64>| {
        others
            .filter_map(|member| Some((prs.get(member)?, member)))
            .filter(|(progress, _)| progress.recent_active)
            .max_by_key(|(progress, member)| (progress.matched, std::cmp::Reverse(*member)))
            .map(|(_, member)| member)
    };
    let others = || group.voters.iter().copied().filter(|member| *member != id.0);
    let staying = |member: &u64| wanted.get(&ReplicaId(*member)) == Some(&WantedRole::Voter);
    closest(&mut others().filter(staying)).or_else(|| closest(&mut others()))
}

/// Applies a committed change. None if it changes nothing: it does not fit the configuration, which
/// is the same on every member at that entry.
pub(super) fn apply(raft: &mut RawNode<Window>, data: &[u8]) -> Result<Option<Group>, Fault> {
    let change = ConfChange::from_protobuf(data)
        .ok_or_else(|| Fault::new("a change of the Raft group that Raft has not written"))?;
    Ok(raft.apply_conf_change(&change.to_raft()).ok().map(|state| group_of(&state)))
}
