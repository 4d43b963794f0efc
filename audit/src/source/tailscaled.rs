//! What a running tailscaled serves of its log and its status.

use ledger::ids::AumHash;
use ledger::lock::Sealed;

use super::{Aums, Found, Kind, Place, Shown};
use crate::checks::Finding;
use crate::checks::catalog::AUM_HASH;

/// A tailscaled's log, newest first: the hash that it shows with each AUM, and the AUM's bytes.
/// `shown` is its status at the same moment.
pub fn tailscaled(log: impl IntoIterator<Item = (AumHash, Vec<u8>)>, shown: Option<Shown>) -> Aums {
    let mut found = Vec::new();
    let mut findings = Vec::new();
    for (place, (hash, bytes)) in log.into_iter().enumerate() {
        let aum = Sealed::decode(&bytes);
        if let Ok(aum) = &aum
            && aum.hash() != hash
        {
            let message = format!("entry {place} of the log shows {hash}, which is not its hash");
            findings.push(Finding::new(&AUM_HASH, message).aum(aum.hash()));
        }
        found.push(Found { aum, place: Place::default() });
    }
    Aums {
        kind: Kind::Tailscaled,
        sha256: None,
        found,
        oldest: None,
        one_branch: true,
        findings,
        unread: None,
        shown,
        beside: None,
    }
}
