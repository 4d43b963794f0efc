//! Links between members, over real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod harness;
mod hostile;
mod joining;
mod membership;
mod talk;
