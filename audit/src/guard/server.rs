//! The process that opens the directory.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Fault;
use ledger::rows::{Rows, Table, raft, tables};

use super::Limits;
use super::messages::{
    FAULT, GET, LAST, MORE, NONE, OPEN, PAGE_BYTES, PARTS, SCAN, VALUE, receive, send,
};
use super::restrict::restrict;
use crate::rocks::ReadOnly;

/// How often it is looked whether an answer takes too long.
const LOOK: Duration = Duration::from_millis(250);
/// The exit code when one does.
pub(super) const TOO_LONG: i32 = 124;

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
    let watch = Watch::begin(Duration::from_secs(limits.seconds));
    let rows = match ReadOnly::open(dir, busy) {
        Ok(rows) => rows,
        Err(fault) => return send(&mut to, FAULT, &[fault.to_string().as_bytes()]),
    };
    send(&mut to, OPEN, &[])?;
    let mut from = BufReader::new(from);
    loop {
        // Nobody is kept waiting while there is no question.
        watch.rest();
        let Some((kind, parts)) = receive(&mut from)? else { return Ok(()) };
        watch.work();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        match (kind, parts.as_slice()) {
            (GET, [name, key]) => get(&rows, name, key, &mut to)?,
            (SCAN, [name, start, end]) => scan(&rows, name, start, end, &mut to)?,
            _ => return Err(io::Error::other("not a question")),
        }
    }
}

/// Ends the process when an answer takes too long: a file may be none that can be read to its end,
/// and waiting costs no processor time.
struct Watch(Arc<Mutex<Option<Instant>>>);

impl Watch {
    fn begin(longest: Duration) -> Self {
        let since = Arc::new(Mutex::new(Some(Instant::now())));
        let seen = since.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(LOOK);
                let since = *seen.lock().unwrap_or_else(PoisonError::into_inner);
                if since.is_some_and(|since| since.elapsed() > longest) {
                    std::process::exit(TOO_LONG);
                }
            }
        });
        Watch(since)
    }

    fn rest(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn work(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
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
                if bytes >= PAGE_BYTES || page.len() >= PARTS {
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
