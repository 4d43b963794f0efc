//! Which proposals of this run wait at which place in the log.

use std::collections::BTreeMap;

use ledger::rows::raft::Position;

use super::ProposalId;

/// Proposals that were appended and whose fate is not known.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    waiting: BTreeMap<u64, (u64, ProposalId)>,
}

/// What became of the proposal that waited at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody of this run waits there.
    Nobodys,
    /// It is committed.
    Committed(ProposalId),
    /// Another entry is committed in its place, so it never will be.
    Displaced(ProposalId),
}

impl Proposals {
    /// Remembers that a proposal was appended at `position`. If another one waited there, it was
    /// overwritten in the meantime; it is returned.
    pub(super) fn appended(
        &mut self,
        position: Position,
        proposal: ProposalId,
    ) -> Option<ProposalId> {
        self.waiting
            .insert(position.index, (position.term, proposal))
            .map(|(_, displaced)| displaced)
    }

    /// An entry is committed.
    pub(super) fn committed(&mut self, position: Position) -> Fate {
        match self.waiting.remove(&position.index) {
            None => Fate::Nobodys,
            Some((term, proposal)) if term == position.term => Fate::Committed(proposal),
            Some((_, proposal)) => Fate::Displaced(proposal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_known_by_term_and_index() {
        let at = |index, term| Position { index, term };
        let mut proposals = Proposals::default();
        assert_eq!(proposals.appended(at(5, 2), ProposalId(1)), None);
        assert_eq!(proposals.appended(at(6, 2), ProposalId(2)), None);
        assert_eq!(proposals.appended(at(6, 4), ProposalId(3)), Some(ProposalId(2)));
        assert_eq!(proposals.committed(at(4, 1)), Fate::Nobodys);
        assert_eq!(proposals.committed(at(5, 3)), Fate::Displaced(ProposalId(1)));
        assert_eq!(proposals.committed(at(6, 4)), Fate::Committed(ProposalId(3)));
        assert_eq!(proposals.committed(at(6, 4)), Fate::Nobodys);
    }
}
