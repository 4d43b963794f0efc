//! Keeps in a file who the others are, for the day on which the database cannot say so.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::disk::neighbours::{self, Known};
use crate::node::{Handle, introduced};

/// The pause between two looks, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes the file whenever the group is another one, for as long as the replica runs.
pub(super) async fn keep(handle: Handle, dir: PathBuf) {
    let mut written = neighbours::read(&dir).ok().flatten();
    let mut group = handle.watch_group();
    loop {
        group.borrow_and_update();
        match known(&handle) {
            Ok(known) if written.as_ref() != Some(&known) => {
                let dir = dir.clone();
                let write = move || write(&dir, &known).map(|()| known);
                match tokio::task::spawn_blocking(write).await {
                    Ok(Ok(known)) => written = Some(known),
                    Ok(Err(fault)) => tracing::warn!(%fault, "cannot write who the others are"),
                    Err(_) => return,
                }
            }
            Ok(_) => {}
            Err(fault) => tracing::warn!(%fault, "cannot see who the others are"),
        }
        sleep(PAUSE).await;
        if group.changed().await.is_err() {
            return;
        }
    }
}

/// One after the other: what is written once more at the end may meet what was begun before.
fn write(dir: &Path, known: &Known) -> Result<(), ledger::Fault> {
    static WRITING: Mutex<()> = Mutex::new(());
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    neighbours::write(dir, known)
}

/// Writes the file once, as things are.
pub(super) fn note(handle: &Handle, dir: &Path) {
    let written = known(handle).and_then(|known| write(dir, &known));
    if let Err(fault) = written {
        tracing::warn!(%fault, "cannot write who the others are");
    }
}

/// The members on record, and those whom it was told of since.
fn known(handle: &Handle) -> Result<Known, ledger::Fault> {
    let mut members = introduced(handle.view().rows())?;
    for (id, peer) in &handle.membership().members {
        members.entry(*id).or_insert_with(|| peer.clone());
    }
    let members = members.into_iter();
    let members = members.filter_map(|(id, peer)| Some((id, peer.key, peer.address?))).collect();
    Ok(Known { cluster: handle.cluster(), incarnation: handle.incarnation(), members })
}
