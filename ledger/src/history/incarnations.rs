//! Incarnations: the group begins anew with one member, from the records that survived.

use super::effects::Step;
use super::{Begun, EventRefusal, Proposal, RecordHash, ReplicaId, invitations, members};
use crate::Failure;

/// The group as it is when somebody would begin it anew.
pub(super) struct Before {
    pub(super) incarnation: u64,
    pub(super) rules: u32,
    /// The last record; none before record 0.
    pub(super) last: Option<(u64, RecordHash)>,
    /// The number of the member that joins next.
    pub(super) next_replica: ReplicaId,
}

/// Begins an incarnation, whose founder then proposes as its only member.
pub(super) fn begin(
    step: &mut Step<'_>,
    before: &Before,
    proposal: &Proposal,
    begun: &Begun,
) -> Result<(), Failure> {
    let (since, active) = (proposal.event.since_rules(), before.rules);
    if since > active {
        let kind = proposal.event.kind();
        return Err(EventRefusal::KindNotActive { kind, since, active }.into());
    }
    let (got, want) = (proposal.incarnation, before.incarnation.saturating_add(1));
    if got != want {
        return Err(EventRefusal::OtherIncarnation { got, want }.into());
    }
    if before.last != Some(begun.last) {
        return Err(EventRefusal::OtherHistory { index: begun.last.0 }.into());
    }
    let (got, want) = (begun.founder.id, before.next_replica);
    if got != want {
        return Err(EventRefusal::NotNextReplica { got, want }.into());
    }
    step.incarnation(proposal.incarnation, begun.last);
    members::remove_all(step)?;
    invitations::forget_all(step)?;
    members::found_anew(step, &begun.founder, active)
}
