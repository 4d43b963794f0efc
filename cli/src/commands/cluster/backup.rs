//! `cluster backup`.

use std::time::{Duration, Instant};

use ledger::formats::record_stream::{End, Head};
use replica::offline::NotBegun;
use replica::offline::backup::BackupWriter;
use serde::Serialize;

use super::begin::not_begun;
use crate::args::Backup;
use crate::commands::{Session, stale_because};
use crate::exit::Failure;
use crate::print;

/// Records of one page.
const PAGE: u64 = 1000;
/// How long nothing is said about progress.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Shown {
    file: String,
    cluster_id: String,
    incarnation: u64,
    records: u64,
    record_index: u64,
    record_hash: String,
    fold_hash: String,
    bytes: u64,
    stale: bool,
}

pub(super) fn run(args: &Backup, session: &Session) -> Result<(), Failure> {
    if args.file.as_os_str() == "-" {
        return Err(Failure::usage("-: a backup goes to a file, which is synced")
            .remedy("Give its name; ./- is a file of this name."));
    }
    let client = session.reading(args.read);
    let identity = session.wait(client.identity())?;
    let stale = session.client.was_stale();
    if stale {
        let why = stale_because(&session.client);
        return Err(Failure::new(format!("{why}: this replica may lack the newest records"))
            .remedy(
                "Ask again when most members are up, or back up what this one has: --read local.",
            ));
    }
    let odd = || Failure::new("the daemon says of its records what makes no sense");
    let fold = identity.fold_hash.parse().map_err(|_| odd())?;
    let hash = identity.record_hash.parse().map_err(|_| odd())?;
    let cluster = identity.cluster_id.parse().map_err(|_| odd())?;
    let incarnation = identity.incarnation;
    let records = identity.record_index.saturating_add(1);
    let mut writer =
        BackupWriter::create(&args.file, Head { cluster, incarnation, records }).map_err(failed)?;
    let mut said = Instant::now();
    while writer.next() < records {
        let next = writer.next();
        let page = session.wait(client.records(next, PAGE.min(records - next)))?;
        if page.is_empty() {
            return Err(odd());
        }
        let left = usize::try_from(records - next).unwrap_or(usize::MAX);
        let page: Vec<Vec<u8>> = page.into_iter().take(left).map(|line| line.raw.0).collect();
        writer.add(&page).map_err(failed)?;
        if said.elapsed() >= QUIET {
            print::note(&format!("{} of {records} records", writer.next()));
            said = Instant::now();
        }
    }
    let bytes = writer.finish(End { hash, fold }).map_err(failed)?;
    if args.json {
        return print::stdout(&print::json(&Shown {
            file: args.file.display().to_string(),
            cluster_id: identity.cluster_id,
            incarnation,
            records,
            record_index: records - 1,
            record_hash: identity.record_hash,
            fold_hash: identity.fold_hash,
            bytes,
            stale,
        })?);
    }
    print::stdout(&format!(
        "{}: {records} records ({bytes} bytes) of incarnation {incarnation}, to record {}\n\
         {}\nKeys are not in it.\n",
        print::line(&args.file.display().to_string()),
        records - 1,
        identity.record_hash,
    ))
}

fn failed(error: NotBegun) -> Failure {
    not_begun(&error)
}
