//! What a loop has around it: a clock, and a way to the other members. A simulation has others.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ledger::history::ReplicaId;

use crate::peers::{Links, Message, SendError};

/// What time it is.
pub trait Clock: Send + Sync {
    /// A time that only moves on.
    fn now(&self) -> Instant;

    /// What the machine's clock shows, in milliseconds since 1970. It may jump.
    fn wall_ms(&self) -> u64;
}

/// This machine's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The way to the other members.
pub trait Way: Send + Sync {
    /// Sends a message. It may be lost.
    fn send(&self, to: ReplicaId, message: Message) -> Result<(), SendError>;
}

impl Way for Links {
    fn send(&self, to: ReplicaId, message: Message) -> Result<(), SendError> {
        Links::send(self, to, message)
    }
}
