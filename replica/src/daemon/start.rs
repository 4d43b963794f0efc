//! From settings to a daemon that serves, and to its end.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Fault;
use ledger::history::members::{self, Standing};
use ledger::history::{MemberFingerprint, MemberKey, ReplicaId, is_name};
use ledger::lock::signatures::{PrivateKey, Signer};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::config::Config;
use super::error::ServeError;
use super::hook::{self, Hook};
use super::notify::Manager;
use super::pulse::Pulse;
use super::renewal::{self, Renewal};
use super::stop::StopSignals;
use super::{acquaintances, checkpoints, enrolling, health, invitation, log, peer_port, visits};
use crate::disk::local_disable::LocalDisable;
use crate::disk::recovery::StartError;
use crate::disk::{identity, rocks};
use crate::joining::host;
use crate::keys::{Keys, Start, guard_memory, make_member_key, read_member_key};
use crate::local_api::{self, Access, Api};
use crate::node::{Handle, Node, Options, Peering, Supported};
use crate::operations::{Ground, enrol};
use crate::peers::JoinStream;

/// How long the daemon waits for its own entries to be recorded before it serves all the same.
const ENROL: Duration = Duration::from_secs(10);
/// How long the daemon waits at its end for whoever still reads from the database.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a replica that is out of its group stays to be asked by those who do not know it yet.
const LEAVING: Duration = Duration::from_secs(5);

/// What stands on stdout, as JSON, once the daemon can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// `ready`.
    pub event: &'static str,
    /// This replica; decimal, as text.
    pub replica_id: String,
    /// The cluster.
    pub cluster_id: String,
    /// Where the local API is.
    pub socket: PathBuf,
    /// Where it listens for other replicas.
    pub peer_addr: SocketAddr,
    /// Where health and metrics are.
    pub health_addr: SocketAddr,
    /// The program's version.
    pub version: &'static str,
}

/// Runs the daemon in the foreground until SIGTERM or SIGINT. Logs to stderr; the first line on
/// stdout says that it can serve. `supported` is what the program can do.
pub fn serve(config: Config, supported: Supported) -> Result<(), ServeError> {
    log::start();
    // Nothing that the daemon makes is anybody else's; the socket's mode is set by itself.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| {
            ServeError::Io { doing: "starting", place: "the runtime".to_owned(), source }
        })?;
    let served = runtime.block_on(async {
        let mut signals = StopSignals::watch().map_err(|source| ServeError::Io {
            doing: "watching",
            place: "the signals to stop".to_owned(),
            source,
        })?;
        run(config, supported, async move { signals.received().await }, say_ready).await
    });
    // A request that never ends must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !rocks::all_closed(CLOSING) {
        tracing::warn!("the database is still being read while the daemon ends");
    }
    served
}

/// Runs the daemon until `stop` says why it is to stop, or until it must not acknowledge anything
/// any more. Calls `ready` once it can serve.
pub async fn run(
    config: Config,
    supported: Supported,
    stop: impl Future<Output = &'static str>,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let manager = Manager::of_process();
    let name = member_name(config.name.as_deref())?;
    let _held = data_directory(&config.data_dir)?;
    let mut stop = pin!(stop);
    let mut started = start(&config, supported, &name, &manager, stop.as_mut()).await;
    if let Err(error) = &started
        && error.costs_identity()
        && renewal::begin(&config.data_dir)
    {
        tracing::error!(
            %error, "this replica has lost what it had promised, and asks the others to let it in \
                     under a new identity"
        );
        started = start(&config, supported, &name, &manager, stop.as_mut()).await;
    }
    let Some(Started { keys, peer_addr, address, joiners, mut node }) = started? else {
        return Ok(());
    };
    let own = Own { name: &name, address: &address, peer_addr, joiners, manager };
    let handle = node.handle().clone();
    let served = serve_node(&config, own, keys, &mut node, stop, ready).await;
    let stopped = node.stop().await.map_err(ServeError::Replica);
    let ended = match (served, stopped) {
        // Why it stopped says more than that it did.
        (Err(ServeError::EnrolUnknown), Err(fault)) => Err(fault),
        (served, stopped) => served.and(stopped),
    };
    if ended.as_ref().is_err_and(ServeError::costs_identity) {
        // It asks those whom it has just heard of.
        acquaintances::note(&handle, &config.data_dir);
    }
    drop(handle);
    match ended {
        // Its database may still be open somewhere in this process.
        Err(error) if error.costs_identity() && renewal::begin(&config.data_dir) => match error {
            ServeError::Replica(fault) => Err(ServeError::Renewal(fault)),
            error => Err(error),
        },
        ended => ended,
    }
}

