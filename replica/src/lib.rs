//! A signing node: the ledger replicated with Raft into RocksDB, and its daemon.

/// Whether that bug is switched on (`ledger::planted`): never, in builds without the feature.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($plant:ident) => {
        ledger::planted::has(ledger::planted::Plant::$plant)
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($plant:ident) => {
        false
    };
}

pub mod core;
pub mod daemon;
pub mod disk;
pub mod go_json;
pub mod joining;
pub mod keys;
pub mod local_api;
pub mod node;
pub mod node_client;
pub mod node_rpc;
pub mod offline;
pub mod operations;
pub mod peers;
mod rfc3339;
mod security_log;
