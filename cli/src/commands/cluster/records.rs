//! `cluster records`: the ledger, record by record.

use replica::local_api::bodies::RecordLine;

use crate::args::Records;
use crate::commands::Session;
use crate::exit::Failure;
use crate::print;

/// Records of one page.
const PAGE: u64 = 500;

pub(super) fn run(args: Records, session: &Session) -> Result<(), Failure> {
    match &args.source {
        Some(_) => Err(Failure::new("reading a data directory is not there yet")),
        None => live(&args, session),
    }
}

/// From the running daemon, page by page.
fn live(args: &Records, session: &Session) -> Result<(), Failure> {
    let mut next = args.from;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let page = session.wait(session.client.records(next, left.min(PAGE)))?;
        let Some(last) = page.last() else { break };
        next = last.index.saturating_add(1);
        left = left.saturating_sub(page.len() as u64);
        print(&page, args.json)?;
    }
    Ok(())
}

fn print(records: &[RecordLine], json: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for record in records {
        if json {
            let line = serde_json::to_string(record)
                .map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
            text.push_str(&line);
            text.push('\n');
        } else {
            text.push_str(&print::records::text(record));
        }
    }
    print::stdout(&text)
}
