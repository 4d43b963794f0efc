//! `cluster ...`.

mod records;

use super::Session;
use crate::args::ClusterCommand;
use crate::exit::Failure;

/// Runs a subcommand.
pub(super) fn run(command: ClusterCommand, session: &Session) -> Result<(), Failure> {
    match command {
        ClusterCommand::Records(args) => records::run(args, session),
    }
}
