//! The group itself: who is invited, approved, promoted, demoted and removed.
//!
//! What would take the group's quorum away is not planned unless somebody insists. The rule: of the
//! voters that there would be, a majority must be reachable from the replica that plans. A voter
//! counts as reachable while this replica has a connection to it and, if this replica leads, while
//! it answers the leader. A member that is to vote from now on does so only once it has caught up,
//! so that it can be reached by then; but one that cannot be reached now is not promoted.

use std::collections::BTreeSet;

use ledger::history::members::{self, Member, Standing};
use ledger::history::{
    Event, InvitationKey, Invited, MemberFingerprint, ReplicaId, Role, RoleChange,
};

use super::{Ground, NotPlanned};

/// How the replica that plans sees its group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Who votes, as far as this replica has heard.
    pub voters: BTreeSet<ReplicaId>,
    /// Whom it reaches, itself included.
    pub reachable: BTreeSet<ReplicaId>,
}

/// Why the group is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotChange {
    /// There is no such member, and there was none.
    #[error("the group has no replica {0}")]
    Unknown(ReplicaId),
    /// Nobody with that fingerprint has asked to be let in.
    #[error("nobody with the fingerprint {0} waits for approval")]
    NobodyWaits(MemberFingerprint),
    /// What would be left could not decide anything.
    #[error(
        "the group would lose its quorum: of {voters} voters {needed} must be reachable from this \
         replica, and {reachable} {} ({unreachable} cannot be reached)",
        if *.reachable == 1 { "is" } else { "are" }
    )]
    QuorumLost {
        /// The voters that there would be.
        voters: usize,
        /// How many of them make a majority.
        needed: usize,
        /// How many of them can be reached.
        reachable: usize,
        /// Which of them cannot.
        unreachable: Replicas,
    },
    /// A learner that does not follow at the moment is to vote.
    #[error("replica {0} cannot be reached: it could not vote")]
    Unreachable(ReplicaId),
    /// Nobody would be left who votes.
    #[error("replica {0} is the only one that votes")]
    OnlyVoter(ReplicaId),
    /// The leadership can only go to a voter.
    #[error("replica {0} does not vote, and only a voter can lead")]
    NotAVoter(ReplicaId),
}

impl CannotChange {
    /// What the person who asked can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            CannotChange::Unknown(_) | CannotChange::NobodyWaits(_) => {
                "see who there is (lockstep cluster status)"
            }
            CannotChange::QuorumLost { .. } => {
                "bring them back or remove those first; --force does it all the same"
            }
            CannotChange::Unreachable(_) => {
                "start it, or use --force: then it votes as soon as it is back and has caught up"
            }
            CannotChange::OnlyVoter(_) => {
                "let another member vote first (lockstep cluster promote), and wait until it has \
                 caught up"
            }
            CannotChange::NotAVoter(_) => "promote it first (lockstep cluster promote)",
        }
    }
}

/// Replicas in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas(pub Vec<ReplicaId>);

impl std::fmt::Display for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, id) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            write!(f, "{before}replica {id}")?;
        }
        Ok(())
    }
}

/// Somebody may join by the secret that belongs to this key.
pub fn invite(key: InvitationKey, expires_ms: u64, named: Option<MemberFingerprint>) -> Event {
    Event::MemberInvited(Invited { key, expires_ms, named })
}

/// The member that has this fingerprint, pending ones included; of several lives of one key there
/// is none, since keys never return.
pub fn by_fingerprint(
    ground: Ground<'_>,
    fingerprint: MemberFingerprint,
) -> Result<Member, NotPlanned> {
    let mut live = members::live(ground.rows)?.into_iter();
    let found = live.find(|member| member.member_key.fingerprint() == fingerprint);
    Ok(found.ok_or(CannotChange::NobodyWaits(fingerprint))?)
}

/// The member with that number, also one that was removed.
pub fn by_id(ground: Ground<'_>, id: ReplicaId) -> Result<Member, NotPlanned> {
    Ok(members::member(ground.rows, id)?.ok_or(CannotChange::Unknown(id))?)
}

