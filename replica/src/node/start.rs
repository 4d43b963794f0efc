//! Starting and stopping a replica.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use ledger::history::{
    ClusterId, Event, Fold, Founder, KnownRules, MemberDetails, MemberKey, ReplicaId, RequestId,
    Who, records,
};
use ledger::lock::signatures::Signer;
use ledger::rows::Rows;
use ledger::rows::raft::{Ahead, Identity, Neighbour, PeerHead};
use ledger::{Ailment, Fault};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::agreement::Agreement;
use super::foresight::Foresight;
use super::full;
use super::handle::{Command, queue};
use super::keeper::Keeper;
use super::kept::{Kept, Tells};
use super::librarian::Librarian;
use super::mend::{self, Mended};
use super::proposals::{COPIES_PER_MS, Proposals};
use super::reach::Reach;
use super::run::Loop;
use super::scrub::Scrub;
use super::surroundings::{Clock, SystemClock};
use super::{GroupView, Handle, Outcome, Submission, Supported, View, group};
use crate::core::{Core, WindowLimits};
use crate::disk::recovery::{Fresh, Recovered, StartError, recover_knowing};
use crate::disk::rocks::Rocks;
use crate::disk::watermark::Marks;
use crate::disk::{Disk, log};
use crate::peers::{
    self, Event as LinkEvent, Head, JoinStream, Limits, Links, Local, Membership, Memory,
};
use crate::security_log::SecurityLog;

/// How to start a replica.
pub struct Options {
    /// The data directory. It must exist and be the daemon's own (mode 0700).
    pub dir: PathBuf,
    /// The member key.
    pub member: Arc<dyn Signer + Send + Sync>,
    /// What to enrol of this member if the directory is empty: it becomes the first of a new
    /// group. Without it an empty directory is an error.
    pub founder: Option<MemberDetails>,
    /// Who this member is if the directory is empty and a group has let it in, and which members
    /// it was told of.
    pub joined: Option<(Identity, Vec<Neighbour>)>,
    /// How it is linked to other members; without it, it has none.
    pub peering: Option<Peering>,
    /// What the program can do.
    pub supported: Supported,
}

/// How a replica is linked to the others.
#[derive(Debug)]
pub struct Peering {
    /// Where it listens.
    pub listener: TcpListener,
    /// Where the others reach that, `host:port`.
    pub address: Option<String>,
    /// Who gets those who want to join.
    pub joiners: UnboundedSender<Box<JoinStream>>,
}

impl Options {
    /// A replica that is linked to nobody.
    pub fn alone(
        dir: impl Into<PathBuf>,
        member: Arc<dyn Signer + Send + Sync>,
        founder: Option<MemberDetails>,
    ) -> Self {
        let supported = Supported::THIS_VERSION;
        Options { dir: dir.into(), member, founder, joined: None, peering: None, supported }
    }
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
    links: Option<Arc<Links>>,
    /// Carries what happens on the links to the loop and the joiners to their host.
    carrier: Option<JoinHandle<()>>,
    /// `None` once the end has been told.
    ended: Option<oneshot::Receiver<Result<(), Fault>>>,
    /// The loop's, until it is waited for.
    thread: Option<thread::JoinHandle<()>>,
}

impl Node {
    /// Recovers what the directory holds, and returns once the replica can serve. The only voter of
    /// its group has then applied everything that was acknowledged before; another one serves what
    /// it has, and asks the others for what is newer.
    pub async fn start(options: Options) -> Result<Node, StartError> {
        let Options { dir, member, founder, joined, peering, supported } = options;
        let fresh = match (&founder, joined) {
            (_, Some((identity, neighbours))) => Fresh::Joiner(identity, neighbours),
            (Some(_), None) => Fresh::Founder(new_cluster()?),
            (None, None) => Fresh::Refused,
        };
        let seed = random()?;
        let (tell_started, started) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let signer = member.clone();
        let security = Arc::new(SecurityLog::of(&dir));
        // Everything that can block happens on the loop's own thread.
        let loops = thread::Builder::new().name("replica".into()).spawn(move || {
            let prepared = sound(&dir, fresh, supported.rules(), |fresh| {
                let recovered = recover_knowing(&dir, fresh, supported.rules())?;
                let disk = recovered.disk.watched();
                let around = Around {
                    supported,
                    seed,
                    window: WindowLimits::default(),
                    foresight: Foresight::start()?,
                    clock: Arc::new(SystemClock),
                    security: security.clone(),
                };
                let (handle, mut work) = prepare(recovered, signer.clone(), around)?;
                work.scrub = Some(Scrub::start(disk)?);
                Ok((handle, work))
            });
            match prepared {
                Ok((handle, work)) => {
                    if tell_started.send(Ok(handle)).is_ok() {
                        let known = supported.rules();
                        let open = || recover_knowing(&dir, Fresh::Refused, known);
                        let again = |kept, recovered| again(kept, recovered, known);
                        let _ = tell_ended.send(full::live(work, &dir, known, open, again));
                    }
                }
                Err(error) => {
                    let _ = tell_started.send(Err(error));
                }
            }
        });
        let thread = loops.map_err(|e| Fault::from_error("start the replica's thread", e))?;
        let handle = started.await.unwrap_or_else(|_| Err(panicked().into()))?;
        let mut node =
            Node { handle, links: None, carrier: None, ended: Some(ended), thread: Some(thread) };
        if let Some(peering) = peering {
            node.link(peering, member)?;
        }
        let alone = node.handle.group().raft.group.voters == [node.handle.replica.0];
        if alone && node.handle.read().await.is_err() {
            return Err(node.why_ended().await.into());
        }
        if alone {
            let view = node.handle.view();
            node.found(&view, founder).await?;
        }
        Ok(node)
    }

