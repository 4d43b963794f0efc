//! A signing node: the ledger replicated with Raft into RocksDB, and its daemon.

pub mod daemon;
pub mod keys;
pub mod local_api;
