//! `cluster ...`.

mod records;

use crate::args::{ClusterCommand, Global};
use crate::exit::Failure;

/// Runs a subcommand.
pub(super) fn run(command: ClusterCommand, global: Global) -> Result<(), Failure> {
    match command {
        ClusterCommand::Records(args) => records::run(&args, global),
    }
}
