//! All links of a member: the handle, and the task that owns every other one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::history::ReplicaId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::event::Event;
use super::hello::Local;
use super::limits::Limits;
use super::listener;
use super::membership::{Membership, Peer};
use super::memory::Memory;
use super::message::Message;
use super::outbox::{Outbox, SendError};
use super::outgoing;
use super::places::lock;
use super::shared::{Random, Shared};
use super::tls::{Acceptor, Dialer, Identity, TlsError};

/// How long goodbyes may take at the end.
const STOP: Duration = Duration::from_secs(3);
/// The pause after the system has refused to accept a connection, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What links are made of.
#[derive(Clone)]
pub struct Config {
    /// This member's key.
    pub identity: Identity,
    /// What it says of itself.
    pub local: Local,
    /// Who the members are, at any moment.
    pub membership: watch::Receiver<Arc<Membership>>,
    /// What each of them is shown of what it has signed.
    pub memory: Arc<Memory>,
    /// Bounds.
    pub limits: Limits,
    /// Chance.
    pub random: Random,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("identity", &self.identity)
            .field("local", &self.local)
            .finish()
    }
}

/// Why links cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listening socket does not work.
    #[error("the peer listener: {0}")]
    Listener(#[from] io::Error),
}

type Outboxes = Arc<Mutex<BTreeMap<ReplicaId, Arc<Outbox>>>>;

/// The links of a member. Dropping them closes all connections at once.
#[derive(Debug)]
pub struct Links {
    outboxes: Outboxes,
    stop: watch::Sender<bool>,
    manager: JoinHandle<()>,
}

impl Links {
    /// Begins to reach all members and to let them in.
    pub fn start(
        config: Config,
        listener: TcpListener,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, StartError> {
        let Config { identity, local, membership, memory, limits, random } = config;
        let dialer = Dialer::new(&identity);
        let acceptor = Acceptor::new(&dialer, membership.clone())?;
        let (stop, stopped) = watch::channel(false);
        let outboxes = Outboxes::default();
        let shared = Arc::new(Shared {
            acceptor,
            dialer,
            local,
            membership: membership.clone(),
            memory,
            random,
            said: Mutex::default(),
            shown: Mutex::default(),
            pending: Mutex::default(),
            places: Mutex::default(),
            joiners: Arc::new(Semaphore::new(limits.joiners)),
            strangers: Mutex::default(),
            events,
            rooms: Mutex::default(),
            stop: stopped,
            limits,
        });
        let manager = Manager {
            shared,
            membership,
            outboxes: outboxes.clone(),
            tasks: JoinSet::new(),
            dialled: BTreeMap::new(),
            turns: BTreeMap::new(),
        };
        Ok(Links { outboxes, stop, manager: tokio::spawn(manager.run(listener)) })
    }

    /// Sends a message. It may be lost, and then nobody is told: Raft repeats, and whoever waits
    /// for an answer counts it as lost once [`Event::Down`] comes.
    pub fn send(&self, to: ReplicaId, message: Message) -> Result<(), SendError> {
        let outbox = lock(&self.outboxes).get(&to).cloned().ok_or(SendError::Down)?;
        outbox.push(message)
    }

    /// Says goodbye to everybody and closes everything.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.manager).await;
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.manager.abort();
    }
}

/// Owns all tasks: they end when it does.
struct Manager {
    shared: Arc<Shared>,
    membership: watch::Receiver<Arc<Membership>>,
    outboxes: Outboxes,
    tasks: JoinSet<()>,
    /// Whom a task keeps a connection to, and where.
    dialled: BTreeMap<ReplicaId, Peer>,
    /// Lets the task for a peer's new address wait for the one for its old address, so that events
    /// about one peer keep their order.
    turns: BTreeMap<ReplicaId, Arc<tokio::sync::Mutex<()>>>,
}

impl Manager {
    async fn run(mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        let mut published = true;
        self.reconcile();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, from)) => {
                        self.tasks.spawn(listener::serve(shared.clone(), socket, from.ip()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a peer's connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                changed = self.membership.changed(), if published => {
                    published = changed.is_ok();
                    self.reconcile();
                }
                Some(_) = self.tasks.join_next() => {}
                () = shared.stopping() => break,
            }
        }
        drop(listener);
        lock(&self.outboxes).clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(STOP, all).await;
    }

    /// Dials whoever has become a member or has moved. Tasks for those who have left or moved see
    /// it themselves.
    fn reconcile(&mut self) {
        let now = self.membership.borrow_and_update().clone();
        let own = self.shared.local.replica;
        self.dialled.retain(|id, peer| now.members.get(id) == Some(peer));
        lock(&self.outboxes).retain(|id, _| self.dialled.contains_key(id));
        lock(&self.shared.rooms).retain(|id, _| now.members.contains_key(id));
        lock(&self.shared.said).retain(|id, _| now.members.contains_key(id));
        lock(&self.shared.shown).retain(|id, _| now.members.contains_key(id));
        // One that somebody still waits for has other holders.
        self.turns.retain(|id, turn| now.members.contains_key(id) || Arc::strong_count(turn) > 1);
        for (id, peer) in &now.members {
            if *id == own || peer.address.is_none() || self.dialled.contains_key(id) {
                continue;
            }
            let outbox = Arc::new(Outbox::new(&self.shared.limits));
            lock(&self.outboxes).insert(*id, outbox.clone());
            self.dialled.insert(*id, peer.clone());
            let turn = self.turns.entry(*id).or_default().clone();
            let (shared, id, peer) = (self.shared.clone(), *id, peer.clone());
            self.tasks.spawn(async move {
                let _turn = turn.lock().await;
                outgoing::keep(shared, id, peer, outbox).await;
            });
        }
    }
}
