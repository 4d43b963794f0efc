use ledger::rows::raft::{AHEAD, BASE, Position, RAFT_LOG, RAFT_STATE, log_index};
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

/// A replica that has more records than its log has led to has written down that it does.
/// `led_to` are the records that somebody had who had applied the log up to the same index.
///
/// Reason: after a restart it would apply the log on top of them. Source: design, second walk;
/// docs/ledger-format.md, "ahead".
pub fn records_ahead_are_marked(
    who: ProcessId,
    rows: &dyn Rows,
    led_to: u64,
    records: u64,
) -> Result<(), Broken> {
    const NAME: &str = "records_ahead_are_marked";
    if records <= led_to || rows.get(RAFT_STATE, AHEAD).map_err(faulty(NAME))?.is_some() {
        return Ok(());
    }
    let what = format!("machine {who} has {records} records, its log has led to {led_to}");
    Err(broken(NAME, what))
}
