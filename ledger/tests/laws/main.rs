//! Laws that hold for all inputs (spec 14.1).
#![allow(clippy::unwrap_used)]

mod encoding;
mod node_keys;
