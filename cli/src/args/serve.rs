//! `lockstep serve`.

use std::path::PathBuf;

use clap::Args;

/// Runs a signing node in the foreground.
///
/// On first start it creates its keys and a group of one, or with --join becomes
/// a member of a group that has invited it ('lockstep cluster invite'). When it
/// can serve it writes one line of JSON to stdout; logs go to stderr. As root it
/// uses /var/lib/lockstep and /run/lockstep/lockstep.sock, otherwise
/// $XDG_STATE_HOME and $XDG_RUNTIME_DIR.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep serve --data-dir ./node1 --socket ./node1.sock --operator 1000
  lockstep serve --data-dir ./node2 --socket ./node2.sock --join file:invitation

With --join it waits until the group lets it in; until then a line in its log
says for what it waits. Other machines reach it at --peer-address, or else where
it listens.")]
pub(crate) struct Serve {
    /// Address for other replicas; port 0 takes a free one, and later the same
    #[arg(long, value_name = "ADDR")]
    pub(crate) peer_listen: Option<String>,
    /// Where other replicas reach this one, if not at --peer-listen
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_address: Option<String>,
    /// Address for /livez, /readyz and /metrics; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) health_listen: Option<String>,
    /// Join a group with the token in file:PATH, or from stdin (-)
    #[arg(long, value_name = "file:PATH|-")]
    pub(crate) join: Option<String>,
    /// Name of this signing node (default: the host name)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// User who may change the lock without being root
    #[arg(long, value_name = "UID|USER")]
    pub(crate) operator: Option<String>,
    /// Group that may read from the socket
    #[arg(long, value_name = "GROUP")]
    pub(crate) socket_group: Option<String>,
    /// The tailnet lock key: a file, credential:NAME, or none (default: made in
    /// the data directory)
    #[arg(long, value_name = "FILE")]
    pub(crate) lock_key: Option<PathBuf>,
    /// Passphrase of a sealed lock key: file:PATH, fd:N or credential:NAME
    #[arg(long, value_name = "PLACE")]
    pub(crate) passphrase_from: Option<String>,
}
