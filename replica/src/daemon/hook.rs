//! The operator's command for each node that the lock locks out.
//!
//! What is guaranteed: while a node stays locked out, the command is run for it at least once, and
//! once only unless the daemon ends while it runs. How far that has come is kept in a file beside
//! the database, as the record and the node that were told last. A lock-out that has ended before
//! its turn comes is not told. A command that fails or takes too long is logged and not repeated.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ledger::Fault;
use ledger::history::roster::{self, Node};
use ledger::history::{Event, records};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::command::{BadCommand, ConfiguredCommand};
use crate::local_api::locked_out_reason;
use crate::node::{Handle, View};

/// Commands that run at the same time, at most.
const AT_ONCE: usize = 4;
/// The file in the data directory.
const FILE: &str = "locked-out";
const TITLE: &str = "lockstep locked-out 1";

/// `[on_locked_out]` in the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookSettings {
    command: Vec<String>,
    timeout_seconds: Option<u64>,
}

impl TryFrom<HookSettings> for ConfiguredCommand {
    type Error = BadCommand;

    fn try_from(settings: HookSettings) -> Result<Self, BadCommand> {
        let timeout = settings.timeout_seconds.map(Duration::from_secs);
        ConfiguredCommand::new(settings.command, timeout)
    }
}

/// The lock-out that was told last: they are told by record, and by node within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    record: u64,
    node: u64,
}

impl Told {
    /// Everything up to this record.
    fn all_of(record: u64) -> Self {
        Told { record, node: u64::MAX }
    }

    fn of(node: &Node) -> Self {
        Told { record: node.standing.since_record, node: node.id.0 }
    }

    fn text(self) -> String {
        format!("{TITLE}\nrecord {}\nnode {}\n", self.record, self.node)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let title = lines.next()?;
        let record = lines.next()?.strip_prefix("record ")?.parse().ok()?;
        let node = lines.next()?.strip_prefix("node ")?.parse().ok()?;
        let told = Told { record, node };
        (title == TITLE && told.text() == text).then_some(told)
    }

    fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(dir.join(FILE)) {
            Ok(text) => match Told::parse(&text) {
                Some(told) => Ok(Some(told)),
                None => Err(io::Error::new(ErrorKind::InvalidData, "it is damaged")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(self, dir: &Path) -> io::Result<()> {
        let fresh = dir.join("locked-out.new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, dir.join(FILE))?;
        fs::File::open(dir)?.sync_all()
    }
}

/// Forgets how far the command had come: without one nothing is told, and one that is configured
/// later begins with what happens then.
pub(super) fn forget(dir: &Path) {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "the file {FILE} could not be removed");
        }
        _ => {}
    }
}

fn last_record(view: &View) -> u64 {
    view.fold().next_index().saturating_sub(1)
}

/// Follows the ledger, and runs the command.
pub(super) struct Hook {
    views: watch::Receiver<Arc<View>>,
    dir: PathBuf,
    command: Arc<ConfiguredCommand>,
    told: Told,
    /// The last record that was looked at; none at first.
    seen: Option<u64>,
}

impl Hook {
    /// Takes up where the daemon last was; the first time, whatever is recorded from now on counts.
    pub(super) fn open(handle: &Handle, dir: PathBuf, command: ConfiguredCommand) -> Self {
        let views = handle.watch();
        let now = Told::all_of(last_record(&views.borrow()));
        let told = Told::read(&dir).unwrap_or_else(|error| {
            tracing::error!(%error, "reading {FILE}: nodes locked out in the meantime are not told");
            None
        });
        let hook =
            Hook { views, dir, command: Arc::new(command), told: told.unwrap_or(now), seen: None };
        hook.save();
        hook
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let view = self.views.borrow_and_update().clone();
            tokio::select! {
                () = self.follow(view) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                changed = self.views.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn save(&self) {
        if let Err(error) = self.told.write(&self.dir) {
            tracing::warn!(%error, "writing {FILE}: nodes may be told again after a restart");
        }
    }

    /// Tells what is new in a view.
    async fn follow(&mut self, view: Arc<View>) {
        let (told, seen, last) = (self.told, self.seen, last_record(&view));
        let nodes = tokio::task::spawn_blocking(move || due(&view, told, seen)).await;
        let nodes = match nodes.map_err(|e| Fault::from_error("looking for locked-out nodes", e)) {
            Ok(Ok(nodes)) => nodes,
            Ok(Err(fault)) | Err(fault) => {
                tracing::error!(%fault, "locked-out nodes are not told");
                return;
            }
        };
        for some in nodes.chunks(AT_ONCE) {
            let (view, these) = (self.views.borrow().clone(), some.to_vec());
            let still = tokio::task::spawn_blocking(move || still_out(&view, these)).await;
            // Rather once too often.
            let still = match still.map_err(|e| Fault::from_error("looking at nodes again", e)) {
                Ok(Ok(still)) => still,
                Ok(Err(fault)) | Err(fault) => {
                    tracing::error!(%fault, "locked-out nodes are told that may be in again");
                    some.to_vec()
                }
            };
            let mut running = JoinSet::new();
            for node in &still {
                let (command, variables) = (self.command.clone(), variables(node));
                let name = node.name.clone();
                running.spawn(async move { (name, command.run(None, &variables).await) });
            }
            while let Some(ended) = running.join_next().await {
                match ended {
                    Ok((node, Err(error))) => {
                        tracing::warn!(%error, node, "the command for locked-out nodes failed");
                    }
                    Ok((node, Ok(()))) => tracing::info!(node, "told that it is locked out"),
                    Err(error) => tracing::error!(%error, "a command's task ended badly"),
                }
            }
            if let Some(node) = some.last() {
                self.told = Told::of(node);
                self.save();
            }
        }
        self.seen = Some(last);
    }
}

/// Those of the nodes that are locked out yet, and since the same record.
fn still_out(view: &View, nodes: Vec<Node>) -> Result<Vec<Node>, Fault> {
    let mut still = Vec::with_capacity(nodes.len());
    for node in nodes {
        let now = roster::node(view.rows(), node.id)?;
        still.extend(now.filter(|now| !now.standing.is_in() && Told::of(now) == Told::of(&node)));
    }
    Ok(still)
}

/// What the command is told of a node.
fn variables(node: &Node) -> Vec<(&'static str, String)> {
    vec![
        ("LOCKSTEP_NODE_ID", node.id.to_string()),
        ("LOCKSTEP_NODE_STABLE_ID", node.stable_id()),
        ("LOCKSTEP_NODE_NAME", node.name.clone()),
        ("LOCKSTEP_NODE_KEY", node.node_key.to_string()),
        ("LOCKSTEP_RECORD", node.standing.since_record.to_string()),
        ("LOCKSTEP_REASON", locked_out_reason(node)),
    ]
}

/// The nodes that are locked out and have not been told, in the order in which they are told.
/// Looks only at the nodes that the records after `seen` are about, unless trust has changed.
fn due(view: &View, told: Told, seen: Option<u64>) -> Result<Vec<Node>, Fault> {
    let rows = view.rows();
    let mut nodes = Vec::new();
    let mut all = seen.is_none();
    if let Some(seen) = seen {
        for record in records::from(rows, seen.saturating_add(1))? {
            let record = record?;
            match &record.proposal().proposal().event {
                Event::NodeAdded(new) => nodes.extend(roster::by_name(rows, &new.name)?),
                Event::NodeChanged(changed) => nodes.extend(roster::node(rows, changed.node)?),
                // The root of a lock that is brought in may be all of it. A lock that begins here
                // begins with all nodes in.
                Event::AumsAdded(_) | Event::AumsAdopted(_) | Event::AdoptionBegun(_) => all = true,
                _ => {}
            }
        }
    }
    if all {
        nodes = roster::list(rows)?;
    }
    nodes.retain(|node| !node.standing.is_in() && Told::of(node) > told);
    nodes.sort_by_key(Told::of);
    nodes.dedup_by_key(|node| node.id);
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_came_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Told::read(dir.path()).unwrap(), None);
        let told = Told { record: 17, node: 5 };
        told.write(dir.path()).unwrap();
        assert_eq!(Told::read(dir.path()).unwrap(), Some(told));
        Told::all_of(18).write(dir.path()).unwrap();
        assert_eq!(Told::read(dir.path()).unwrap(), Some(Told { record: 18, node: u64::MAX }));
        assert!(Told::all_of(17) < Told { record: 18, node: 1 });
        assert!(Told { record: 18, node: 1 } < Told::all_of(18));
        fs::write(dir.path().join(FILE), "lockstep locked-out 1\nrecord 1\n").unwrap();
        assert!(Told::read(dir.path()).is_err());
        forget(dir.path());
        assert_eq!(Told::read(dir.path()).unwrap(), None);
    }
}
