//! What a replica knows of its links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::history::ReplicaId;

use super::librarian::Librarian;
use super::surroundings::Way;
use crate::peers::{Event as LinkEvent, Message, Session};

/// What the loop knows of the links.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) links: Option<Arc<dyn Way>>,
    pub(super) librarian: Option<Librarian>,
    pub(super) up: BTreeMap<ReplicaId, Session>,
    pub(super) unreachable: BTreeMap<ReplicaId, String>,
    pub(super) shut_out_by: BTreeSet<ReplicaId>,
    /// The tick at which each was heard of last.
    pub(super) heard: BTreeMap<ReplicaId, u64>,
}

impl Reach {
    /// Sends a message, or loses it.
    pub(super) fn send(&self, to: ReplicaId, message: Message) {
        if let Some(links) = &self.links
            && let Err(error) = links.send(to, message)
        {
            tracing::trace!(%to, %error, "a message was lost");
        }
    }

    /// Tells everybody whom this replica, which leads in that term, lets lead next: they would not hear
    /// that one otherwise, as long as they take this one for the leader.
    pub(super) fn yields(&self, term: u64, to: ReplicaId) {
        for peer in self.up.keys() {
            self.send(*peer, Message::Yields { term, to });
        }
    }

    /// A link has come up or gone down, or does not come up.
    pub(super) fn changed(&mut self, event: &LinkEvent, ticks: u64) {
        match event {
            LinkEvent::Up(peer, session) => {
                tracing::info!(%peer, software = session.software, "connected");
                self.up.insert(*peer, session.clone());
                self.unreachable.remove(peer);
                self.shut_out_by.remove(peer);
                self.heard.insert(*peer, ticks);
            }
            LinkEvent::Down(peer) => {
                tracing::info!(%peer, "disconnected");
                self.up.remove(peer);
            }
            LinkEvent::Unreachable(peer, why) => {
                tracing::warn!(%peer, %why, "cannot be reached");
                if why.says_removed() {
                    self.shut_out_by.insert(*peer);
                }
                self.unreachable.insert(*peer, why.to_string());
            }
            // These say nothing of a link.
            LinkEvent::Message(_) | LinkEvent::Misbehaved(..) | LinkEvent::Joiner(_) => {}
        }
    }

    pub(super) fn peers_up(&self) -> BTreeSet<ReplicaId> {
        self.up.keys().copied().collect()
    }
}
