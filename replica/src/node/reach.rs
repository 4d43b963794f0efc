//! What a replica knows of its links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::Fault;
use ledger::history::{ReplicaId, members};
use ledger::rows::Rows;

use super::librarian::Librarian;
use super::surroundings::Way;
use crate::peers::{Event as LinkEvent, Head, Memory, Message, Session};

/// Ticks without a member on record to talk to after which a replica lets those speak whom it does not know.
const LONELY_TICKS: u64 = 100;

/// Ticks for which it does so after somebody has come.
const STRANGER_TICKS: u64 = 600;

/// What the loop knows of the links.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) links: Option<Arc<dyn Way>>,
    pub(super) librarian: Option<Librarian>,
    pub(super) up: BTreeMap<ReplicaId, Session>,
    pub(super) unreachable: BTreeMap<ReplicaId, String>,
    pub(super) shut_out_by: BTreeSet<ReplicaId>,
    /// Who does not want to talk to this replica: it may not know its key.
    pub(super) refused_by: BTreeSet<ReplicaId>,
    /// The last tick at which it could send to a member on record.
    pub(super) company: u64,
    /// The last tick at which somebody came whom it does not know.
    pub(super) stranger: Option<u64>,
    /// Whether it can send to no member on record, and could not for a while, and somebody comes whom it
    /// does not know.
    pub(super) lonely: bool,
    /// The tick at which each was heard of last.
    pub(super) heard: BTreeMap<ReplicaId, u64>,
    /// What the others have signed, to be shown to them.
    pub(super) memory: Arc<Memory>,
    /// What others have shown of what this replica has signed, and nobody has looked at yet.
    pub(super) shown: Vec<(ReplicaId, Head)>,
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
                self.refused_by.remove(peer);
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
                // Whether it cannot be reached elsewhere as well says nothing of that.
                if why.is_refusal() {
                    self.refused_by.insert(*peer);
                }
                self.unreachable.insert(*peer, why.to_string());
            }
            // While it takes no part, each peer's last is enough.
            LinkEvent::Remembered(peer, head) => {
                self.shown.retain(|(shower, _)| shower != peer);
                self.shown.push((*peer, *head));
            }
            // These say nothing of a link.
            LinkEvent::Message(_) | LinkEvent::Misbehaved(..) | LinkEvent::Joiner(_) => {}
        }
    }

    /// Looks whether it has to let those speak whom it does not know. Says whether that has changed.
    pub(super) fn look_for_company(&mut self, ticks: u64, rows: &dyn Rows) -> Result<bool, Fault> {
        for peer in self.up.keys() {
            // Others are there by the word of somebody, and must not keep those away who know better.
            if members::member(rows, *peer)?.is_some_and(|member| member.is_active()) {
                self.company = ticks;
                break;
            }
        }
        if self.memory.has_stranger_come() {
            self.stranger = Some(ticks);
        }
        let alone = ticks.saturating_sub(self.company) > LONELY_TICKS;
        let lonely = alone && self.stranger.is_some_and(|since| ticks - since < STRANGER_TICKS);
        Ok(std::mem::replace(&mut self.lonely, lonely) != lonely)
    }

    pub(super) fn peers_up(&self) -> BTreeSet<ReplicaId> {
        self.up.keys().copied().collect()
    }
}
