//! `cluster records`: the ledger, record by record.

use std::path::Path;

use replica::local_api::bodies::RecordLine;
use replica::offline::backup::BackupReader;
use replica::offline::{NotBegun, Offline};

use super::begin::not_begun;
use crate::args::{Global, Records};
use crate::commands::{Session, asking};
use crate::exit::Failure;
use crate::print;

/// Records of one page.
const PAGE: u64 = 500;

pub(super) fn run(args: &Records, global: Global) -> Result<(), Failure> {
    match &args.source {
        Some(file) if file.is_file() => backup(args, file),
        Some(dir) => offline(args, dir),
        None => asking(global, |session| live(args, session)),
    }
}

/// From the running daemon, page by page.
fn live(args: &Records, session: &Session) -> Result<(), Failure> {
    let client = session.reading(args.read);
    let mut next = args.from;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let page = session.wait(client.records(next, left.min(PAGE)))?;
        let Some(last) = page.last() else { break };
        next = last.index.saturating_add(1);
        left = left.saturating_sub(page.len() as u64);
        print(&page, args.json, session.client.was_stale())?;
    }
    Ok(())
}

/// From a data directory as it lies there.
fn offline(args: &Records, dir: &Path) -> Result<(), Failure> {
    if !dir.is_dir() {
        return Err(Failure::new(format!("{} is not a data directory", dir.display()))
            .remedy("Name the directory that 'lockstep serve --data-dir' was given."));
    }
    let fault = |fault: ledger::Fault| Failure::new(fault.to_string());
    let replica = Offline::open(dir).map_err(fault)?;
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut records = replica.records(args.from).map_err(fault)?.take(limit).peekable();
    while records.peek().is_some() {
        let page = records.by_ref().take(PAGE as usize);
        let page = page.map(|record| record.map(|record| RecordLine::from(&record)));
        print(&page.collect::<Result<Vec<_>, _>>().map_err(fault)?, args.json, false)?;
    }
    Ok(())
}

/// From a backup. Its signatures are not checked here.
fn backup(args: &Records, file: &Path) -> Result<(), Failure> {
    let failed = |error: NotBegun| not_begun(&error);
    let mut backup = BackupReader::open(file).map_err(failed)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut page = Vec::new();
    while left > 0
        && let Some(record) = backup.next_record().map_err(failed)?
    {
        if record.index() < args.from {
            continue;
        }
        left -= 1;
        page.push(RecordLine::from(&record));
        if page.len() as u64 == PAGE {
            print(&page, args.json, false)?;
            page.clear();
        }
    }
    print(&page, args.json, false)
}

fn print(records: &[RecordLine], json: bool, stale: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for record in records {
        if json {
            let line = match stale {
                true => serde_json::to_string(&print::marked_stale(record)?),
                false => serde_json::to_string(record),
            };
            let line = line.map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
            text.push_str(&line);
            text.push('\n');
        } else {
            text.push_str(&print::records::text(record));
        }
    }
    print::stdout(&text)
}
