//! Whether the replica's loop answers: what `/livez` and the service manager's watchdog rest on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::notify::Manager;
use crate::core::Role;
use crate::node::{GroupView, Handle};

/// The pause between an answer of the loop and the next question, at most.
const PAUSE: Duration = Duration::from_secs(1);
/// How old the last answer may be before the daemon needs a restart. A disk may take seconds for a
/// sync, and a member that catches up applies many records at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// When the loop has answered last.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Of a loop that has just started.
    pub(super) fn new() -> Self {
        Pulse(Arc::new(Mutex::new(Instant::now())))
    }

    /// How old the last answer is.
    pub(super) fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Asks the loop, again and again, until told to stop; tells the service manager that it has
    /// answered, and how the group is.
    pub(super) async fn run(self, node: Handle, manager: Manager, mut stop: watch::Receiver<bool>) {
        let pause = manager.watchdog().map_or(PAUSE, |limit| (limit / 4).min(PAUSE));
        let mut told = String::new();
        let beats = async {
            while node.answers().await.is_ok() {
                self.beat();
                manager.alive();
                let status = status(&node.group());
                if status != told {
                    manager.status(&status);
                    told = status;
                }
                tokio::time::sleep(pause).await;
            }
            // It has ended, and so does the daemon: somebody else says why.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = beats => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// The group in one line, for `systemctl status`.
fn status(group: &GroupView) -> String {
    if group.full.is_some() {
        return "ALARM: the disk is full; serves stale reads only until there is room".to_owned();
    }
    if group.mending.is_some() {
        return "ALARM: mends its damaged database; serves stale reads only".to_owned();
    }
    if let Some(record) = group.refetching {
        let what = "ALARM: fetches records that were damaged, up to";
        return format!("{what} {record}; serves stale reads only");
    }
    let raft = &group.raft;
    let part = match (raft.role, raft.leader) {
        (Role::Leader, _) => "leads".to_owned(),
        (_, Some(leader)) => format!("follows replica {leader}"),
        (_, None) => "serves stale reads only: no leader is known".to_owned(),
    };
    let mut text = format!("{part}; term {}, {} voters", raft.term, raft.group.voters.len());
    if let Some(record) = group.fetching {
        text.push_str(&format!("; fetches the records up to {record}"));
    }
    if !group.disagreements.is_empty() {
        text.push_str("; ALARM: another replica has another history");
    }
    text
}
