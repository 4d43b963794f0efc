//! Giving a revocation up that waits for signatures.

use ledger::history::{Event, RevocationWithdrawn};

use super::find;
use crate::operations::{Ground, NotPlanned};

/// Plans the withdrawal. The signatures stay on record and in the blobs that were handed out: what
/// has enough of them can still be finished.
pub fn plan(ground: Ground<'_>, name: &str, note: Option<&str>) -> Result<Event, NotPlanned> {
    let revocation = find(ground, name)?.id();
    Ok(Event::RevocationWithdrawn(RevocationWithdrawn {
        revocation,
        note: note.map(str::to_owned),
    }))
}
