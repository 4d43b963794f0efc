//! The watermark's file: layout and meaning are in `ledger::rows::watermark`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ledger::rows::watermark::{FILE_BYTES, PAGE_BYTES, SLOT_BYTES, Watermark, slot_offset};
use ledger::{Ailment, Fault};
use rustix::fs::{OFlags, fstatfs};

use super::ailment::fault;
use super::{Durable, ROWS_DIR};

/// Name of the file within a data directory.
pub const FILE: &str = "watermark";

/// File systems that write in place and whose every sync makes the device keep all that it was
/// given before, whichever file that belongs to: ext4 and XFS, by the numbers of `statfs(2)`.
const FLUSHING_ALL: [u64; 2] = [0xef53, 0x5846_5342];

/// Where watermarks are written.
pub trait Marks: Send {
    /// Writes the next mark over the last but one. It is durable when this returns, or with the
    /// next sync of the database.
    fn write(&mut self, mark: &Watermark, durable: Durable) -> Result<(), Fault>;
}

impl Marks for WatermarkFile {
    fn write(&mut self, mark: &Watermark, durable: Durable) -> Result<(), Fault> {
        WatermarkFile::write(self, mark, durable)
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub struct WatermarkFile {
    file: File,
    path: PathBuf,
    /// Whether writes go straight to the device that the database's syncs flush.
    direct: bool,
    sequence: u64,
    page: Box<Page>,
}

/// A page, aligned as direct writes have to be.
#[derive(Debug)]
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

/// Reads the watermark of a data directory; `None` if there is no such file.
pub fn read(dir: &Path) -> Result<Option<Watermark>, Fault> {
    Ok(read_slots(&dir.join(FILE))?.map(|(_, mark)| mark))
}

fn read_slots(path: &Path) -> Result<Option<(u64, Watermark)>, Fault> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(format!("read {}", path.display()), error)),
    };
    match Watermark::from_file(&bytes) {
        Some(found) => Ok(Some(found)),
        None => {
            let what = format!("{} is damaged: no slot is sound", path.display());
            Err(Fault::new(what).of(Ailment::Damaged))
        }
    }
}

impl WatermarkFile {
    /// Creates the file of a new data directory with both slots filled, so that no later write
    /// has to allocate. When this returns it survives a power cut.
    pub fn create(dir: &Path, mark: &Watermark) -> Result<Self, Fault> {
        let path = dir.join(FILE);
        let create = || -> io::Result<()> {
            let mut bytes = vec![0; FILE_BYTES];
            for sequence in [0, 1] {
                let at = slot_offset(sequence) as usize;
                bytes[at..at + SLOT_BYTES].copy_from_slice(&mark.to_slot(sequence));
            }
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()
        };
        create().map_err(|e| fault(format!("create {}", path.display()), e))?;
        Self::open(dir)
    }

    /// Opens the file for writing. What it says is read with [`read`] and judged first.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join(FILE);
        let missing = || Fault::new(format!("{} is missing", path.display()));
        let (sequence, _) = read_slots(&path)?.ok_or_else(missing)?;
        let page = Box::new(Page([0; PAGE_BYTES]));
        let open = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| Fault::from_error(format!("open {}", path.display()), e))?;
        let mut opened = WatermarkFile { file: open, path, direct: false, sequence, page };
        if let Ok(Some(file)) = opened.open_direct(dir) {
            (opened.file, opened.direct) = (file, true);
        }
        Ok(opened)
    }

    /// The file open for direct writes, if those and a sync of the database do what a sync of the
    /// file does.
    fn open_direct(&mut self, dir: &Path) -> io::Result<Option<File>> {
        let kind = fstatfs(&self.file)?.f_type;
        let beside = std::fs::metadata(dir.join(ROWS_DIR))?.dev() == self.file.metadata()?.dev();
        if !beside || !u64::try_from(kind).is_ok_and(|kind| FLUSHING_ALL.contains(&kind)) {
            return Ok(None);
        }
        let direct = OFlags::DIRECT.bits() as i32;
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(direct).open(&self.path)?;
        // Where a device wants larger blocks this fails. It changes nothing, and is of the older
        // slot, which may be torn.
        let older = slot_offset(self.sequence.wrapping_add(1));
        file.read_exact_at(&mut self.page.0, older)?;
        file.write_all_at(&self.page.0, older)?;
        Ok(Some(file))
    }

    /// Replaces the older slot. The mark survives a power cut when this returns; or, if it need not
    /// be durable before, at the latest when the next synced commit of the database returns.
    pub fn write(&mut self, mark: &Watermark, durable: Durable) -> Result<(), Fault> {
        let sequence = self.sequence.wrapping_add(1);
        self.page.0.fill(0);
        self.page.0[..SLOT_BYTES].copy_from_slice(&mark.to_slot(sequence));
        let mut written = self.file.write_all_at(&self.page.0, slot_offset(sequence));
        if durable == Durable::Now || !self.direct {
            written = written.and_then(|()| self.file.sync_data());
        }
        written.map_err(|e| fault(format!("write {}", self.path.display()), e))?;
        self.sequence = sequence;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside a database, where a write may do without a sync of its own, and without one.
    #[test]
    fn the_last_mark_is_read_and_writing_goes_on_from_there() {
        for database in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            if database {
                std::fs::create_dir(dir.path().join(ROWS_DIR)).unwrap();
            }
            marks_are_kept(&dir);
        }
    }

    fn marks_are_kept(dir: &tempfile::TempDir) {
        let mark = |last_index| Watermark { term: 2, vote: 1, last_term: 2, last_index };
        assert_eq!(read(dir.path()).unwrap(), None);
        assert!(WatermarkFile::open(dir.path()).is_err());
        let mut file = WatermarkFile::create(dir.path(), &mark(1)).unwrap();
        for index in 2..8 {
            let durable = if index % 3 == 0 { Durable::Now } else { Durable::Later };
            file.write(&mark(index), durable).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(mark(index)));
        }
        let mut file = WatermarkFile::open(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(mark(7)));
        file.write(&mark(8), Durable::Later).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(mark(8)));
        assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().len(), FILE_BYTES as u64);
        std::fs::write(dir.path().join(FILE), [0; FILE_BYTES]).unwrap();
        assert!(read(dir.path()).is_err());
    }
}
