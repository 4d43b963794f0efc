//! What a daemon records of itself when it starts, and the rules that it raises later.

use std::sync::Arc;
use std::time::Duration;

use ledger::history::{Event, Who, requests};
use ledger::{Ailment, Refusal};
use tokio::time::sleep;

use super::error::ServeError;
use crate::disk::local_disable::LocalDisable;
use crate::keys::Keys;
use crate::local_api::{self, random_request_id};
use crate::node::{Handle, Outcome, Submission, View};
use crate::operations::{Ground, NotPlanned, enrol, was_stale};

/// The pause before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of something that the daemon wants recorded.
enum Recorded {
    Yes,
    /// Another change came first.
    Overtaken,
    Refused(Refusal),
    /// Most of the group is away, or this clock is wrong: it may be right later.
    NotNow,
}

/// Records what the ledger does not know yet of this daemon, step by step.
pub(super) async fn enrol_own(
    handle: Handle,
    name: String,
    address: String,
    keys: Arc<Keys>,
    aside: LocalDisable,
) -> Result<(), ServeError> {
    loop {
        let view = handle.read().await.map_err(|_| ServeError::EnrolUnknown)?;
        let own = local_api::own(&keys, keys.node.public());
        let next = match enrol::next(ground(&view), handle.replica(), &name, own, Some(&address)) {
            // The replica has noticed as well, and mends it.
            Err(NotPlanned::Fault(fault)) if fault.ailment() == Ailment::Damaged => {
                sleep(PAUSE).await;
                continue;
            }
            next => next?,
        };
        let Some(mut event) = next else { return Ok(()) };
        if local_api::is_aside(&aside, ground(&view)) {
            // The lock key signs nothing here.
            match &mut event {
                Event::NodeAdded(new) => new.signature = None,
                Event::NodeChanged(changed) => changed.signature = None,
                _ => {}
            }
        }
        let kind = event.kind_name();
        match record(&handle, &name, event).await? {
            Recorded::Yes => tracing::info!(kind, "recorded what this daemon is"),
            Recorded::Overtaken => {}
            Recorded::Refused(refusal) => return Err(NotPlanned::Refused(refusal).into()),
            Recorded::NotNow => sleep(PAUSE).await,
        }
    }
}

/// Raises the rules as soon as every member can execute the next ones, up to those that this
/// program knows: mostly the last member to be upgraded does it at its start, but the last one
/// that could not may also have been removed.
pub(super) async fn raise_rules(handle: Handle, name: String) {
    let known = handle.supported().rules().newest();
    let mut views = handle.watch();
    loop {
        let view = views.borrow_and_update().clone();
        if view.fold().rules() >= known {
            return;
        }
        let next = enrol::next_rules(ground(&view));
        drop(view);
        match next {
            Ok(Some(event)) => match record(&handle, &name, event).await {
                Ok(Recorded::Yes | Recorded::Overtaken | Recorded::Refused(_)) => {}
                Ok(Recorded::NotNow) => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(_) => return,
            },
            Ok(None) => {}
            Err(fault) => {
                tracing::warn!(%fault, "cannot see whether the rules may rise");
                return;
            }
        }
        // Not at each record of a busy group.
        sleep(PAUSE).await;
        if views.changed().await.is_err() {
            return;
        }
    }
}

fn ground(view: &View) -> Ground<'_> {
    Ground { fold: view.fold(), rows: view.rows() }
}

async fn record(handle: &Handle, name: &str, event: Event) -> Result<Recorded, NotPlanned> {
    let request = random_request_id()?;
    let digest = requests::digest("enrol", request.as_str().as_bytes());
    let name = name.to_owned();
    let raises = matches!(event, Event::RulesActivated(_));
    let submission = Submission { request, digest, part: 0, who: Who::Member, name, event };
    Ok(match handle.submit(submission).await {
        Outcome::Applied { .. } | Outcome::Repeated { .. } => Recorded::Yes,
        // Members that start at once all see that the rules may rise: one of them is first.
        Outcome::Refused(refusal) if raises || was_stale(&refusal) => Recorded::Overtaken,
        Outcome::Refused(refusal) => Recorded::Refused(refusal),
        Outcome::Unknown | Outcome::ClockApart => Recorded::NotNow,
    })
}
