//! `lockstep key ...`: tailnet lock keys that no daemon holds.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A subcommand of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a tailnet lock key in a new file
    #[command(after_help = "Examples:
  lockstep key generate offline.key
  lockstep key generate --seal offline.key
  lockstep lock add $(lockstep key generate offline.key)

The public key is printed. The file is made with mode 0600 and never takes the
place of another one. With --seal it opens only with its passphrase.")]
    Generate(Generate),
    /// Print the public key of a key file
    #[command(after_help = "Examples:
  lockstep key show offline.key
  lockstep key show credential:lock-key --json

What a sealed file names as its key is checked when --passphrase-from is given.")]
    Show(Show),
    /// Sign what 'lockstep lock ... --export' wrote, on a machine without a daemon
    #[command(after_help = "Example:
  lockstep key sign request.json --key offline.key

What is signed is shown first. The signatures are written to request.json.signed,
which 'lockstep lock submit' brings in.")]
    Sign(SignFile),
    /// Seal a key file under a passphrase, into a new file
    #[command(after_help = "Example:
  lockstep key seal offline.key offline.sealed

The old file stays; remove it once the new one is where it belongs.")]
    Seal(Seal),
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PassphraseFrom {
    /// Where the passphrase is: file:PATH, fd:N or credential:NAME (default:
    /// it is asked for on the terminal)
    #[arg(long, value_name = "PLACE")]
    pub(crate) passphrase_from: Option<String>,
}

/// A key to make.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Seal the file under a passphrase
    #[arg(long)]
    pub(crate) seal: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFrom,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// File to make
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// A key to look at.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFrom,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Key file, or credential:NAME
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What to sign, and with which key.
#[derive(Debug, Args)]
pub(crate) struct SignFile {
    /// Key file, or credential:NAME
    #[arg(long, value_name = "KEY_FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFrom,
    /// File to make (default: FILE.signed)
    #[arg(long, value_name = "SIGNED_FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Do not prompt for confirmation
    #[arg(long)]
    pub(crate) confirm: bool,
    /// What is to be signed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Another key than the daemon's.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SignWith {
    /// Sign with the lock key in this file (or credential:NAME) instead of the
    /// daemon's; with --export its public key is enough
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFrom,
    /// Write what is to be signed to a new file, for 'lockstep key sign' on
    /// another machine
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
}

/// A key to seal.
#[derive(Debug, Args)]
pub(crate) struct Seal {
    #[command(flatten)]
    pub(crate) passphrase: PassphraseFrom,
    /// Key file, or credential:NAME
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// File to make
    #[arg(value_name = "SEALED_FILE")]
    pub(crate) sealed: PathBuf,
}
