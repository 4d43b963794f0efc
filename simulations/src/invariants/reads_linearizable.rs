use super::{Broken, broken};
use crate::world::ProcessId;

/// A linearizable read shows everything that anybody knew of when it was asked for: by an
/// acknowledgment or by another read, anywhere.
///
/// Reason: a user who was told of a revocation must not find the key trusted on another node.
/// Source: issue 6 "linearizable reads"; Raft thesis 6.4.
pub fn reads_are_linearizable(who: ProcessId, before: u64, shown: u64) -> Result<(), Broken> {
    if shown >= before {
        return Ok(());
    }
    let what = format!("machine {who} shows {shown} records, but {before} were known before");
    Err(broken("reads_are_linearizable", what))
}
