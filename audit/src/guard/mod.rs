//! A data directory is opened in a process of its own: RocksDB reads bytes there that anybody may
//! have written, and whatever they make of it can neither write, nor reach anything else, nor take
//! more memory, time or files than it was given.
//!
//! The other process is this program, started anew. It restricts itself, opens the database, and
//! answers questions for rows over its standard input and output ([`serve`]). What a row means is
//! judged here, as ever. A process that dies or does not answer is a failure of the source, never a
//! finding about it.

mod client;
mod messages;
mod restrict;
mod server;

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) use client::Guarded;
pub use restrict::{Restricted, restrict};
pub use server::serve;

/// How the process that opens a directory is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the directory, `busy` or `still`, and the limits (bytes of memory, seconds of
    /// processor time, files) follow, in decimal.
    pub arguments: Vec<OsString>,
    /// What it may take.
    pub limits: Limits,
}

/// What the process that opens a directory may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of processor time, before those for the size of the directory.
    pub seconds: u64,
    /// Files that are open at once.
    pub files: u64,
}

impl Default for Limits {
    /// Enough for ten million records: the rows are read block by block, and only what nobody has
    /// flushed is held in memory.
    fn default() -> Self {
        Limits { memory: 4 << 30, seconds: 600, files: 8192 }
    }
}

/// Bytes of a directory for which another second of processor time is given.
const BYTES_A_SECOND: u64 = 2 << 20;
