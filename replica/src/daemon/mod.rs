//! The daemon: settings, start, stop, health.

pub(crate) mod accounts;
pub mod config;
