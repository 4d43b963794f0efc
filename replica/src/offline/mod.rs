//! Data directories and backups, without a running replica: looking at them, and beginning the
//! group's next incarnation from them.

pub mod backup;
mod incarnation;
mod inspect;
pub mod recover;
pub mod restore;

pub use incarnation::{NotBegun, Refounded};
pub use inspect::{Facts, Offline};
