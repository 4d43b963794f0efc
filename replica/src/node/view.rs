//! What a replica knows at one moment.

use std::collections::{BTreeMap, BTreeSet};

use ledger::history::{Fold, ReplicaId};
use ledger::rows::Rows;

use super::agreement::Disagreement;
use crate::core::Status;
use crate::peers::{Head, Session};

/// The fold and the rows after the same record. Never changes.
pub struct View {
    applied: u64,
    fold: Fold,
    rows: Box<dyn Rows + Send + Sync>,
}

impl View {
    pub(super) fn new(applied: u64, fold: Fold, rows: Box<dyn Rows + Send + Sync>) -> Self {
        View { applied, fold, rows }
    }

    /// The fold of all records so far.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The rows after the last of these records.
    pub fn rows(&self) -> &dyn Rows {
        &*self.rows
    }

    /// The Raft log index applied last. It rises also where no record is added.
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// How a replica sees its group at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its own part in it.
    pub raft: Status,
    /// Whom it can send to, and what they have agreed on.
    pub up: BTreeMap<ReplicaId, Session>,
    /// Why it cannot reach others.
    pub unreachable: BTreeMap<ReplicaId, String>,
    /// Who says that this replica was removed from the group.
    pub shut_out_by: BTreeSet<ReplicaId>,
    /// Who does not want to talk to this replica: perhaps it does not know its key.
    pub refused_by: BTreeSet<ReplicaId>,
    /// Whether it can talk to no member on record, and listens to those who can show that they are
    /// members.
    pub lonely: bool,
    /// How far the others say that they have come.
    pub heads: BTreeMap<ReplicaId, Head>,
    /// Who has other records, or another fold, than this one.
    pub disagreements: BTreeMap<ReplicaId, Disagreement>,
    /// The last record that it is fetching, while it is.
    pub fetching: Option<u64>,
    /// Voters that are connected and say nothing.
    pub silent: BTreeSet<ReplicaId>,
    /// Why this replica writes nothing at the moment, if its disk is full.
    pub full: Option<String>,
    /// What is damaged, while its database is made anew from what is not.
    pub mending: Option<String>,
    /// The last of the records that were damaged here and are fetched from the others. Until it is
    /// there nothing is recorded, or read anew.
    pub refetching: Option<u64>,
}

/// Why a replica records nothing and answers from what it has, whether or not its group has a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impaired {
    /// Its disk is full.
    DiskFull,
    /// Its database was damaged and is being mended.
    Damaged,
}

impl GroupView {
    /// Whether most of the other voters say that the replica `own` was removed from the group.
    pub fn is_shut_out(&self, own: ReplicaId) -> bool {
        let others = self.raft.group.voters.iter().filter(|id| **id != own.0);
        let (mut all, mut say_so) = (0, 0);
        for id in others {
            all += 1;
            say_so += usize::from(self.shut_out_by.contains(&ReplicaId(*id)));
        }
        say_so * 2 > all
    }

    /// Whether this replica takes no part, so that no read need wait for anything.
    pub fn is_out_of_service(&self) -> bool {
        self.full.is_some() || self.mending.is_some()
    }

    /// Why this replica records nothing and answers from what it has, if that is its own trouble.
    pub fn impaired(&self) -> Option<Impaired> {
        if self.full.is_some() {
            return Some(Impaired::DiskFull);
        }
        let is_damaged = self.mending.is_some() || self.refetching.is_some();
        is_damaged.then_some(Impaired::Damaged)
    }

    /// Before anything is known of others.
    pub(super) fn alone(raft: Status) -> Self {
        GroupView {
            raft,
            up: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            shut_out_by: BTreeSet::new(),
            refused_by: BTreeSet::new(),
            lonely: false,
            heads: BTreeMap::new(),
            disagreements: BTreeMap::new(),
            fetching: None,
            silent: BTreeSet::new(),
            full: None,
            mending: None,
            refetching: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Core, Saved};

    #[test]
    fn its_own_trouble_comes_before_the_groups() {
        let core = Core::new(ReplicaId(1), Saved::founded(ReplicaId(1)), 7).unwrap();
        let sound = GroupView::alone(core.status());
        assert_eq!((sound.impaired(), sound.is_out_of_service()), (None, false));
        let refetching = GroupView { refetching: Some(9), ..sound.clone() };
        assert_eq!(refetching.impaired(), Some(Impaired::Damaged));
        assert!(!refetching.is_out_of_service(), "it is over as soon as somebody answers");
        let mending = GroupView { mending: Some("a table".into()), ..sound };
        assert_eq!(
            (mending.impaired(), mending.is_out_of_service()),
            (Some(Impaired::Damaged), true)
        );
        let full = GroupView { full: Some("no room".into()), ..mending };
        assert_eq!(full.impaired(), Some(Impaired::DiskFull));
    }
}
