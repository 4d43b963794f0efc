//! What must hold, a function and a file each, with its reason and where it comes from.
//!
//! They look at nodes from outside, through what the nodes' disks hold, and at
//! [`Truth`](truth::Truth), which knows who has signed what.

mod acknowledged_stay;
mod active_branch;
mod admission;
mod agree_when_calm;
mod committed;
mod compaction_keeps;
mod damage_served;
mod door_judges;
mod ending_needs_a_secret;
mod final_settles;
mod fold_equals_rows;
mod group_follows;
mod head_moves;
mod let_in;
mod log_rows;
mod losing_revocation;
mod older_copy;
mod one_leader;
mod only_admitted;
mod progress;
mod reads_linearizable;
mod recorded_once;
mod records_equal;
mod records_verify;
mod reopened;
mod revoked_powerless;
mod roster_agrees;
mod same_aums_same_head;
mod state_ids_once;
mod tampering_noticed;
pub mod truth;

use std::fmt;

pub use self::acknowledged_stay::acknowledged_records_stay;
pub use self::active_branch::head_is_where_the_rules_lead;
pub use self::admission::only_the_signed_get_in;
pub use self::agree_when_calm::{Settled, all_agree_when_calm};
pub use self::committed::only_what_a_majority_has_synced_is_applied;
pub use self::compaction_keeps::compaction_keeps_the_head;
pub use self::damage_served::damage_is_never_served;
pub use self::door_judges::the_door_judges_by_its_rules;
pub use self::ending_needs_a_secret::ending_needs_a_secret;
pub use self::final_settles::final_needs_most_votes;
pub use self::fold_equals_rows::{fold_equals_refold, fold_equals_replay, fold_equals_rows};
pub use self::group_follows::{the_group_follows_the_records, the_group_is_the_same_everywhere};
pub use self::head_moves::{Move, head_moves_by_the_rules};
pub use self::let_in::{an_invitation_lets_in_one, who_waits_takes_no_part};
pub use self::log_rows::{records_ahead_are_marked, the_log_begins_behind_its_base};
pub use self::losing_revocation::a_losing_revocation_changes_nothing;
pub use self::older_copy::an_older_copy_promises_nothing;
pub use self::one_leader::one_leader_a_term;
pub use self::only_admitted::only_what_the_rules_admit;
pub use self::progress::the_group_makes_progress;
pub use self::reads_linearizable::reads_are_linearizable;
pub use self::recorded_once::{
    Acknowledged, acknowledged_operations_are_recorded, requests_are_recorded_once,
    what_was_refused_is_not_recorded,
};
pub use self::records_equal::{nobody_goes_on_from_another_record, records_are_equal};
pub use self::records_verify::{Replayed, records_verify};
pub use self::reopened::a_node_wakes_as_it_was;
pub use self::revoked_powerless::{Won, revoked_keys_are_powerless};
pub use self::roster_agrees::roster_and_nodes_agree;
pub use self::same_aums_same_head::{Holding, same_aums_same_head};
pub use self::state_ids_once::state_ids_are_used_once;
pub use self::tampering_noticed::tampering_is_noticed;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name: that of the function.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl std::error::Error for Broken {}

/// That invariant does not hold.
pub fn broken(invariant: &'static str, what: impl Into<String>) -> Broken {
    Broken { invariant, what: what.into() }
}

/// What comes of a step, unless an invariant does not hold after it.
pub type Result<T> = std::result::Result<T, Broken>;

/// A fault where none was simulated.
pub fn unexpected(fault: ledger::Fault) -> Broken {
    broken("no_fault_of_our_own", fault.to_string())
}

/// A check met a fault where none was simulated.
pub(crate) fn faulty(invariant: &'static str) -> impl Fn(ledger::Fault) -> Broken {
    move |fault| broken(invariant, format!("the rows cannot be read: {fault}"))
}
