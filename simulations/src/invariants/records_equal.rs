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

/// A replica goes on behind a snapshot only if the snapshot points to the record that it has.
///
/// Reason: a liar must not lead anybody to another history, nor away from its own. Source: design,
/// second walk: "the snapshot message is stepped only after the records are there".
pub fn nobody_goes_on_from_another_record(who: ProcessId, index: u64) -> Broken {
    let what = format!("machine {who} has gone on behind entry {index}, from a record of a lie");
    broken("nobody_goes_on_from_another_record", what)
}
