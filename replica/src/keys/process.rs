//! What the process does so that its keys stay in its memory.

use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, no tracing by other processes of the same user, and, where the limits allow it,
/// the memory that is in use now locked against swapping. To be called once the keys are read.
///
/// Each step is tried; what the system refuses is logged, since a daemon that runs without it is
/// better than none.
pub fn guard_memory() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "tracing by other processes could not be switched off");
    }
    // Pages of later allocations are not locked: the database's caches are not worth it.
    if let Err(error) = rustix::mm::mlockall(MlockAllFlags::CURRENT) {
        tracing::info!(%error, "memory is not locked: keys may reach the swap space");
    }
}
