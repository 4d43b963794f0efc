//! `lockstep lock ...`: the subcommands and flags that users of `tailscale lock` know.

use clap::{Args, Subcommand};

use super::{Change, SignWith};

/// A subcommand of `lock`.
#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Initializes tailnet lock
    Init(Init),
    /// Outputs the state of tailnet lock
    Status(Status),
    /// Adds one or more trusted signing keys to tailnet lock
    Add(Add),
    /// Removes one or more trusted signing keys from tailnet lock
    Remove(Remove),
    /// Signs a node key
    Sign(Sign),
    /// Records what 'lockstep key sign' signed on another machine
    Submit(Submit),
    /// Consumes a disablement secret to shut down tailnet lock for the tailnet
    Disable(Disable),
    /// Computes a disablement value from a disablement secret
    DisablementKdf(DisablementKdf),
    /// Lists changes applied to tailnet lock
    Log(Log),
    /// Disables tailnet lock for this node only (not in this version)
    #[command(hide = true)]
    LocalDisable(Unavailable),
    /// Ends local-disable (not in this version)
    #[command(hide = true)]
    LocalEnable(Unavailable),
    /// Retroactively revokes one or more tailnet lock keys (not in this version)
    #[command(hide = true)]
    RevokeKeys(Unavailable),
}

/// Initializes tailnet lock for the entire tailnet.
///
/// The keys given are those initially trusted to sign nodes and to change the lock, among them this
/// node's own (`lockstep lock` shows it). A key may carry its weight: tlpub:...?2. Keys are
/// separated by spaces, commas or both.
///
/// The disablement secrets are printed once, before the lock is initialized. Whoever has one can
/// turn the lock off; without one nobody can. Values of secrets that were made elsewhere
/// (`lockstep lock disablement-kdf`) are given as disablement:1234abcd...
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock init tlpub:1234abcdef
  lockstep lock init --gen-disablements=3 --confirm tlpub:1234abcdef?2,tlpub:5678

On a terminal the plan is shown and [y/N] asked; otherwise the plan and the
line that carries it out.")]
pub(crate) struct Init {
    /// Do not prompt for confirmation
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Number of disablement secrets to generate
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    pub(crate) gen_disablements: i64,
    /// Generate another secret for the support escrow (not in this version)
    #[arg(long)]
    pub(crate) gen_disablement_for_support: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Trusted keys (tlpub:...) and disablement values (disablement:...)
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// Outputs the state of tailnet lock: whether it is on, this node's key, the trusted keys, and who
/// is locked out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock status
  lockstep lock status --json")]
pub(crate) struct Status {
    /// Print JSON; a number asks for that schema version (1)
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) json: Option<String>,
    #[arg(hide = true)]
    pub(crate) extra: Vec<String>,
}

/// Adds one or more trusted signing keys.
///
/// Runs on a node whose own key is trusted, or with another key. A key may carry its weight:
/// tlpub:...?2.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock add tlpub:1234abcdef tlpub:5678?2
  lockstep lock add --key offline.key tlpub:1234abcdef
  lockstep lock add --key tlpub:5678 --export request.json tlpub:1234abcdef")]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) with: SignWith,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Keys to trust
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// Removes one or more trusted signing keys.
///
/// Runs on a node whose own key is trusted, or with another key. Nodes whose signature rests on a
/// removed key are signed again with the key that signs; with --resign=false they are locked out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock remove tlpub:1234abcdef
  lockstep lock remove --resign=false tlpub:1234abcdef
  lockstep lock remove --key offline.key tlpub:1234abcdef")]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) with: SignWith,
    /// Sign again the nodes that would be locked out (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) resign: Option<bool>,
    /// The same as --resign
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) re_sign: Option<bool>,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Keys to trust no longer
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// Signs a node key with this node's tailnet lock key and records the signature.
///
/// The rotation key, normally the node's own tailnet lock key, lets the node change its node key
/// later without being signed again. An argument file:PATH is read from that file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock sign nodekey:1abddef1 tlpub:1234abcdef
  lockstep lock sign file:node.key
  lockstep lock sign --key offline.key nodekey:1abddef1
  lockstep lock sign --key tlpub:5678 --export request.json nodekey:1abddef1")]
pub(crate) struct Sign {
    #[command(flatten)]
    pub(crate) with: SignWith,
    #[command(flatten)]
    pub(crate) change: Change,
    /// The node key, then the rotation key if there is one
    #[arg(value_name = "NODEKEY [ROTATION_KEY]")]
    pub(crate) keys: Vec<String>,
}

/// Records what was signed on another machine.
///
/// The file comes from 'lockstep key sign'. It is taken as long as it still fits: if the lock or the
/// nodes in question have changed since the export, export and sign again.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  lockstep lock submit request.json.signed

Submitting a file twice changes nothing twice.")]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) change: Change,
    /// The signed file
    #[arg(value_name = "FILE")]
    pub(crate) file: std::path::PathBuf,
}

/// Consumes a disablement secret to shut down tailnet lock for the entire tailnet.
///
/// The secret is recorded and given to every node as the proof: consider it public afterwards. The
/// history stays, and initializing again begins a new epoch with new secrets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock disable disablement-secret:ABC1234
  lockstep lock disable file:secret.txt
  lockstep lock disable - < secret.txt")]
pub(crate) struct Disable {
    #[command(flatten)]
    pub(crate) change: Change,
    /// The secret; `-` reads it from stdin, file:PATH from a file
    #[arg(value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
}

/// Computes the disablement value of a disablement secret, without a daemon.
///
/// The value can be given to `lockstep lock init` on another machine than the one that keeps the
/// secret.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  lockstep lock disablement-kdf A5A5A5A5A5A5A5A5")]
pub(crate) struct DisablementKdf {
    /// The secret as hex digits, without a prefix
    #[arg(value_name = "HEX")]
    pub(crate) secret: Vec<String>,
}

/// Lists changes applied to tailnet lock, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lockstep lock log
  lockstep lock log --json --limit 1000 > export.json
  lockstep lock log --epoch 1")]
pub(crate) struct Log {
    /// Print JSON; a number asks for that schema version (1)
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) json: Option<String>,
    /// Maximum number of changes to list
    #[arg(long, value_name = "N", default_value = "50", allow_hyphen_values = true)]
    pub(crate) limit: i64,
    /// List a past epoch, one that `lock disable` has ended (Lockstep only)
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u32>,
    #[arg(hide = true)]
    pub(crate) extra: Vec<String>,
}

/// A subcommand that this version knows by name only.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Unavailable {
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub(crate) rest: Vec<String>,
}