/// A replica that has recovered what its data directory holds, and what it is asked by.
struct Started {
    keys: Arc<Keys>,
    peer_addr: SocketAddr,
    address: String,
    joiners: mpsc::UnboundedReceiver<Box<JoinStream>>,
    node: Node,
}

/// Starts the replica; before that has it let in, if it is to join or to come back as another.
/// `None`: it is to stop before that has come to anything.
async fn start(
    config: &Config,
    supported: Supported,
    name: &str,
    manager: &Manager,
    mut stop: Pin<&mut impl Future<Output = &'static str>>,
) -> Result<Option<Started>, ServeError> {
    let data_dir = &config.data_dir;
    let first = match identity::read(data_dir) {
        Ok(Some(_)) => Start::Again,
        Ok(None) => Start::First,
        // Whoever comes back as another does without it.
        Err(_) if renewal::is_under_way(data_dir) => Start::Again,
        Err(fault) => return Err(StartError::from(fault).into()),
    };
    let mut keys = Keys::open(data_dir, first, &config.lock_key)?;
    guard_memory();
    let renewal = Renewal::under_way(data_dir, &mut keys, first)?;
    let keys = Arc::new(keys);
    let own_key = MemberKey(keys.member.public().0);
    let listener = peer_port::bind(data_dir, config.peer_listen, own_key)
        .await
        .map_err(|source| listening(config.peer_listen, source))?;
    let peer_addr = listener.local_addr().map_err(|e| listening(config.peer_listen, e))?;
    let address = config.peer_address.clone().unwrap_or_else(|| peer_addr.to_string());
    let member = Arc::new(MemberSigner(keys.clone()));
    let own = local_api::own(&keys, keys.node.public());
    let details = enrol::details(name, own, Some(&address), supported.rules());
    let token = match (&renewal, &config.join, first) {
        (Some(renewal), ..) => Some(renewal.token()),
        (None, Some(from), Start::First) => Some(invitation::read(from)?),
        (None, Some(_), Start::Again) => {
            tracing::info!("this replica is a member already: the invitation is not needed");
            None
        }
        (None, None, _) => None,
    };
    let joined = match token {
        None => None,
        Some(token) => {
            manager.status("waits until the group lets this replica in");
            let program = supported.program();
            let former = renewal.as_ref().and_then(Renewal::former);
            let joining = invitation::follow(&token, &details, member.clone(), &program, former);
            tokio::select! {
                joined = joining => Some(joined?),
                reason = &mut stop => {
                    tracing::info!(reason, "stopping before this replica was let in");
                    return Ok(None);
                }
            }
        }
    };
    if let Some(renewal) = &renewal {
        renewal.change_over(&keys)?;
    }
    manager.status("recovers what the data directory holds");
    let (tell_joiners, joiners) = mpsc::unbounded_channel();
    let starting = Node::start(Options {
        dir: data_dir.clone(),
        member,
        founder: (joined.is_none()).then_some(details),
        joined,
        peering: Some(Peering { listener, address: Some(address.clone()), joiners: tell_joiners }),
        supported,
    });
    // On a full disk the start of a group of one waits for room.
    let node = tokio::select! {
        started = starting => started?,
        reason = &mut stop => {
            tracing::info!(reason, "stopping before the replica has started");
            return Ok(None);
        }
    };
    if let Some(renewal) = renewal {
        renewal.is_done()?;
    }
    Ok(Some(Started { keys, peer_addr, address, joiners, node }))
}

/// The fingerprint of the member key in a data directory. Both are made if they are not there.
pub fn fingerprint(data_dir: &Path) -> Result<MemberFingerprint, ServeError> {
    if let Some(key) = read_member_key(data_dir)? {
        return Ok(key.fingerprint());
    }
    let _held = data_directory(data_dir)?;
    let start = match identity::read(data_dir).map_err(StartError::from)? {
        Some(_) => Start::Again,
        None => Start::First,
    };
    Ok(make_member_key(data_dir, start)?.fingerprint())
}

fn listening(address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Io { doing: "listening at", place: address.to_string(), source }
}

/// How this daemon appears to others.
struct Own<'a> {
    name: &'a str,
    address: &'a str,
    peer_addr: SocketAddr,
    joiners: mpsc::UnboundedReceiver<Box<JoinStream>>,
    manager: Manager,
}

