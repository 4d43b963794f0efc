//! A signed head of the records beside them, for whoever audits the directory later.
//!
//! Records that were cut off at the end leave no gap behind. The checkpoint is outside the database
//! and says how many there were; it is written anew when there are more, and at least hourly, so
//! that it also says until when there were no more.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use crate::keys::Keys;
use crate::node::Handle;
use crate::operations::{Ground, checkpoint};

/// Name of the file in the data directory.
pub const FILE: &str = "checkpoint";
/// Between two looks whether there are more records.
const LOOK: Duration = Duration::from_secs(60);
/// The longest time for which one stays as it is.
const AGE: Duration = Duration::from_secs(3600);

/// Keeps the file up to date until it is aborted.
pub(super) async fn keep(handle: Handle, keys: Arc<Keys>, data_dir: std::path::PathBuf) {
    let mut written: Option<(u64, Instant)> = None;
    loop {
        let view = handle.view();
        let size = view.fold().next_index();
        let due = written.is_none_or(|(before, at)| before != size || at.elapsed() >= AGE);
        if due {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let ground = Ground { fold: view.fold(), rows: view.rows() };
            let signed = checkpoint::signed(ground, None, &*keys.log, now.as_secs());
            let done = match signed {
                Ok(Some(note)) => write(&data_dir, &note).map_err(|error| error.to_string()),
                Ok(None) => Ok(()),
                Err(fault) => Err(fault.to_string()),
            };
            match done {
                Ok(()) => written = Some((size, Instant::now())),
                Err(error) => tracing::warn!(error, "the checkpoint could not be written"),
            }
        }
        drop(view);
        sleep(LOOK).await;
    }
}

fn write(data_dir: &Path, note: &[u8]) -> io::Result<()> {
    let fresh = data_dir.join("checkpoint.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(note)?;
    file.sync_all()?;
    fs::rename(&fresh, data_dir.join(FILE))
}
