//! What a power cut does to a data directory, from the journal of `power.c`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Chance;

/// A change, and what takes it back.
#[derive(Debug)]
enum Change {
    Write { ino: u64, direct: bool, offset: u64, length: u64, size: u64, before: Vec<u8> },
    Cut { ino: u64, size: u64, kept: u64, before: Vec<u8> },
    Appears { path: PathBuf },
    Goes { saved: String, path: PathBuf },
    Becomes { saved: Option<String>, from: PathBuf, to: PathBuf },
}

#[derive(Debug, Default)]
struct Journal {
    changes: Vec<(u64, Change)>,
    files: BTreeMap<u64, u64>,
    directories: BTreeMap<PathBuf, u64>,
    /// The last entry that any sync covers: what bypassed the page cache is durable up to there.
    device: u64,
}

/// What becomes of the changes of one file that no sync has covered.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// All are lost.
    Lost,
    /// All had reached the disk by chance.
    Kept,
    /// So many had, and a part of the next.
    Torn(usize),
    /// All had but one, in the place of which are zeros.
    Hole(usize),
}

/// Takes back what was not durable. Returns how many changes were not.
pub(super) fn undo(data: &Path, side: &Path, chance: &mut Chance) -> usize {
    let journal = read(&fs::read(side.join("journal")).unwrap());
    let at_risk: Vec<&(u64, Change)> = journal
        .changes
        .iter()
        .filter(|(number, change)| !journal.covers(*number, change))
        .collect();
    // The names change in their order: a file system's journal sees to that.
    let names: Vec<u64> =
        at_risk.iter().filter(|(_, c)| c.ino().is_none()).map(|(n, _)| *n).collect();
    let kept_names = match chance.below(3) {
        0 => 0,
        1 => names.len(),
        _ => chance.below(names.len() as u64 + 1) as usize,
    };
    let mut of_file: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (number, change) in &at_risk {
        if let Some(ino) = change.ino() {
            of_file.entry(ino).or_default().push(*number);
        }
    }
    let fates: BTreeMap<u64, Fate> = of_file
        .iter()
        .map(|(ino, changes)| {
            let some = chance.below(changes.len() as u64) as usize;
            let fate = match chance.below(5) {
                0 | 1 => Fate::Lost,
                2 => Fate::Kept,
                3 => Fate::Torn(some),
                _ => Fate::Hole(some),
            };
            (*ino, fate)
        })
        .collect();
    let paths = by_ino(&[data, side]);
    for (number, change) in at_risk.iter().rev() {
        let Some(ino) = change.ino() else { continue };
        // Named by the kernel alone, and gone with it.
        let Some(path) = paths.get(&ino) else { continue };
        let place = of_file[&ino].iter().position(|other| other == number).unwrap();
        match fates[&ino] {
            Fate::Kept => {}
            Fate::Lost => change.take_back(path, 0),
            Fate::Torn(kept) if place < kept => {}
            Fate::Torn(kept) if place == kept => change.tear(path, chance),
            Fate::Torn(_) => change.take_back(path, 0),
            Fate::Hole(hole) if place == hole => change.empty(path),
            Fate::Hole(_) => {}
        }
    }
    // Only now: files were found by the names that they had last.
    for (number, change) in at_risk.iter().rev() {
        if names.iter().position(|name| name == number).is_some_and(|at| at >= kept_names) {
            change.rename_back(side);
        }
    }
    at_risk.len()
}

impl Journal {
    fn covers(&self, number: u64, change: &Change) -> bool {
        let upto = |upto: Option<&u64>| upto.is_some_and(|upto| *upto >= number);
        match change {
            Change::Write { ino, direct, .. } => {
                upto(self.files.get(ino)) || (*direct && self.device >= number)
            }
            Change::Cut { ino, .. } => upto(self.files.get(ino)),
            Change::Appears { path }
            | Change::Goes { path, .. }
            | Change::Becomes { to: path, .. } => {
                upto(self.directories.get(path.parent().unwrap()))
            }
        }
    }
}

impl Change {
    /// The file that it changes, unless it changes a name.
    fn ino(&self) -> Option<u64> {
        match self {
            Change::Write { ino, .. } | Change::Cut { ino, .. } => Some(*ino),
            _ => None,
        }
    }

    /// Takes a change of a file back, but for its first bytes.
    fn take_back(&self, path: &Path, keep: u64) {
        let file = File::options().write(true).open(path).unwrap();
        match self {
            Change::Write { offset, size, before, length, .. } => {
                let keep = keep.min(*length);
                let skip = usize::try_from(keep).unwrap().min(before.len());
                file.write_all_at(&before[skip..], offset + skip as u64).unwrap();
                file.set_len((offset + keep).max(*size)).unwrap();
                if keep == 0 {
                    file.set_len(*size).unwrap();
                }
            }
            Change::Cut { size, kept, before, .. } => {
                file.set_len(*size).unwrap();
                file.write_all_at(before, *kept).unwrap();
            }
            _ => {}
        }
    }