/// Serves on a running replica until it is to stop.
async fn serve_node(
    config: &Config,
    own: Own<'_>,
    keys: Arc<Keys>,
    node: &mut Node,
    mut stop: Pin<&mut impl Future<Output = &'static str>>,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let handle = node.handle().clone();
    let Own { name, address, peer_addr, mut joiners, manager } = own;
    let hosting = handle.clone();
    // Whatever still goes on in it when this daemon has served goes with it.
    let mut background = JoinSet::new();
    background.spawn(async move {
        let mut guests = JoinSet::new();
        loop {
            tokio::select! {
                stream = joiners.recv() => match stream {
                    Some(stream) => drop(guests.spawn(host::receive(hosting.clone(), *stream))),
                    None => break,
                },
                Some(_) = guests.join_next() => {}
            }
        }
    });
    manager.status("waits for the group's records");
    tokio::select! {
        known = known(&handle) => known?,
        reason = &mut stop => {
            tracing::info!(reason, "stopping before the records have come");
            return Ok(());
        }
        ended = node.ended() => return Err(ServeError::Replica(ended_of(ended))),
    }
    let view = handle.view();
    let own = members::member(view.rows(), handle.replica()).map_err(StartError::from)?;
    if own.is_some_and(|own| matches!(own.standing, Standing::Removed(_))) {
        // The others may still need its vote to let it go, but it serves nobody any more.
        tokio::select! {
            id = removed(&handle) => return Err(ServeError::Removed(id)),
            reason = &mut stop => {
                tracing::info!(reason, "stopping");
                return Ok(());
            }
            ended = node.ended() => return Err(ServeError::Replica(ended_of(ended))),
        }
    }
    drop(view);
    let aside = LocalDisable::open(&config.data_dir).map_err(StartError::from)?;
    let enrolled = enrolling::enrol_own(
        handle.clone(),
        name.to_owned(),
        address.to_owned(),
        keys.clone(),
        aside,
    );
    background.spawn(checkpoints::keep(handle.clone(), keys.clone(), config.data_dir.clone()));
    background.spawn(acquaintances::keep(handle.clone(), config.data_dir.clone()));
    background.spawn(visits::keep(handle.clone(), Arc::new(MemberSigner(keys.clone()))));
    let (tell_enrolled, enrolling) = oneshot::channel();
    let raising = enrolling::raise_rules(handle.clone(), name.to_owned());
    background.spawn(async move {
        let _ = tell_enrolled.send(enrolled.await);
        raising.await;
    });
    // A group without a majority cannot record anything; this replica can still be asked.
    tokio::select! {
        enrolled = timeout(ENROL, enrolling) => match enrolled {
            Ok(enrolled) => enrolled.unwrap_or(Err(ServeError::EnrolUnknown))?,
            Err(_) => tracing::warn!("the group does not answer: too few members are up"),
        },
        id = removed(&handle) => return Err(ServeError::Removed(id)),
    }
    if let Some(given) = &config.name {
        let view = handle.view();
        let node =
            enrol::own_node(Ground { fold: view.fold(), rows: view.rows() }, handle.replica());
        // What cannot be read is noticed by the replica.
        if let Some(node) = node.ok().flatten().filter(|node| node.name != *given) {
            tracing::warn!(
                given,
                name = node.name,
                "this machine keeps the name that it got on its first start"
            );
        }
    }

    let io = |source| listening(config.health_listen, source);
    let health = TcpListener::bind(config.health_listen).await.map_err(io)?;
    let health_addr = health.local_addr().map_err(io)?;
    let own = rustix::process::geteuid().as_raw();
    let access = Access { own, operator: config.operator };
    let operator = config.operator.filter(|operator| *operator != own);
    let socket = local_api::bind(&config.socket, config.socket_group, operator)?;
    let aside = LocalDisable::open(&config.data_dir).map_err(StartError::from)?;
    let api = Arc::new(Api::new(
        handle.clone(),
        keys,
        config.data_dir.clone(),
        access,
        config.support_escrow.clone(),
        aside,
    ));

    let (tell_stop, stopping) = watch::channel(false);
    let local = tokio::spawn(local_api::serve(socket, api, stopping.clone()));
    let hook = match config.on_locked_out.clone() {
        Some(command) => {
            let hook = Hook::open(&handle, config.data_dir.clone(), command);
            tokio::spawn(hook.run(stopping.clone()))
        }
        None => {
            hook::forget(&config.data_dir);
            tokio::spawn(std::future::ready(()))
        }
    };
    let pulse = Pulse::new();
    let beats = pulse.clone().run(handle.clone(), manager.clone(), stopping.clone());
    let beats = tokio::spawn(beats);
    let health = health::serve(health, handle.clone(), config.data_dir.clone(), pulse, stopping);
    let health = tokio::spawn(health);
    ready(&Ready {
        event: "ready",
        replica_id: handle.replica().to_string(),
        cluster_id: handle.cluster().to_string(),
        socket: config.socket.clone(),
        peer_addr,
        health_addr,
        version: handle.supported().version(),
    });
    manager.ready();
    tracing::info!(socket = %config.socket.display(), %health_addr, "ready");

    let ended = tokio::select! {
        reason = &mut stop => {
            tracing::info!(reason, "stopping");
            Ok(())
        }
        ended = node.ended() => Err(ServeError::Replica(ended_of(ended))),
        id = removed(&handle) => Err(ServeError::Removed(id)),
    };
    manager.stopping();
    manager.status("stops");
    // First the place where new requests come in, so that the next daemon finds it free.
    if let Err(error) = fs::remove_file(&config.socket) {
        tracing::warn!(%error, "the socket could not be removed");
    }
    let _ = tell_stop.send(true);
    background.shutdown().await;
    for task in [local, health, hook, beats] {
        if let Err(error) = task.await {
            tracing::warn!(%error, "a listener ended badly");
        }
    }
    ended
}

