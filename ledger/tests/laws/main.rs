//! Laws that hold for all inputs (spec 14.1), those of chains checked against a model that walks.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod chains;
mod compaction;
mod door_moves;
mod encoding;
mod history;
mod member_moves;
mod members;
mod model;
mod moves;
mod node_keys;
mod original;
mod revocations;
mod roster;
mod trees;
mod updates;
