//! `lock disable`: ends the lock with one of its secrets.

use ledger::history::{Disablement, Event};

use super::{Ground, NotPlanned};

/// Plans the disablement. Runs the KDF once (15 ms, 16 MiB). The event reveals the secret, so it
/// is made only for a secret that is right and thereby spent.
pub fn plan(ground: Ground<'_>, secret: &[u8]) -> Result<Event, NotPlanned> {
    let state = ground.authority()?.state();
    let value = state.disablement_value_of(secret).ok_or(NotPlanned::WrongSecret)?;
    Ok(Event::LockDisabled(Disablement { secret: secret.to_vec(), value }))
}
