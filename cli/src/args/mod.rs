//! The command line as definitions: what every command takes, and its help.
//!
//! Nothing here acts or imports the rest of the program, so that man pages and completions can be
//! made from the same definitions. [`crate::go_flags`] spells a command line as clap expects it.

mod adopt;
mod audit;
mod auth_key;
mod cluster;
mod config;
mod generate;
mod key;
mod lock;
mod node;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use adopt::Adopt;
pub(crate) use audit::{
    AuditCheckProof, AuditCommand, AuditDemo, AuditDiff, AuditExport, AuditHow, AuditKey, AuditLog,
    AuditNode, AuditProve, AuditReadDirectory, AuditShow, AuditSource, AuditState, AuditVkeys,
    AuditWatch, Verify,
};
pub(crate) use auth_key::{AuthKeyCommand, AuthKeyCreate, AuthKeyList, AuthKeyRevoke};
pub(crate) use cluster::{
    Approve, Backup, Begin, ClusterCommand, Fingerprint, GroupStatus, Inspect, Invite,
    MemberChange, Records, Recover, Restore,
};
pub(crate) use config::{ConfigCheck, ConfigCommand};
pub(crate) use generate::{Completions, Man, Shell};
pub(crate) use key::{Generate, KeyCommand, PassphraseFrom, Seal, Show, SignFile, SignWith};
pub(crate) use lock::{
    Add, Disable, DisablementKdf, Init, Local, LockCommand, Log, Remove, RevokeKeys, Sign, Status,
    Submit, TskeyWrap, Why,
};
pub(crate) use node::{Added, List, Named, NamedChange, NodeCommand, Pull, Rotate};
pub(crate) use serve::Serve;

/// Width of every help text and of what we write for people, in columns.
pub(crate) const COLUMNS: usize = 80;

/// A highly available tailnet-lock authority.
///
/// Lockstep records every lock operation in a replicated ledger. `lockstep lock` works like
/// `tailscale lock`, against a Lockstep daemon or a tailscaled.
#[derive(Debug, Parser)]
#[command(
    name = "lockstep",
    version,
    term_width = COLUMNS,
    disable_help_subcommand = true,
    subcommand_required = true,
    infer_long_args = false,
    after_help = "Examples:
  lockstep serve --data-dir /var/lib/lockstep
  lockstep lock status
  lockstep audit verify export.json

Flags may stand before or behind the arguments, with one dash or two."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the daemon and its data are: the same for every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global flags")]
pub(crate) struct Global {
    /// The daemon's socket, ours or a tailscaled's [env: LOCKSTEP_SOCKET]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Configuration file (TOML) [env: LOCKSTEP_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The daemon's data directory [env: LOCKSTEP_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// The first word of a command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a signing node in the foreground
    Serve(Serve),
    /// Manage tailnet lock
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Without a subcommand: lock status.

Example:
  lockstep lock"
    )]
    Lock {
        #[command(subcommand)]
        command: Option<LockCommand>,
    },
    /// Manage the roster of nodes
    #[command(after_help = "Example:
  lockstep node list")]
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Make and use tailnet lock keys outside a daemon
    #[command(after_help = "Example:
  lockstep key generate offline.key")]
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Issue and revoke keys by which nodes may enter the roster
    #[command(
        name = "authkey",
        after_help = "Example:
  lockstep authkey create"
    )]
    AuthKey {
        #[command(subcommand)]
        command: AuthKeyCommand,
    },
    /// Manage the group of replicas, and look at the ledger
    #[command(after_help = "Examples:
  lockstep cluster status
  lockstep cluster records --json --limit 10")]
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Look at the daemon's settings
    #[command(after_help = "Example:
  lockstep config check")]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Take over a tailnet lock that exists already, or follow one
    #[command(after_help = "Examples:
  lockstep adopt export.json
  lockstep adopt export.json --status status.json --confirm
  lockstep adopt --follow /run/tailscale/tailscaled.sock --once --confirm
  lockstep adopt --end

What the history rests on is shown first; on a terminal [y/N] is asked,
otherwise the line is shown that carries it out. If it is cut short, run the
same command again: nothing is in force before the history is complete.")]
    Adopt(Adopt),
    /// Replay and check a lock's history, and ask it questions
    #[command(after_help = "Examples:
  lockstep audit verify export.json
  lockstep audit log /var/lib/lockstep")]
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print what a shell needs to complete command lines
    #[command(hide = true)]
    Completions(Completions),
    /// Write the man pages
    #[command(hide = true)]
    Man(Man),
}

/// From which state a read is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadFrom {
    /// Everything that was acknowledged before, anywhere.
    #[default]
    Linearizable,
    /// What the daemon has that is asked.
    Local,
}

/// The flag of the commands that only look.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Read {
    /// What the daemon answers from: all that was acknowledged anywhere, or
    /// what it has itself. Without a quorum the first becomes the second
    /// after 2 s, and stderr says so
    #[arg(
        long,
        value_name = "linearizable|local",
        default_value = "linearizable",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) read: ReadFrom,
}

/// The flags of every command that changes something.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Change {
    /// Name of this request: repeating it with the same name and arguments
    /// changes nothing twice (1-64 of A-Z a-z 0-9 . _ -; default random)
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
