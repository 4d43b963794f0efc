//! The `lockstep` program as its users and its operating system see it: real processes, real
//! sockets, real signals.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod adopt;
mod auth_keys;
mod bad_input;
mod checkpoints;
mod epochs;
mod faults;
mod flags;
mod follow;
mod group;
mod harness;
mod help;
mod init;
mod keys;
mod node_life;
mod packaging;
mod page;
mod pages;
mod power;
mod races;
mod requests;
mod revocations;
mod signing;
mod start;
mod storm;
mod support;
mod syncs;
mod told;
