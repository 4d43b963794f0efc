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
with findings at --fail-on or by policy, 5 not the history that was named.")]
    Verify(Box<Verify>),
    /// Tell what happened, oldest first
    #[command(after_help = "Examples:
  lockstep audit log /var/lib/lockstep
  lockstep audit log --kind aums-added /var/lib/lockstep")]
    Log(AuditLog),
    /// Show an AUM or a record, with all that is known of it
    #[command(after_help = "Example:
  lockstep audit show 1 /var/lib/lockstep")]
    Show(AuditShow),
    /// Say which keys were trusted at some place or time
    #[command(after_help = "Example:
  lockstep audit state --at 3 /var/lib/lockstep")]
    State(AuditState),
    /// Tell the whole life of a trusted key
    #[command(after_help = "Example:
  lockstep audit key tlpub:1234abcdef /var/lib/lockstep")]
    Key(AuditKey),
    /// Say why a node is in or out
    #[command(after_help = "Example:
  lockstep audit node laptop /var/lib/lockstep")]
    Node(AuditNode),
    /// Show where chains forked, and why one branch won
    #[command(after_help = "Example:
  lockstep audit forks /var/lib/lockstep")]
    Forks(AuditSource),
    /// Show what changed between two places
    #[command(after_help = "Example:
  lockstep audit diff 1 3 /var/lib/lockstep")]
    Diff(AuditDiff),
    /// Write a verified ledger as a bundle that can be checked anywhere
    #[command(after_help = "Example:
  lockstep audit export evidence.tar /var/lib/lockstep")]
    Export(AuditExport),
    /// Print the keys that verify the ledger's checkpoints, one a line
    #[command(after_help = "Example:
  lockstep audit vkeys evidence.tar")]
    Vkeys(AuditVkeys),
    /// Prove that a record is in the log, or that the log only grew
    #[command(after_help = "Examples:
  lockstep audit prove 7 evidence.tar > record.tlog-proof
  lockstep audit prove --from 5 evidence.tar")]
    Prove(AuditProve),
    /// Check a proof that somebody hands over
    #[command(
        name = "check-proof",
        after_help = "Example:
  lockstep audit check-proof record.tlog-proof evidence.tar

Whoever has no history gives the log's keys with --vkey, as 'audit vkeys'
printed them for somebody whom they trust."
    )]
    CheckProof(AuditCheckProof),
    /// Audit a source again and again, and tell what is new
    #[command(after_help = "Examples:
  lockstep audit watch --once --resume watch.json /var/lib/lockstep
  lockstep audit watch --once --silence 90d --json /var/lib/lockstep

Each pass verifies what is new and demands that the history goes on from where
it ended at the pass before. Without --once it goes on until it is stopped.")]
    Watch(AuditWatch),
    /// Make a sample history and its report
    #[command(after_help = "Example:
  lockstep audit demo stolen-key demo")]
    Demo(AuditDemo),
    /// Open a data directory and answer for its rows on stdin and stdout
    ///
    /// What `audit` starts to read a directory, with limits and without rights.
    #[command(hide = true)]
    ReadDirectory(AuditReadDirectory),
}

/// What reads a data directory for another process of this program.
#[derive(Debug, Args)]
pub(crate) struct AuditReadDirectory {
    /// The directory
    pub(crate) dir: PathBuf,
    /// `busy` if somebody may be writing to it, or `still`
    pub(crate) state: String,
    /// Bytes of memory
    pub(crate) memory: u64,
    /// Seconds of processor time
    pub(crate) seconds: u64,
    /// Files open at once
    pub(crate) files: u64,
}

/// Replays a history from its bytes and says whether it holds.
///
/// The form of SOURCE is recognized by its content. A directory is only read. Without --genesis,
/// --head, --vkey or --resume a forged history can hold too: whose it is, only a value from
/// elsewhere can say.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A daemon's socket, a data directory, an evidence bundle, an export, a
    /// tailscaled state directory, a file of AUMs, or - for stdin
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Another replica's data directory, bundle or socket to compare with
    /// (may be repeated)
    #[arg(long, value_name = "SOURCE")]
    pub(crate) replica: Vec<PathBuf>,
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
    /// Key that signs or witnesses the ledger's checkpoints (may be repeated)
    #[arg(long, value_name = "VKEY")]
    pub(crate) vkey: Vec<String>,
    /// Decide nothing unless a value from elsewhere says whose history it is
    #[arg(long)]
    pub(crate) require_anchor: bool,
    /// What 'tailscale lock status --json' printed for the same tailnet at the
    /// time of an export: its nodes' signatures are checked too
    #[arg(long, value_name = "FILE")]
    pub(crate) status: Option<PathBuf>,
    /// What is demanded beyond the rules (TOML; docs/audit.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Findings that were looked at and are accepted for a while (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) accept: Option<PathBuf>,
    /// Exit 4 if there is a finding of this severity or above: note, warning
    /// or error
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<String>,
    /// Remember the end of the history in FILE (and FILE.state); the next time
    /// it has to go on from there, and only what is new is verified
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,
    /// Write a report for people as one HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Directory for scratch files of long histories (default: the system's)
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,
    /// Say on stderr how far the work is
    #[arg(long)]
    pub(crate) progress: bool,
}

