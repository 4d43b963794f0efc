//! A tailscaled's state directory: `tka-profiles/<profile>/`, its parent, or the directory that
//! holds both.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ledger::formats::chonk_file::{
    DamagedFile, FileDamage, FileRecord, LAST_ACTIVE_ANCESTOR, Store, path as file_of,
};

use super::{Aums, Found, Kind, MAX_FILE_BYTES, Place, Unreadable};
use crate::checks::Finding;
use crate::checks::catalog::{AUM_HASH, AUM_NONCANONICAL, EXPORT_RESPELLED, STORE_DAMAGED};

/// Where tailscaled keeps its profiles' AUMs within its state directory.
const PROFILES: &str = "tka-profiles";

/// Reads the only profile that `path` holds.
pub(super) fn read(path: &Path) -> Result<Aums, Unreadable> {
    let (dir, name) = match profiles(path)?.as_slice() {
        [] => return Err(Unreadable::Unknown(path.to_owned())),
        [only] => only.clone(),
        several => {
            let names = several.iter().map(|(dir, _)| dir.display().to_string()).collect();
            return Err(Unreadable::SeveralProfiles { path: path.to_owned(), names });
        }
    };
    let files = files_of(&dir)?;
    let store = Store::read(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let below = |file: &str| Place { file: Some(format!("{name}{file}")), ..Place::default() };
    let damaged = store.damaged.iter().chain(&store.damaged_hint);
    let mut findings: Vec<Finding> = damaged.map(|file| damage(file, &below(&file.path))).collect();
    let mut odd = files.iter().filter(|(path, bytes)| is_respelled(path, bytes));
    if let Some((first, _)) = odd.next() {
        let message = format!(
            "{} files hold AUMs but not byte for byte as the original's current version writes \
             them",
            1 + odd.count()
        );
        findings.push(Finding::new(&EXPORT_RESPELLED, message).at(&below(first)));
    }
    let found = store
        .aums
        .iter()
        .map(|(hash, aum)| Found { aum: Ok(aum.clone()), place: below(&file_of(hash)) });
    Ok(Aums {
        kind: Kind::StateDir,
        sha256: None,
        found: found.collect(),
        oldest: store.open().ok().map(|opened| opened.oldest),
        one_branch: false,
        findings,
        unread: None,
        shown: None,
        beside: None,
    })
}

/// The profiles at `path` that hold anything, each with what leads to it from there.
fn profiles(path: &Path) -> Result<Vec<(PathBuf, String)>, Unreadable> {
    if is_store(path)? {
        return Ok(vec![(path.to_owned(), String::new())]);
    }
    let (parent, prefix) = match path.join(PROFILES) {
        below if below.is_dir() => (below, format!("{PROFILES}/")),
        _ => (path.to_owned(), String::new()),
    };
    let mut found = Vec::new();
    for (name, dir) in entries(&parent)? {
        if dir.is_dir() && is_store(&dir)? {
            found.push((dir, format!("{prefix}{name}/")));
        }
    }
    Ok(found)
}

/// Whether a directory is the store of a profile: it names an active ancestor, or holds a file that
/// is named after an AUM where such a file belongs.
fn is_store(dir: &Path) -> Result<bool, Unreadable> {
    if dir.join(LAST_ACTIVE_ANCESTOR).is_file() {
        return Ok(true);
    }
    for (name, inner) in entries(dir)? {
        let shard = name.len() == 2 && inner.is_dir();
        if shard && entries(&inner)?.iter().any(|(file, _)| is_named_after_an_aum(file)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_named_after_an_aum(name: &str) -> bool {
    name.len() == 52 && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

/// The files of a store as [`Store::read`] takes them.
fn files_of(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, Unreadable> {
    let mut files = Vec::new();
    let mut left = MAX_FILE_BYTES;
    for (name, path) in entries(dir)? {
        if name == LAST_ACTIVE_ANCESTOR && path.is_file() {
            files.push((name, read_file(&path, dir, &mut left)?));
        } else if path.is_dir() {
            for (file, path) in entries(&path)? {
                let at = format!("{name}/{file}");
                if path.is_dir() {
                    files.push((format!("{at}/"), Vec::new()));
                } else if path.is_file() && is_named_after_an_aum(&file) {
                    files.push((at, read_file(&path, dir, &mut left)?));
                }
            }
        }
    }
    Ok(files)
}

/// Reads a file, unless the store then has more than `left` bytes.
fn read_file(path: &Path, dir: &Path, left: &mut u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(*left + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    *left =
        left.checked_sub(bytes.len() as u64).ok_or_else(|| Unreadable::TooBig(dir.to_owned()))?;
    Ok(bytes)
}

/// What a directory holds, by name. Names that are no text are nobody's.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, Unreadable> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
        let entry = entry.map_err(|error| unreadable(dir, error))?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn unreadable(path: &Path, error: io::Error) -> Unreadable {
    Unreadable::Io { path: path.to_owned(), error }
}

/// Whether a file holds an AUM in another form than the original writes: trailing bytes, fields
/// that nobody knows, other spellings of numbers.
fn is_respelled(path: &str, bytes: &[u8]) -> bool {
    path != LAST_ACTIVE_ANCESTOR
        && FileRecord::decode(bytes).is_ok_and(|record| record.encode() != bytes)
}

fn damage(file: &DamagedFile, place: &Place) -> Finding {
    match &file.what {
        FileDamage::Malformed(error) => {
            let place = Place { offset: Some(error.offset as u64), ..place.clone() };
            Finding::new(&AUM_NONCANONICAL, error.to_string()).at(&place)
        }
        FileDamage::OtherHash(_) => Finding::new(&AUM_HASH, file.what.to_string()).at(place),
        _ => Finding::new(&STORE_DAMAGED, file.what.to_string()).at(place),
    }
}
