//! The two sides: whose keys are trusted where, with how many votes, and what follows from that.

use ledger::ids::AumHash;
use ledger::lock::{Aum, AumKind, Sealed, State};

use super::{Town, War};
use crate::actors::keys;

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Honest,
    Thief,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Honest => Side::Thief,
            Side::Thief => Side::Honest,
        }
    }
}

impl War {
    fn of(&self, id: &[u8]) -> Side {
        let honest = keys::holder(id).is_some_and(|holder| self.honest.contains(&holder));
        if honest { Side::Honest } else { Side::Thief }
    }

    /// The holders on one side whom the state after an AUM trusts.
    pub(super) fn side(&self, town: &Town<'_>, at: &AumHash, side: Side) -> Vec<usize> {
        let keys = town.truth.state(at).map(State::keys).unwrap_or_default();
        let ids = keys.iter().filter_map(|key| key.id());
        ids.filter(|id| self.of(id) == side).filter_map(keys::holder).collect()
    }

    pub(super) fn trusted(&self, town: &Town<'_>, at: &AumHash) -> Vec<usize> {
        self.side(town, at, Side::Honest)
    }

    pub(super) fn stolen_trusted(&self, town: &Town<'_>, at: &AumHash) -> Vec<usize> {
        self.side(town, at, Side::Thief)
    }

    pub(super) fn votes(town: &Town<'_>, at: &AumHash, holders: &[usize]) -> u64 {
        let state = town.truth.state(at);
        let votes = |holder: &usize| Some(state?.key(&keys::id(*holder))?.votes);
        holders.iter().filter_map(votes).sum()
    }

    pub(super) fn side_votes(&self, town: &Town<'_>, at: &AumHash, side: Side) -> u64 {
        Self::votes(town, at, &self.side(town, at, side))
    }

    pub(super) fn stolen_votes(&self, town: &Town<'_>, at: &AumHash) -> u64 {
        self.side_votes(town, at, Side::Thief)
    }

    /// Whether only keys of that side have signed an AUM.
    pub(super) fn only(&self, town: &Town<'_>, hash: &AumHash, side: Side) -> bool {
        let by = town.truth.of(hash).into_iter().flat_map(|judged| &judged.aum.signatures);
        by.into_iter().filter_map(|by| by.key_id.as_deref()).all(|id| self.of(id) == side)
    }

    /// The revocation at an AUM by which one side, all of it that is trusted there, takes all of
    /// the other side away; none where it has no key.
    pub(super) fn sweep(&self, town: &Town<'_>, point: AumHash, side: Side) -> Option<Sealed> {
        let signers = self.side(town, &point, side);
        if signers.is_empty() {
            return None;
        }
        let mut state = town.truth.state(&point)?.clone();
        state.last_aum = None;
        let keys = state.keys.get_or_insert_default();
        keys.retain(|key| key.id().is_some_and(|id| self.of(id) == side));
        let mut aum = Aum::new(AumKind::CHECKPOINT, Some(point));
        aum.state = Some(state);
        Some(keys::signed(aum, &signers))
    }

    /// What votes alone say of a [`sweep`](Self::sweep) with the door; none where it depends on
    /// what else has happened since.
    ///
    /// A side that has not more votes at the fork point is refused. One that has more comes through
    /// if the other side alone has signed what follows, and nothing there is final; or on the head.
    pub(super) fn foretold(&self, town: &Town<'_>, point: AumHash, side: Side) -> Option<bool> {
        let head = town.ledger.head()?;
        let door = town.door.as_ref()?;
        let theirs = self.side_votes(town, &point, side.other());
        if self.side_votes(town, &point, side) <= theirs {
            return Some(false);
        }
        if point == head {
            // The sum of what came before, if nothing is taken away.
            return (theirs > 0).then_some(true);
        }
        let line = town.truth.line(&head);
        let next = line.iter().find(|hash| town.truth.parent(hash) == Some(point))?;
        let open = town.truth.height(&point) >= town.truth.height(&door.final_at);
        (open && self.only(town, next, side.other())).then_some(true)
    }

    /// Whether an AUM becomes the head, or part of the line, by the rules that are active: with the
    /// door what the door says, without it the preference among siblings.
    pub(super) fn expected(&self, town: &Town<'_>, aum: &Sealed) -> bool {
        let Some(head) = town.ledger.head() else { return false };
        if let Some(door) = &town.door {
            let next = town.ledger.fold.as_ref().map_or(0, ledger::history::Fold::next_index);
            return door.judge(&town.truth, head, aum, next).is_ok();
        }
        let line = town.truth.line(&head);
        let Some(parent) = aum.parent_hash().filter(|parent| line.contains(parent)) else {
            return false;
        };
        let sibling = line.iter().find(|hash| town.truth.parent(hash) == Some(parent));
        sibling.is_none_or(|sibling| {
            town.truth.preference(&aum.hash()) < town.truth.preference(sibling)
        })
    }

    /// Where the active line left the one that ends in `lost`: the stolen votes there, and the
    /// weight of the side that lost.
    pub(super) fn outvoted(&self, town: &Town<'_>, line: &[AumHash], lost: AumHash) -> (u64, u64) {
        let old = town.truth.line(&lost);
        let fork = old.iter().find(|hash| line.contains(hash));
        let below = |hash: &&AumHash| town.truth.parent(hash).as_ref() == fork;
        let weight = old.iter().find(below).and_then(|hash| town.truth.of(hash));
        let stolen = fork.map_or(0, |fork| self.stolen_votes(town, fork));
        (stolen, weight.map_or(0, |judged| judged.weight))
    }
}
