//! The daemon: settings, start, stop, health.

pub(crate) mod accounts;
pub mod checkpoints;
mod command;
pub mod config;
mod enrolling;
mod escrow;
mod health;
mod hook;
mod invitation;
mod log;
mod metrics;
mod notify;
mod peer_port;
mod pulse;
mod start;
mod stop;

pub use command::{BadCommand, CommandFailed, ConfiguredCommand};
pub use escrow::{BadEscrow, Escrow, EscrowFailed};
pub use start::{Ready, ServeError, fingerprint, member_name, run, serve};
