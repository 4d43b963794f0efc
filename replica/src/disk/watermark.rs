//! The watermark's file: layout and meaning are in `ledger::rows::watermark`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ledger::Fault;
use ledger::rows::watermark::{FILE_BYTES, SLOT_BYTES, Watermark, slot_offset};

/// Name of the file within a data directory.
pub const FILE: &str = "watermark";

/// The file, open for writing.
#[derive(Debug)]
pub struct WatermarkFile {
    file: File,
    path: PathBuf,
    sequence: u64,
}

/// Reads the watermark of a data directory; `None` if there is no such file.
pub fn read(dir: &Path) -> Result<Option<Watermark>, Fault> {
    Ok(read_slots(&dir.join(FILE))?.map(|(_, mark)| mark))
}

fn read_slots(path: &Path) -> Result<Option<(u64, Watermark)>, Fault> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::from_error(format!("read {}", path.display()), error)),
    };
    match Watermark::from_file(&bytes) {
        Some(found) => Ok(Some(found)),
        None => Err(Fault::new(format!("{} is damaged: no slot is sound", path.display()))),
    }
}

impl WatermarkFile {
    /// Creates the file of a new data directory with both slots filled, so that no later write
    /// has to allocate. When this returns it survives a power cut.
    pub fn create(dir: &Path, mark: &Watermark) -> Result<Self, Fault> {
        let path = dir.join(FILE);
        let create = || -> io::Result<File> {
            let mut bytes = vec![0; FILE_BYTES];
            for sequence in [0, 1] {
                let at = slot_offset(sequence) as usize;
                bytes[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(sequence));
            }
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file =
            create().map_err(|e| Fault::from_error(format!("create {}", path.display()), e))?;
        Ok(WatermarkFile { file, path, sequence: 1 })
    }

    /// Opens the file for writing. What it says is read with [`read`] and judged first.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join(FILE);
        let missing = || Fault::new(format!("{} is missing", path.display()));
        let (sequence, _) = read_slots(&path)?.ok_or_else(missing)?;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| Fault::from_error(format!("open {}", path.display()), e))?;
        Ok(WatermarkFile { file, path, sequence })
    }

    /// Replaces the older slot. When this returns the mark survives a power cut.
    pub fn write(&mut self, mark: &Watermark) -> Result<(), Fault> {
        let sequence = self.sequence.wrapping_add(1);
        self.file
            .write_all_at(&mark.to_slot(sequence), slot_offset(sequence))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Fault::from_error(format!("write {}", self.path.display()), e))?;
        self.sequence = sequence;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_is_read_and_writing_goes_on_from_there() {
        let dir = tempfile::tempdir().unwrap();
        let mark = |last_index| Watermark { term: 2, vote: 1, last_term: 2, last_index };
        assert_eq!(read(dir.path()).unwrap(), None);
        assert!(WatermarkFile::open(dir.path()).is_err());
        let mut file = WatermarkFile::create(dir.path(), &mark(1)).unwrap();
        for index in 2..5 {
            file.write(&mark(index)).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(mark(index)));
        }
        let mut file = WatermarkFile::open(dir.path()).unwrap();
        file.write(&mark(5)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(mark(5)));
        assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().len(), FILE_BYTES as u64);
        std::fs::write(dir.path().join(FILE), [0; FILE_BYTES]).unwrap();
        assert!(read(dir.path()).is_err());
    }
}
