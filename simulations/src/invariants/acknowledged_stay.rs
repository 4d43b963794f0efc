use ledger::history::{RecordHash, records};
use ledger::rows::Rows;

use super::{Broken, broken, faulty};

/// What was acknowledged is still there, in its place, after every crash.
///
/// Reason: people act on the answer "done". Source: ARCHITECTURE.md, "nothing is acknowledged
/// before an fdatasync that covers it".
pub fn acknowledged_records_stay(
    rows: &dyn Rows,
    acknowledged: &[(u64, RecordHash)],
) -> Result<(), Broken> {
    const NAME: &str = "acknowledged_records_stay";
    for (index, hash) in acknowledged {
        let record = records::record(rows, *index).map_err(faulty(NAME))?;
        if record.map(|record| record.hash()) != Some(*hash) {
            let what = format!("record {index} was acknowledged and is gone or another");
            return Err(broken(NAME, what));
        }
    }
    Ok(())
}
