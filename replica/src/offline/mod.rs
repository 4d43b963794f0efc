//! Reading a data directory that no replica is running in.

mod inspect;

pub use inspect::{Facts, Offline};