fn say_ready(ready: &Ready) {
    let line = serde_json::to_string(ready).unwrap_or_default();
    // Whoever started the daemon may not be listening; it serves all the same.
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "the ready line could not be written");
    }
}

/// The name of a member: the one that was given, or one derived from the host's.
pub fn member_name(given: Option<&str>) -> Result<String, ServeError> {
    match given {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        Some(name) => Err(ServeError::Name(name.to_owned())),
        None => {
            let host = rustix::system::uname();
            Ok(enrol::name_from_host(&host.nodename().to_string_lossy()))
        }
    }
}

/// A data directory that no other daemon can have, until this is dropped.
struct Held(fs::File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing it would not be enough while a command that was just started is still a copy
        // of this process, with all its files.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Creates the data directory with mode 0700, or checks that it is the daemon's alone.
fn data_directory(path: &Path) -> Result<Held, ServeError> {
    let io =
        |doing| move |source| ServeError::Io { doing, place: path.display().to_string(), source };
    let wrong = |what: String| ServeError::DataDir { path: path.into(), what };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("creating"))?;
    let metadata = fs::metadata(path).map_err(io("looking at"))?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        return Err(wrong(format!("it belongs to user {}, not {own}", metadata.uid())));
    }
    let mode = metadata.mode() & 0o7777;
    // Others may look around in it (what is secret has its own modes) but not put files there.
    if mode & 0o022 != 0 {
        return Err(wrong(format!("others may write there (mode {mode:04o})")));
    }
    let directory = fs::File::open(path).map_err(io("opening"))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Held(directory)),
        Err(Errno::WOULDBLOCK) => Err(ServeError::InUse { path: path.into() }),
        Err(error) => Err(io("locking")(error.into())),
    }
}

fn ended_of(ended: Result<(), Fault>) -> Fault {
    ended.err().unwrap_or_else(|| Fault::new("it ended"))
}

/// Waits until the records name this replica: one that has just joined has none yet.
async fn known(handle: &Handle) -> Result<(), ServeError> {
    let mut views = handle.watch();
    loop {
        let view = views.borrow_and_update().clone();
        if members::member(view.rows(), handle.replica()).map_err(StartError::from)?.is_some() {
            return Ok(());
        }
        if views.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Waits until the records, or most of the others, say that this replica is a member no more.
async fn removed(handle: &Handle) -> ReplicaId {
    let id = handle.replica();
    let mut group = handle.watch_group();
    let mut out_since = None;
    loop {
        let view = handle.view();
        let member = members::member(view.rows(), id).ok().flatten();
        let by_record =
            member.is_some_and(|member| matches!(member.standing, Standing::Removed(_)));
        let now = group.borrow_and_update().clone();
        // Until it is out of the Raft group, the change that takes it out may need its vote; and for a
        // moment longer, while the others may not have heard that it is committed.
        let out = !now.raft.group.voters.contains(&id.0)
            && !now.raft.group.learners.contains(&id.0)
            && !now.raft.group.voters_outgoing.contains(&id.0);
        if by_record && out && out_since.is_none() {
            out_since = Some(Instant::now());
        }
        let grace =
            out_since.map(|since| (since + LEAVING).saturating_duration_since(Instant::now()));
        if now.is_shut_out(id) || grace.is_some_and(|left| left.is_zero()) {
            return id;
        }
        match timeout(grace.unwrap_or(LEAVING), group.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return std::future::pending().await,
        }
    }
}

/// The member key where the replica needs a signer of its own.
pub(super) struct MemberSigner(Arc<Keys>);

impl MemberSigner {
    fn key(&self) -> &PrivateKey {
        &self.0.member
    }
}

impl Signer for MemberSigner {
    fn public(&self) -> ledger::ids::LockKey {
        self.key().public()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key().sign(message)
    }
}
