//! From observations to findings. One file a family; [`catalog`] lists what there is to find.

mod adoption;
pub mod catalog;
mod chain;
mod derived;
mod export;
mod finding;
mod forks;
mod nodes;
mod policy;
pub(crate) mod records;
mod signers;
mod standing;

pub(crate) use adoption::{alarm, assumed_root, objection};
pub use catalog::{Check, Severity};
pub(crate) use chain::{chain, departure, unreadable};
pub(crate) use derived::{derived, touched};
pub(crate) use export::{exported, listing};
pub use finding::Finding;
pub(crate) use forks::{Fork, Sibling, fork, forks_of};
pub use nodes::Headcount;
pub(crate) use nodes::{preauth_old, roster, shown_nodes, standing_of, told};
pub(crate) use policy::policy;
pub(crate) use signers::{Use, Uses};
pub(crate) use standing::standing;
