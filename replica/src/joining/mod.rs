//! How a machine becomes a member: an invitation, a conversation, an approval.
//!
//! ```text
//! token   what the invited machine is given: the cluster, whom to ask, and the secret
//! words   what both say to each other, as canonical CBOR
//! host    the member's side: it checks who asks, records it, and answers
//! guest   the invited machine's side: it asks until it is let in or turned away
//! visitor a member that another one does not know, since that was away: it brings a letter
//! ```
//!
//! The secret is an Ed25519 key that exists nowhere but in the token; the records have its public
//! half. The guest signs with it what it says of itself, which every replica checks before it admits
//! the record, and the connection that it asks on, so that a member cannot pass the guest's words
//! off as its own. Nobody gets data or a vote before the record is there and, unless the invitation
//! was for this very key, somebody has approved it.

pub mod guest;
pub mod host;
mod letter;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
pub mod visitor;
mod words;

pub use token::{BadToken, TOKEN_BYTES, Token};
pub use words::{Introduced, Introduction};
