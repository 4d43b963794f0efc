//! Offline replay and verification of tailnet-lock histories.
//!
//! [`source`] yields bytes and where they lie; [`replay`] judges them by the ledger's rules;
//! [`checks`] turn what was observed into findings; [`verdict`] sums up; [`report`] tells. Nothing
//! stored is believed that can be recomputed, and nothing here opens a socket or writes a source.
#![forbid(unsafe_code)]

mod audit;
pub mod checks;
mod cores;
pub mod replay;
pub mod report;
mod rocks;
pub mod source;
pub mod trust_anchor;
pub mod verdict;

pub use audit::{Options, unreadable, verify_aums};
pub use cores::AllCores;
