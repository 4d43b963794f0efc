use ledger::history::Record;
use ledger::lock::signatures::{Unverified, Verified, verify_one};

use super::records_verify::replay;
use super::{Broken, broken};
use crate::world::Random;

/// Editing, swapping or removing any record before the last makes the replay fail.
///
/// Reason: a history that can be rewritten proves nothing. Tries a few of each, drawn by chance.
/// Source: issue "any single edit, swap or removal before the last record fails it".
pub fn tampering_is_noticed(
    records: &[Verified<Record>],
    random: &mut Random,
) -> Result<(), Broken> {
    if records.len() < 2 {
        return Ok(());
    }
    let unnoticed =
        |what: String| Err(broken("tampering_is_noticed", format!("{what} goes unnoticed")));
    // The record after the one that is meant must refuse to follow.
    let before_last = |random: &mut Random| random.place(records.len() - 1);
    for _ in 0..3 {
        let at = before_last(random);
        let mut bytes = records[at].get().bytes().to_vec();
        let byte = random.place(bytes.len());
        bytes[byte] ^= 1 << random.below(8);
        let edited = Record::decode(&bytes).and_then(|r| verify_one(Unverified::new(r)));
        if let Ok(edited) = edited {
            let mut all = records[..at + 2].to_vec();
            all[at] = edited;
            if replay(&all).is_ok() {
                return unnoticed(format!("a flipped bit of byte {byte} of record {at}"));
            }
        }
    }
    let at = before_last(random);
    let mut without = records[..at + 2].to_vec();
    without.remove(at);
    if replay(&without).is_ok() {
        return unnoticed(format!("the removal of record {at}"));
    }
    let mut swapped = records[..at + 2].to_vec();
    swapped.swap(at, at + 1);
    if replay(&swapped).is_ok() {
        return unnoticed(format!("the swap of records {at} and {}", at + 1));
    }
    Ok(())
}
