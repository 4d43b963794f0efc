//! `lockstep cluster ...`: the group of replicas, and the records.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Change, Read};

/// A subcommand of `cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the group: who is in it, who leads, and what is wrong
    #[command(after_help = "Examples:
  lockstep cluster status
  lockstep cluster status --json --read local

Exit codes: 0 healthy; 1 degraded, or nobody answers; 3 no quorum, or an alarm.
Every replica can be asked; each tells how the group looks from where it is.")]
    Status(GroupStatus),
    /// Invite a machine to join the group
    #[command(after_help = "Examples:
  lockstep cluster invite > invitation
  lockstep cluster invite --expiry 1h --json
  lockstep cluster invite --for FINGERPRINT > invitation

The token stands alone on stdout. It is a secret, good for one machine, and not
shown again. The machine reads it from a file or from stdin:

  lockstep serve --join file:invitation

Unless the invitation was made --for its fingerprint, it then waits for
'lockstep cluster approve'.")]
    Invite(Invite),
    /// Let a machine in that was invited and waits
    #[command(after_help = "Example:
  lockstep cluster approve FINGERPRINT

Compare the fingerprint with the one that the machine itself shows: it logs it
while it waits, and 'lockstep cluster fingerprint' prints it there. Whoever is
approved gets all records, and votes once it has caught up.")]
    Approve(Approve),
    /// Let a learner vote
    #[command(after_help = "Example:
  lockstep cluster promote 3

It votes as soon as it has caught up; nothing is held up until then.")]
    Promote(MemberChange),
    /// Let a voter follow without a vote
    #[command(after_help = "Example:
  lockstep cluster demote 3")]
    Demote(MemberChange),
    /// Take a replica out of the group, for good
    #[command(after_help = "Example:
  lockstep cluster remove 3

The others close their connections to it, and its daemon ends. Its identity
cannot come back: the machine may join again with an empty data directory. The
lock goes on trusting its lock key until that is revoked or removed; the command
says so and prints what to run.")]
    Remove(MemberChange),
    /// Let another replica lead
    #[command(
        name = "transfer-leader",
        after_help = "Example:
  lockstep cluster transfer-leader 1

Nothing is recorded by that. A daemon that is stopped hands the leadership over
by itself."
    )]
    TransferLeader(MemberChange),
    /// Print the fingerprint of this machine's member key
    #[command(after_help = "Examples:
  lockstep cluster fingerprint --data-dir /var/lib/lockstep
  lockstep cluster fingerprint --json

Makes the data directory and the key if there is none yet, so that a member can
make an invitation that is good for this machine alone (cluster invite --for).")]
    Fingerprint(Fingerprint),
    /// List the ledger's records
    #[command(after_help = "Examples:
  lockstep cluster records
  lockstep cluster records --from 100 --limit 10 --json
  lockstep cluster records --json /var/lib/lockstep

Without a directory the running daemon is asked. A directory is read as it
lies there; it is not changed, and its daemon need not run. A backup is read
likewise.")]
    Records(Records),
    /// Write all records to a file, from the running daemon
    #[command(after_help = "Example:
  lockstep cluster backup lockstep.backup

The file (mode 0600) has every record up to the moment at which it was begun,
and no key or secret: keep those apart. It is verified while it is written, and
'lockstep audit verify FILE' verifies it anywhere. Nothing is overwritten.")]
    Backup(Backup),
    /// Begin the group anew from a backup
    #[command(after_help = "Examples:
  lockstep cluster restore lockstep.backup --data-dir ./n --compare export.json
  lockstep cluster restore lockstep.backup --data-dir ./n --yes

Only when no data directory of the group is left: otherwise 'lockstep cluster
recover' loses less. Whatever was recorded after the backup is undone; name with
--compare what may still know of it. The group begins a new incarnation with one
member, which has new keys. Nobody from before can enter it: other machines join
anew by invitations. Then start it with 'lockstep serve --data-dir DIR'.")]
    Restore(Restore),
    /// Begin the group anew when most of its members are lost for good
    #[command(after_help = "Examples:
  lockstep cluster recover --data-dir ./node1
  lockstep cluster recover --data-dir ./node1 --with ./node2 --yes

Stop every daemon first. Name the data directories of all members that are left,
copied to this machine: what was acknowledged is kept if one of them has it. The
former directory stays beside as DIR.before-incarnation-N. If most members are
only away, do not do this: bring them back, and the group goes on by itself.")]
    Recover(Recover),
    /// Show what a data directory holds, without its daemon
    #[command(after_help = "Example:
  lockstep cluster inspect /var/lib/lockstep --json

Nothing in the directory is changed. While a daemon runs in it, what is shown
may be torn.")]
    Inspect(Inspect),
}

/// How the group is to be shown.
#[derive(Debug, Args)]
pub(crate) struct GroupStatus {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) read: Read,
}

/// An invitation to make.
#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(crate) expiry: String,
    /// The only machine that it is for, by its member key's fingerprint: it
    /// need not be approved then
    #[arg(long = "for", value_name = "FINGERPRINT")]
    pub(crate) named: Option<String>,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Whom to approve.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Fingerprint of its member key
    #[arg(value_name = "FINGERPRINT")]
    pub(crate) fingerprint: String,
    /// Do it even if the group loses its quorum by that
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// A member to change.
#[derive(Debug, Args)]
pub(crate) struct MemberChange {
    /// Number of the replica, as 'lockstep cluster status' shows it
    #[arg(value_name = "REPLICA_ID")]
    pub(crate) replica: String,
    /// Do it even if the group loses its quorum by that
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// How the fingerprint is to be shown.
#[derive(Debug, Args)]
pub(crate) struct Fingerprint {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which data directory.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Data directory of a replica
    #[arg(value_name = "DATA_DIR")]
    pub(crate) dir: PathBuf,
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
    #[command(flatten)]
    pub(crate) read: Read,
    /// Data directory of a replica, or a backup
    #[arg(value_name = "DATA_DIR|FILE")]
    pub(crate) source: Option<PathBuf>,
}

/// What to back up, to where.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) read: Read,
    /// File to make; it must not exist
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What to restore, to where.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What may have more than the backup: a data directory of a former member,
    /// or what a node has of the lock (node pull --dir, lock log --json)
    #[arg(long, value_name = "SOURCE")]
    pub(crate) compare: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) begin: Begin,
    /// Name of the new member (default: the host name)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// From what to recover.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Data directory of another member that is left
    #[arg(long, value_name = "DIR")]
    pub(crate) with: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) begin: Begin,
}

/// How an incarnation is begun.
#[derive(Debug, Args)]
pub(crate) struct Begin {
    /// Do it without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The tailnet lock key, as 'lockstep serve' takes it
    #[arg(long, value_name = "FILE")]
    pub(crate) lock_key: Option<PathBuf>,
    /// Passphrase of a sealed lock key: file:PATH, fd:N or credential:NAME
    #[arg(long, value_name = "PLACE")]
    pub(crate) passphrase_from: Option<String>,
}
