//! The daemon: settings, start, stop, health.

pub(crate) mod accounts;
pub mod config;
mod health;
mod log;
mod start;
mod stop;

pub use start::{Ready, ServeError, run, serve};
