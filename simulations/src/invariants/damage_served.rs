use super::{Broken, broken};
use crate::actors::ledger::OnWornDisk;

/// What a ledger says while some of its disk cannot be read is what it would have said otherwise;
/// where it cannot know, it says nothing.
///
/// Reason: an unreadable row that counted as none would let a request in twice, or a node out of
/// the list of peers, and nobody would look for the reason. Source: ARCHITECTURE.md, "Three
/// failures": a fault is never a verdict.
pub fn damage_is_never_served(said: OnWornDisk) -> Result<(), Broken> {
    if said.same {
        return Ok(());
    }
    let what = format!("{} was answered otherwise than on a sound disk", said.to);
    Err(broken("damage_is_never_served", what))
}
