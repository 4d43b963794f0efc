//! Keeps the watermark: at most one sync behind the log.

use ledger::Fault;
use ledger::rows::watermark::Watermark;

use crate::core::LogWrite;
use crate::disk::Durable;
use crate::disk::watermark::Marks;

/// The promises that the log keeps, and how far they are written down.
pub(super) struct Keeper {
    file: Box<dyn Marks>,
    /// What the log keeps.
    mark: Watermark,
    /// What was written last, and how.
    written: (Watermark, Durable),
}

impl Keeper {
    /// Goes on from what is written in the file, and durable.
    pub(super) fn new(file: Box<dyn Marks>, mark: Watermark) -> Self {
        Keeper { file, mark, written: (mark, Durable::Now) }
    }

    /// What the log keeps, synced.
    pub(super) fn mark(&self) -> Watermark {
        self.mark
    }

    /// Takes in a write to the log that has been synced.
    pub(super) fn synced(&mut self, write: &LogWrite) -> Result<(), Fault> {
        let mark = &mut self.mark;
        let before = (mark.term, mark.vote);
        if let Some(hard) = &write.hard {
            (mark.term, mark.vote) = (hard.term, hard.vote);
        }
        if let Some((at, _)) = &write.installed {
            (mark.last_term, mark.last_index) = (at.term, at.index);
        }
        if let Some(last) = write.entries.last() {
            (mark.last_term, mark.last_index) = (last.position.term, last.position.index);
        }
        // A vote is a promise to others: it must be kept before they hear of it.
        if (mark.term, mark.vote) == before { Ok(()) } else { self.write(Durable::Now) }
    }

    /// Writes the mark down, unless it is.
    pub(super) fn write(&mut self, durable: Durable) -> Result<(), Fault> {
        let (mark, how) = self.written;
        if mark == self.mark && (durable == Durable::Later || how == Durable::Now) {
            return Ok(());
        }
        self.file.write(&self.mark, durable)?;
        self.written = (self.mark, durable);
        Ok(())
    }
}
