//! Which locks are set aside on this machine (`lock local-disable`): a small text file beside the
//! database. It is this machine's own and no part of the history, so it is not in the database.
//!
//! ```text
//! lockstep local-disable 1
//! 3 1234:5678
//! ```
//!
//! Each line names a lock by its epoch and its state ID, in ascending order. Without the file none is
//! set aside. A lock that was followed before is another one when it is followed again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::Fault;
use ledger::history::Epoch;
use ledger::lock::client::StateId;

/// Name of the file within a data directory.
pub const FILE: &str = "local-disable";

const TITLE: &str = "lockstep local-disable 1";

/// A lock, in the epoch in which it is on.
type Lock = (Epoch, StateId);

/// The locks that are set aside, and the file that says so.
#[derive(Debug)]
pub struct LocalDisable {
    dir: PathBuf,
    locks: Mutex<BTreeSet<Lock>>,
}

impl LocalDisable {
    /// Reads the file of a data directory.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join(FILE);
        let locks = match fs::read_to_string(&path) {
            Ok(content) => parse(&content).ok_or_else(|| {
                Fault::new(format!("{} is damaged; delete it to set no lock aside", path.display()))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(Fault::from_error(format!("read {}", path.display()), error)),
        };
        Ok(LocalDisable { dir: dir.to_owned(), locks: Mutex::new(locks) })
    }

    /// Whether the lock of that epoch is set aside.
    pub fn has(&self, epoch: Epoch, state_id: StateId) -> bool {
        self.lock().contains(&(epoch, state_id))
    }

    /// Sets a lock aside; says whether it was not before. Survives a power cut when it returns.
    pub fn add(&self, epoch: Epoch, state_id: StateId) -> Result<bool, Fault> {
        self.change(|locks| locks.insert((epoch, state_id)))
    }

    /// Takes that back; says whether the lock was set aside.
    pub fn remove(&self, epoch: Epoch, state_id: StateId) -> Result<bool, Fault> {
        self.change(|locks| locks.remove(&(epoch, state_id)))
    }

    fn change(&self, f: impl FnOnce(&mut BTreeSet<Lock>) -> bool) -> Result<bool, Fault> {
        let mut now = self.lock();
        let mut next = now.clone();
        if !f(&mut next) {
            return Ok(false);
        }
        let path = self.dir.join(FILE);
        write_through(&self.dir, &text(&next))
            .map_err(|e| Fault::from_error(format!("write {}", path.display()), e))?;
        *now = next;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Lock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_through(dir: &Path, text: &str) -> io::Result<()> {
    let fresh = dir.join(format!("{FILE}.new"));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(FILE))?;
    fs::File::open(dir)?.sync_all()
}

fn text(locks: &BTreeSet<Lock>) -> String {
    let lines = locks.iter().map(|(epoch, (id1, id2))| format!("{} {id1}:{id2}\n", epoch.0));
    std::iter::once(format!("{TITLE}\n")).chain(lines).collect()
}

fn parse(content: &str) -> Option<BTreeSet<Lock>> {
    let mut lines = content.lines();
    let title = lines.next()?;
    let locks: Option<BTreeSet<Lock>> = lines
        .map(|line| {
            let (epoch, state_id) = line.split_once(' ')?;
            let (id1, id2) = state_id.split_once(':')?;
            Some((Epoch(epoch.parse().ok()?), (id1.parse().ok()?, id2.parse().ok()?)))
        })
        .collect();
    let locks = locks?;
    // One spelling only, so that damage is noticed.
    (title == TITLE && text(&locks) == content).then_some(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_the_documentation_has_it() {
        let page = include_str!("../../../docs/ledger-format.md");
        let (_, rest) = page.split_once(&format!("```text\n{TITLE}\n")).unwrap();
        let (lines, _) = rest.split_once("```").unwrap();
        let shown = format!("{TITLE}\n{lines}");
        assert_eq!(text(&parse(&shown).unwrap()), shown);
        assert_eq!(shown.lines().count(), 2);
    }

    #[test]
    fn what_is_set_aside_stays_so_until_it_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let open = || LocalDisable::open(dir.path()).unwrap();
        let (one, two) = (Epoch(1), Epoch(2));
        assert!(!open().has(one, (1, 2)));
        assert!(open().add(one, (1, 2)).unwrap());
        assert!(open().add(two, (0, u64::MAX)).unwrap());
        assert!(!open().add(one, (1, 2)).unwrap());
        assert!(open().has(one, (1, 2)) && open().has(two, (0, u64::MAX)));
        assert!(!open().has(one, (2, 1)));
        assert!(!open().has(two, (1, 2)), "it has come again");
        assert!(open().remove(one, (1, 2)).unwrap());
        assert!(!open().remove(one, (1, 2)).unwrap());
        assert!(!open().has(one, (1, 2)) && open().has(two, (0, u64::MAX)));
        let path = dir.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = LocalDisable::open(dir.path());
            // A cut behind the title is a file that says less; every other one is noticed.
            assert_eq!(kept.is_ok(), whole[..cut] == format!("{TITLE}\n"), "{cut}");
        }
    }
}