/// Somebody who waits is let in, and votes once it has caught up.
pub fn approve(
    ground: Ground<'_>,
    fingerprint: MemberFingerprint,
    seen: &Seen,
    force: bool,
) -> Result<Event, NotPlanned> {
    let member = by_fingerprint(ground, fingerprint)?;
    if member.standing == Standing::Pending && !force {
        // It has no connection before it is approved.
        let mut seen = seen.clone();
        seen.reachable.insert(member.id);
        keeps_quorum(ground, &seen, Change::Votes(member.id))?;
    }
    Ok(Event::MemberApproved(member.id))
}

/// A learner is to vote, as soon as it has caught up.
pub fn promote(
    ground: Ground<'_>,
    id: ReplicaId,
    seen: &Seen,
    force: bool,
) -> Result<Event, NotPlanned> {
    let member = by_id(ground, id)?;
    if member.standing == Standing::Learner && !force {
        if !seen.reachable.contains(&id) {
            return Err(CannotChange::Unreachable(id).into());
        }
        keeps_quorum(ground, seen, Change::Votes(id))?;
    }
    Ok(Event::MemberRoleChanged(RoleChange { member: id, role: Role::Voter }))
}

/// A voter follows from now on, and does not vote.
pub fn demote(
    ground: Ground<'_>,
    id: ReplicaId,
    seen: &Seen,
    force: bool,
) -> Result<Event, NotPlanned> {
    if by_id(ground, id)?.standing == Standing::Voter && !force {
        keeps_quorum(ground, seen, Change::VotesNot(id))?;
    }
    Ok(Event::MemberRoleChanged(RoleChange { member: id, role: Role::Learner }))
}

/// A member leaves for good.
pub fn remove(
    ground: Ground<'_>,
    id: ReplicaId,
    seen: &Seen,
    force: bool,
) -> Result<Event, NotPlanned> {
    if by_id(ground, id)?.standing == Standing::Voter && !force {
        keeps_quorum(ground, seen, Change::VotesNot(id))?;
    }
    Ok(Event::MemberRemoved(id))
}

/// Whether the leadership can be handed to that member.
pub fn may_lead(ground: Ground<'_>, id: ReplicaId, seen: &Seen) -> Result<Member, NotPlanned> {
    let member = by_id(ground, id)?;
    if !seen.voters.contains(&id) {
        return Err(CannotChange::NotAVoter(id).into());
    }
    Ok(member)
}

/// Who votes, or votes no more.
#[derive(Clone, Copy)]
enum Change {
    Votes(ReplicaId),
    VotesNot(ReplicaId),
}

