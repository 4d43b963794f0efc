//! `lockstep completions` and `lockstep man`: for whoever packages the program.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A shell whose completions can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash.
    Bash,
    /// fish.
    Fish,
    /// Z shell.
    Zsh,
}

/// Prints the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  lockstep completions bash > /etc/bash_completion.d/lockstep")]
pub(crate) struct Completions {
    /// bash, fish or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    pub(crate) shell: Shell,
}

/// Writes a man page for each command into a directory.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  lockstep man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Where to; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
