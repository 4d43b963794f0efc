//! Keeps the watermark: at most one sync behind the log.

use ledger::Fault;
use ledger::rows::watermark::Watermark;

use crate::core::LogWrite;
use crate::disk::Durable;
use crate::disk::watermark::Marks;

/// The promises that the log keeps, and how far they are written down.
pub(super) struct Keeper {
    file: Box<dyn Marks>,
    /// What the log keeps, at least.
    mark: Watermark,
    /// What was written last, and how.
    written: (Watermark, Durable),
}

impl Keeper {
    /// Goes on from what is written in the file, and durable.
    pub(super) fn new(file: Box<dyn Marks>, mark: Watermark) -> Self {
        Keeper { file, mark, written: (mark, Durable::Now) }
    }

    /// A write to the log is about to be synced. If it leaves less of the log, since a leader does not
    /// have the end of it, no more than that may be promised before.
    pub(super) fn before(&mut self, write: &LogWrite) -> Result<(), Fault> {
        let Some((last_term, last_index)) = ends_at(write) else { return Ok(()) };
        if (last_term, last_index) >= (self.mark.last_term, self.mark.last_index) {
            return Ok(());
        }
        self.mark = Watermark { last_term, last_index, ..self.mark };
        self.write(Durable::Now)
    }

    /// Takes in a write to the log that has been synced.
    pub(super) fn synced(&mut self, write: &LogWrite) -> Result<(), Fault> {
        let mark = &mut self.mark;
        let before = (mark.term, mark.vote);
        if let Some(hard) = &write.hard {
            (mark.term, mark.vote) = (hard.term, hard.vote);
        }
        if let Some(end) = ends_at(write) {
            (mark.last_term, mark.last_index) = end;
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

/// Term and index of the last entry behind a write, if it changes that.
fn ends_at(write: &LogWrite) -> Option<(u64, u64)> {
    let installed =
        write.installed.as_ref().map(|installed| (installed.at.term, installed.at.index));
    let appended = write.entries.last().map(|last| (last.position.term, last.position.index));
    appended.or(installed)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use ledger::rows::raft::{EntryKind, HardState, Position};

    use super::*;
    use crate::core::LogEntry;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<(Watermark, Durable)>>>);

    impl Marks for Written {
        fn write(&mut self, mark: &Watermark, durable: Durable) -> Result<(), Fault> {
            self.0.lock().unwrap().push((*mark, durable));
            Ok(())
        }
    }

    fn write(entries: &[(u64, u64)]) -> LogWrite {
        let entry = |(term, index): &(u64, u64)| LogEntry {
            position: Position { index: *index, term: *term },
            kind: EntryKind::Proposal,
            data: Vec::new(),
        };
        let hard = Some(HardState { term: 6, vote: 0, commit: 0 });
        let entries = entries.iter().map(entry).collect();
        LogWrite { entries, hard, must_sync: true, ..LogWrite::default() }
    }

    /// The end of a log was appended by a leader that lost its place; the next one replaces it in two
    /// steps. A crash between the first one and its mark must not look like a loss.
    #[test]
    fn a_log_that_gets_shorter_is_promised_to_be_so_before() {
        let written = Written::default();
        let mark = Watermark { term: 6, vote: 0, last_term: 5, last_index: 30 };
        let mut keeper = Keeper::new(Box::new(written.clone()), mark);
        let shorter = write(&[(4, 29)]);
        keeper.before(&shorter).unwrap();
        let less = Watermark { last_term: 4, last_index: 29, ..mark };
        assert_eq!(written.0.lock().unwrap().as_slice(), [(less, Durable::Now)]);
        keeper.synced(&shorter).unwrap();
        assert_eq!(keeper.mark, less);
        let longer = write(&[(6, 30)]);
        keeper.before(&longer).unwrap();
        assert_eq!(keeper.mark, less, "not before it is synced");
        keeper.synced(&longer).unwrap();
        assert_eq!(keeper.mark, Watermark { last_term: 6, last_index: 30, ..mark });
        assert_eq!(written.0.lock().unwrap().len(), 1);
    }
}
