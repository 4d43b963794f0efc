//! `lockstep config ...`: the daemon's settings.

use clap::{Args, Subcommand};

/// A subcommand of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Resolve the daemon's settings and show what is in force
    #[command(after_help = "Examples:
  lockstep config check --config config.toml
  lockstep config check --json

What 'lockstep serve' would use with the same --config, --data-dir and --socket:
flag, then environment, then configuration file, then default. No secret is
shown, and nothing is started. Exit codes: 0 it holds together; 2 it does not.")]
    Check(ConfigCheck),
}

/// How the settings are to be shown.
#[derive(Debug, Args)]
pub(crate) struct ConfigCheck {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
