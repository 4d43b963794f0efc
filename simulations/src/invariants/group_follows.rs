use std::collections::BTreeSet;

use ledger::history::members::{self, Standing};
use ledger::rows::Rows;
use ledger::rows::raft::Group;

use super::{Broken, broken, faulty};
use crate::world::ProcessId;

/// The Raft group at a log index is the same on every replica, also after a restart.
///
/// Reason: replicas that count other votes commit other entries. Source: spec engineering-facts,
/// ConfState; Raft thesis 4.
pub fn the_group_is_the_same_everywhere(
    who: ProcessId,
    index: u64,
    known: &Group,
    here: &Group,
) -> Result<(), Broken> {
    if known == here {
        return Ok(());
    }
    let what = format!("at index {index}, machine {who} has {here:?}, another one {known:?}");
    Err(broken("the_group_is_the_same_everywhere", what))
}

/// When nothing goes wrong any more, the Raft group is what the records say.
///
/// Reason: the records are the source of truth of who is a member. Source: issue 6 "success is the
/// applied ConfState"; design "members".
pub fn the_group_follows_the_records(rows: &dyn Rows, group: &Group) -> Result<(), Broken> {
    const NAME: &str = "the_group_follows_the_records";
    let (mut voters, mut learners) = (BTreeSet::new(), BTreeSet::new());
    for member in members::list(rows).map_err(faulty(NAME))? {
        match member.standing {
            Standing::Voter => voters.insert(member.id.0),
            Standing::Learner => learners.insert(member.id.0),
            Standing::Pending | Standing::Removed(_) => false,
        };
    }
    let here = |members: &[u64]| members.iter().copied().collect::<BTreeSet<u64>>();
    let settled = group.voters_outgoing.is_empty() && group.learners_next.is_empty();
    if settled && here(&group.voters) == voters && here(&group.learners) == learners {
        return Ok(());
    }
    let what = format!("voters {voters:?}, learners {learners:?} on record, but {group:?}");
    Err(broken(NAME, what))
}
