//! Telling the forms apart by what is there, not by names.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::backup::{Backup, is_backup};
use super::{Aums, MAX_FILE_BYTES, cbor, log_json, state_dir};
use crate::evidence::{Bundle, is_bundle};

/// Bytes at the beginning of a file by which a bundle is recognized.
const START_BYTES: u64 = 512;

/// What a path or a stream turned out to be.
#[derive(Debug)]
pub enum Detected {
    /// A socket: a live daemon, which the caller asks.
    Socket(PathBuf),
    /// The data directory of a Lockstep replica.
    DataDir(PathBuf),
    /// An evidence bundle, indexed.
    Bundle(Bundle),
    /// A backup, to be read.
    Backup(Backup),
    /// AUMs, read.
    Aums(Aums),
}

/// Why a source cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system refused.
    #[error("cannot read {path}: {error}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is too big to be what it looks like.
    #[error("{0} is larger than {MAX_FILE_BYTES} bytes, which no AUM history is")]
    TooBig(PathBuf),
    /// It is none of the forms.
    #[error(
        "{0} is none of: a socket, a data directory, a backup, an evidence bundle, the output of \
         `lock log --json`, a tailscaled state directory, a file of CBOR AUMs"
    )]
    Unknown(PathBuf),
    /// There are several, and nobody said which.
    #[error("{path} holds several profiles; name one of: {}", names.join(", "))]
    SeveralProfiles {
        /// The directory.
        path: PathBuf,
        /// Its profiles.
        names: Vec<String>,
    },
}

/// Recognizes what lies at `path` and reads it, unless it is a socket or a data directory.
pub fn detect(path: &Path) -> Result<Detected, Unreadable> {
    let io = |error| Unreadable::Io { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.file_type().is_socket() {
        return Ok(Detected::Socket(path.to_owned()));
    }
    if metadata.is_dir() {
        if crate::rocks::is_data_dir(path) {
            return Ok(Detected::DataDir(path.to_owned()));
        }
        return state_dir::read(path).map(Detected::Aums);
    }
    let mut file = File::open(path).map_err(io)?;
    let mut start = Vec::new();
    (&mut file).take(START_BYTES).read_to_end(&mut start).map_err(io)?;
    if metadata.is_file() && is_bundle(&start) {
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        // Not read into memory: it may be larger than that.
        return Bundle::of_file(file).map(Detected::Bundle).map_err(io);
    }
    if metadata.is_file() && is_backup(&start) {
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        return Ok(Detected::Backup(Backup::of_file(file)));
    }
    detect_stream(start.as_slice().chain(file), path)
}

/// Reads a stream to its end and recognizes it by its content. `path` only serves messages.
pub fn detect_stream(from: impl Read, path: &Path) -> Result<Detected, Unreadable> {
    let bytes = read_whole(from, path)?;
    if is_bundle(&bytes) {
        return Ok(Detected::Bundle(Bundle::of_bytes(bytes)));
    }
    detect_bytes(&bytes, path)
}

/// Recognizes the content of a file or stream.
pub fn detect_bytes(bytes: &[u8], path: &Path) -> Result<Detected, Unreadable> {
    if is_bundle(bytes) {
        return Ok(Detected::Bundle(Bundle::of_bytes(bytes.to_vec())));
    }
    if is_backup(bytes) {
        return Ok(Detected::Backup(Backup::of_bytes(bytes.to_vec())));
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(Detected::Aums(log_json::read(bytes))),
        // A CBOR map of two to eight pairs: every AUM begins so.
        Some(0xa2..=0xa8) if bytes[0] >= 0xa2 => Ok(Detected::Aums(cbor::read(bytes))),
        _ => Err(Unreadable::Unknown(path.to_owned())),
    }
}

/// Reads a file or stream whole, if it is not absurdly big.
fn read_whole(from: impl Read, path: &Path) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let error = match from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 <= MAX_FILE_BYTES => return Ok(bytes),
        Ok(_) => return Err(Unreadable::TooBig(path.to_owned())),
        Err(error) => error,
    };
    Err(Unreadable::Io { path: path.to_owned(), error })
}
