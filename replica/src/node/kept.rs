//! What goes on when a database is closed and opened again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use ledger::history::ReplicaId;
use ledger::lock::signatures::Signer;
use tokio::sync::{oneshot, watch};

use super::agreement::Agreement;
use super::group::Told;
use super::handle::Command;
use super::proposals::Proposals;
use super::reach::Reach;
use super::surroundings::Clock;
use super::{GroupView, View};
use crate::core::ReadId;
use crate::peers::Membership;
use crate::security_log::SecurityLog;

/// What the loop tells the others.
pub(super) struct Tells {
    pub(super) views: watch::Sender<Arc<View>>,
    pub(super) group: watch::Sender<Arc<GroupView>>,
    pub(super) membership: watch::Sender<Arc<Membership>>,
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
    /// When each member's wish that another replica leads was followed, lately.
    pub(super) wished: BTreeMap<ReplicaId, u64>,
    /// The tick at which it was last said that the clock is too far from the leader's.
    pub(super) clock_told: Option<u64>,
    pub(super) stopping: Option<Instant>,
}
