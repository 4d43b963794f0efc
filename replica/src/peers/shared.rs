//! What all tasks of the links know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ledger::history::{MemberKey, ReplicaId};
use tokio::sync::{Semaphore, mpsc, watch};

use super::event::Event;
use super::hello::{Hello, Local, Met, Reason, Session};
use super::limits::Limits;
use super::membership::{Membership, Peer};
use super::memory::Memory;
use super::message::Head;
use super::places::{Pending, Places, lock};
use super::tls::{Acceptor, Dialer};

/// Numbers by chance: they spread the pauses between tries, nothing else.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What all tasks know.
pub(super) struct Shared {
    pub(super) acceptor: Acceptor,
    pub(super) dialer: Dialer,
    pub(super) local: Local,
    pub(super) membership: watch::Receiver<Arc<Membership>>,
    pub(super) memory: Arc<Memory>,
    pub(super) limits: Limits,
    pub(super) random: Random,
    /// Where members say that they are reached.
    pub(super) said: Mutex<BTreeMap<ReplicaId, String>>,
    /// What each has shown last of what this member had signed.
    pub(super) shown: Mutex<BTreeMap<ReplicaId, Head>>,
    pub(super) pending: Mutex<Pending>,
    pub(super) places: Mutex<Places>,
    pub(super) joiners: Arc<Semaphore>,
    /// When it was last said that somebody of an earlier incarnation is about.
    pub(super) strangers: Mutex<Option<Instant>>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) rooms: Mutex<BTreeMap<ReplicaId, Arc<Semaphore>>>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Shared {
    pub(super) fn tell(&self, event: Event) {
        // An owner that is gone drops the links as well.
        let _ = self.events.send(event);
    }

    /// What this member says to that one first.
    pub(super) fn hello(&self, to: ReplicaId) -> Hello {
        Hello::to_member(&self.local, to, self.memory.head(to))
    }

    /// A member has said hello: notes what else it said.
    pub(super) fn met(&self, id: ReplicaId, met: Met) -> Session {
        let Met { session, address, remembered } = met;
        if let Some(address) = address {
            lock(&self.said).insert(id, address);
        }
        // The same again is no news, however often somebody comes.
        if let Some(head) = remembered
            && lock(&self.shown).insert(id, head) != Some(head)
        {
            self.tell(Event::Remembered(id, head));
        }
        session
    }

    /// Where that member said last that it is reached.
    pub(super) fn said_by(&self, id: ReplicaId) -> Option<String> {
        lock(&self.said).get(&id).cloned()
    }

    /// Room for the messages of that peer, over all of its connections.
    pub(super) fn room(&self, id: ReplicaId) -> Arc<Semaphore> {
        let kib = self.limits.inbox_kib as usize;
        lock(&self.rooms).entry(id).or_insert_with(|| Arc::new(Semaphore::new(kib))).clone()
    }

    /// Waits until this is no longer that member's entry, or all links stop.
    pub(super) async fn over(&self, id: ReplicaId, peer: &Peer) -> Reason {
        let mut membership = self.membership.clone();
        let changed = async {
            let is_member = membership
                .wait_for(|now| now.members.get(&id) != Some(peer))
                .await
                .map(|now| now.members.contains_key(&id));
            match is_member {
                Ok(true) => Reason::Superseded,
                Ok(false) => Reason::Removed,
                // Nobody publishes changes any more: the owner is about to go.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = changed => reason,
            () = self.stopping() => Reason::Stopping,
        }
    }

    /// Waits until this is no longer that member's key.
    pub(super) async fn unheld(&self, id: ReplicaId, key: MemberKey) {
        let mut membership = self.membership.clone();
        if membership.wait_for(|now| !now.is_held(id, key)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until all links stop.
    pub(super) async fn stopping(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}
