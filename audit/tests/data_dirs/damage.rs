//! Directories whose files are damaged below the database's feet, as by a bad disk, a power cut or
//! half a copy: an error or a finding, never a crash, and nothing is written.

use std::fs;
use std::path::PathBuf;

use super::audit;
use super::directory::{Directory, every_file};
use super::history::history;

/// Every file of a directory, relative to it.
fn files(directory: &Directory) -> Vec<PathBuf> {
    let root = directory.path();
    let mut found: Vec<PathBuf> = every_file(root)
        .into_keys()
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect();
    found.sort();
    found
}

/// Audits a damaged directory: whatever is found, the files stay as they are.
fn code(directory: &Directory) -> u8 {
    let before = every_file(directory.path());
    let report = audit(directory);
    assert_eq!(every_file(directory.path()), before);
    assert!([0, 1, 3].contains(&report.exit_code));
    report.exit_code
}

#[test]
fn lost_emptied_cut_and_overwritten_files() {
    let group = history();
    let closed = Directory::of(&group);
    let crashed = closed.as_left_by_a_crash(&group);
    for whole in [closed, crashed] {
        for file in files(&whole) {
            let bytes = fs::read(whole.path().join(&file)).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            // Not read: what RocksDB was configured with, whose it is, and who has it open.
            let idle = ["OPTIONS", "IDENTITY", "LOCK", "LOG"].iter().any(|n| name.starts_with(n));
            let idle = idle || (name.ends_with(".log") && bytes.is_empty());
            let mut changed = bytes.clone();
            for byte in &mut changed {
                *byte ^= 0x5a;
            }
            for (how, content) in [
                ("removed", None),
                ("emptied", Some(Vec::new())),
                ("cut in half", Some(bytes[..bytes.len() / 2].to_vec())),
                ("zeroed", Some(vec![0; bytes.len()])),
                ("overwritten", Some(changed)),
            ] {
                let directory = whole.copied();
                let path = directory.path().join(&file);
                match &content {
                    None => fs::remove_file(&path).unwrap(),
                    Some(content) => fs::write(&path, content).unwrap(),
                }
                let code = code(&directory);
                if !idle && content.as_ref() != Some(&bytes) && name != "identity" {
                    let noticed = code != 0 || name == "watermark";
                    assert!(noticed, "{} {how}: exit {code}", file.display());
                }
            }
        }
    }
}

#[test]
fn single_bytes() {
    let group = history();
    let closed = Directory::of(&group);
    let crashed = closed.as_left_by_a_crash(&group);
    for whole in [closed, crashed] {
        let directory = whole.copied();
        for file in files(&whole) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let path = directory.path().join(&file);
            let bytes = fs::read(&path).unwrap();
            let step = (bytes.len() / 16).max(1);
            for at in (0..bytes.len()).step_by(step) {
                let mut changed = bytes.clone();
                changed[at] ^= 0x10;
                fs::write(&path, &changed).unwrap();
                let code = code(&directory);
                // Every byte of a write-ahead log and of a table counts.
                if name.ends_with(".log") {
                    assert_ne!(code, 0, "{} byte {at}", file.display());
                }
            }
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(code(&directory), 0);
    }
}

/// Whatever a crash leaves of the write-ahead log is a history without its end; the watermark says
/// that the end is missing.
#[test]
fn a_cut_write_ahead_log_is_a_history_cut_short() {
    let group = history();
    let whole = Directory::of(&group).as_left_by_a_crash(&group);
    let log = files(&whole)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
        .max_by_key(|file| fs::metadata(whole.path().join(file)).unwrap().len())
        .unwrap();
    let bytes = fs::read(whole.path().join(&log)).unwrap();
    let directory = whole.copied();
    for len in (0..bytes.len()).step_by((bytes.len() / 60).max(1)) {
        fs::write(directory.path().join(&log), &bytes[..len]).unwrap();
        assert_ne!(code(&directory), 0, "cut to {len} of {} bytes", bytes.len());
    }
}

/// One turned bit is enough for a type at which RocksDB, which reads the logs before anybody checks a
/// sum, would stay for ever.
#[test]
fn types_of_records_in_reused_files_are_damage() {
    let whole = history();
    let whole = Directory::of(&whole).as_left_by_a_crash(&whole);
    let directory = whole.copied();
    let mut tried = 0;
    for file in files(&whole) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let path = directory.path().join(&file);
        let bytes = fs::read(&path).unwrap();
        if !(name.ends_with(".log") || name.starts_with("MANIFEST-")) || bytes.len() < 7 {
            continue;
        }
        let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        // A record in parts is whole only with the last.
        if bytes[6] != 1 || bytes.len() < second + 7 {
            continue;
        }
        for kind in [5, 6, 7, 8, 11, 131] {
            let mut changed = bytes.clone();
            changed[second + 6] = kind;
            fs::write(&path, &changed).unwrap();
            let report = audit(&directory);
            assert_eq!(report.exit_code, 3, "{name} {kind}");
            let text = report.to_json().to_string();
            assert!(text.contains(&format!("{name} is damaged: no record")), "{text}");
            tried += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(tried >= 12, "{tried}");
    assert_eq!(code(&directory), 0);
}
