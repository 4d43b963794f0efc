//! Sends records to peers that have fallen behind, beside the loop.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use ledger::Fault;
use ledger::history::{ReplicaId, records};

use super::View;
use super::surroundings::Way;
use crate::peers::Message;

/// Requests that wait, from all peers together. Whoever finds no place asks again.
const WAITING: usize = 16;
/// How records are parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portions {
    /// Bytes of records in one message, unless one record alone has more.
    pub message_bytes: usize,
    /// Records in one message.
    pub message_records: usize,
    /// Bytes of records for one request. The peer asks on from there.
    pub request_bytes: usize,
}

impl Default for Portions {
    fn default() -> Self {
        Portions { message_bytes: 512 << 10, message_records: 4096, request_bytes: 8 << 20 }
    }
}

/// What a peer wants.
pub(super) struct Wanted {
    pub(super) peer: ReplicaId,
    pub(super) request: u64,
    pub(super) from: u64,
    pub(super) upto: u64,
    pub(super) view: Arc<View>,
}

/// Reads records and sends them: a thread does, or whoever asks.
pub(super) enum Librarian {
    Beside(Thread),
    #[cfg(feature = "testing")]
    AtOnce(Arc<dyn Way>, Portions),
}

/// The thread that reads and sends.
pub(super) struct Thread {
    /// None once it is to end.
    requests: Option<SyncSender<Wanted>>,
    thread: Option<JoinHandle<()>>,
}

impl Librarian {
    pub(super) fn start(links: Arc<dyn Way>) -> Result<Self, Fault> {
        let (requests, to_do) = sync_channel::<Wanted>(WAITING);
        let thread = thread::Builder::new()
            .name("librarian".into())
            .spawn(move || {
                for wanted in to_do {
                    // Damaged records are this replica's own trouble, which it finds by itself.
                    if let Err(fault) = serve(&*links, &wanted, Portions::default()) {
                        tracing::error!(%fault, peer = %wanted.peer, "cannot send records");
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the thread that sends records", e))?;
        Ok(Librarian::Beside(Thread { requests: Some(requests), thread: Some(thread) }))
    }

    /// Serves a request as soon as the others before it are served. Says whether there was room.
    pub(super) fn ask(&self, wanted: Wanted) -> bool {
        match self {
            Librarian::Beside(Thread { requests, .. }) => {
                let Some(requests) = requests else { return true };
                !matches!(requests.try_send(wanted), Err(TrySendError::Full(_)))
            }
            #[cfg(feature = "testing")]
            Librarian::AtOnce(way, portions) => serve(&**way, &wanted, *portions).is_ok(),
        }
    }
}

/// Nothing of the database is in use any more when it is gone.
impl Drop for Thread {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(links: &dyn Way, wanted: &Wanted, portions: Portions) -> Result<(), Fault> {
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
        if record.index() > *upto || total >= portions.request_bytes {
            break;
        }
        let full = bytes + record.bytes().len() > portions.message_bytes;
        if full || chunk.len() >= portions.message_records {
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
