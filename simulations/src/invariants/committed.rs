use ledger::rows::raft::{Group, Position};

use super::{Broken, broken};

/// What is applied first by anybody is on the synced disks of a majority of the voters, of both
/// groups of them during a joint change: so nothing is applied that is not committed, and nothing is
/// acknowledged before its sync. `without` are the members that do not have it; `confs` the group
/// before and after what was applied.
///
/// Reason: any minority may lose its power, or its disks, a moment later. Source: issue 6 "nothing
/// is acknowledged before its sync"; Raft thesis 3.6.
pub fn only_what_a_majority_has_synced_is_applied(
    at: Position,
    without: &[u64],
    confs: [&Group; 2],
) -> Result<(), Broken> {
    let most = |voters: &[u64]| {
        voters.iter().filter(|voter| !without.contains(voter)).count() * 2 > voters.len()
    };
    let by = |conf: &Group| {
        most(&conf.voters) && (conf.voters_outgoing.is_empty() || most(&conf.voters_outgoing))
    };
    if confs.into_iter().any(by) {
        return Ok(());
    }
    let Position { index, term } = at;
    let what = format!("entry {index} of term {term} is not synced on {without:?}");
    Err(broken("only_what_a_majority_has_synced_is_applied", what))
}
