//! Restoring a group from a backup: its records go on, with one new member.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ledger::formats::record_stream::{End, Head};
use ledger::history::{Cause, Record};
use ledger::ids::AumHash;

use super::Offline;
use super::backup::BackupReader;
use super::incarnation::{
    Building, NotBegun, Refounded, beside, io, is_empty, parent, sync_directory,
};
use crate::keys::LockKeyChoice;

/// Records that are taken in together.
const BATCH_RECORDS: usize = 2048;
/// Bytes of records after which no more join them.
const BATCH_BYTES: usize = 4 << 20;
/// Records of another directory that are named, at most.
const NAMED: usize = 20;

/// What a backup holds, and what others have beyond it. Signatures are not checked yet.
#[derive(Debug)]
pub struct Survey {
    /// What precedes its records.
    pub head: Head,
    /// What follows them.
    pub end: End,
    /// The clock of whoever proposed its last record, in milliseconds since 1970.
    pub last_ms: u64,
    /// Every AUM in its records.
    pub aums: BTreeSet<AumHash>,
    /// What data directories have that it has not, in the order in which they were named.
    pub beyond: Vec<Beyond>,
}

/// What a data directory has that a backup has not.
#[derive(Debug)]
pub struct Beyond {
    /// The directory.
    pub dir: PathBuf,
    /// The first record in which the two differ, if it is one that both have.
    pub differs: Option<u64>,
    /// The first of its records that the backup has not.
    pub records: Vec<Record>,
    /// How many more there are.
    pub more: u64,
}

/// Reads a backup through, and compares it with data directories.
pub fn survey(file: &Path, dirs: &[PathBuf], progress: &dyn Fn(u64)) -> Result<Survey, NotBegun> {
    let mut backup = BackupReader::open(file)?;
    let offline = dirs.iter().map(|dir| Offline::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let mut others = Vec::new();
    for (dir, offline) in dirs.iter().zip(&offline) {
        let beyond = Beyond { dir: dir.clone(), differs: None, records: Vec::new(), more: 0 };
        others.push((offline.records(0)?, beyond));
    }
    let (mut aums, mut last_ms) = (BTreeSet::new(), 0);
    while let Some(record) = backup.next_record()? {
        let proposal = record.proposal().proposal();
        last_ms = proposal.time_ms;
        aums.extend(proposal.event.aums().iter().map(|aum| aum.hash()));
        for (records, beyond) in &mut others {
            match records.next().transpose()? {
                Some(other) if other.hash() != record.hash() => {
                    beyond.differs.get_or_insert(record.index());
                    take(beyond, other);
                }
                _ => {}
            }
        }
        progress(record.index() + 1);
    }
    let Some(end) = backup.end() else { return Err(backup.refused("it has no end")) };
    let mut beyond = Vec::new();
    for (records, mut other) in others {
        for record in records {
            take(&mut other, record?);
        }
        beyond.push(other);
    }
    Ok(Survey { head: backup.head(), end, last_ms, aums, beyond })
}

fn take(beyond: &mut Beyond, record: Record) {
    if beyond.records.len() < NAMED {
        beyond.records.push(record);
    } else {
        beyond.more += 1;
    }
}

/// Whether a group can be restored into this directory: there is none yet, or an empty one.
pub fn check_target(dir: &Path) -> Result<(), NotBegun> {
    let used = || {
        NotBegun::refused(
            format!("{} is not empty", dir.display()),
            "Restore into a directory that is empty or not there yet; nothing is ever overwritten.",
        )
    };
    match fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() && is_empty(dir)? => Ok(()),
        Ok(_) => Err(used()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("looking at", dir)(error)),
    }
}

/// Restores the group into `dir`: replays everything, compares where it comes to, and begins the
/// next incarnation with a member of that name. `dir` is there, whole and synced, or as before.
pub fn restore(
    file: &Path,
    dir: &Path,
    name: &str,
    lock: &LockKeyChoice,
    progress: &dyn Fn(u64),
) -> Result<Refounded, NotBegun> {
    check_target(dir)?;
    let mut backup = BackupReader::open(file)?;
    let mut building = Building::create(&beside(dir, ".restoring"))?;
    loop {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(record) = backup.next_record()? else { break };
            bytes += record.bytes().len();
            records.push(record.bytes().to_vec());
        }
        if records.is_empty() {
            break;
        }
        building.replay(&records)?;
        progress(building.fold.next_index());
    }
    let (head, fold) = (backup.head(), &building.fold);
    if fold.cluster() != Some(head.cluster) || fold.incarnation() != head.incarnation {
        return Err(backup.refused("its head names another group or incarnation than its records"));
    }
    if backup.end().map(|end| end.fold) != Some(fold.fold_hash()) {
        return Err(backup.refused("its records do not come to the state that its end names"));
    }
    let begun = building.begin(Cause::Restored, name, lock)?;
    fs::rename(&begun.dir, dir).map_err(io("renaming", &begun.dir))?;
    sync_directory(parent(dir))?;
    Ok(Refounded { dir: dir.to_owned(), ..begun })
}
