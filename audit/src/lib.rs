//! Offline replay and verification of tailnet-lock histories.
//!
//! [`source`] yields bytes and where they lie; [`replay`] judges AUMs by the ledger's rules, and
//! records go through the ledger's own fold; [`checks`] turn what was observed into findings;
//! [`verdict`] sums up; [`report`] tells. Nothing stored is believed that can be recomputed, and
//! nothing here opens a socket or writes a source.
#![forbid(unsafe_code)]

pub mod accept;
mod audit;
pub mod checks;
pub mod chronicle;
mod cores;
pub mod dates;
pub mod demo;
pub mod evidence;
pub mod foreign;
pub mod guard;
mod hashed;
mod history;
mod log_tail;
pub mod notebook;
mod observations;
pub mod policy;
mod progress;
pub mod questions;
mod records;
pub mod replay;
mod replica_log;
mod replicas;
pub mod report;
mod rocks;
mod scratch;
pub mod source;
pub mod trust_anchor;
pub mod verdict;

#[cfg(any(test, feature = "testing"))]
pub use audit::audit_answers;
pub use audit::{
    Audited, Live, LiveLog, Options, RecordsFrom, audit_data_dir, audit_live, unreadable,
    verified_history, verify_aums, verify_backup, verify_bundle, verify_data_dir, verify_live,
};
pub use cores::AllCores;
pub use history::History;
pub use observations::Claimed;
pub use progress::Progress;
pub use records::Stored;
pub use replicas::compare_replicas;
