//! The `lockstep` command: parse, call, print. It holds no lock logic.
//!
//! It is a library so that a test can run it as the version after this one, whose daemon supports
//! more; the program itself is `main.rs`.

mod args;
mod commands;
mod exit;
mod go_flags;
mod print;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
pub use replica::node::Supported;

use crate::args::Cli;
use crate::exit::{Code, Failure};
use crate::go_flags::{Misspelled, Wrong};

// Bugs that are planted for the simulations must never reach a program.
const _: () = assert!(!ledger::PLANTED, "the command must not be built with the feature planted");

/// Long audits take a sixth less time with it than with the system's allocator: memory is got on
/// one thread and given back on another.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs the command that the arguments of this process name. `supported` is what its daemon can do.
pub fn main(supported: Supported) -> ExitCode {
    match parse() {
        Ok(cli) => commands::run(cli, supported),
        Err(Stop::Help(text)) => match print::stdout(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(Stop::Wrong(failure)) => failure.report(),
    }
}

/// Why a command line leads to no command.
enum Stop {
    /// Help or the version was asked for.
    Help(String),
    /// It is wrong.
    Wrong(Failure),
}

fn parse() -> Result<Cli, Stop> {
    let mut definitions = Cli::command();
    let words = go_flags::respell(&definitions, std::env::args_os().skip(1))
        .map_err(|misspelled| Stop::Wrong(misspelled.into()))?;
    let parsed = definitions.try_get_matches_from_mut(words);
    parsed.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Help(error.to_string()),
        _ => Stop::Wrong(Failure::usage(error.to_string().trim_end())),
    })
}

impl From<Misspelled> for Failure {
    fn from(misspelled: Misspelled) -> Self {
        let Misspelled { command, what } = misspelled;
        let help = format!("Run '{command} --help' for what there is.");
        match &what {
            // The original counts this as a failure, not as usage.
            Wrong::Subcommand(_) => {
                let code = if command == "lockstep lock" { Code::Failed } else { Code::Usage };
                Failure { code, ..Failure::usage(format!("{command}: {what}")) }.remedy(help)
            }
            _ => Failure::usage(what.to_string()).remedy(help),
        }
    }
}
