//! Several replicas with real disks and real connections.
#![allow(clippy::unwrap_used)]

mod harness;
mod hostile;

use harness::{Replica, group, leader, node_added, same_everywhere, submission};
use ledger::history::members::{self, Standing};
use ledger::history::{Event, ReplicaId, Role, RoleChange};
use replica::joining::guest::Progress;
use replica::node::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_record_wherever_they_are_asked() {
    let all = group(3).await;
    for (number, replica) in (0..9).zip(all.iter().cycle()) {
        replica.record(&format!("add-{number}"), node_added(number)).await;
    }
    let last = all[1].record("last", node_added(99)).await;
    same_everywhere(&all.iter().collect::<Vec<_>>(), last + 1).await;
    // A read sees what was acknowledged anywhere before it.
    let last = all[2].record("newest", node_added(100)).await;
    for replica in &all {
        let view = harness::soon(replica.handle().read()).await.unwrap();
        assert_eq!(view.fold().next_index(), last + 1);
    }
    // The same request again, elsewhere, is the same record.
    let again = all[2].handle().submit(submission("add-3", node_added(3))).await;
    assert!(matches!(again, Outcome::Repeated { .. }), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_invited_waits_for_approval() {
    let founder = Replica::founder().await;
    let token = founder.invite(4, None).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let joining = tokio::spawn(async move {
        let progress = |progress| {
            let _ = tell.send(progress);
        };
        Replica::join(2, &token, progress).await.map(|replica| (replica, token))
    });
    let Progress::Waits(fingerprint) = harness::soon(told.recv()).await.unwrap() else {
        panic!("it was let in at once");
    };
    let pending = members::list(founder.handle().view().rows()).unwrap();
    let pending = pending.iter().find(|member| member.standing == Standing::Pending).unwrap();
    assert_eq!(pending.member_key.fingerprint(), fingerprint);
    founder.record("approve", Event::MemberApproved(pending.id)).await;
    let (second, token) = harness::soon(joining).await.unwrap().unwrap();
    second.has_voters(&[1, 2]).await;
    // The invitation is used up.
    let refused = Replica::join(3, &token, |_| ()).await.err().unwrap();
    assert!(refused.contains("was used"), "{refused}");
}

/// It may have voted and acknowledged, although nothing of its machine is on record yet.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_run_is_not_let_in_again_on_an_empty_disk() {
    let mut founder = Replica::founder().await;
    let token = founder.invite(4, Some(2)).await;
    let mut second = Replica::join(2, &token, |_| ()).await.unwrap();
    second.has_voters(&[1, 2]).await;
    founder.sees(|now| now.heads.contains_key(&ReplicaId(2))).await;
    // What it has signed is remembered across a start.
    founder.record("last", node_added(1)).await;
    founder.stop().await;
    founder.restart().await;
    second.stop().await;
    let refused = Replica::join(2, &token, |_| ()).await.err().unwrap();
    assert!(refused.contains("replica 2 has run already"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_and_a_late_one_catches_up_by_records() {
    let mut all = group(3).await;
    let first = leader(&*all[0].sees(|now| now.raft.leader.is_some()).await).unwrap();
    let at = usize::try_from(first.0 - 1).unwrap();
    all[at].stop().await;
    let others: Vec<usize> = (0..3).filter(|place| *place != at).collect();
    let next = all[others[0]].sees(|now| leader(now).is_some_and(|now| now != first)).await;
    assert_ne!(leader(&next), Some(first));
    // More than the log keeps.
    let mut last = 0;
    let handle = all[others[0]].handle();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..8000 {
        let handle = handle.clone();
        waiting.spawn(async move {
            handle.submit(submission(&format!("many-{number}"), node_added(number))).await
        });
    }
    while let Some(outcome) = harness::soon(waiting.join_next()).await {
        match outcome.unwrap() {
            Outcome::Applied { index, .. } => last = last.max(index),
            other => panic!("{other:?}"),
        }
    }
    all[at].restart().await;
    same_everywhere(&all.iter().collect::<Vec<_>>(), last + 1).await;
    // It takes part again.
    all[at].record("after", node_added(90_000)).await;
}

/// With two members, the change that takes one out needs the vote of the one that goes.
#[tokio::test(flavor = "multi_thread")]
async fn either_of_two_members_can_be_removed() {
    for leads in [true, false] {
        let all = group(2).await;
        let lead = leader(&*all[0].sees(|now| now.raft.leader.is_some()).await).unwrap().0;
        let gone = if leads { lead } else { 3 - lead };
        let (stays, goes) = if gone == 1 { (&all[1], &all[0]) } else { (&all[0], &all[1]) };
        goes.record("remove", Event::MemberRemoved(ReplicaId(gone))).await;
        stays.has_voters(&[3 - gone]).await;
        stays.record("alone", node_added(1)).await;
        goes.sees(|now| now.is_shut_out(ReplicaId(gone))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_demoted_promoted_and_removed() {
    let mut all = group(3).await;
    let role = |member, role| Event::MemberRoleChanged(RoleChange { member, role });
    all[0].record("demote", role(ReplicaId(3), Role::Learner)).await;
    all[0].has_voters(&[1, 2]).await;
    all[2].sees(|now| now.raft.group.learners == [3]).await;
    all[2].record("by-a-learner", node_added(1)).await;
    all[0].record("promote", role(ReplicaId(3), Role::Voter)).await;
    all[2].has_voters(&[1, 2, 3]).await;
    // The leader removes itself: another one leads first.
    let lead = leader(&*all[0].sees(|now| now.raft.leader.is_some()).await).unwrap();
    all[1].record("remove", Event::MemberRemoved(lead)).await;
    let left: Vec<u64> = (1..=3).filter(|id| *id != lead.0).collect();
    let place = usize::try_from(left[0] - 1).unwrap();
    all[place].has_voters(&left).await;
    all[place].record("after", node_added(2)).await;
    let gone = usize::try_from(lead.0 - 1).unwrap();
    let removed =
        all[gone].sees(|now| now.is_shut_out(lead) || !now.raft.group.voters.contains(&lead.0));
    removed.await;
    all[gone].stop().await;
}
