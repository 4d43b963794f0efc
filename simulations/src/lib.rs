//! Deterministic worlds that try to break the lock.
//!
//! They run the types that the daemon and the nodes run: `ledger::lock`, `ledger::history`,
//! `ledger::rows`. Everything around them is simulated ([`world`]): time, chance, the network,
//! disks and processes. [`actors`] live there, [`worlds`] tell what they do, and [`invariants`]
//! what must hold. A seed is one history, byte for byte, on every machine. README.md beside this
//! says how to read a world and how to write one.
#![forbid(unsafe_code)]

pub mod actors;
pub mod invariants;
pub mod runner;
pub mod world;
pub mod worlds;
