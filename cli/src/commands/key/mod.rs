//! `key ...`: tailnet-lock keys that no daemon holds. Needs none.

mod generate;
mod show;
mod sign;

use crate::args::KeyCommand;
use crate::exit::Failure;

/// Runs a subcommand.
pub(super) fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Generate(args) => generate::generate(&args),
        KeyCommand::Seal(args) => generate::seal(&args),
        KeyCommand::Show(args) => show::run(&args),
        KeyCommand::Sign(args) => sign::run(&args),
    }
}
