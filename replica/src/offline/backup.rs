//! A backup in a file (`ledger::formats::record_stream`): all records, and no secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ledger::formats::record_stream::{Broken, End, Head, RecordStream, frame};
use ledger::history::{Record, RecordHash};
use ledger::lock::signatures::decode_each_and_verify;

use super::incarnation::{NotBegun, io, parent, sync_directory};
use crate::node::Threads;

const DAMAGED: &str = "Take another backup; 'lockstep audit verify FILE' says more.";

/// A backup that is being written. What is dropped before it is finished is deleted.
#[derive(Debug)]
pub struct BackupWriter {
    path: PathBuf,
    file: BufWriter<File>,
    head: Head,
    next: u64,
    last: Option<RecordHash>,
    finished: bool,
}

impl BackupWriter {
    /// Makes the file, with mode 0600. Fails if anything is there.
    pub fn create(path: &Path, head: Head) -> Result<Self, NotBegun> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => NotBegun::refused(
                format!("{} exists, and a backup overwrites nothing", path.display()),
                "Choose another name. A backup that was cut short can be deleted.",
            ),
            _ => io("creating", path)(error),
        })?;
        let file = BufWriter::new(file);
        let path = path.to_owned();
        let mut writer = BackupWriter { path, file, head, next: 0, last: None, finished: false };
        writer.write(&head.to_bytes())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), NotBegun> {
        self.file.write_all(bytes).map_err(io("writing", &self.path))
    }

    /// The index of the record that belongs there next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds records as somebody sent them: each must follow the one before, and every signature in
    /// it must hold.
    pub fn add(&mut self, records: &[Vec<u8>]) -> Result<(), NotBegun> {
        let decode = |records: &[Vec<u8>]| Record::decode_each(records.iter().map(Vec::as_slice));
        for record in decode_each_and_verify(records, decode, &Threads::all()) {
            let index = self.next;
            let wrong = |why: String| {
                NotBegun::refused(
                    format!("record {index}, as the daemon sent it, does not hold: {why}"),
                    "Audit it ('lockstep audit verify SOCKET'), and back up another replica.",
                )
            };
            let record = record.map_err(|refusal| wrong(refusal.to_string()))?;
            let record = record.get();
            if record.index() != index || record.prev() != self.last || index >= self.head.records {
                return Err(wrong("it does not follow the one before".to_owned()));
            }
            self.write(&frame(record.bytes()))?;
            self.next += 1;
            self.last = Some(record.hash());
        }
        Ok(())
    }

    /// Writes the end and syncs; then reads everything again. Returns the number of bytes.
    pub fn finish(mut self, end: End) -> Result<u64, NotBegun> {
        if self.next != self.head.records || self.last != Some(end.hash) {
            return Err(NotBegun::refused(
                "the records that the daemon sent do not end where it said",
                "Audit it ('lockstep audit verify SOCKET'), and back up another replica.",
            ));
        }
        self.write(&end.to_bytes())?;
        self.file.flush().map_err(io("writing", &self.path))?;
        self.file.get_ref().sync_all().map_err(io("syncing", &self.path))?;
        sync_directory(parent(&self.path))?;
        let mut backup = BackupReader::open(&self.path)?;
        while backup.next_record()?.is_some() {}
        if backup.end() != Some(end) || backup.head() != self.head {
            return Err(backup.refused("it does not read as it was written"));
        }
        let bytes = fs::metadata(&self.path).map_err(io("looking at", &self.path))?.len();
        self.finished = true;
        Ok(bytes)
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is refused when somebody reads it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A backup that is being read.
#[derive(Debug)]
pub struct BackupReader {
    path: PathBuf,
    file: BufReader<File>,
    stream: RecordStream,
}

impl BackupReader {
    /// Opens a backup and reads its head.
    pub fn open(path: &Path) -> Result<Self, NotBegun> {
        let mut file = BufReader::new(File::open(path).map_err(io("opening", path))?);
        let stream = RecordStream::open(&mut |count| some(&mut file, count));
        let stream = stream.map_err(|broken| not_read(path, broken))?;
        Ok(BackupReader { path: path.to_owned(), file, stream })
    }

    /// What precedes the records.
    pub fn head(&self) -> Head {
        self.stream.head()
    }

    /// What follows them, once they are read.
    pub fn end(&self) -> Option<End> {
        self.stream.end()
    }

    /// The next record: linked to the one before, its signatures not checked.
    pub fn next_record(&mut self) -> Result<Option<Record>, NotBegun> {
        let file = &mut self.file;
        let next = self.stream.next(&mut |count| some(file, count));
        next.map_err(|broken| not_read(&self.path, broken))
    }

    pub(super) fn refused(&self, why: &str) -> NotBegun {
        NotBegun::refused(format!("the backup {}: {why}", self.path.display()), DAMAGED)
    }
}

/// As many bytes as are asked for, or those that are left.
fn some(file: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_read(path: &Path, broken: Broken<io::Error>) -> NotBegun {
    match broken {
        Broken::Read(error) => io("reading", path)(error),
        broken => NotBegun::refused(format!("the backup {}: {broken}", path.display()), DAMAGED),
    }
}
