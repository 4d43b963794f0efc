//! Setting the lock aside on this machine alone, and taking that back.
//!
//! It stops what this machine does with the lock: judging its peers and signing with its key. The
//! replica goes on with the history all the same, and others hear nothing of it.

use std::sync::Arc;

use hyper::Response;
use ledger::history::Epoch;
use ledger::history::lifecycle::Lifecycle;
use ledger::lock::client::StateId;
use serde::Deserialize;

use super::{body, empty};
use crate::disk::local_disable::LocalDisable;
use crate::local_api::api::{Api, blocking};
use crate::local_api::call::Call;
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::operations::{Ground, NotPlanned};

/// The body of a request that has nothing to say.
#[derive(Debug, Default, Deserialize)]
struct Nothing {}

/// Refuses while the lock is set aside on this machine.
pub(in crate::local_api) fn enforced(
    aside: &LocalDisable,
    ground: Ground<'_>,
) -> Result<(), NotPlanned> {
    match on(ground) {
        Ok((epoch, state_id)) if aside.has(epoch, state_id) => Err(NotPlanned::DisabledHere),
        _ => Ok(()),
    }
}

/// The lock that is on, and its epoch.
fn on(ground: Ground<'_>) -> Result<(Epoch, StateId), NotPlanned> {
    match (ground.fold.lifecycle(), ground.authority()?) {
        (Lifecycle::On(epoch), authority) => Ok((epoch, authority.state().state_id())),
        _ => Err(NotPlanned::LockOff),
    }
}

impl Api {
    pub(super) async fn local_disable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let fail = |problem: Problem| problem.during("tailnet-lock local disable failed: ");
        let _: Nothing = body(call)?;
        let aside = self.aside.clone();
        self.set_aside(move |ground| {
            let (epoch, state_id) = on(ground)?;
            if aside.add(epoch, state_id)? { Ok(()) } else { Err(NotPlanned::DisabledHere) }
        })
        .await
        .map_err(fail)
    }

    pub(super) async fn local_enable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let _: Nothing = body(call)?;
        let aside = self.aside.clone();
        self.set_aside(move |ground| {
            let (epoch, state_id) = on(ground)?;
            if aside.remove(epoch, state_id)? { Ok(()) } else { Err(NotPlanned::NotDisabledHere) }
        })
        .await
    }

    async fn set_aside(
        &self,
        change: impl FnOnce(Ground<'_>) -> Result<(), NotPlanned> + Send + 'static,
    ) -> Result<Response<Body>, Problem> {
        let view = self.read().await?;
        let done = blocking(move || change(Ground { fold: view.fold(), rows: view.rows() }));
        match done.await? {
            Ok(()) => Ok(empty()),
            // As the original does, whatever the reason.
            Err(refused @ (NotPlanned::LockOff | NotPlanned::DisabledHere)) => {
                Err(Problem::from(refused).into_bad())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The locks that are set aside here.
    pub(super) fn aside(&self) -> Arc<LocalDisable> {
        self.aside.clone()
    }
}
