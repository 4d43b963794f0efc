//! The process that opens the directory.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use ledger::Fault;
use ledger::rows::{Rows, Table, raft, tables};

use super::Limits;
use super::messages::{FAULT, GET, LAST, MORE, NONE, OPEN, PAGE_BYTES, SCAN, VALUE, receive, send};
use super::restrict::restrict;
use crate::rocks::ReadOnly;

/// Restricts this process, opens the database of a data directory, and answers for its rows until
/// the input ends. `busy` says that somebody may be writing to it.
///
/// # Errors
///
/// When the process cannot be restricted, or nobody listens any more.
pub fn serve(
    dir: &Path,
    busy: bool,
    limits: Limits,
    from: impl Read,
    mut to: impl Write,
) -> io::Result<()> {
    restrict(dir, limits)?;
    let rows = match ReadOnly::open(dir, busy) {
        Ok(rows) => rows,
        Err(fault) => return send(&mut to, FAULT, &[fault.to_string().as_bytes()]),
    };
    send(&mut to, OPEN, &[])?;
    let mut from = BufReader::new(from);
    while let Some((kind, parts)) = receive(&mut from)? {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        match (kind, parts.as_slice()) {
            (GET, [name, key]) => get(&rows, name, key, &mut to)?,
            (SCAN, [name, start, end]) => scan(&rows, name, start, end, &mut to)?,
            _ => return Err(io::Error::other("not a question")),
        }
    }
    Ok(())
}

/// The table of a name: only those that there are can be asked for.
fn table(name: &[u8]) -> io::Result<Table> {
    let mut all = tables::ALL.iter().chain(raft::TABLES);
    let found = all.find(|table| table.0.as_bytes() == name);
    found.copied().ok_or_else(|| io::Error::other("no such table"))
}

fn faulty(fault: &Fault, to: &mut impl Write) -> io::Result<()> {
    send(to, FAULT, &[fault.to_string().as_bytes()])
}

fn get(rows: &ReadOnly, name: &[u8], key: &[u8], to: &mut impl Write) -> io::Result<()> {
    match rows.get(table(name)?, key) {
        Ok(Some(value)) => send(to, VALUE, &[&value]),
        Ok(None) => send(to, NONE, &[]),
        Err(fault) => faulty(&fault, to),
    }
}

fn scan(
    rows: &ReadOnly,
    name: &[u8],
    start: &[u8],
    end: &[u8],
    to: &mut impl Write,
) -> io::Result<()> {
    let found = match rows.scan(table(name)?, start..end) {
        Ok(found) => found,
        Err(fault) => return faulty(&fault, to),
    };
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in found {
        match row {
            Ok((key, value)) => {
                bytes += key.len() + value.len();
                page.extend([key, value]);
                if bytes >= PAGE_BYTES {
                    return send(to, MORE, &slices(&page));
                }
            }
            // Those before it are sound; whoever asks for more is told.
            Err(_) if !page.is_empty() => return send(to, MORE, &slices(&page)),
            Err(fault) => return faulty(&fault, to),
        }
    }
    send(to, LAST, &slices(&page))
}

fn slices(page: &[Vec<u8>]) -> Vec<&[u8]> {
    page.iter().map(Vec::as_slice).collect()
}