/// A source, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct AuditSource {
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// How to answer.
#[derive(Debug, Args)]
pub(crate) struct AuditHow {
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What 'tailscale lock status --json' printed for the same tailnet
    #[arg(long, value_name = "FILE")]
    pub(crate) status: Option<PathBuf>,
    /// Directory for scratch files of long histories (default: the system's)
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,
    /// Say on stderr how far the work is
    #[arg(long)]
    pub(crate) progress: bool,
}

/// Tells what happened, oldest first.
#[derive(Debug, Args)]
pub(crate) struct AuditLog {
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Only what is about this trusted key
    #[arg(long, value_name = "TLPUB")]
    pub(crate) key: Option<String>,
    /// Only what is about the node with this key
    #[arg(long, value_name = "NODEKEY")]
    pub(crate) node: Option<String>,
    /// Only events of this kind, such as aums-added
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only what this person or member asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Not before this date or time (UTC), such as 2026-11-26T18:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Not after this date or time (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The last ones only
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Shows an AUM or a record.
#[derive(Debug, Args)]
pub(crate) struct AuditShow {
    /// The hash of an AUM or a record, or a record's index
    #[arg(value_name = "HASH|INDEX")]
    pub(crate) what: String,
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Says which keys were trusted.
#[derive(Debug, Args)]
pub(crate) struct AuditState {
    /// The place: hash of an AUM or a record, record index, or time (UTC);
    /// default: the end
    #[arg(long, value_name = "HASH|INDEX|TIME")]
    pub(crate) at: Option<String>,
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Tells the life of a trusted key.
#[derive(Debug, Args)]
pub(crate) struct AuditKey {
    /// The key
    #[arg(value_name = "TLPUB")]
    pub(crate) key: String,
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Says why a node is in or out.
#[derive(Debug, Args)]
pub(crate) struct AuditNode {
    /// The node's key or name
    #[arg(value_name = "NODEKEY|NAME")]
    pub(crate) node: String,
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Shows what changed between two places.
#[derive(Debug, Args)]
pub(crate) struct AuditDiff {
    /// The first place: hash, record index or time (UTC)
    #[arg(value_name = "A")]
    pub(crate) from: String,
    /// The second place
    #[arg(value_name = "B")]
    pub(crate) to: String,
    /// As of 'audit verify'
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) how: AuditHow,
}

/// Writes a verified ledger as a bundle.
///
/// The bytes are the same from every replica, but for the file 'checkpoint'.
#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// The bundle to write; it must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A daemon's socket, a data directory or a bundle
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// The first SIZE records only
    #[arg(long, value_name = "SIZE")]
    pub(crate) at: Option<u64>,
    /// Write the same files below a new directory too, for a web server
    #[arg(long, value_name = "DIR")]
    pub(crate) tiles: Option<PathBuf>,
    /// A signed checkpoint of this ledger that you got elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Directory for scratch files of long histories (default: the system's)
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,
    /// Say on stderr how far the work is
    #[arg(long)]
    pub(crate) progress: bool,
}

/// Prints the keys that verify the ledger's checkpoints.
#[derive(Debug, Args)]
pub(crate) struct AuditVkeys {
    /// A daemon's socket, a data directory or a bundle
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
}

/// Proves that a record is in the log, or that the log only grew.
#[derive(Debug, Args)]
pub(crate) struct AuditProve {
    /// The record's index (not with --from), then the source: a daemon's
    /// socket, a data directory or a bundle
    #[arg(value_names = ["INDEX", "SOURCE"], num_args = 1..=2, required = true)]
    pub(crate) words: Vec<PathBuf>,
    /// Prove that the log began with its first N records
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// A signed checkpoint of this ledger that you got elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
}

/// Checks a proof that somebody hands over.
#[derive(Debug, Args)]
pub(crate) struct AuditCheckProof {
    /// The proof, or - for stdin
    #[arg(value_name = "PROOF")]
    pub(crate) proof: PathBuf,
    /// A history to compare with: its log keys are trusted
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<PathBuf>,
    /// Key that signs the log's checkpoints (may be repeated)
    #[arg(long, value_name = "VKEY")]
    pub(crate) vkey: Vec<String>,
    /// The earlier checkpoint, for a proof that a log only grew
    #[arg(long, value_name = "FILE")]
    pub(crate) old: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Audits a source again and again, and tells what is new.
#[derive(Debug, Args)]
pub(crate) struct AuditWatch {
    /// As of 'audit verify', such as a daemon's socket
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Time between two passes (default: 30s)
    #[arg(long, value_name = "DURATION")]
    pub(crate) interval: Option<String>,
    /// Also tell if nothing new comes for so long
    #[arg(long, value_name = "DURATION")]
    pub(crate) silence: Option<String>,
    /// Look once and exit: with the verdict's code, or 4 if there is news
    #[arg(long)]
    pub(crate) once: bool,
    /// Remember in FILE what was told and where the history ended, and go on
    /// from there the next time
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Program to run for each alert, which it gets as JSON on stdin
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec: Option<PathBuf>,
    /// Keep figures for Prometheus in FILE (textfile collector)
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Print alerts as JSON, one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Directory for scratch files of long histories (default: the system's)
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,
}

/// Makes a sample history and its report.
#[derive(Debug, Args)]
pub(crate) struct AuditDemo {
    /// Which: stolen-key
    #[arg(value_name = "STORY", value_parser = ["stolen-key"])]
    pub(crate) story: String,
    /// Where to write history.tar and report.html
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
