//! Gets this replica known to members that were away for so long that they know nobody any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::history::ReplicaId;
use ledger::lock::signatures::Signer;
use tokio::time::sleep;

use crate::joining::visitor::{NotBelieved, visit};
use crate::node::{Handle, introduced};
use crate::peers::{Identity, NotReached};

/// Between two looks at who does not want to talk.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two visits of one member, at most.
const LONGEST: Duration = Duration::from_secs(600);

/// A visit that came to something, whatever that was.
struct Before {
    /// The same again is no news.
    outcome: String,
    pause: Duration,
    /// When it is visited again, if it still refuses then.
    again: Instant,
}

/// Visits whoever refuses this replica's connections, for as long as the replica runs.
pub(super) async fn keep(handle: Handle, member: Arc<dyn Signer + Send + Sync>) {
    let identity = Identity::new(member);
    let mut before: BTreeMap<ReplicaId, Before> = BTreeMap::new();
    loop {
        sleep(PAUSE).await;
        let refused_by = handle.group().refused_by.clone();
        before.retain(|id, _| refused_by.contains(id));
        if refused_by.is_empty() {
            continue;
        }
        let members = match introduced(handle.view().rows()) {
            Ok(members) => members,
            Err(fault) => {
                tracing::warn!(%fault, "cannot see who the others are");
                continue;
            }
        };
        for id in refused_by {
            let Some(peer) = members.get(&id).filter(|_| id != handle.replica()) else { continue };
            let Some(address) = &peer.address else { continue };
            if before.get(&id).is_some_and(|before| before.again > Instant::now()) {
                continue;
            }
            let outcome = match visit(&handle, &identity, peer.key, address).await {
                Ok(()) => "it knows this replica from now on".to_owned(),
                // It knows others, who tell it, or is another replica by now.
                Err(NotBelieved::NotReached(NotReached::Tls(_) | NotReached::Hello(_))) => continue,
                Err(error) => error.to_string(),
            };
            let last = before.remove(&id);
            if last.as_ref().is_none_or(|last| last.outcome != outcome) {
                tracing::info!(%id, outcome, "visited a member that did not know this one");
            }
            // To write a letter takes as long as there are records.
            let pause = last.map_or(PAUSE, |last| (last.pause * 2).min(LONGEST));
            before.insert(id, Before { outcome, pause, again: Instant::now() + pause });
        }
    }
}
