//! Tailnet lock as an event-sourced ledger: formats, rules and history.
//!
//! This crate decides. It has no I/O, no clock, no randomness, no threads of its own and no hash
//! maps whose order could reach a verdict: the daemon, the audit tool and the simulator run the
//! same types and must reach the same verdict on the same bytes.
//!
//! From the ground up (each imports only what stands before it):
//! [`limits`], [`cbor`], [`ids`], [`rows`], [`lock`], [`history`], [`formats`].
#![forbid(unsafe_code)]

#[macro_use]
pub mod planted;

pub mod cbor;
mod failure;
pub mod formats;
pub mod history;
pub mod ids;
pub mod limits;
pub mod lock;
pub mod rows;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use failure::{Ailment, Failure, Fault, Refusal};

/// Whether this build can have bugs on purpose. No program may.
pub const PLANTED: bool = cfg!(feature = "planted");
