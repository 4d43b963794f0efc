//! `lockstep adopt`: a lock that exists already.

use std::path::PathBuf;

use clap::Args;

use super::Change;

/// Takes over a tailnet lock that exists already, or follows one.
///
/// With SOURCE alone, the history in it becomes the next epoch of this ledger, whole or not at all,
/// and from then on the lock is changed here. With --follow, the lock stays what its own
/// coordination server says: this ledger records what a running tailscaled sees of it, signs
/// nothing, and raises an alarm when that server rewrites or withholds something.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// An export (tailscale lock log --json --limit 100000), a tailscaled state
    /// directory, or a file of AUMs
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<PathBuf>,
    /// What 'tailscale lock status --json' says of the nodes; the output of
    /// 'tailscale status --json' besides names this machine
    #[arg(long, value_name = "FILE", action = clap::ArgAction::Append)]
    pub(crate) status: Vec<PathBuf>,
    /// Keep up with the tailscaled that listens on this socket, until killed
    #[arg(long, value_name = "SOCKET")]
    pub(crate) follow: Option<PathBuf>,
    /// With --follow: look once and exit, with 1 if there is an alarm
    #[arg(long, requires = "follow")]
    pub(crate) once: bool,
    /// With --follow: seconds between looks
    #[arg(long, value_name = "SECONDS", default_value = "5", requires = "follow",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) interval: u64,
    /// Give up an adoption that is not complete, or end the following of a lock
    #[arg(long, conflicts_with_all = ["source", "status", "follow", "genesis", "head"])]
    pub(crate) end: bool,
    /// Hash that the history must begin with
    #[arg(long, value_name = "HASH")]
    pub(crate) genesis: Option<String>,
    /// Hash that was the head once, known from elsewhere
    #[arg(long, value_name = "HASH")]
    pub(crate) head: Option<String>,
    /// Do not prompt for confirmation
    #[arg(long, visible_alias = "yes")]
    pub(crate) confirm: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}
