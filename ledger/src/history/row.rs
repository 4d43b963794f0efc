//! What every table's rows here have in common: canonical CBOR that nobody else has written.

use crate::Fault;
use crate::cbor::{Malformed, Reader};
use crate::rows::Table;

/// Decodes a row's value with `read`; what does not decode is a damaged row, never a verdict.
pub(super) fn decode<T>(
    table: Table,
    key: &[u8],
    value: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, Fault> {
    let mut reader = Reader::new(value);
    read(&mut reader).and_then(|item| reader.finish().map(|()| item)).map_err(|error| {
        let key = data_encoding::HEXLOWER.encode(key);
        Fault::from_error(format!("damaged row {key} of table {}", table.0), error)
    })
}

/// A row that another row or the fold promises.
pub(super) fn missing(table: Table, what: impl std::fmt::Display) -> Fault {
    Fault::new(format!("a row of table {} is missing: {what}", table.0))
}

/// The eight bytes of a number, as keys carry it.
pub(super) fn number(table: Table, key: &[u8]) -> Result<u64, Fault> {
    match key.try_into() {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(Fault::new(format!("damaged key in table {}", table.0))),
    }
}
