//! What nodes are told: the calls about the lock, from both ends, without a connection between.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod calls;
mod histories;
mod recorded;
mod server;
