//! What the endpoints have in common: a running replica, and the keys of its machine.

use std::path::PathBuf;
use std::sync::Arc;

use ledger::Fault;
use ledger::ids::LockKey;
use ledger::lock::signatures::Signer;
use tokio::sync::Mutex;

use super::Access;
use super::problem::Problem;
use super::reading;
use crate::daemon::Escrow;
use crate::disk::local_disable::LocalDisable;
use crate::keys::Keys;
use crate::node::{Handle, View};
use crate::operations::Ground;

/// What the local API works with.
#[derive(Debug)]
pub struct Api {
    pub(super) node: Handle,
    pub(super) keys: Arc<Keys>,
    pub(super) data_dir: PathBuf,
    pub(super) access: Access,
    /// Where support secrets go, if the operator has said so.
    pub(super) escrow: Option<Escrow>,
    /// Which locks are set aside on this machine.
    pub(super) aside: Arc<LocalDisable>,
    /// Held while the machine's own node key is being replaced.
    pub(super) rotating: Mutex<()>,
    /// Held while AUMs are planned and recorded: each stands on the one before, so this machine's
    /// changes queue up instead of overtaking each other.
    pub(super) updating: Mutex<()>,
}

impl Api {
    /// An API on a running replica, with the keys of its machine.
    pub fn new(
        node: Handle,
        keys: Arc<Keys>,
        data_dir: PathBuf,
        access: Access,
        escrow: Option<Escrow>,
        aside: LocalDisable,
    ) -> Self {
        let (rotating, updating) = (Mutex::new(()), Mutex::new(()));
        Api { node, keys, data_dir, access, escrow, aside: Arc::new(aside), rotating, updating }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn node(&self) -> &Handle {
        &self.node
    }

    /// The state for the request that is being answered: one with everything in it that was
    /// acknowledged before, unless a read makes do with less.
    pub(super) async fn read(&self) -> Result<Arc<View>, Problem> {
        reading::read(&self.node).await
    }

    pub(super) fn lock_key(&self) -> Option<LockKey> {
        self.keys.lock.as_ref().map(|key| key.public())
    }

    /// Runs something on a fresh view, away from the threads that serve connections.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        f: impl FnOnce(Ground<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = self.read().await?;
        blocking(move || f(Ground { fold: view.fold(), rows: view.rows() })).await?
    }
}

/// Runs what may block on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(f).await.map_err(|error| {
        Fault::from_error("a request's thread ended without an answer", error).into()
    })
}
