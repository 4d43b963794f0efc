//! What goes on when a database is closed and opened again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use ledger::history::ReplicaId;
use ledger::lock::signatures::Signer;
use ledger::rows::raft::Ahead;
use tokio::sync::oneshot;

use super::agreement::Agreement;
use super::foresight::Foresight;
use super::handle::Command;
use super::keeper::Keeper;
use super::proposals::Proposals;
use super::reach::Reach;
use super::run::{Loop, Tells};
use super::surroundings::Clock;
use crate::core::{Core, ReadId};
use crate::disk::{Batch, Disk};
use crate::peers::Peer;
use crate::security_log::SecurityLog;

/// Who somebody says the members are.
pub(super) struct Told {
    /// The record behind which they are.
    pub(super) record: u64,
    pub(super) members: BTreeMap<ReplicaId, Peer>,
    /// The tick at which it said so.
    pub(super) tick: u64,
}

/// What outlives a database that is closed and opened again.
pub(super) struct Kept {
    pub(super) id: ReplicaId,
    pub(super) commands: Receiver<Command>,
    pub(super) tells: Tells,
    pub(super) member: Arc<dyn Signer + Send + Sync>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) proposals: Proposals,
    pub(super) reading: BTreeMap<ReadId, oneshot::Sender<()>>,
    pub(super) next_read: u64,
    pub(super) reach: Reach,
    pub(super) agreement: Agreement,
    /// Who the members are behind records that this replica does not have yet, as members say.
    pub(super) told: BTreeMap<ReplicaId, Told>,
    pub(super) security: Arc<SecurityLog>,
    pub(super) requests: u64,
    /// Ticks since the start.
    pub(super) ticks: u64,
    pub(super) stopping: Option<Instant>,
}

impl<D: Disk> Loop<D> {
    /// Puts it together from what outlives a database and what belongs to one.
    pub(super) fn new(
        kept: Kept,
        core: Core,
        disk: D,
        keeper: Keeper,
        foresight: Foresight,
        ahead: Option<Ahead>,
    ) -> Self {
        Loop {
            group: core.status().group,
            kept,
            core,
            disk,
            later: Batch::new(),
            keeper,
            writes: 0,
            foresight,
            fetching: None,
            scrub: None,
            ahead,
            led: (0, None),
            stepping: false,
        }
    }

    /// What outlives the loop, its core, and its database.
    pub(super) fn set_down(self) -> (Kept, Core, D) {
        (self.kept, self.core, self.disk)
    }
}
