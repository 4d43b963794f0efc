use ledger::history::RecordHash;

use super::{Broken, broken};
use crate::world::ProcessId;

/// The records of all replicas are equal up to the shorter, and each replica's stay as they were.
///
/// Reason: the records are the history; there is one. Source: issue 6 "all replicas' records equal
/// up to the shorter".
pub fn records_are_equal(
    who: ProcessId,
    known: &[RecordHash],
    index: u64,
    hash: RecordHash,
) -> Result<(), Broken> {
    const NAME: &str = "records_are_equal";
    match usize::try_from(index).ok().and_then(|index| known.get(index)) {
        Some(known) if *known == hash => Ok(()),
        Some(_) => Err(broken(NAME, format!("machine {who} has another record {index}"))),
        None if index == known.len() as u64 => Ok(()),
        None => {
            Err(broken(NAME, format!("machine {who} has record {index} without the one before")))
        }
    }
}
