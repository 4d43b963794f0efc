//! How the ledger starts on a disk that may be damaged, and how its operator mends it.

use ledger::history::{Fold, Record, Verdict, records};
use ledger::lock::signatures::{Unverified, verify_all};
use ledger::rows::watermark::Watermark;
use ledger::rows::{Changes, Draft, Memory, tables};
use ledger::{Fault, Refusal};

use super::Ledger;
use crate::actors::images::Remembering;
use crate::world::disk::{Disk, Durable};

/// How a ledger that did not start was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// All records were there: everything else was folded from them again.
    Refolded,
    /// Records were missing or damaged, and came from the copy.
    Restored,
}

impl Ledger {
    /// Everything that lies on its disk is to be read at its next start: it has failed, or somebody
    /// wants to be sure.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// It starts again, or refuses to: with the reason, and down. It does not go on with what it
    /// cannot read, nor short of what it has acknowledged.
    pub fn start(&mut self) -> Result<(), Fault> {
        self.process.start();
        let opened = self.open();
        let opened = opened.and_then(|()| self.follow());
        if opened.is_err() {
            self.crash();
        }
        opened
    }

    pub(super) fn open(&mut self) -> Result<(), Fault> {
        let rows = self.process.disk.rows();
        let fold = Fold::open(rows)?;
        if let Some((_, mark)) = Watermark::from_file(&self.mark.0)
            && !mark.kept_by(&promise(fold.next_index()))
        {
            return Err(Fault::new("the records end before the watermark"));
        }
        if self.suspect {
            for table in tables::ALL {
                for row in rows.scan(*table, &[][..]..&[][..])? {
                    row?;
                }
            }
            self.suspect = false;
        }
        self.fold = Some(fold);
        Ok(())
    }

    /// Its operator mends it, on a new disk: from its own records if they are all there and hold,
    /// from the copy otherwise. It does not run yet.
    pub fn mend(&mut self) -> Result<Mended, Fault> {
        self.process.start();
        let own: Result<Vec<Record>, Fault> =
            records::from(self.process.disk.rows(), 0).and_then(Iterator::collect);
        let own = own.map(|records| records.iter().map(|r| r.bytes().to_vec()).collect());
        let whole = |own: &Vec<Vec<u8>>| own.len() == self.copy.len();
        let refolded = own.ok().filter(whole).and_then(|own| folded(&own).ok());
        let (how, batches) = match refolded {
            Some(batches) => (Mended::Refolded, batches),
            None => (Mended::Restored, folded(&self.copy)?),
        };
        self.process.disk.wipe();
        self.process.disk.set_full(false);
        for changes in batches {
            self.process.disk.commit(changes, Durable::Now)?;
        }
        self.suspect = false;
        self.process.crash();
        Ok(how)
    }
}

/// What the watermark says of a ledger of one member with so many records.
pub(super) fn promise(records: u64) -> Watermark {
    Watermark { term: 1, vote: 1, last_term: 1, last_index: records }
}

/// The rows that records come to, a batch a record, if they hold.
fn folded(records: &[Vec<u8>]) -> Result<Vec<Changes>, Fault> {
    let bad = |why: Refusal| Fault::from_error("a damaged record", why);
    let decoded = records.iter().map(|bytes| Record::decode(bytes).map(Unverified::new));
    let decoded = decoded.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let mut rows = Memory::new();
    let mut fold = Fold::open(&rows)?;
    let mut batches = Vec::new();
    for record in verify_all(decoded, &Remembering) {
        let mut draft = Draft::on(&rows);
        match fold.replay(&mut draft, &record.map_err(bad)?)? {
            Verdict::Sealed(_) => {}
            Verdict::Refused(why) => return Err(bad(why)),
            Verdict::Repeated { .. } => return Err(Fault::new("a record repeats another")),
        }
        let changes = draft.finish();
        rows.apply(changes.clone());
        batches.push(changes);
    }
    Ok(batches)
}
