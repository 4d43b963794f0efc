//! Damage that the database would read for ever instead of telling it: looked for before it is opened.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use ledger::rows::log_files::{self, CURRENT};
use ledger::{Ailment, Fault};

use super::ailment::fault;

/// Bytes of a name of a file, at most.
const NAME_BYTES: u64 = 256;

/// Looks through the files of the database in `dir` that RocksDB reads in full when it opens it. Any
/// other damage is RocksDB's to find.
pub(super) fn check(dir: &Path) -> Result<(), Fault> {
    let mut current = String::new();
    // A database that is missing, or a name that is none, is RocksDB's to tell.
    let read = File::open(dir.join(CURRENT));
    if read.and_then(|file| file.take(NAME_BYTES).read_to_string(&mut current)).is_err() {
        return Ok(());
    }
    let failed = |what: &Path, error| fault(format!("read {}", what.display()), error);
    for entry in fs::read_dir(dir).map_err(|e| failed(dir, e))? {
        let entry = entry.map_err(|e| failed(dir, e))?;
        let path = entry.path();
        if !entry.file_name().to_str().is_some_and(|name| log_files::is_read(name, &current)) {
            continue;
        }
        let endless = match File::open(&path) {
            // Whoever has the database open needed it no longer; RocksDB tells whether it is missed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file.and_then(|mut file| log_files::endless_record(|to| file.read(to))),
        };
        if let Some(at) = endless.map_err(|e| failed(&path, e))? {
            let what = format!(
                "{} is damaged: no record of a replica's database has the type of that at byte {at}",
                path.display()
            );
            return Err(Fault::new(what).of(Ailment::Damaged));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger::rows::tables;

    use super::super::rocks::Rocks;
    use super::super::{Batch, Disk, Durable};
    use super::*;

    /// Where the records of a log file of one block begin.
    fn records(bytes: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut found = Vec::new();
        while at < bytes.len() {
            found.push(at);
            at += 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        }
        found
    }

    #[test]
    fn no_type_of_a_record_keeps_the_database_busy_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Rocks::open(dir.path()).unwrap();
        for number in 0..3_u8 {
            let mut batch = Batch::new();
            batch.put(tables::RECORDS, [number], [number; 300]);
            disk.commit(batch, Durable::Now).unwrap();
        }
        drop(disk);
        let opened = || Rocks::open_read_only(dir.path());
        assert!(opened().is_ok());
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut tried = 0;
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            if !name.ends_with(".log") && !name.starts_with("MANIFEST-") {
                continue;
            }
            let sound = fs::read(&file).unwrap();
            let at = records(&sound);
            assert!(at.len() > 2, "{name}: {at:?}");
            for (number, at) in at.into_iter().enumerate() {
                for kind in [5, 6, 7, 8, 11, 131] {
                    let mut bytes = sound.clone();
                    bytes[at + 6] = kind;
                    fs::write(&file, bytes).unwrap();
                    // That it comes to an end is the point; the first record is RocksDB's to judge.
                    let opened = opened();
                    if number > 0 {
                        let fault = opened.map(|_| ()).unwrap_err();
                        assert_eq!(fault.ailment(), Ailment::Damaged, "{fault}");
                        assert!(fault.to_string().contains(name), "{fault}");
                        tried += 1;
                    }
                }
            }
            fs::write(&file, sound).unwrap();
        }
        assert!(tried > 100, "{tried}");
        assert!(opened().is_ok());
    }

    #[test]
    fn what_is_no_database_or_holds_many_blocks_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        check(&dir.path().join("missing")).unwrap();
        let disk = Rocks::open(dir.path()).unwrap();
        let mut batch = Batch::new();
        // Data that looks like headers.
        batch.put(tables::RECORDS, [1], vec![5; 300_000]);
        disk.commit(batch, Durable::Now).unwrap();
        drop(disk);
        check(dir.path()).unwrap();
        assert!(Rocks::open(dir.path()).is_ok());
    }
}
