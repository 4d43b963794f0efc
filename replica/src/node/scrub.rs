//! Reads the whole database from time to time, so that damage is found before it is needed.
//!
//! Whoever reads a damaged block hears of it, and the loop does ([`Disk::damage`]); but most of a
//! history is not read for years.
//!
//! [`Disk::damage`]: crate::disk::Disk::damage

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger::Fault;

use crate::disk::rocks::{Scrubbed, Watched};

/// Between the end of one pass and the next.
const PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are read in one go.
const PIECE_BYTES: usize = 1 << 20;
/// The pause after them: a pass takes no more than a small part of a disk's time.
const REST: Duration = Duration::from_millis(20);

/// Looks through a database, on a thread of its own, until it is dropped. From then on the thread is
/// gone: while it reads, nobody may end the process, since RocksDB's own state goes with that.
pub(super) struct Scrub {
    /// Never sent to: it is gone once the thread is to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrub {
    /// The first pass begins at once.
    pub(super) fn start(disk: Watched) -> Result<Self, Fault> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("scrub".into())
            .spawn(move || passes(&disk, &stopped))
            .map_err(|e| Fault::from_error("start the thread that looks for damage", e))?;
        Ok(Scrub { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn passes(disk: &Watched, stopped: &Receiver<()>) {
    let rests = |pause| stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
    loop {
        let since = Instant::now();
        let mut place = None;
        loop {
            match disk.scrub(place, PIECE_BYTES) {
                Scrubbed::Further(next) => place = Some(next),
                Scrubbed::Done => break,
                // It is closed, or damaged, which the loop hears as well.
                Scrubbed::Over => return,
            }
            if !rests(REST) {
                return;
            }
        }
        tracing::debug!(seconds = since.elapsed().as_secs(), "the database is sound");
        if !rests(PAUSE) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::rocks::Rocks;

    /// Whoever has stopped it and let go of the database has it closed, whatever the pass was doing.
    #[test]
    fn nothing_is_read_any_more_once_it_is_dropped() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let disk = Rocks::open(dir.path()).unwrap();
            let watched = disk.watched();
            let scrub = Scrub::start(disk.watched()).unwrap();
            drop(scrub);
            assert!(!watched.is_closed());
            drop(disk);
            assert!(watched.is_closed());
        }
    }
}
