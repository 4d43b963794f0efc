//! The rules of tailnet lock (spec/tka.md 1-11), apart from any record of who asked for what.

mod aum;
mod key;
mod state;
mod validity;

pub use aum::{Aum, AumKind, AumSignature, Sealed};
pub use key::{Key, KeyKind, Meta};
pub use state::State;
pub use validity::{Invalid, InvalidState};
