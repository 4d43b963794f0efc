use ledger::rows::raft::{AHEAD, Ahead, BASE, Position, RAFT_LOG, RAFT_STATE, log_index};
use ledger::rows::{RowIter, Rows};

use super::{Broken, broken, faulty};
use crate::world::ProcessId;

/// The rows of the Raft log follow each other without a gap, and the first follows what the log
/// begins behind.
///
/// Reason: whoever starts reads its log from there; what stood there before the log began anew
/// behind records must not come back. Source: design, "ConfState, hard state, applied index and the
/// emptied log follow in one synced batch".
pub fn the_log_begins_behind_its_base(who: ProcessId, rows: &dyn Rows) -> Result<(), Broken> {
    const NAME: &str = "the_log_begins_behind_its_base";
    let fault = faulty(NAME);
    let base = rows.get(RAFT_STATE, BASE).map_err(&fault)?;
    let base = base.and_then(|row| Position::from_row(&row).ok());
    let entries: RowIter<'_> = rows.scan(RAFT_LOG, &[][..]..&[][..]).map_err(&fault)?;
    for (before, entry) in (base.map_or(0, |base| base.index)..).zip(entries) {
        let (key, _) = entry.map_err(&fault)?;
        let index = log_index(&key);
        if index != Some(before + 1) {
            let what = format!("machine {who} has entry {index:?} behind {before}");
            return Err(broken(NAME, what));
        }
    }
    Ok(())
}

/// A replica that has more records than its log has led to has written down how many those are.
/// `led_to` are the records that somebody had who had applied the log up to the same index, which is
/// not 0.
///
/// Reason: after a restart it would apply the log on top of them. Source: design, second walk;
/// `ledger::rows::raft::Ahead`.
pub fn records_ahead_are_marked(
    who: ProcessId,
    rows: &dyn Rows,
    applied: u64,
    led_to: u64,
    records: u64,
) -> Result<(), Broken> {
    const NAME: &str = "records_ahead_are_marked";
    let row = rows.get(RAFT_STATE, AHEAD).map_err(faulty(NAME))?;
    let marked = row.as_deref().map(Ahead::from_row);
    let sound = match &marked {
        None => records == led_to,
        Some(Ok(ahead)) => (ahead.index, ahead.record + 1) == (applied, led_to),
        Some(Err(_)) => false,
    };
    if sound {
        return Ok(());
    }
    let what = format!(
        "machine {who} has {records} records, its log, applied to {applied}, has led to {led_to}, \
         and it says {marked:?}"
    );
    Err(broken(NAME, what))
}
