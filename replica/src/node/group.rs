//! Who is in the group: from the members' rows to what the core and the links go by.

use std::collections::BTreeMap;

use ledger::Fault;
use ledger::history::members::{self, Standing};
use ledger::history::{MemberKey, ReplicaId, invitations};
use ledger::rows::Rows;
use ledger::rows::raft::{Group, Neighbour};

use crate::core::{Wanted, WantedRole};
use crate::disk::log;
use crate::peers::{Membership, Peer};

/// Whom the records want in the Raft group.
pub(super) fn wanted(rows: &dyn Rows) -> Result<Wanted, Fault> {
    let mut wanted = Wanted::new();
    for member in members::list(rows)? {
        let role = match member.standing {
            Standing::Voter => WantedRole::Voter,
            Standing::Learner => WantedRole::Learner,
            Standing::Removed(_) if planted!(KeepRemoved) => WantedRole::Voter,
            Standing::Pending | Standing::Removed(_) => continue,
        };
        wanted.insert(member.id, role);
    }
    Ok(wanted)
}

/// Whom this replica is linked to, and who else may connect.
///
/// Whoever is removed on record stays linked while it is in the Raft group `group`: the change that
/// takes it out may need its vote.
pub(super) fn membership(rows: &dyn Rows, group: &Group) -> Result<Membership, Fault> {
    let in_group = |id: &u64| {
        [&group.voters, &group.learners, &group.voters_outgoing]
            .into_iter()
            .any(|role| role.contains(id))
    };
    let mut members = BTreeMap::new();
    let mut removed = BTreeMap::new();
    let mut pending = false;
    for member in members::list(rows)? {
        match member.standing {
            Standing::Removed(_) if !in_group(&member.id.0) => {
                removed.insert(member.member_key, member.id);
            }
            Standing::Voter | Standing::Learner | Standing::Removed(_) => {
                let address = member.details.address;
                members.insert(member.id, Peer { key: member.member_key, address });
            }
            Standing::Pending if planted!(PendingTakePart) => {
                let address = member.details.address;
                members.insert(member.id, Peer { key: member.member_key, address });
            }
            Standing::Pending => pending = true,
        }
    }
    if members.is_empty() && removed.is_empty() && !pending {
        // No record has come yet.
        for Neighbour { replica, key, address } in log::neighbours(rows)? {
            members.insert(ReplicaId(replica), Peer { key: MemberKey(key), address });
        }
    }
    // Somebody who was invited asks again for what it was told, in case the answer was lost.
    let joins = pending || !invitations::list(rows)?.is_empty();
    Ok(Membership { members, removed, joins })
}

/// The active members, as peers of each other.
pub fn introduced(rows: &dyn Rows) -> Result<BTreeMap<ReplicaId, Peer>, Fault> {
    Ok(membership(rows, &Group::default())?.members)
}
