//! The group as `cluster status` shows it: what the records say, and what this replica sees.

use std::collections::BTreeSet;

use ledger::Fault;
use ledger::history::members::{self, Member, Standing};
use ledger::history::{ReplicaId, Role, invitations};
use ledger::rows::raft::Group;

use super::bodies::{GroupBody, Health, MemberBody};
use crate::node::GroupView;
use crate::operations::Ground;
use crate::operations::members::Seen;

/// What is known besides the records.
pub(super) struct Sight {
    /// The replica that answers.
    pub(super) own: ReplicaId,
    /// Its program's version.
    pub(super) version: &'static str,
    /// The life of the group.
    pub(super) incarnation: u64,
    /// How it sees its group.
    pub(super) group: std::sync::Arc<GroupView>,
    /// Whom it reaches.
    pub(super) seen: Seen,
    /// Whether no majority has answered.
    pub(super) stale: bool,
    /// Whether none was asked.
    pub(super) local: bool,
    /// Bytes of its data directory.
    pub(super) disk_bytes: Option<u64>,
    /// Bytes that can still be written there.
    pub(super) free_bytes: Option<u64>,
    /// This machine's clock, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Sight {
    /// Whether the group can decide: a majority has answered or, if none was asked, seems to be
    /// there.
    fn has_quorum(&self) -> bool {
        if self.local {
            self.group.raft.leader.is_some() && tolerated(self).is_some()
        } else {
            !self.stale
        }
    }
}

/// The name of what a member is to be.
pub(super) fn wanted(standing: Standing) -> &'static str {
    match standing {
        Standing::Pending => "pending",
        Standing::Learner => Role::Learner.name(),
        Standing::Voter => Role::Voter.name(),
        Standing::Removed(_) => "removed",
    }
}

/// The name of what a member is, by Raft's configuration.
pub(super) fn role(member: &Member, group: &Group) -> &'static str {
    match member.standing {
        // A replica that has just joined has no configuration yet.
        Standing::Learner | Standing::Voter if !group.voters.is_empty() => {
            if group.voters.contains(&member.id.0) {
                Role::Voter.name()
            } else {
                Role::Learner.name()
            }
        }
        standing => wanted(standing),
    }
}

/// Voters that may fail before no majority is left; during a change of the group both majorities
/// count. `None` if there is none as it is.
fn tolerated(sight: &Sight) -> Option<u64> {
    let spare = |voters: &[u64]| {
        let here =
            voters.iter().filter(|id| sight.seen.reachable.contains(&ReplicaId(**id))).count();
        here.checked_sub(voters.len() / 2 + 1)
    };
    let Group { voters, voters_outgoing, .. } = &sight.group.raft.group;
    let spare = match voters_outgoing.is_empty() {
        true => spare(voters)?,
        false => spare(voters)?.min(spare(voters_outgoing)?),
    };
    u64::try_from(spare).ok()
}

/// The whole body.
pub(super) fn body(ground: Ground<'_>, sight: &Sight) -> Result<GroupBody, Fault> {
    let live = members::live(ground.rows)?;
    let open = invitations::unused(ground.rows)?;
    let open = open.iter().filter(|invitation| !invitation.is_expired(sight.now_ms)).count();
    let (alarms, warnings) = (alarms(sight), warnings(&live, sight));
    let quorum = sight.has_quorum();
    let out = sight.group.impaired().is_some();
    let health = match (!quorum && !out, alarms.is_empty(), warnings.is_empty()) {
        (true, ..) => Health::NoQuorum,
        (false, false, _) => Health::Alarm,
        (false, true, false) => Health::Degraded,
        (false, true, true) => Health::Healthy,
    };
    Ok(GroupBody {
        cluster_id: ground.fold.cluster().map(|id| id.to_string()).unwrap_or_default(),
        incarnation: sight.incarnation,
        term: sight.group.raft.term,
        leader: sight.group.raft.leader.map(|id| id.to_string()),
        replica_id: sight.own.to_string(),
        health,
        failures_tolerated: tolerated(sight).filter(|_| quorum).unwrap_or(0),
        alarms,
        warnings,
        stale: sight.stale,
        rules: ground.fold.rules(),
        invitations_open: open as u64,
        members: live.iter().map(|member| self::member(ground, member, sight)).collect(),
    })
}

