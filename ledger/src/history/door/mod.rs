//! The door: what our ledger does not take, although the original's rules would.
//!
//! What clients of a tailnet accept is not decided here, so the rules of `lock` stay the
//! original's; only what members record goes through this door. Clients that are fed from the
//! ledger see a part of the AUMs that they would accept, and so agree with one another and with it.
//!
//! - `keys`: keys that are nobody's or anybody's, from rules 1 on.
//! - `aums`: one line of AUMs, which only revocations that outvote what they take away leave;
//!   checkpoints that are the sum of what came before. From rules 2 on (docs/door.md).
//! - [`finality`]: what most votes have built upon is not undone without most votes; how many AUMs
//!   a key may sign meanwhile. From rules 2 on.

mod aums;
pub mod finality;
mod keys;

pub(super) use aums::{objection, take};
pub use finality::FinalPoint;
pub(super) use keys::{
    INVITATION_KEY, LOCK_KEY, LOG_KEY, MEMBER_KEY, can_be_trusted, invitation_key, lock_key,
    log_key, member_key, node_key, not_the_invitation, one_purpose,
};

/// The first rules under which the door judges AUMs.
pub const SINCE_RULES: u32 = 2;