    /// Leaves a part of a write. What it made longer is shorter again, or full of zeros.
    fn tear(&self, path: &Path, chance: &mut Chance) {
        let Change::Write { offset, length, .. } = self else { return self.take_back(path, 0) };
        let keep = chance.below(*length);
        self.take_back(path, keep);
        if chance.below(2) == 0 {
            let file = File::options().write(true).open(path).unwrap();
            let now = file.metadata().unwrap().len();
            file.set_len(now.max(offset + length)).unwrap();
        }
    }

    /// Leaves zeros where a write was.
    fn empty(&self, path: &Path) {
        let Change::Write { offset, length, .. } = self else { return };
        let file = File::options().write(true).open(path).unwrap();
        let end = file.metadata().unwrap().len().min(offset + length);
        if let Some(bytes) = end.checked_sub(*offset) {
            file.write_all_at(&vec![0; usize::try_from(bytes).unwrap()], *offset).unwrap();
        }
    }

    /// Takes a change of a name back.
    fn rename_back(&self, side: &Path) {
        // A change that was about to be made has nothing to be taken back.
        match self {
            Change::Appears { path } => drop(fs::remove_file(path)),
            Change::Goes { saved, path } => {
                if !path.exists() {
                    fs::hard_link(side.join(saved), path).unwrap();
                }
            }
            Change::Becomes { saved, from, to } => {
                if from.exists() {
                    return;
                }
                fs::rename(to, from).unwrap();
                if let Some(saved) = saved {
                    fs::hard_link(side.join(saved), to).unwrap();
                }
            }
            Change::Write { .. } | Change::Cut { .. } => {}
        }
    }
}

/// The files in these directories and below, by their inodes.
fn by_ino(directories: &[&Path]) -> BTreeMap<u64, PathBuf> {
    let mut found = BTreeMap::new();
    let mut left: Vec<PathBuf> = directories.iter().map(|path| path.to_path_buf()).collect();
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let (path, metadata) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
            if metadata.is_dir() {
                left.push(path);
            } else {
                found.insert(metadata.ino(), path);
            }
        }
    }
    found
}

/// Reads a journal, whose last entry may be cut off.
fn read(mut bytes: &[u8]) -> Journal {
    let mut journal = Journal::default();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        let (number, rest) = line.split_once(' ').unwrap();
        let (length, rest) = rest.split_once(' ').unwrap();
        let (number, length) = (number.parse().unwrap(), length.parse::<usize>().unwrap());
        let Some(before) = bytes.get(end + 1..end + 1 + length) else { break };
        bytes = &bytes[end + 1 + length..];
        journal.take(number, rest, before.to_vec());
    }
    journal
}

impl Journal {
    fn take(&mut self, number: u64, line: &str, before: Vec<u8>) {
        let (kind, rest) = line.split_once(' ').unwrap();
        let numbers =
            || rest.split(' ').map(|text| text.parse::<u64>().unwrap()).collect::<Vec<_>>();
        let change = match kind {
            "W" => {
                let [ino, direct, offset, length, size] = numbers()[..] else { panic!("{line}") };
                Change::Write { ino, direct: direct == 1, offset, length, size, before }
            }
            "T" => {
                let [ino, size, kept] = numbers()[..] else { panic!("{line}") };
                Change::Cut { ino, size, kept, before }
            }
            "C" => Change::Appears { path: rest.into() },
            "U" => {
                let (saved, path) = rest.split_once(' ').unwrap();
                Change::Goes { saved: saved.into(), path: path.into() }
            }
            "R" => {
                let (saved, paths) = rest.split_once(' ').unwrap();
                let (from, to) = paths.split_once('\t').unwrap();
                let saved = (saved != "-").then(|| saved.to_owned());
                Change::Becomes { saved, from: from.into(), to: to.into() }
            }
            "S" => {
                let [ino, upto] = numbers()[..] else { panic!("{line}") };
                let covered = self.files.entry(ino).or_default();
                *covered = upto.max(*covered);
                self.device = self.device.max(upto);
                return;
            }
            "D" => {
                let (path, upto) = rest.rsplit_once(' ').unwrap();
                self.directories.insert(path.into(), upto.parse().unwrap());
                return;
            }
            _ => panic!("{line}"),
        };
        self.changes.push((number, change));
    }
}
