//! A damaged database is made anew from what is sound in it.
//!
//! Checksums show which blocks of it hold other bytes than were written. If the Raft log and what
//! belongs to it are sound, and reach as far as the watermark promises, the replica stays who it
//! is: they are copied, and records are replayed, signatures and all, as far as they can be read.
//! All other rows come out of that. Records that cannot be read are fetched from the others, as
//! those of a member that has fallen behind are: the row that says so is written with the rest.
//!
//! The new database is made beside the old one and takes its place at once; the old one stays as
//! [`BEFORE_DIR`], for whoever wants to know what happened to it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ledger::history::{Fold, KnownRules, Record, Verdict, members, records};
use ledger::lock::signatures::{Unverified, verify_all};
use ledger::rows::raft::{Ahead, Neighbour, RAFT_LOG, RAFT_STATE};
use ledger::rows::{Draft, Rows};
use ledger::{Ailment, Fault};

use super::foresight::Threads;
use crate::core::Saved;
use crate::core::applier::pointer;
use crate::disk::ailment::fault;
use crate::disk::rocks::{Rocks, RocksView};
use crate::disk::{Batch, Disk, Durable, ROWS_DIR, log, watermark};

/// The former database, in the data directory.
const BEFORE_DIR: &str = "db.damaged";
/// The new one while it is not complete.
pub(crate) const MAKING_DIR: &str = "db.mending";
/// The new one once it is, until it is in its place.
pub(crate) const MADE_DIR: &str = "db.mended";
/// Records that are replayed together.
const BATCH_RECORDS: usize = 2048;
/// Rows that are copied together.
const BATCH_ROWS: usize = 4096;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mended {
    /// Records that were sound, or followed none that was not.
    pub(super) kept: u64,
    /// Records that have to be fetched.
    pub(super) missing: u64,
}

/// Makes the database of a data directory anew as [`MADE_DIR`]. Nobody may write to it meanwhile. Fails
/// where the replica cannot stay who it is. [`finish`] puts it in its place.
pub(super) fn mend(dir: &Path, known: KnownRules) -> Result<Mended, Fault> {
    let making = dir.join(MAKING_DIR);
    remove(&making)?;
    let mended = make(dir, &making, known)?;
    rename(&making, &dir.join(MADE_DIR))?;
    Ok(mended)
}

/// Puts a complete new database in its place, if there is one. Nobody may have either of them open:
/// whoever has goes on to open and to delete files by their names, which mean other files then.
pub(super) fn finish(dir: &Path) -> Result<(), Fault> {
    let (rows, made, before) = (dir.join(ROWS_DIR), dir.join(MADE_DIR), dir.join(BEFORE_DIR));
    if !exists(&made)? {
        return Ok(());
    }
    if exists(&rows)? {
        remove(&before)?;
        rename(&rows, &before)?;
    }
    rename(&made, &rows)?;
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| fault(format!("sync {}", dir.display()), e))
}

fn make(dir: &Path, making: &Path, known: KnownRules) -> Result<Mended, Fault> {
    let old = Rocks::open_damaged(&dir.join(ROWS_DIR))?;
    let identity = log::identity(&old)?.ok_or_else(|| lost("its identity"))?;
    let saved = log::load(&old, None)?;
    saved.check()?;
    let mark = watermark::read(dir)?.ok_or_else(|| lost("its watermark"))?;
    if !mark.kept_by(&saved.promise()) {
        return Err(lost("a part of its Raft log"));
    }
    fs::create_dir(making).map_err(|e| fault(format!("create {}", making.display()), e))?;
    let new = Rocks::open(making)?;
    for table in [RAFT_STATE, RAFT_LOG] {
        let mut batch = Batch::new();
        for row in old.scan(table, b"".as_slice()..b"".as_slice())? {
            let (key, value) = row?;
            batch.put(table, key, value);
            if batch.steps.len() == BATCH_ROWS {
                new.commit(std::mem::take(&mut batch), Durable::Later)?;
            }
        }
        new.commit(batch, Durable::Later)?;
    }
    // Until the records name the others again, they are found as those that a joiner was told of.
    let (_, own) = log::names(&identity);
    if let Ok(others) = neighbours(&old) {
        let mut batch = Batch::new();
        log::introduce(&mut batch, &others);
        new.commit(batch, Durable::Later)?;
    }
    let (fold, whole) = replay(&old, &new, known)?;
    let kept = fold.next_index();
    let target = target((&old, &new.view()), &saved, &fold, whole, known)?;
    let missing = target.map_or(0, |ahead| ahead.record.saturating_add(1).saturating_sub(kept));
    let mut batch = Batch::new();
    if let Some(target) = target
        && missing > 0
    {
        if saved.group.voters == [own.0] {
            return Err(lost("records, and there is nobody to fetch them from"));
        }
        log::ahead(&mut batch, Some(&target));
    }
    new.commit(batch, Durable::Now)?;
    Ok(Mended { kept, missing })
}

