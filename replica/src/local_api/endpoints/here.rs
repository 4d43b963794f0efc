//! Setting the lock aside on this machine alone, and taking that back.
//!
//! It stops what this machine does with the lock: judging its peers and signing with its key. The
//! replica goes on with the history all the same, and others hear nothing of it.

use std::sync::Arc;

use hyper::Response;
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
pub(super) fn enforced(aside: &LocalDisable, ground: Ground<'_>) -> Result<(), NotPlanned> {
    match ground.fold.authority() {
        Some(authority) if aside.has(authority.state().state_id()) => Err(NotPlanned::DisabledHere),
        _ => Ok(()),
    }
}

impl Api {
    pub(super) async fn local_disable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let fail = |problem: Problem| problem.during("tailnet-lock local disable failed: ");
        let _: Nothing = body(call)?;
        let aside = self.aside.clone();
        self.set_aside(move |ground| {
            let state_id = ground.authority()?.state().state_id();
            if aside.add(state_id)? { Ok(()) } else { Err(NotPlanned::DisabledHere) }
        })
        .await
        .map_err(fail)
    }

    pub(super) async fn local_enable(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let _: Nothing = body(call)?;
        let aside = self.aside.clone();
        self.set_aside(move |ground| {
            let state_id = ground.authority()?.state().state_id();
            if aside.remove(state_id)? { Ok(()) } else { Err(NotPlanned::NotDisabledHere) }
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