    /// Begins to reach the other members and to let them in.
    fn link(
        &mut self,
        peering: Peering,
        member: Arc<dyn Signer + Send + Sync>,
    ) -> Result<(), Fault> {
        let address = peering.address;
        let Handle { cluster, incarnation, replica, supported, .. } = self.handle;
        let config = peers::Config {
            identity: peers::Identity::new(member),
            local: Local { cluster, incarnation, replica, address, program: supported.program() },
            membership: self.handle.membership.clone(),
            memory: self.handle.memory.clone(),
            limits: Limits::default(),
            random: Arc::new(|| random().unwrap_or_default()),
        };
        let (tell, mut events) = tokio::sync::mpsc::unbounded_channel();
        let links = Links::start(config, peering.listener, tell)
            .map_err(|e| Fault::from_error("listen for peers", e))?;
        let links = Arc::new(links);
        let (commands, joiners) = (self.handle.commands.clone(), peering.joiners);
        let carrier = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let taken = match event {
                    LinkEvent::Joiner(stream) => joiners.send(stream).is_ok(),
                    event => commands.send(Command::Link(event)).is_ok(),
                };
                if !taken {
                    break;
                }
            }
        });
        let _ = self.handle.commands.send(Command::Linked(links.clone()));
        (self.links, self.carrier) = (Some(links), Some(carrier));
        Ok(())
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

    /// How it has ended, if it has; told once, here or by [`Node::ended`].
    pub fn ended_already(&mut self) -> Option<Result<(), Fault>> {
        let told = self.ended.as_mut()?.try_recv().ok()?;
        self.ended = None;
        Some(told)
    }

    /// Stops it after what is under way, and waits for that.
    pub async fn stop(mut self) -> Result<(), Fault> {
        // It may have ended by itself; then the reason counts, unless it has been told.
        let _ = self.handle.commands.send(Command::Stop);
        let ended = self.ended().await;
        if let Some(links) = self.links.take().and_then(Arc::into_inner) {
            links.stop().await;
        }
        if let Some(carrier) = self.carrier.take() {
            carrier.abort();
            let _ = carrier.await;
        }
        ended
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
        let outcome = loop {
            match self.handle.submit(submission.clone()).await {
                // Once there is room it is recorded, or was.
                Outcome::Unknown if self.handle.group().full.is_some() => {
                    if self.handle.read().await.is_err() {
                        break Outcome::Unknown;
                    }
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Outcome::Applied { .. } | Outcome::Repeated { .. } => Ok(()),
            Outcome::Refused(refusal) => {
                Err(Fault::from_error("record that the group was created", refusal).into())
            }
            // There is no other leader, whose clock could be another one.
            Outcome::ClockApart | Outcome::Unknown => Err(self.why_ended().await.into()),
        }
    }
}

/// Whoever drops it without stopping it wants it gone all the same. Waits for that, which takes a second
/// where another replica is to lead.
impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.handle.commands.send(Command::Stop);
        if let Some(carrier) = &self.carrier {
            carrier.abort();
        }
        // A process that ended meanwhile would take away what RocksDB needs.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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

fn random() -> Result<u64, Fault> {
    getrandom::u64().map_err(|e| Fault::from_error("draw a number", e))
}

/// What a loop has besides what its disk remembers.
pub(super) struct Around {
    pub(super) supported: Supported,
    /// For election timeouts.
    pub(super) seed: u64,
    pub(super) window: WindowLimits,
    pub(super) foresight: Foresight,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) security: Arc<SecurityLog>,
}

