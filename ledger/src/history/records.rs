//! The records' rows: the one table from which all others can be made again.

use super::{Event, Record, row};
use crate::Fault;
use crate::rows::{Draft, Rows, tables};

/// The record at that index.
pub fn record(rows: &dyn Rows, index: u64) -> Result<Option<Record>, Fault> {
    match rows.get(tables::RECORDS, &index.to_be_bytes())? {
        Some(bytes) => decode(index, &bytes).map(Some),
        None => Ok(None),
    }
}

/// The records from `from` on, ascending.
pub fn from(
    rows: &dyn Rows,
    from: u64,
) -> Result<impl Iterator<Item = Result<Record, Fault>> + '_, Fault> {
    let start = from.to_be_bytes();
    Ok(rows.scan(tables::RECORDS, &start[..]..&[][..])?.map(|item| {
        let (key, bytes) = item?;
        decode(row::number(tables::RECORDS, &key)?, &bytes)
    }))
}

/// Whether a later verdict may rest on this record itself, and not only on what it changed. Whoever
/// folds without keeping records has to keep these.
///
/// They are those that open a revocation: who asked for one counts when others are opened
/// (`docs/ledger-format.md`, section 8).
pub fn is_read_again(record: &Record) -> bool {
    matches!(record.proposal().proposal().event, Event::RevocationOpened(_))
}

pub(super) fn put(draft: &mut Draft<'_>, record: &Record) {
    draft.put(tables::RECORDS, record.index().to_be_bytes(), record.bytes());
}

fn decode(index: u64, bytes: &[u8]) -> Result<Record, Fault> {
    let what = || format!("damaged record {index}");
    let record = Record::decode(bytes).map_err(|error| Fault::from_error(what(), error))?;
    if record.index() != index {
        return Err(Fault::new(format!("{}: it says that it is {}", what(), record.index())));
    }
    Ok(record)
}
