//! A roster node that is no signing node: it follows the lock in a directory of its own, by what a
//! daemon tells it and the rules allow.
//!
//! Such a node believes the daemon as little as a client of the tailnet would: it keeps AUMs that
//! it has verified itself, and verifies them again whenever it opens its directory.

mod pull;
mod store;

pub use pull::{NotPulled, judged, pull};
pub use store::{Owner, Store, StoreError};
