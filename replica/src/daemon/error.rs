//! Why a daemon does not serve, and what to do about it.

use std::io;
use std::path::PathBuf;

use ledger::history::ReplicaId;
use ledger::{Ailment, Fault};

use crate::disk::recovery::{REPLACE, StartError};
use crate::joining::guest::NotLetIn;
use crate::keys::KeyFileError;
use crate::local_api::BindError;
use crate::operations::NotPlanned;

/// Why the daemon does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system refused an operation.
    #[error("{doing} {place}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        place: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The data directory could be read or changed by others.
    #[error("the data directory {}: {what}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process has the data directory.
    #[error(
        "another daemon is running in {}: stop it, or choose another directory with --data-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The name cannot stand in the roster.
    #[error("--name {0:?}: a name is 1 to 63 lower-case letters, digits and inner hyphens")]
    Name(String),
    /// A private key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// What the data directory holds.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The invitation cannot be read, or is none.
    #[error("the invitation {place}: {what}")]
    Invitation {
        /// Where it was looked for.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The group does not let this replica in.
    #[error(transparent)]
    NotLetIn(#[from] NotLetIn),
    /// This replica is a member no more.
    #[error("replica {0} was removed from its group")]
    Removed(ReplicaId),
    /// The daemon's own entries could not be recorded.
    #[error("recording this daemon's keys: {0}")]
    Enrol(#[from] NotPlanned),
    /// Their outcome is unknown.
    #[error("recording this daemon's keys: the replica stopped before it was done")]
    EnrolUnknown,
    /// The replica stopped by itself.
    #[error("the replica had to stop: {0}")]
    Replica(Fault),
    /// It did, and has lost what made it who it was, but not its member key.
    #[error("the replica had to stop: {0}")]
    Renewal(Fault),
}

impl ServeError {
    /// Whether the replica has lost what it had promised, so that it must not go on as who it was.
    /// An old identity on a fresh disk is another matter: what was on the old one may be somewhere.
    pub(super) fn costs_identity(&self) -> bool {
        match self {
            ServeError::Start(StartError::Short { .. } | StartError::LostFile { .. }) => true,
            ServeError::Start(StartError::Fault(fault)) | ServeError::Replica(fault) => {
                costs(fault)
            }
            _ => false,
        }
    }

    /// What the person who started the daemon can do about it, where there is something that the
    /// error does not say itself.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            ServeError::Io { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => {
                    "choose another address (--peer-listen, --health-listen), or stop what listens \
                     there"
                }
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "name a directory with --data-dir"
                }
                _ => "make the place writable for the daemon, or choose another",
            }),
            ServeError::DataDir { .. } => {
                Some("make it the daemon's own (chown) and nobody else's (chmod 0700)")
            }
            ServeError::Start(error) => Some(error.remedy()),
            ServeError::Enrol(error) => error.remedy(),
            ServeError::EnrolUnknown => Some("start it again: nothing is recorded twice"),
            ServeError::Renewal(_) => {
                Some("start it again: it asks the others to let it in under a new identity")
            }
            ServeError::Replica(fault) if costs(fault) => Some(REPLACE),
            ServeError::Replica(_) => Some(
                "nothing that was acknowledged is lost; look after the disk and start it again",
            ),
            ServeError::Invitation { .. } => Some(
                "put what 'lockstep cluster invite' printed on a member into a file of your \
                     own, whole",
            ),
            ServeError::NotLetIn(_) => {
                Some("ask for a new invitation on a member: lockstep cluster invite")
            }
            ServeError::Removed(_) => Some(
                "its data directory can still be audited; to come back, join with an empty data \
                 directory and a new invitation (lockstep cluster invite on a member)",
            ),
            ServeError::InUse { .. }
            | ServeError::Name(_)
            | ServeError::Key(_)
            | ServeError::Bind(_) => None,
        }
    }
}

/// Whether what the directory holds is not what made the replica who it was.
fn costs(fault: &Fault) -> bool {
    matches!(fault.ailment(), Ailment::Damaged | Ailment::RolledBack)
}