fn member(ground: Ground<'_>, member: &Member, sight: &Sight) -> MemberBody {
    let own = member.id == sight.own;
    let head = sight.group.heads.get(&member.id);
    let (record_index, record_hash, fold_hash) = if own {
        let fold = ground.fold;
        let index = fold.next_index().checked_sub(1);
        (index, fold.last_hash(), Some(fold.fold_hash()))
    } else {
        (head.map(|h| h.record), head.map(|h| h.hash), head.map(|h| h.fold))
    };
    let theirs = || {
        let software = &sight.group.up.get(&member.id)?.software;
        Some(software.strip_prefix("lockstep ").unwrap_or(software).to_owned())
    };
    MemberBody {
        replica_id: member.id.to_string(),
        name: member.details.name.clone(),
        role: role(member, &sight.group.raft.group).to_owned(),
        wanted: wanted(member.standing).to_owned(),
        reachable: sight.seen.reachable.contains(&member.id),
        own,
        fingerprint: member.member_key.fingerprint().to_string(),
        record_index,
        record_hash: record_hash.map(|hash| hash.to_string()),
        fold_hash: fold_hash.map(|hash| hash.to_string()),
        version: if own { Some(sight.version.to_owned()) } else { theirs() },
        rules: member.details.rules,
        disk_bytes: sight.disk_bytes.filter(|_| own),
        peer_addr: member.details.address.clone(),
        lock_key: member.details.lock_key.map(|key| key.to_tlpub()),
    }
}

/// What somebody has to look after.
fn alarms(sight: &Sight) -> Vec<String> {
    let mut alarms = Vec::new();
    if let Some(why) = &sight.group.full {
        let free = sight.free_bytes.map_or("?".to_owned(), |bytes| (bytes >> 20).to_string());
        alarms.push(format!(
            "the disk of this replica ({}) is full: it records nothing, reads are stale, and it goes \
             on by itself once there is room ({free} MiB are free): {why}",
            sight.own
        ));
    } else if let Some(what) = &sight.group.mending {
        alarms.push(format!(
            "the database of this replica ({}) is damaged and is being mended; it records nothing, and \
             reads are stale: {what}",
            sight.own
        ));
    } else if let Some(record) = sight.group.refetching {
        alarms.push(format!(
            "records of this replica ({}) were damaged; it fetches those up to {record} from the \
             others, and until they are there it records nothing, and reads are stale",
            sight.own
        ));
    } else if !sight.has_quorum() {
        let why = match sight.local {
            true => "this replica knows of no leader, or reaches no majority of the voters",
            false => "no majority of the voters has answered",
        };
        alarms.push(format!("the group has no quorum: {why}; nothing is recorded meanwhile"));
    }
    if sight.group.is_shut_out(sight.own) {
        alarms.push(format!(
            "most of the others say that this replica ({}) was removed from the group",
            sight.own
        ));
    }
    for (id, found) in &sight.group.disagreements {
        alarms.push(format!(
            "replica {id} has another history than this one, or another fold, at record {}: one of \
             the two is damaged, or lies",
            found.theirs.head.record
        ));
    }
    alarms
}

/// What keeps the group from being whole.
fn warnings(live: &[Member], sight: &Sight) -> Vec<String> {
    let mut warnings = Vec::new();
    let told: BTreeSet<ReplicaId> = sight.group.shut_out_by.iter().copied().collect();
    for member in live.iter().filter(|member| member.is_active()) {
        let id = member.id;
        if !sight.seen.reachable.contains(&id) {
            let why = sight.group.unreachable.get(&id);
            let silent = sight.group.silent.contains(&id);
            let why = match why {
                Some(why) => format!(": {why}"),
                None if silent => ": it is connected, but says nothing".to_owned(),
                None => String::new(),
            };
            warnings.push(format!("replica {id} cannot be reached{why}"));
        }
        let (is, wanted) = (role(member, &sight.group.raft.group), wanted(member.standing));
        if is != wanted {
            let what = match member.standing {
                Standing::Voter => "it votes as soon as it has caught up",
                _ => "it is still to give up its vote",
            };
            warnings.push(format!("replica {id} is to be a {wanted} and is a {is}: {what}"));
        }
        if told.contains(&id) && !sight.group.is_shut_out(sight.own) {
            warnings.push(format!(
                "replica {id} says that this replica ({}) was removed from the group",
                sight.own
            ));
        }
    }
    if let Some(record) = sight.group.fetching {
        warnings.push(format!("this replica is fetching the records up to {record}"));
    }
    warnings
}
