//! Who the members are, as the owner's records say at the moment.

use std::collections::BTreeMap;

use ledger::history::{MemberKey, ReplicaId};

/// A member as its peers reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The key that it must hold.
    pub key: MemberKey,
    /// Where it listens, as `host:port`. Names are resolved anew for every try. Without an
    /// address it is not dialled, though it may dial.
    pub address: Option<String>,
}

/// A snapshot of the membership. The owner publishes another one whenever it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// The members, oneself included or not.
    pub members: BTreeMap<ReplicaId, Peer>,
    /// Keys of removed members: they are let in as far as to be told so.
    pub removed: BTreeMap<MemberKey, ReplicaId>,
    /// Whether joiners, whose keys nobody knows, may connect.
    pub joins: bool,
}

impl Membership {
    /// The member that holds this key.
    pub fn holder(&self, key: MemberKey) -> Option<ReplicaId> {
        self.members.iter().find(|(_, peer)| peer.key == key).map(|(id, _)| *id)
    }

    /// Whether this key is that member's.
    pub fn is_held(&self, id: ReplicaId, key: MemberKey) -> bool {
        self.members.get(&id).is_some_and(|peer| peer.key == key)
    }
}
