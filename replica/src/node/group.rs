//! Who is in the group: from the members' rows to what the core and the links go by.

use std::collections::BTreeMap;

use ledger::Fault;
use ledger::history::members::{self, Member, Standing};
use ledger::history::{MemberKey, ReplicaId, invitations};
use ledger::rows::Rows;
use ledger::rows::raft::{Group, Neighbour};

use crate::core::{Wanted, WantedRole};
use crate::disk::log;
use crate::peers::{Membership, Peer};

/// Who somebody says the members are.
pub(super) struct Told {
    /// The record behind which they are.
    pub(super) record: u64,
    pub(super) members: BTreeMap<ReplicaId, Peer>,
    /// The tick at which it said so.
    pub(super) tick: u64,
}

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
/// takes it out may need its vote. And until the records name this replica (`own`) as a member, they
/// are older than what it was told when it joined: those who have them may be none of the members
/// that they name. Likewise others than those on record may lead by now, whom members have `told`
/// this replica of: they are linked to, in addition to the members that are known.
pub(super) fn membership(
    rows: &dyn Rows,
    own: ReplicaId,
    group: &Group,
    told: &BTreeMap<ReplicaId, Told>,
) -> Result<Membership, Fault> {
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
                members.extend([peer(member)]);
            }
            Standing::Pending if planted!(PendingTakePart) => members.extend([peer(member)]),
            Standing::Pending => pending = true,
        }
    }
    let named = members::member(rows, own)?.is_some_and(|member| member.is_active());
    if !named && !removed.values().any(|id| *id == own) {
        for Neighbour { replica, key, address } in log::neighbours(rows)? {
            if !removed.contains_key(&MemberKey(key)) {
                members.insert(ReplicaId(replica), Peer { key: MemberKey(key), address });
            }
        }
    }
    let mut said: BTreeMap<ReplicaId, Vec<(&Peer, usize)>> = BTreeMap::new();
    for (id, peer) in told.values().flat_map(|told| &told.members) {
        let names = said.entry(*id).or_default();
        match names.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, by_how_many)) => *by_how_many += 1,
            None => names.push((peer, 1)),
        }
    }
    for (id, names) in said {
        // Where they differ, whoever most of them name; of several the first.
        let most = names.iter().map(|(_, by_how_many)| *by_how_many).max();
        let most = names.iter().find(|(_, by_how_many)| Some(*by_how_many) == most);
        let Some((peer, _)) = most else { continue };
        // Whoever waited for approval by the records here may have got it.
        let another = members::member(rows, id)?.is_some_and(|member| {
            member.standing != Standing::Pending || member.member_key != peer.key
        });
        if !another && !removed.contains_key(&peer.key) {
            members.entry(id).or_insert_with(|| (*peer).clone());
        }
    }
    // Somebody who was invited asks again for what it was told, in case the answer was lost.
    let joins = pending || !invitations::list(rows)?.is_empty();
    Ok(Membership { members, removed, joins })
}

/// The active members, as peers of each other.
pub fn introduced(rows: &dyn Rows) -> Result<BTreeMap<ReplicaId, Peer>, Fault> {
    Ok(members::active(rows)?.into_iter().map(peer).collect())
}

fn peer(member: Member) -> (ReplicaId, Peer) {
    (member.id, Peer { key: member.member_key, address: member.details.address })
}

#[cfg(test)]
mod tests {
    use ledger::history::Event;
    use ledger::rows::Draft;
    use ledger::rows::raft::{NEIGHBOURS, RAFT_STATE};
    use ledger::testing::{Group as History, invited, member_key};

    use super::*;

    fn key(seed: u8) -> MemberKey {
        use ledger::lock::signatures::Signer;
        MemberKey(member_key(seed).public().0)
    }

    fn told(history: &mut History, neighbours: &[(u64, MemberKey)]) {
        let neighbours: Vec<_> = neighbours
            .iter()
            .map(|(replica, key)| Neighbour {
                replica: *replica,
                key: key.0,
                address: Some(format!("told:{replica}")),
            })
            .collect();
        let changes = {
            let mut draft = Draft::on(&history.rows);
            draft.put(RAFT_STATE, NEIGHBOURS, Neighbour::to_row(&neighbours));
            draft.finish()
        };
        history.rows.apply(changes);
    }

    /// A machine has joined as replica 4 a group whose first member is gone by now, and has only
    /// early records.
    #[test]
    fn a_joiner_keeps_those_whom_it_was_told_of_until_the_records_name_it() {
        let mut history = History::new();
        let second = history.enrol(20);
        told(&mut history, &[(2, key(20)), (3, key(21)), (4, key(22))]);
        let own = ReplicaId(4);
        let early = membership(&history.rows, own, &Group::default(), &BTreeMap::new()).unwrap();
        assert_eq!(early.members.len(), 4, "the first member is not known to be gone");
        assert_eq!(early.members[&ReplicaId(3)].key, key(21));
        // What it was told is newer than early records.
        assert_eq!(early.members[&second].address.as_deref(), Some("told:2"));

        // Whom the records remove, nobody is linked to, whatever was told.
        let third = history.enrol(21);
        history.apply(Event::MemberRemoved(third));
        let later = membership(&history.rows, own, &Group::default(), &BTreeMap::new()).unwrap();
        assert!(!later.members.contains_key(&third) && later.removed.contains_key(&key(21)));

        // A member tells of one who has joined since, and of others who are somebody else on record.
        let says = |members: &[(u64, MemberKey)]| {
            let peer =
                |(id, key): &(u64, MemberKey)| (ReplicaId(*id), Peer { key: *key, address: None });
            Told { record: 99, members: members.iter().map(peer).collect(), tick: 0 }
        };
        let all = [(2, key(40)), (3, key(21)), (9, key(41))];
        let told = BTreeMap::from([
            (ReplicaId(1), says(&[(9, key(50))])),
            (ReplicaId(2), says(&all)),
            (ReplicaId(3), says(&all)),
        ]);
        let behind = membership(&history.rows, own, &Group::default(), &told).unwrap();
        assert_eq!(behind.members[&ReplicaId(9)].key, key(41));
        assert_eq!(behind.members[&second].key, key(20));
        assert!(!behind.members.contains_key(&third));

        // From then on the records know better.
        assert_eq!(history.enrol(22), own);
        let named = membership(&history.rows, own, &Group::default(), &BTreeMap::new()).unwrap();
        assert_ne!(named.members[&second].address.as_deref(), Some("told:2"));

        // One that waits for approval, by the records here, has got it.
        history.apply(invited(30, None));
        let joining = history.joining(30, 44);
        history.apply(joining);
        let pending = members::by_member_key(&history.rows, key(44)).unwrap().unwrap();
        assert_eq!(pending.standing, Standing::Pending);
        for (claimed, lets_in) in [(key(44), true), (key(45), false)] {
            let told = BTreeMap::from([(second, says(&[(pending.id.0, claimed)]))]);
            let behind = membership(&history.rows, own, &Group::default(), &told).unwrap();
            assert_eq!(behind.members.contains_key(&pending.id), lets_in);
        }
    }
}
