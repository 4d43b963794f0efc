//! docs/ledger-format.md is true: its examples are made anew, its limits and names compared, and a
//! verifier written from it alone agrees with the ledger.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod agreement;
mod cbor;
mod document;
mod example;
mod seldom;
mod tailscale;
mod verifier;

#[path = "../laws/door_moves.rs"]
#[allow(dead_code)]
mod door_moves;
#[path = "../laws/member_moves.rs"]
#[allow(dead_code)]
mod member_moves;
#[path = "../laws/moves.rs"]
#[allow(dead_code)]
mod moves;
