//! Keeps the watermark, off the critical path: at most one sync behind the log.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ledger::Fault;
use ledger::rows::watermark::Watermark;

use crate::disk::watermark::WatermarkFile;

/// A thread that writes marks one after the other.
#[derive(Debug)]
pub(super) struct Keeper {
    marks: SyncSender<Watermark>,
    done: Receiver<Result<(), Fault>>,
    under_way: bool,
}

impl Keeper {
    pub(super) fn start(mut file: WatermarkFile) -> Result<Self, Fault> {
        let (marks, to_write) = sync_channel::<Watermark>(1);
        let (tell, done) = sync_channel(1);
        thread::Builder::new()
            .name("watermark".into())
            .spawn(move || {
                for mark in to_write {
                    if tell.send(file.write(&mark)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the watermark's thread", e))?;
        Ok(Keeper { marks, done, under_way: false })
    }

    /// Starts to write a mark, once the one before it is written.
    pub(super) fn promise(&mut self, mark: Watermark) -> Result<(), Fault> {
        self.settle()?;
        self.marks.send(mark).map_err(|_| Fault::new("the watermark's thread has ended"))?;
        self.under_way = true;
        Ok(())
    }

    /// Waits until the last mark is written.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.under_way) {
            return Ok(());
        }
        self.done.recv().map_err(|_| Fault::new("the watermark's thread has ended"))?
    }
}
