use ledger::history::Fold;
use ledger::rows::{Memory, Rows, tables};

use super::records_verify::Replayed;
use super::{Broken, broken, faulty};

/// Folding the records anew gives every derived row and the fold as the ledger has them.
///
/// Reason: rows are only a cache of the records; if they differ, verdicts depend on the way.
/// Source: design idea 1; issue "the fold from records equals every derived row".
pub fn fold_equals_rows(ledger: &Memory, fold: &Fold, again: &Replayed) -> Result<(), Broken> {
    const NAME: &str = "fold_equals_rows";
    if again.fold.fold_hash() != fold.fold_hash() || again.fold.merkle_root() != fold.merkle_root()
    {
        return Err(broken(NAME, "the fold hash or the Merkle root differs"));
    }
    for table in tables::ALL {
        let scan = |rows: &Memory| {
            let rows = rows.scan(*table, &[][..]..&[][..]);
            rows.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(faulty(NAME))
        };
        if scan(ledger)? != scan(&again.rows)? {
            return Err(broken(NAME, format!("table {} differs", table.0)));
        }
    }
    Ok(())
}
