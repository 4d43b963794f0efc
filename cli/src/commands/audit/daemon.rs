//! Fetching what a running daemon serves, ours or a tailscaled, for the audit to judge.

use std::path::Path;
use std::sync::Mutex;

use audit::source::Kind;
use audit::{
    Audited, Claimed, Live, LiveLog, Options, RecordsFrom, Stored, audit_live, unreadable,
    verify_aums,
};
use ledger::Fault;
use ledger::history::RecordHash;
use replica::local_api::bodies::{Identity, RecordLine};
use replica::local_api::client::{Client, ClientError};
use tokio::runtime::Runtime;

use crate::commands::theirs::{self, shown};

/// Records of one page.
const PAGE: u64 = 1000;

/// Audits the daemon that listens at `socket`. `keep` asks for the evidence too.
pub(super) fn audit(
    name: &str,
    socket: &Path,
    runtime: &Runtime,
    options: &Options<'_>,
    keep: bool,
) -> Audited {
    let client = Client::new(socket);
    let asked = match runtime.block_on(client.identity()) {
        Ok(identity) => ours(name, &client, runtime, &identity, (options, keep)),
        Err(ClientError::NeedsLockstep { .. }) => theirs(name, &client, runtime, options),
        Err(error) => Err((Kind::Daemon, error)),
    };
    asked.unwrap_or_else(|(kind, error)| unreadable(name, Some(kind), &error.to_string()).into())
}

/// A daemon of ours: its records, and whether its status says what they say.
fn ours(
    name: &str,
    client: &Client,
    runtime: &Runtime,
    identity: &Identity,
    (options, keep): (&Options<'_>, bool),
) -> Result<Audited, (Kind, ClientError)> {
    let failed = |error| (Kind::Daemon, error);
    let status = runtime.block_on(client.lock_status()).map_err(failed)?;
    let after = runtime.block_on(client.identity()).map_err(failed)?;
    let ask = |what: &'static str, answer: Result<Vec<u8>, ClientError>| {
        answer.map_err(|error| Fault::from_error(format!("ask for {what}"), error))
    };
    let log = LiveLog {
        head: Box::new(move |size| ask("a signed head", runtime.block_on(client.checkpoint(size)))),
        tile: Box::new(move |tile| ask("a tile", runtime.block_on(client.tile(tile)))),
    };
    let live = Live {
        records: Box::new(move |next| -> RecordsFrom<'_> {
            Box::new(Pages { client, runtime: Mutex::new(runtime), next, page: None })
        }),
        claimed: claimed(&after),
        // Only if nothing was recorded while it was asked for.
        shown: (after.record_hash == identity.record_hash).then(|| shown(&status)),
        log: Some(log),
    };
    Ok(audit_live(name, live, options, keep))
}

/// What a daemon says of its last record.
fn claimed(identity: &Identity) -> Option<Claimed> {
    Some(Claimed {
        index: identity.record_index,
        hash: identity.record_hash.parse().ok()?,
        fold_hash: identity.fold_hash.parse().ok()?,
    })
}

/// A tailscaled: its log from the head back, and the nodes that its status shows.
fn theirs(
    name: &str,
    client: &Client,
    runtime: &Runtime,
    options: &Options<'_>,
) -> Result<Audited, (Kind, ClientError)> {
    let kind = Kind::Tailscaled;
    let failed = |error| (kind, error);
    let report = match runtime.block_on(theirs::history(client)).map_err(failed)? {
        Some(aums) => verify_aums(name, aums, options),
        None => unreadable(name, Some(kind), "the lock is not on there: there is no history"),
    };
    Ok(report.into())
}

/// The records of a daemon, page by page.
struct Pages<'a> {
    client: &'a Client,
    runtime: Mutex<&'a Runtime>,
    next: u64,
    /// None before the first page.
    page: Option<std::vec::IntoIter<RecordLine>>,
}

impl Iterator for Pages<'_> {
    type Item = Result<Stored, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(line) = self.page.as_mut().and_then(Iterator::next) {
            return Some(Ok(stored(line)));
        }
        let runtime = self.runtime.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let page = match runtime.block_on(self.client.records(self.next, PAGE)) {
            Ok(page) => page,
            Err(error) => return Some(Err(Fault::from_error("ask for records", error))),
        };
        let last = page.last()?.index;
        // A daemon that goes back would keep us for ever.
        if last < self.next {
            let what = format!("asked for records from {} on, the daemon sent others", self.next);
            return Some(Err(Fault::new(what)));
        }
        self.next = last.saturating_add(1);
        let mut page = page.into_iter();
        let first = page.next()?;
        self.page = Some(page);
        Some(Ok(stored(first)))
    }
}

fn stored(line: RecordLine) -> Stored {
    // What is no hash is not the hash either.
    let shown = line.hash.parse().unwrap_or(RecordHash([0; 32]));
    Stored { index: Some(line.index), bytes: line.raw.0, shown: Some(shown) }
}
