use std::collections::BTreeMap;

use ledger::history::ReplicaId;

use super::{Broken, broken};

/// In one term, one replica leads at most.
///
/// Reason: two leaders of a term would append different entries in one place. Source: Raft thesis,
/// figure 3.2 "Election Safety"; a replica votes once a term, also after a restart.
pub fn one_leader_a_term(
    leaders: &mut BTreeMap<u64, ReplicaId>,
    term: u64,
    leader: ReplicaId,
) -> Result<(), Broken> {
    let first = *leaders.entry(term).or_insert(leader);
    if first == leader {
        return Ok(());
    }
    let what = format!("replicas {first} and {leader} lead in term {term}");
    Err(broken("one_leader_a_term", what))
}
