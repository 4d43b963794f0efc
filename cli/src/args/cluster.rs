//! `lockstep cluster ...`: replicas and records.

use clap::{Args, Subcommand};

/// A subcommand of `cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// List the ledger's records
    #[command(after_help = "Examples:
  lockstep cluster records
  lockstep cluster records --from 100 --limit 10 --json
  lockstep cluster records --json /var/lib/lockstep

Without a directory the running daemon is asked. A directory is read as it
lies there; it is not changed, and its daemon need not run.")]
    Records(Records),
}

/// Which records, from where.
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// Index of the first record
    #[arg(long, value_name = "I", default_value = "0")]
    pub(crate) from: u64,
    /// Number of records at most (default: all)
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Data directory of a replica
    #[arg(value_name = "DATA_DIR|FILE")]
    pub(crate) source: Option<std::path::PathBuf>,
}
