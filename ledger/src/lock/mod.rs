//! The rules of tailnet lock (spec/tka.md 1-11), apart from any record of who asked for what.

mod aum;
mod authority;
pub mod builder;
pub mod chain;
pub mod client;
pub mod compaction;
pub mod disablement;
pub mod forks;
mod key;
pub mod node_keys;
pub mod revocation;
pub mod signatures;
mod state;
pub mod sync;
mod transition;
mod validity;

pub use aum::{Aum, AumKind, AumSignature, Sealed};
pub use authority::{Authority, Informed, NotInformed};
pub use chain::{Chain, ChainId};
pub use key::{Key, KeyKind, Meta};
pub use state::State;
pub use transition::{NotAdmitted, NotApplicable};
pub use validity::{Invalid, InvalidState};
