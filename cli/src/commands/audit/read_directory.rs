//! `audit read-directory`: what this program starts to open a data directory, and how.

use std::io;
use std::process::ExitCode;

use audit::guard::{Guard, Limits, serve};

use crate::args::AuditReadDirectory;

/// Starts this program anew to open a directory. None if the system does not say which it is: the
/// directory is then opened in this process.
pub(super) fn guard() -> Option<Guard> {
    let program = std::env::current_exe().ok()?;
    let arguments = ["audit", "read-directory"].map(Into::into).into();
    Some(Guard { program, arguments, limits: Limits::default() })
}

pub(super) fn run(args: &AuditReadDirectory) -> ExitCode {
    let AuditReadDirectory { dir, state, memory, seconds, files } = args;
    let limits = Limits { memory: *memory, seconds: *seconds, files: *files };
    let served = serve(dir, state == "busy", limits, io::stdin(), io::stdout().lock());
    // Whoever has started it sees how it ends; nobody reads what it would say.
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
