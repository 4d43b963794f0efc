//! From observations to findings. One file a family; [`catalog`] lists what there is to find.

mod adoption;
pub mod catalog;
mod chain;
mod derived;
mod export;
mod finding;
mod forks;
mod nodes;
pub(crate) mod records;
mod standing;

pub(crate) use adoption::{alarm, assumed_root, objection};
pub use catalog::{Check, Severity};
pub(crate) use chain::{chain, departure, unreadable};
pub(crate) use derived::derived;
pub(crate) use export::{exported, listing};
pub use finding::Finding;
pub(crate) use forks::{Fork, Sibling, fork, forks_of};
pub use nodes::Headcount;
pub(crate) use nodes::{roster, shown_nodes};
pub(crate) use standing::standing;
