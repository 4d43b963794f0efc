//! Who lives in a world: nodes, the ledger, the relay between them, and holders of keys.

pub mod client;
pub mod group;
pub mod images;
pub mod keys;
pub mod ledger;
pub mod relay;
pub mod tailnet;
pub mod wire;

/// The user on whose behalf the ledger is asked unless somebody else asks.
pub const OPERATOR: u32 = 1000;