/// Whether a majority of the voters to come is reachable. Those are the voters that there are, as far
/// as they are to stay; one that is still catching up takes no part yet.
fn keeps_quorum(ground: Ground<'_>, seen: &Seen, change: Change) -> Result<(), NotPlanned> {
    let wanted = |id: &ReplicaId| match change {
        Change::Votes(new) if new == *id => Ok(true),
        Change::VotesNot(gone) if gone == *id => Ok(false),
        _ => {
            let member = members::member(ground.rows, *id)?;
            Ok::<_, NotPlanned>(member.is_some_and(|m| m.standing == Standing::Voter))
        }
    };
    let mut candidates = seen.voters.clone();
    if let Change::Votes(new) = change {
        candidates.insert(new);
    }
    let mut voters = Vec::with_capacity(candidates.len());
    for id in candidates {
        if wanted(&id)? {
            voters.push(id);
        }
    }
    if let (Change::VotesNot(id), []) = (change, voters.as_slice()) {
        return Err(CannotChange::OnlyVoter(id).into());
    }
    let (here, away): (Vec<_>, Vec<_>) =
        voters.iter().copied().partition(|id| seen.reachable.contains(id));
    let needed = voters.len() / 2 + 1;
    if here.len() < needed {
        return Err(CannotChange::QuorumLost {
            voters: voters.len(),
            needed,
            reachable: here.len(),
            unreachable: Replicas(away),
        }
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger::testing::Group as History;

    use super::*;

    /// A group of which these vote, and of which those are reachable.
    fn seen(voters: &[u64], reachable: &[u64]) -> Seen {
        let set = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect();
        Seen { voters: set(voters), reachable: set(reachable) }
    }

    fn ground(history: &History) -> Ground<'_> {
        Ground { fold: &history.fold, rows: &history.rows }
    }

    /// A founder and others that were let in.
    fn history(others: u8) -> History {
        let mut history = History::new();
        for seed in 2..2 + others {
            history.enrol(seed);
        }
        history
    }

    fn lost(planned: Result<Event, NotPlanned>) -> (usize, usize, usize) {
        match planned {
            Err(NotPlanned::Group(CannotChange::QuorumLost {
                voters, needed, reachable, ..
            })) => (voters, needed, reachable),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_majority_of_the_voters_to_come_must_be_reachable() {
        let history = history(2);
        let ground = ground(&history);
        let all = seen(&[1, 2, 3], &[1, 2, 3]);
        assert!(remove(ground, ReplicaId(3), &all, false).is_ok());
        // The one that is gone may go; one of the two that are left may not.
        let two = seen(&[1, 2, 3], &[1, 2]);
        assert!(remove(ground, ReplicaId(3), &two, false).is_ok());
        assert!(demote(ground, ReplicaId(3), &two, false).is_ok());
        assert_eq!(lost(remove(ground, ReplicaId(2), &two, false)), (2, 2, 1));
        assert_eq!(lost(demote(ground, ReplicaId(2), &two, false)), (2, 2, 1));
        let error = demote(ground, ReplicaId(2), &two, false).unwrap_err().to_string();
        assert!(error.contains("replica 3 cannot be reached"), "{error}");
        // Unless somebody insists.
        assert!(remove(ground, ReplicaId(2), &two, true).is_ok());
        // One that is on record and does not vote yet counts for nothing.
        let late = seen(&[1, 2], &[1, 2]);
        assert!(remove(ground, ReplicaId(3), &late, false).is_ok());
        assert!(remove(ground, ReplicaId(2), &late, false).is_ok());
    }

    #[test]
    fn the_only_voter_stays() {
        let history = history(1);
        let ground = ground(&history);
        // The second is on record, and has not caught up.
        let alone = seen(&[1], &[1]);
        for plan in [demote, remove] {
            let planned = plan(ground, ReplicaId(1), &alone, false);
            let only = CannotChange::OnlyVoter(ReplicaId(1));
            assert!(matches!(planned, Err(NotPlanned::Group(why)) if why == only));
        }
    }

    #[test]
    fn who_is_not_there_is_neither_promoted_nor_approved() {
        let mut history = history(2);
        let role = |role| Event::MemberRoleChanged(RoleChange { member: ReplicaId(3), role });
        history.apply(role(Role::Learner));
        let ground = ground(&history);
        let away = promote(ground, ReplicaId(3), &seen(&[1, 2], &[1, 2]), false);
        assert!(matches!(away, Err(NotPlanned::Group(CannotChange::Unreachable(ReplicaId(3))))));
        let here = seen(&[1, 2], &[1, 2, 3]);
        assert_eq!(promote(ground, ReplicaId(3), &here, false).unwrap(), role(Role::Voter));
        assert!(promote(ground, ReplicaId(3), &seen(&[1, 2], &[1]), true).is_ok());

        let nobody = MemberFingerprint([9; 32]);
        let unknown = approve(ground, nobody, &here, false);
        assert!(matches!(unknown, Err(NotPlanned::Group(CannotChange::NobodyWaits(_)))));
        for plan in [promote, demote, remove] {
            let unknown = plan(ground, ReplicaId(9), &here, true);
            assert!(matches!(unknown, Err(NotPlanned::Group(CannotChange::Unknown(_)))));
        }
        let learner = may_lead(ground, ReplicaId(3), &here).unwrap_err();
        assert_eq!(learner.remedy(), Some("promote it first (lockstep cluster promote)"));
        assert!(may_lead(ground, ReplicaId(2), &here).is_ok());
    }

    #[test]
    fn whoever_waits_can_be_reached_once_it_is_approved() {
        let mut history = History::new();
        history.apply(ledger::testing::invited(2, None));
        let joins = history.joining(2, 2);
        history.apply(joins);
        let ground = ground(&history);
        let waits = members::live(ground.rows).unwrap().pop().unwrap();
        assert_eq!(waits.standing, Standing::Pending);
        let fingerprint = waits.member_key.fingerprint();
        let event = approve(ground, fingerprint, &seen(&[1], &[1]), false).unwrap();
        assert_eq!(event, Event::MemberApproved(waits.id));
        // It may be sent away whoever is there.
        assert!(remove(ground, waits.id, &seen(&[1], &[]), false).is_ok());
    }
}
