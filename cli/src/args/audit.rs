//! `lockstep audit ...`.

use clap::{Args, Subcommand};

/// A subcommand of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Replay a history and say whether it holds
    #[command(after_help = "Examples:
  lockstep audit verify export.json
  lockstep audit verify /var/lib/lockstep --json
  tailscale lock log --json --limit 100000 | lockstep audit verify -")]
    Verify(Verify),
}

/// What to verify.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A daemon's socket, a data directory, an export, a tailscaled state
    /// directory, a file of AUMs, or - for stdin
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
