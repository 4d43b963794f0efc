//! `lock disable`: ends the lock with one of its secrets.

use ledger::history::{Disablement, Event};

use super::{Ground, NotPlanned};

/// Plans the disablement. Runs the KDF once (15 ms, 16 MiB). The event reveals the secret, so it
/// is made only for a secret that is right and thereby spent.
pub fn plan(ground: Ground<'_>, secret: &[u8]) -> Result<Event, NotPlanned> {
    super::adopt::decided_here(ground)?;
    let value = value_of(ground, secret)?;
    Ok(Event::LockDisabled(Disablement { secret: secret.to_vec(), value }))
}

/// The value of the lock whose secret this is. Runs the KDF once; reveals nothing.
pub fn value_of(ground: Ground<'_>, secret: &[u8]) -> Result<[u8; 32], NotPlanned> {
    let state = ground.authority()?.state();
    state.disablement_value_of(secret).ok_or(NotPlanned::WrongSecret)
}
