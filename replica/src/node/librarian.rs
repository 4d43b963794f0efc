//! Sends records to peers that have fallen behind, beside the loop.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ledger::Fault;
use ledger::history::{ReplicaId, records};

use super::View;
use super::surroundings::Way;
use crate::peers::Message;

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
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where requests wait: one of each peer, so that none can take another one's place.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Wanted>,
    /// Nobody takes any more.
    closed: bool,
}

impl Desk {
    /// A peer that asks again has given up what it asked for before.
    fn put(&self, wanted: Wanted) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.requests.iter_mut().find(|other| other.peer == wanted.peer) {
            Some(other) => *other = wanted,
            None => waiting.requests.push_back(wanted),
        }
        self.changed.notify_one();
    }

    /// The next request, once there is one; none once it is closed.
    fn take(&self) -> Option<Wanted> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if waiting.closed {
                return None;
            }
            match waiting.requests.pop_front() {
                Some(wanted) => return Some(wanted),
                None => {
                    waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

impl Librarian {
    pub(super) fn start(links: Arc<dyn Way>) -> Result<Self, Fault> {
        let desk = Arc::new(Desk::default());
        let requests = desk.clone();
        let thread = thread::Builder::new()
            .name("librarian".into())
            .spawn(move || {
                while let Some(wanted) = requests.take() {
                    // Damaged records are this replica's own trouble, which it finds by itself.
                    if let Err(fault) = serve(&*links, &wanted, Portions::default()) {
                        tracing::error!(%fault, peer = %wanted.peer, "cannot send records");
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the thread that sends records", e))?;
        Ok(Librarian::Beside(Thread { desk, thread: Some(thread) }))
    }

    /// Serves a request as soon as those of others before it are served.
    pub(super) fn ask(&self, wanted: Wanted) {
        match self {
            Librarian::Beside(Thread { desk, .. }) => desk.put(wanted),
            // Whoever gets nothing asks again.
            #[cfg(feature = "testing")]
            Librarian::AtOnce(way, portions) => drop(serve(&**way, &wanted, *portions)),
        }
    }
}

/// Nothing of the database is in use any more when it is gone.
impl Drop for Thread {
    fn drop(&mut self) {
        self.desk.close();
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

#[cfg(test)]
mod tests {
    use ledger::testing::Group;

    use super::*;

    #[test]
    fn one_request_of_each_peer_waits() {
        let group = Group::new();
        let view = Arc::new(View::new(0, group.fold.clone(), Box::new(group.rows.clone())));
        let wanted = |peer, request| {
            let (peer, view) = (ReplicaId(peer), view.clone());
            Wanted { peer, request, from: 0, upto: 9, view }
        };
        let desk = Desk::default();
        desk.put(wanted(2, 1));
        for request in 0..1000 {
            desk.put(wanted(3, request));
        }
        desk.put(wanted(2, 2));
        let taken = || desk.take().map(|wanted| (wanted.peer.0, wanted.request));
        assert_eq!([taken(), taken()], [Some((2, 2)), Some((3, 999))]);
        desk.put(wanted(4, 1));
        desk.close();
        assert!(desk.take().is_none());
    }
}
