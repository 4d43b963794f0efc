//! `lockstep audit ...`.

mod daemon;
mod verify;

use std::process::ExitCode;

use crate::args::AuditCommand;

/// Runs a subcommand. Its exit codes are its own: 0 holds, 1 broken, 2 usage, 3 could not be
/// decided, 4 findings, 5 another history than the trust anchor's.
pub(crate) fn run(command: AuditCommand) -> ExitCode {
    match command {
        AuditCommand::Verify(args) => verify::run(args),
    }
}
