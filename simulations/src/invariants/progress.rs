use super::{Broken, broken};

/// After the faults stop, whatever is asked on any member is answered, and all members get to the
/// same record, within a bounded virtual time.
///
/// Reason: operators forget about the nodes; whatever keeps its member key heals without them.
/// Source: issue 6 "after the faults stop the group makes progress within a bounded virtual time".
pub fn the_group_makes_progress(what_is_missing: Option<String>) -> Result<(), Broken> {
    match what_is_missing {
        None => Ok(()),
        Some(what) => Err(broken("the_group_makes_progress", what)),
    }
}
