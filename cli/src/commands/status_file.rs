//! What `lock status --json` and `status --json` print, ours or a tailscale's, as a file.

use std::path::Path;

use audit::source::{Shown, shown_by_status};
use replica::local_api::bodies::{LockStatus, MachineStatus};
use serde_json::Value;

use super::theirs::shown;
use super::words::bounded_file;
use crate::exit::Failure;

/// Bytes of a status, at most.
const MAX_STATUS_BYTES: u64 = 256 << 20;

/// A status, of either command.
#[derive(Debug)]
pub(super) enum StatusFile {
    /// Of tailnet lock. The daemon's own node has no name in it.
    Lock(Shown),
    /// Of a machine: names, but no signatures.
    Machine(Box<MachineStatus>),
}

/// Reads a status.
pub(super) fn read(path: &Path) -> Result<StatusFile, Failure> {
    let wrong = |what: &str| {
        Failure::new(format!("{}: {what}", path.display()))
            .remedy("Give what 'tailscale lock status --json' or 'tailscale status --json' prints.")
    };
    let bytes = bounded_file(path, MAX_STATUS_BYTES)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    if value.get("BackendState").is_some() {
        let status = serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        return Ok(StatusFile::Machine(Box::new(status)));
    }
    if value.get("Enabled").is_none() {
        return Err(wrong("it is no status of tailnet lock or of a machine"));
    }
    if value["Enabled"] != Value::Bool(true) {
        return Err(wrong("tailnet lock is not enabled there"));
    }
    if value.get("SchemaVersion").is_none() {
        // Older versions print what the daemon says.
        let status: LockStatus =
            serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        let own = status.node_key;
        let mut shown = shown(&status);
        for node in shown.nodes.iter_mut().filter(|node| Some(node.node_key) == own) {
            node.name = String::new();
        }
        return Ok(StatusFile::Lock(shown));
    }
    shown_by_status(value).map(StatusFile::Lock).map_err(|what| wrong(&what.to_string()))
}
