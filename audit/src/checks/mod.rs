//! From observations to findings. One file a family; [`catalog`] lists what there is to find.

pub mod catalog;
mod chain;
mod export;
mod finding;
mod forks;
mod standing;

pub use catalog::{Check, Severity};
pub(crate) use chain::{chain, unreadable};
pub(crate) use export::{exported, listing};
pub use finding::Finding;
pub(crate) use forks::forks;
pub(crate) use standing::standing;