pub(super) fn prepare<D: Disk, M: Marks + 'static>(
    recovered: Recovered<D, M>,
    member: Arc<dyn Signer + Send + Sync>,
    around: Around,
) -> Result<(Handle, Loop<D>), StartError> {
    let Around { supported, seed, window, foresight, clock, security } = around;
    let identity = recovered.identity;
    let (cluster, replica) = log::names(&identity);
    let incarnation = identity.incarnation;
    let (core, found) = found(recovered, supported.rules(), seed, window)?;
    let (tell_views, views) = watch::channel(found.view.clone());
    let (tell_group, group) = watch::channel(Arc::new(GroupView::alone(core.status())));
    let (tell_membership, membership) = watch::channel(found.membership.clone());
    let tells = Tells { views: tell_views, group: tell_group, membership: tell_membership };
    let (commands, to_do) = mpsc::channel();
    let memory = Arc::new(remembered(found.view.rows()));
    let mut agreement = Agreement::new(cluster, incarnation, replica);
    agreement.reached(&found.view);
    // Copies of proposals have other numbers than in every run before.
    let first_copy = clock.wall_ms().saturating_mul(COPIES_PER_MS);
    let kept = Kept {
        id: replica,
        commands: to_do,
        tells,
        member: member.clone(),
        clock,
        proposals: Proposals::numbered_from(first_copy),
        reading: BTreeMap::new(),
        next_read: 0,
        reach: Reach { memory: memory.clone(), ..Reach::default() },
        agreement,
        told: BTreeMap::new(),
        security: security.clone(),
        requests: 0,
        ticks: 0,
        wished: BTreeMap::new(),
        clock_told: None,
        stopping: None,
    };
    let work = Loop::new(kept, core, found.disk, found.keeper, foresight, found.ahead);
    let work = Loop { writes: found.writes, ..work };
    let queue = queue();
    let handle = Handle {
        commands,
        views,
        group,
        membership,
        memory,
        queue,
        visits: Arc::new(Semaphore::new(1)),
        member,
        cluster,
        replica,
        incarnation,
        supported,
        security,
    };
    Ok((handle, work))
}

/// What the others had signed when it was last written down. What cannot be read is not remembered:
/// no more than that is lost.
fn remembered(rows: &dyn Rows) -> Memory {
    let heads = log::remembered(rows).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "what the other members had signed is forgotten");
        Vec::new()
    });
    Memory::of(heads.into_iter().filter_map(|PeerHead { replica, head }| {
        Head::from_bytes(&head).ok().map(|head| (ReplicaId(replica), head))
    }))
}

/// A loop on a database that was opened again.
fn again(
    mut kept: Kept,
    recovered: Recovered,
    known: KnownRules,
) -> Result<Loop<Rocks>, StartError> {
    let (core, found) = found(recovered, known, random()?, WindowLimits::default())?;
    let scrub = Scrub::start(found.disk.watched())?;
    kept.agreement.reached(&found.view);
    kept.tells.views.send_replace(found.view);
    kept.tells.membership.send_replace(found.membership);
    kept.reach.librarian = kept.reach.links.clone().map(Librarian::start).transpose()?;
    tracing::info!("the database is open again: this replica takes part as before");
    let foresight = Foresight::start()?;
    let work = Loop::new(kept, core, found.disk, found.keeper, foresight, found.ahead);
    Ok(Loop { scrub: Some(scrub), writes: found.writes, ..work })
}

/// Starts on what a data directory holds. If its database is damaged it is mended first, as far as it
/// can be.
fn sound<T>(
    dir: &Path,
    fresh: Fresh,
    known: KnownRules,
    start: impl Fn(Fresh) -> Result<T, StartError>,
) -> Result<T, StartError> {
    mend::finish(dir)?;
    let fault = match start(fresh) {
        Err(StartError::Fault(fault)) if fault.ailment() == Ailment::Damaged => fault,
        started => return started,
    };
    tracing::error!(%fault, "the database is damaged: it is made anew from what is sound in it");
    match mend::mend(dir, known).and_then(|mended| mend::finish(dir).map(|()| mended)) {
        Ok(Mended { kept, missing }) => {
            tracing::warn!(kept, missing, "the database is made anew");
            start(Fresh::Refused)
        }
        Err(why) => {
            tracing::error!(%why, "it cannot be mended");
            Err(StartError::Fault(fault))
        }
    }
}

/// What belongs to an open database.
struct Found<D> {
    disk: D,
    keeper: Keeper,
    writes: u64,
    ahead: Option<Ahead>,
    view: Arc<View>,
    membership: Arc<Membership>,
}

fn found<D: Disk, M: Marks + 'static>(
    recovered: Recovered<D, M>,
    known: KnownRules,
    seed: u64,
    window: WindowLimits,
) -> Result<(Core, Found<D>), StartError> {
    let Recovered { disk, identity, saved, mark, watermark } = recovered;
    let (_, replica) = log::names(&identity);
    let rows: Box<dyn Rows + Send + Sync> = Box::new(disk.view());
    let fold = Fold::open_knowing(&*rows, known)?;
    let writes = log::written(&*rows)?;
    let (applied, ahead) = (saved.applied, saved.ahead);
    if let Some(ahead) = &ahead
        && let Some(record) = records::record(&*rows, ahead.record)?
        && record.hash().0 != ahead.hash
    {
        return Err(log::another_record(ahead.record).into());
    }
    let membership = Arc::new(group::membership(&*rows, replica, &saved.group, &BTreeMap::new())?);
    let core = Core::with_window(replica, saved, seed, window)?;
    let view = Arc::new(View::new(applied, fold, rows));
    let keeper = Keeper::new(Box::new(watermark), mark);
    Ok((core, Found { disk, keeper, writes, ahead, view, membership }))
}
