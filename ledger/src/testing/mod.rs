//! For tests, ours and those of the crates above: seeded keys, chains in a small language, a group
//! in memory, and what a replica keeps beside it. Never part of a program: every key here is known to everybody.

mod chains;
mod group;
mod joining;
mod keys;
mod members;
mod replica;

pub use chains::Chains;
pub use group::Group;
pub use joining::showing_auth_key;
pub use keys::{SECRET, genesis, genesis_state, key, node_key, secret_value};
pub use members::{EXPIRES_MS, invitation_key, invited, joined, member_details, member_key};
pub use replica::{entry_of, log_of, log_rows, replica_files};
