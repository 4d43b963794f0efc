//! Laws that hold for all inputs (spec 14.1), those of chains checked against a model that walks.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod chains;
mod compaction;
mod encoding;
mod model;
mod node_keys;
mod trees;
mod updates;
