//! The daemon: settings, start, stop, health.

pub(crate) mod accounts;
mod acquaintances;
pub mod checkpoints;
mod command;
pub mod config;
mod enrolling;
mod error;
mod escrow;
mod health;
mod hook;
mod invitation;
mod log;
mod metrics;
mod notify;
mod peer_port;
mod pulse;
mod renewal;
mod start;
mod stop;
mod visits;

pub use command::{BadCommand, CommandFailed, ConfiguredCommand};
pub use error::ServeError;
pub use escrow::{BadEscrow, Escrow, EscrowFailed};
pub use start::{Ready, fingerprint, member_name, run, serve};
