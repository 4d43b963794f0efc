//! Reads the whole database from time to time, so that damage is found before it is needed.
//!
//! Whoever reads a damaged block hears of it, and the loop does ([`Disk::damage`]); but most of a
//! history is not read for years.
//!
//! [`Disk::damage`]: crate::disk::Disk::damage

use std::thread;
use std::time::{Duration, Instant};

use ledger::Fault;

use crate::disk::rocks::{Rocks, Scrubbed};

/// Between the end of one pass and the next.
const PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Between two looks whether the database is still open.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that are read in one go.
const PIECE_BYTES: usize = 1 << 20;
/// The pause after them: a pass takes no more than a small part of a disk's time.
const REST: Duration = Duration::from_millis(20);

/// Starts a thread that does it until the database is closed. The first pass begins at once.
pub(super) fn start(disk: &Rocks) -> Result<(), Fault> {
    let disk = disk.watched();
    let work = move || {
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
                thread::sleep(REST);
            }
            tracing::debug!(seconds = since.elapsed().as_secs(), "the database is sound");
            let done = Instant::now();
            while done.elapsed() < PAUSE {
                thread::sleep(LOOK);
                if disk.is_closed() {
                    return;
                }
            }
        }
    };
    thread::Builder::new()
        .name("scrub".into())
        .spawn(work)
        .map_err(|e| Fault::from_error("start the thread that looks for damage", e))?;
    Ok(())
}
