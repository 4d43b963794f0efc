//! Sends records to peers that have fallen behind, beside the loop.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use ledger::Fault;
use ledger::history::{ReplicaId, records};

use super::View;
use crate::peers::{Links, Message};

/// Requests that wait, from all peers together. Whoever finds no place asks again.
const WAITING: usize = 16;
/// Bytes of records in one message, unless one record alone has more.
const MESSAGE_BYTES: usize = 512 << 10;
/// Records in one message.
const MESSAGE_RECORDS: usize = 4096;
/// Bytes of records for one request. The peer asks on from there.
const REQUEST_BYTES: usize = 8 << 20;

/// What a peer wants.
pub(super) struct Wanted {
    pub(super) peer: ReplicaId,
    pub(super) request: u64,
    pub(super) from: u64,
    pub(super) upto: u64,
    pub(super) view: Arc<View>,
}

/// A thread that reads records and sends them.
#[derive(Debug)]
pub(super) struct Librarian {
    /// None once it is to end.
    requests: Option<SyncSender<Wanted>>,
    thread: Option<JoinHandle<()>>,
}

impl Librarian {
    pub(super) fn start(links: Arc<Links>) -> Result<Self, Fault> {
        let (requests, to_do) = sync_channel::<Wanted>(WAITING);
        let thread = thread::Builder::new()
            .name("librarian".into())
            .spawn(move || {
                for wanted in to_do {
                    // Damaged records are this replica's own trouble, which it finds by itself.
                    if let Err(fault) = serve(&links, &wanted) {
                        tracing::error!(%fault, peer = %wanted.peer, "cannot send records");
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the thread that sends records", e))?;
        Ok(Librarian { requests: Some(requests), thread: Some(thread) })
    }

    /// Serves a request as soon as the others before it are served. Says whether there was room.
    pub(super) fn ask(&self, wanted: Wanted) -> bool {
        let Some(requests) = &self.requests else { return true };
        !matches!(requests.try_send(wanted), Err(TrySendError::Full(_)))
    }
}

/// Nothing of the database is in use any more when it is gone.
impl Drop for Librarian {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(links: &Links, wanted: &Wanted) -> Result<(), Fault> {
    let Wanted { peer, request, from, upto, view } = wanted;
    let mut next = *from;
    let mut total = 0;
    let mut chunk: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    let flush = |chunk: &mut Vec<Vec<u8>>, next: u64| -> bool {
        if chunk.is_empty() {
            return true;
        }
        let records = std::mem::take(chunk);
        let first = next - records.len() as u64;
        let message = Message::Records { request: *request, first, records };
        links.send(*peer, message).is_ok()
    };
    let mut sent = next;
    for record in records::from(view.rows(), *from)? {
        let record = record?;
        if record.index() > *upto || total >= REQUEST_BYTES {
            break;
        }
        if bytes + record.bytes().len() > MESSAGE_BYTES || chunk.len() >= MESSAGE_RECORDS {
            if !flush(&mut chunk, next) {
                break;
            }
            (sent, bytes) = (next, 0);
        }
        total += record.bytes().len();
        bytes += record.bytes().len();
        chunk.push(record.bytes().to_vec());
        next = record.index() + 1;
    }
    if flush(&mut chunk, next) {
        sent = next;
    }
    // Not told if the peer cannot be reached: it asks again anyway.
    let _ = links.send(*peer, Message::RecordsEnd { request: *request, next: sent });
    Ok(())
}
