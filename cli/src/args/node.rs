//! `lockstep node ...`: the roster.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Change, Read, SignWith};

/// A subcommand of `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Enter a node into the roster
    #[command(after_help = "Examples:
  lockstep node add laptop --node-key nodekey:1abddef1
  lockstep node add tv --node-key nodekey:1abddef1 --lock-key tlpub:1234abcdef
  lockstep node add laptop --node-key nodekey:1abddef1 --auth-key file:auth.key

While the lock is on, the node is locked out until its key is signed, unless it
brings an auth key that 'lockstep lock sign' has wrapped.")]
    Add(Added),
    /// List the nodes
    #[command(after_help = "Example:
  lockstep node list --json")]
    List(List),
    /// Show one node: whether it is locked out, since which record and why
    #[command(after_help = "Example:
  lockstep node show laptop")]
    Show(Named),
    /// Give a node a new node key
    #[command(after_help = "Examples:
  lockstep node rotate laptop --node-key nodekey:1abddef1
  lockstep node rotate laptop --node-key nodekey:1abddef1 --key laptop.key

With --key (the node's own lock key, or one that the lock trusts) or --signature
(made elsewhere) the node stays in; otherwise it is locked out until its new key
is signed.")]
    Rotate(Rotate),
    /// Bring a node that is no signing node up to date with the lock
    #[command(after_help = "Examples:
  lockstep node pull laptop
  lockstep node pull laptop --dir ./laptop --json

The node keeps what it learns in a directory of its own and believes the
daemon only what the rules of tailnet lock let it verify. What it has applied
is recorded: 'lockstep lock status --all' shows it.")]
    Pull(Pull),
    /// Take a node out of the roster
    #[command(after_help = "Example:
  lockstep node remove laptop")]
    Remove(NamedChange),
}

/// A node to enter.
#[derive(Debug, Args)]
pub(crate) struct Added {
    /// Name of the node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Its node key
    #[arg(long, value_name = "NODEKEY")]
    pub(crate) node_key: String,
    /// Its own tailnet lock key, which may sign its key rotations
    #[arg(long, value_name = "TLPUB")]
    pub(crate) lock_key: Option<String>,
    /// The auth key by which it joins; file:PATH reads it from a file, - from
    /// stdin
    #[arg(long, value_name = "AUTH_KEY")]
    pub(crate) auth_key: Option<String>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print a JSON list
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) read: Read,
}

/// One node to look at.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name, ID, stable ID or node key
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) read: Read,
}

/// One node to change.
#[derive(Debug, Args)]
pub(crate) struct NamedChange {
    /// Name, ID, stable ID or node key
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// A node to bring up to date.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Name, ID or node key
    #[arg(value_name = "NODE")]
    pub(crate) name: String,
    /// Its directory (default: nodes/ID below the data directory)
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Then set the lock aside on that node: it lets every node in
    #[arg(long, conflicts_with = "local_enable")]
    pub(crate) local_disable: bool,
    /// Then take that back
    #[arg(long)]
    pub(crate) local_enable: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node's new key.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Name, ID, stable ID or node key
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// The new node key (default: one is generated, whose private half is
    /// kept for this machine's own node only)
    #[arg(long, value_name = "NODEKEY")]
    pub(crate) node_key: Option<String>,
    /// A rotation signature made elsewhere (CBOR)
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) signature: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) with: SignWith,
    #[command(flatten)]
    pub(crate) change: Change,
}
