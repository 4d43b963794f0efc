//! Gets this replica known to members that were away for so long that they know nobody any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::history::ReplicaId;
use ledger::lock::signatures::Signer;
use tokio::time::sleep;

use crate::joining::visitor::{NotBelieved, visit};
use crate::node::{Handle, introduced};
use crate::peers::{Identity, NotReached};

/// Between two looks at who does not want to talk.
const PAUSE: Duration = Duration::from_secs(5);

/// Visits whoever refuses this replica's connections, for as long as the replica runs.
pub(super) async fn keep(handle: Handle, member: Arc<dyn Signer + Send + Sync>) {
    let identity = Identity::new(member);
    // The same outcome again is no news.
    let mut told: BTreeMap<ReplicaId, String> = BTreeMap::new();
    loop {
        sleep(PAUSE).await;
        let refused_by = handle.group().refused_by.clone();
        told.retain(|id, _| refused_by.contains(id));
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
            let outcome = match visit(&handle, &identity, peer.key, address).await {
                Ok(()) => "it knows this replica from now on".to_owned(),
                // It knows others, who tell it, or is another replica by now.
                Err(NotBelieved::NotReached(NotReached::Tls(_) | NotReached::Hello(_))) => continue,
                Err(error) => error.to_string(),
            };
            if told.get(&id) != Some(&outcome) {
                tracing::info!(%id, outcome, "visited a member that did not know this one");
                told.insert(id, outcome);
            }
        }
    }
}
