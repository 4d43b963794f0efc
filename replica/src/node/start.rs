//! Starting and stopping a replica.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use ledger::Fault;
use ledger::history::{ClusterId, Event, Fold, Founder, MemberDetails, MemberKey, RequestId, Who};
use ledger::lock::signatures::Signer;
use ledger::rows::Rows;
use tokio::sync::{oneshot, watch};

use super::handle::{Command, queue};
use super::keeper::Keeper;
use super::run::Loop;
use super::{Handle, Outcome, Submission, View};
use crate::core::Core;
use crate::disk::recovery::{Recovered, StartError, recover};
use crate::disk::{Disk, log};

/// How to start a replica.
pub struct Options {
    /// The data directory. It must exist and be the daemon's own (mode 0700).
    pub dir: PathBuf,
    /// The member key.
    pub member: Arc<dyn Signer + Send + Sync>,
    /// What to enrol of this member if the directory is empty: it becomes the first of a new
    /// group. Without it an empty directory is an error.
    pub founder: Option<MemberDetails>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A running replica.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    /// `None` once the end has been told.
    ended: Option<oneshot::Receiver<Result<(), Fault>>>,
}

impl Node {
    /// Recovers what the directory holds, and returns once the replica can serve: everything
    /// acknowledged before is applied, and record 0 is there.
    pub async fn start(options: Options) -> Result<Node, StartError> {
        let Options { dir, member, founder } = options;
        let founds = founder.is_some();
        let (tell_started, started) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        // Everything that can block happens on the loop's own thread.
        let loops = thread::Builder::new().name("replica".into()).spawn(move || {
            let fresh = founds.then_some(new_cluster);
            let prepared = recover(&dir, fresh).and_then(|recovered| prepare(recovered, member));
            match prepared {
                Ok((handle, work)) => {
                    if tell_started.send(Ok(handle)).is_ok() {
                        let _ = tell_ended.send(work.run());
                    }
                }
                Err(error) => {
                    let _ = tell_started.send(Err(error));
                }
            }
        });
        loops.map_err(|e| Fault::from_error("start the replica's thread", e))?;
        let handle = started.await.unwrap_or_else(|_| Err(panicked().into()))?;
        let mut node = Node { handle, ended: Some(ended) };
        match node.handle.read().await {
            Ok(view) => node.found(&view, founder).await?,
            Err(_) => return Err(node.why_ended().await.into()),
        }
        Ok(node)
    }

    /// Access to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until it has ended: because it was stopped, or because it must not acknowledge
    /// anything any more. What was under way then has an unknown outcome. The fault that ended it
    /// is told once; whoever asks again hears only that it has ended.
    pub async fn ended(&mut self) -> Result<(), Fault> {
        let Some(ended) = &mut self.ended else { return Ok(()) };
        let told = ended.await.unwrap_or_else(|_| Err(panicked()));
        self.ended = None;
        told
    }

    /// Stops it after what is under way, and waits for that.
    pub async fn stop(mut self) -> Result<(), Fault> {
        // It may have ended by itself; then the reason counts, unless it has been told.
        let _ = self.handle.commands.send(Command::Stop);
        self.ended().await
    }

    async fn why_ended(&mut self) -> Fault {
        match self.ended().await {
            Err(fault) => fault,
            Ok(()) => Fault::new("the replica has stopped"),
        }
    }

    /// Records that this member has created the group, unless that is recorded already.
    async fn found(
        &mut self,
        view: &View,
        founder: Option<MemberDetails>,
    ) -> Result<(), StartError> {
        if view.fold().next_index() > 0 {
            return Ok(());
        }
        let details = founder.ok_or_else(|| Fault::new("the ledger has no record yet"))?;
        let request: RequestId =
            "group-created".parse().map_err(|e| Fault::from_error("name the first request", e))?;
        let name = details.name.clone();
        let event = Event::GroupCreated(Founder {
            id: self.handle.replica,
            member_key: MemberKey(self.handle.member.public().0),
            details,
        });
        let digest = [0; 32];
        let submission = Submission { request, digest, part: 0, who: Who::Member, name, event };
        match self.handle.submit(submission).await {
            Outcome::Applied { .. } | Outcome::Repeated { .. } => Ok(()),
            Outcome::Refused(refusal) => {
                Err(Fault::from_error("record that the group was created", refusal).into())
            }
            Outcome::Unknown => Err(self.why_ended().await.into()),
        }
    }
}

fn panicked() -> Fault {
    Fault::new("the replica's loop has ended without a reason: a bug")
}

fn new_cluster() -> Result<ClusterId, Fault> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Fault::from_error("draw a cluster ID", e))?;
    Ok(ClusterId(id))
}

fn prepare(
    recovered: Recovered,
    member: Arc<dyn Signer + Send + Sync>,
) -> Result<(Handle, Loop<impl Disk>), StartError> {
    let Recovered { disk, identity, saved, mark, watermark } = recovered;
    let (cluster, replica) = log::names(&identity);
    let rows: Box<dyn Rows + Send + Sync> = Box::new(disk.view());
    let fold = Fold::open(&*rows)?;
    let applied = saved.applied;
    let core = Core::new(replica, saved)?;
    let view = View::new(applied, fold, rows);
    let (tell_views, views) = watch::channel(Arc::new(view));
    let (commands, to_do) = mpsc::channel();
    let keeper = Keeper::new(watermark, mark);
    let work = Loop::new(core, disk, keeper, to_do, tell_views)?;
    let handle = Handle {
        commands,
        views,
        queue: queue(),
        member,
        cluster,
        replica,
        incarnation: identity.incarnation,
    };
    Ok((handle, work))
}
