//! `lockstep authkey ...`: keys by which nodes may enter the roster.

use clap::{Args, Subcommand};

use super::{Change, Read};

/// A subcommand of `authkey`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthKeyCommand {
    /// Issue an auth key and print it, this once
    #[command(after_help = "Examples:
  lockstep authkey create
  lockstep authkey create --reusable --expiry 24h

The key is made here; the ledger gets its ID and a hash. To let its node in
under the lock, wrap it: lockstep lock sign KEY.")]
    Create(AuthKeyCreate),
    /// List the auth keys
    #[command(after_help = "Example:
  lockstep authkey list --json")]
    List(AuthKeyList),
    /// End an auth key: nobody can join by it any more
    #[command(after_help = "Example:
  lockstep authkey revoke kABC123CNTRL

Nodes that have joined stay in.")]
    Revoke(AuthKeyRevoke),
}

/// An auth key to issue.
#[derive(Debug, Args)]
pub(crate) struct AuthKeyCreate {
    /// Let any number of nodes join by it (default: one)
    #[arg(long)]
    pub(crate) reusable: bool,
    /// How long it is good for, such as 30m, 24h or 90d; never: for ever
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub(crate) expiry: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct AuthKeyList {
    /// Print a JSON list
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) read: Read,
}

/// An auth key to end.
#[derive(Debug, Args)]
pub(crate) struct AuthKeyRevoke {
    /// Its ID
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) change: Change,
}
