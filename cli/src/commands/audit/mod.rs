//! `lockstep audit ...`.

use std::process::ExitCode;

use crate::args::AuditCommand;
use crate::exit::Failure;

/// Runs a subcommand. Its exit codes are its own: 0 holds, 1 broken, 2 usage, 3 could not be
/// decided, 4 findings, 5 another history than the trust anchor's.
pub(crate) fn run(command: AuditCommand) -> ExitCode {
    match command {
        AuditCommand::Verify(_) => Failure::new("audit verify is not there yet").report(),
    }
}
