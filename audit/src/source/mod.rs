//! Where a history is read from. One file a form; [`detect`] tells them apart by content.
//!
//! A source yields bytes and where they lie, and judges nothing. Nothing here opens a socket:
//! what a daemon serves is fetched by the caller.

mod backup;
mod cbor;
mod data_dir;
mod detect;
mod log_json;
mod state_dir;
mod status;
mod tailscaled;

use std::fmt;

use ledger::cbor::Malformed;
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::Sealed;
use ledger::lock::node_keys::NodeKeySignature;

use crate::checks::Finding;

pub use backup::Backup;
pub(crate) use data_dir::{DataDir, head_beside};
pub use detect::{Detected, Unreadable, detect, detect_bytes, detect_stream};
pub use status::{BadStatus, shown_by_status};
pub use tailscaled::tailscaled;

/// Bytes of a single file that are read, at most.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// The form of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A running Lockstep daemon.
    Daemon,
    /// A running tailscaled.
    Tailscaled,
    /// A Lockstep data directory.
    DataDir,
    /// A backup of a Lockstep ledger.
    Backup,
    /// An evidence bundle.
    Bundle,
    /// The output of `lock log --json`.
    LogJson,
    /// A tailscaled's state directory.
    StateDir,
    /// A file of AUMs, one after the other.
    Cbor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Daemon => "daemon",
            Kind::Tailscaled => "tailscaled",
            Kind::DataDir => "data-dir",
            Kind::Backup => "backup",
            Kind::Bundle => "bundle",
            Kind::LogJson => "log-json",
            Kind::StateDir => "state-dir",
            Kind::Cbor => "cbor",
        })
    }
}

/// Where something lies in a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the source; none if the source is one file.
    pub file: Option<String>,
    /// The byte offset in it.
    pub offset: Option<u64>,
    /// The index of the record that holds it.
    pub record: Option<u64>,
}

/// The lock as a daemon's status shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The head; none while the lock is off.
    pub head: Option<AumHash>,
    /// The trusted keys with their votes, in the order of the state.
    pub trusted_keys: Vec<(LockKey, u64)>,
    /// The nodes that are listed.
    pub nodes: Vec<ShownNode>,
}

/// A node as a daemon's status shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownNode {
    /// Its name.
    pub name: String,
    /// Its node key.
    pub node_key: NodeKey,
    /// The signature on it.
    pub signature: Option<NodeKeySignature>,
    /// Whether it is shown as let in.
    pub admitted: bool,
}

/// An AUM as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The AUM, or why its bytes are none.
    pub aum: Result<Sealed, Malformed>,
    /// Where its bytes lie.
    pub place: Place,
}

/// Everything that a source of AUMs alone (no records) holds.
#[derive(Debug)]
pub struct Aums {
    /// The form it had.
    pub kind: Kind,
    /// SHA-256 of the file, if it was one.
    pub sha256: Option<[u8; 32]>,
    /// The AUMs, in the order of the source.
    pub found: Vec<Found>,
    /// The AUM that the source itself calls the oldest of its chain.
    pub oldest: Option<AumHash>,
    /// Whether the source lists one branch from head to oldest and cannot show others.
    pub one_branch: bool,
    /// What reading it brought up.
    pub findings: Vec<Finding>,
    /// Why the source may hold more than could be read; the verdict is then undecidable.
    pub unread: Option<String>,
    /// What the source says of the lock as it stands.
    pub shown: Option<Shown>,
    /// What a status that came beside the source says, perhaps of another moment.
    pub beside: Option<Shown>,
}