/// Replays the records as far as they can be read. Returns the fold behind the last, and whether
/// that is the end of them.
fn replay(old: &RocksView, new: &Rocks, known: KnownRules) -> Result<(Fold, bool), Fault> {
    let mut fold = Fold::open_knowing(&new.view(), known)?;
    loop {
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        let mut unreadable = false;
        for record in records::from(old, fold.next_index())?.take(BATCH_RECORDS) {
            match record {
                Ok(record) => batch.push(record),
                Err(_) => {
                    unreadable = true;
                    break;
                }
            }
        }
        let over = batch.len() < BATCH_RECORDS;
        let view = new.view();
        let mut draft = Draft::on(&view);
        let sound = replay_batch(&mut fold, &mut draft, batch)?;
        let mut changes = Batch::new();
        changes.absorb(draft.finish());
        new.commit(changes, Durable::Later)?;
        if over || !sound {
            return Ok((fold, sound && !unreadable));
        }
    }
}

/// Says whether all of them hold; what comes after one that does not is passed over.
fn replay_batch(fold: &mut Fold, draft: &mut Draft<'_>, batch: Vec<Record>) -> Result<bool, Fault> {
    let batch = batch.into_iter().map(Unverified::new).collect();
    for record in verify_all(batch, &Threads::all()) {
        let Ok(record) = record else { return Ok(false) };
        if record.get().index() != fold.next_index() {
            return Ok(false);
        }
        if !matches!(fold.replay(draft, &record)?, Verdict::Sealed(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Up to where the records have to be there.
fn target(
    (old, new): (&RocksView, &RocksView),
    saved: &Saved,
    fold: &Fold,
    whole: bool,
    known: KnownRules,
) -> Result<Option<Ahead>, Fault> {
    // Nothing has come from the log of one that has just joined.
    if saved.applied == 0 {
        return Ok(None);
    }
    if let Some(ahead) = saved.ahead {
        let record = records::record(new, ahead.record)?;
        return match record {
            Some(record) if record.hash().0 != ahead.hash => Err(log::another_record(ahead.record)),
            _ => Ok(Some(ahead)),
        };
    }
    let said = Fold::open_knowing(old, known).ok().and_then(|fold| pointer(&fold));
    let reached = pointer(fold);
    let Some(said) = said.or(reached.filter(|_| whole)) else {
        // What stood there cannot be read, so that nobody here knows which record was the last.
        return Err(lost("what its records came to"));
    };
    if reached.is_some_and(|reached| reached.record == said.record && reached != said) {
        return Err(Fault::new("the records do not come to what was written beside them"));
    }
    Ok(Some(Ahead { index: saved.applied, record: said.record, hash: said.hash }))
}

fn neighbours(old: &RocksView) -> Result<Vec<Neighbour>, Fault> {
    let active = members::active(old)?;
    let told = active.into_iter().map(|member| Neighbour {
        replica: member.id.0,
        key: member.member_key.0,
        address: member.details.address,
    });
    Ok(told.collect())
}

fn lost(what: &str) -> Fault {
    Fault::new(format!("the database is damaged and has lost {what}")).of(Ailment::Damaged)
}

fn exists(path: &Path) -> Result<bool, Fault> {
    path.try_exists().map_err(|e| fault(format!("look at {}", path.display()), e))
}

fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(fault(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    fs::rename(from, to)
        .map_err(|e| fault(format!("rename {} to {}", from.display(), to.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(path: &Path, name: &str) {
        fs::create_dir(path).unwrap();
        fs::write(path.join("name"), name).unwrap();
    }

    fn name(path: &Path) -> String {
        fs::read_to_string(path.join("name")).unwrap()
    }

    /// A new database that is complete takes its place, whenever the one who made it was cut short.
    #[test]
    fn a_new_database_takes_its_place_after_a_crash_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let [rows, made, before] =
            [ROWS_DIR, MADE_DIR, BEFORE_DIR].map(|name| dir.path().join(name));
        database(&rows, "damaged");
        finish(dir.path()).unwrap();
        assert_eq!(name(&rows), "damaged", "there is no other");

        database(&before, "damaged long ago");
        database(&made, "new");
        finish(dir.path()).unwrap();
        assert_eq!((name(&rows).as_str(), name(&before).as_str()), ("new", "damaged"));
        assert!(!made.exists());

        // Cut short between the two steps.
        database(&made, "newer");
        remove(&before).unwrap();
        rename(&rows, &before).unwrap();
        finish(dir.path()).unwrap();
        assert_eq!((name(&rows).as_str(), name(&before).as_str()), ("newer", "new"));
        // What was not complete is nobody's.
        database(&dir.path().join(MAKING_DIR), "half");
        finish(dir.path()).unwrap();
        assert_eq!(name(&rows), "newer");
    }
}
