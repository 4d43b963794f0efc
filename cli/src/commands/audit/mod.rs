//! `lockstep audit ...`.

mod check_proof;
mod daemon;
mod demo;
mod export;
mod prove;
mod question;
mod read_directory;
mod source;
mod verify;
mod watch;

use std::process::ExitCode;

use crate::args::AuditCommand;
use crate::exit::Failure;

/// The exit code for what could not be decided.
const UNDECIDABLE: u8 = 3;

/// Runs a subcommand. Its exit codes are its own: 0 holds, 1 broken, 2 usage, 3 could not be
/// decided, 4 findings, 5 another history than the trust anchor's.
pub(crate) fn run(command: AuditCommand) -> ExitCode {
    match command {
        AuditCommand::Verify(args) => verify::run(*args),
        AuditCommand::Log(args) => question::log(&args),
        AuditCommand::Show(args) => question::show(&args),
        AuditCommand::State(args) => question::state(&args),
        AuditCommand::Key(args) => question::key(&args),
        AuditCommand::Node(args) => question::node(&args),
        AuditCommand::Forks(args) => question::forks(&args),
        AuditCommand::Diff(args) => question::diff(&args),
        AuditCommand::Export(args) => export::run(&args),
        AuditCommand::Vkeys(args) => export::vkeys(&args),
        AuditCommand::Prove(args) => prove::run(&args),
        AuditCommand::CheckProof(args) => check_proof::run(&args),
        AuditCommand::Watch(args) => watch::run(&args),
        AuditCommand::Demo(args) => demo::run(&args),
        AuditCommand::ReadDirectory(args) => read_directory::run(&args),
    }
}

/// How a command that could not do its work ends: wrong usage is 2, everything else undecided.
fn failed(failure: &Failure) -> ExitCode {
    let code = failure.report();
    if failure.code == crate::exit::Code::Usage { code } else { ExitCode::from(UNDECIDABLE) }
}
