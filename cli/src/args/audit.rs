//! `lockstep audit ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A subcommand of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Replay a history and say whether it holds
    #[command(after_help = "Examples:
  lockstep audit verify export.json
  lockstep audit verify /var/lib/lockstep --json
  tailscale lock log --json --limit 100000 | lockstep audit verify -

Exit codes: 0 holds, 1 broken, 2 usage, 3 could not be decided, 4 holds but
with findings at --fail-on, 5 not the history that was named.")]
    Verify(Verify),
}

/// Replays a history from its bytes and says whether it holds.
///
/// The form of SOURCE is recognized by its content. A directory is only read. Without --genesis or
/// --head a forged history can hold too: whose it is, only a hash from elsewhere can say.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A daemon's socket, a data directory, an export, a tailscaled state
    /// directory, a file of AUMs, or - for stdin
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Hash that the history must begin with: of the first AUM, or of record 0
    #[arg(long, value_name = "HASH")]
    pub(crate) genesis: Option<String>,
    /// Hash that was the head once: of an AUM, or of a record
    #[arg(long, value_name = "HASH")]
    pub(crate) head: Option<String>,
    /// State ID that the lock must have (tells locks apart, proves nothing)
    #[arg(long, value_name = "A:B")]
    pub(crate) state_id: Option<String>,
    /// Decide nothing unless --genesis or --head says whose history it is
    #[arg(long)]
    pub(crate) require_anchor: bool,
    /// Exit 4 if there is a finding of this severity or above: note, warning
    /// or error
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<String>,
    /// Directory for scratch files of long histories (default: the system's)
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,
    /// Say on stderr how far the work is
    #[arg(long)]
    pub(crate) progress: bool,
}
