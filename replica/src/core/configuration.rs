//! Raft configurations: who votes and who only receives, as a row and as raft-rs takes them.

use ledger::rows::raft::Group;
use raft::eraftpb::ConfState;

/// A configuration in the form of its row.
pub(super) fn group_of(state: &ConfState) -> Group {
    let sorted = |members: &[u64]| {
        let mut members = members.to_vec();
        members.sort_unstable();
        members
    };
    Group {
        voters: sorted(&state.voters),
        learners: sorted(&state.learners),
        voters_outgoing: sorted(&state.voters_outgoing),
        learners_next: sorted(&state.learners_next),
        auto_leave: state.auto_leave,
    }
}

/// A configuration as raft-rs takes it.
pub(super) fn conf_state(group: &Group) -> ConfState {
    ConfState {
        voters: group.voters.clone(),
        learners: group.learners.clone(),
        voters_outgoing: group.voters_outgoing.clone(),
        learners_next: group.learners_next.clone(),
        auto_leave: group.auto_leave,
        ..ConfState::default()
    }
}

/// Whether raft-rs takes such a configuration. It would stop with a panic otherwise.
pub(super) fn check(group: &Group) -> Result<(), &'static str> {
    let Group { voters, learners, voters_outgoing: outgoing, learners_next: next, auto_leave } =
        group;
    let distinct = |members: &Vec<u64>| {
        let mut sorted = members.clone();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] != pair[1]) && sorted.first() != Some(&0)
    };
    let apart = |these: &Vec<u64>, those: &Vec<u64>| these.iter().all(|id| !those.contains(id));
    if voters.is_empty() {
        return Err("a group without voters");
    }
    if ![voters, learners, outgoing, next].into_iter().all(distinct) {
        return Err("a member twice in one role, or replica 0");
    }
    if !apart(learners, voters) || !apart(learners, outgoing) || !apart(next, voters) {
        return Err("a member in two roles");
    }
    if !next.iter().all(|id| outgoing.contains(id)) {
        return Err("a next learner that does not vote");
    }
    if outgoing.is_empty() && *auto_leave {
        return Err("an end of a change that has not begun");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(roles: [&[u64]; 4], auto_leave: bool) -> Group {
        let [voters, learners, outgoing, next] = roles.map(<[u64]>::to_vec);
        Group { voters, learners, voters_outgoing: outgoing, learners_next: next, auto_leave }
    }

    #[test]
    fn what_raft_would_choke_on_is_no_group() {
        for good in [
            group([&[1], &[], &[], &[]], false),
            group([&[1, 2, 3], &[4], &[], &[]], false),
            group([&[1, 2], &[5], &[2, 3, 4], &[3]], true),
        ] {
            assert_eq!(check(&good), Ok(()), "{good:?}");
        }
        for bad in [
            group([&[], &[1], &[], &[]], false),
            group([&[1, 1], &[], &[], &[]], false),
            group([&[0, 1], &[], &[], &[]], false),
            group([&[1, 2], &[2], &[], &[]], false),
            group([&[1, 2], &[3], &[3], &[]], false),
            group([&[1, 2], &[], &[1, 3], &[4]], false),
            group([&[1, 2], &[], &[1, 2], &[2]], false),
            group([&[1, 2], &[], &[], &[]], true),
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
    }
}
