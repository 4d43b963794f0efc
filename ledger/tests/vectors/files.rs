//! Where the vectors are: the project's compressed copy, or a directory of plain files.

use std::io::Read;
use std::path::PathBuf;
use std::{env, fs, io};

/// The directory that replaces the project's copy, if any.
fn replacement() -> Option<PathBuf> {
    env::var_os("LOCKSTEP_VECTORS").map(PathBuf::from)
}

/// Whether the vectors are others than the project's own.
pub fn replaced() -> bool {
    replacement().is_some()
}

fn own() -> PathBuf {
    // From the root: the audit's tests compile this file too.
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ledger/tests/data/vectors")
}

/// The bytes of a file, by its path below the directory of vectors; `None` if a replacing
/// directory has no such file. The project's own copy has all.
pub fn read(path: &str) -> Option<Vec<u8>> {
    if let Some(dir) = replacement() {
        return match fs::read(dir.join(path)) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => panic!("{path} in {}: {e}", dir.display()),
        };
    }
    let file = own().join(format!("{path}.gz"));
    let packed = fs::File::open(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Some(bytes)
}

/// The names in a folder of the vectors (`""` for the top), without `.gz`, sorted.
pub fn list(folder: &str) -> Vec<String> {
    let dir = replacement().unwrap_or_else(own).join(folder);
    let Ok(entries) = fs::read_dir(&dir) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".gz").map(str::to_owned).unwrap_or(name))
        .collect();
    names.sort();
    names
}

/// The files that must be there: `all` in the project's copy, and what a replacing directory lists
/// in its `SHA256SUMS`, if it has one. (Recordings are for other tests.)
pub fn promised(all: &[&str]) -> Vec<String> {
    let Some(dir) = replacement() else {
        return all.iter().map(|name| (*name).to_owned()).collect();
    };
    let sums = fs::read_to_string(dir.join("SHA256SUMS")).unwrap_or_default();
    sums.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(_, path)| path.trim_start_matches("./").to_owned())
        .filter(|path| !path.ends_with(".md") && !path.starts_with("recordings/"))
        .collect()
}

/// The files of cases.
pub fn names() -> Vec<String> {
    list("").into_iter().filter(|name| name.ends_with(".json")).collect()
}
