//! Who may do what, by the Unix user at the other end of the socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of one user at a time, root and the daemon's own user aside.
const CONNECTIONS_PER_USER: usize = 16;
/// Connections of all users at a time.
const CONNECTIONS: usize = 256;

/// What somebody may do. Whoever can open the socket may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Look at the lock, its log and the roster.
    Read,
    /// Change them.
    Write,
}

/// Who may change things: root, the daemon's own user and the configured operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The user that the daemon runs as.
    pub own: u32,
    /// The configured operator.
    pub operator: Option<u32>,
}

impl Access {
    /// What that user may do.
    pub fn of(&self, uid: u32) -> Permission {
        if self.is_trusted(uid) || self.operator == Some(uid) {
            Permission::Write
        } else {
            Permission::Read
        }
    }

    fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }
}

/// How much of the daemon each user occupies.
#[derive(Debug)]
pub(super) struct Occupancy {
    access: Access,
    connections: Mutex<BTreeMap<u32, usize>>,
    derivations: Mutex<BTreeMap<u32, usize>>,
}

/// A place that somebody occupies, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    occupancy: Arc<Occupancy>,
    uid: u32,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Connection,
    Derivation,
}

impl Occupancy {
    pub(super) fn new(access: Access) -> Arc<Self> {
        Arc::new(Occupancy { access, connections: Mutex::default(), derivations: Mutex::default() })
    }

    /// A place for a connection; `None` if the user has too many. A crowd of others never keeps
    /// root or the daemon's own user out.
    pub(super) fn connection(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let trusted = self.access.is_trusted(uid);
        self.take(uid, What::Connection, |own, all| {
            trusted && own < CONNECTIONS || own < CONNECTIONS_PER_USER && all < CONNECTIONS
        })
    }

    /// A place for a run of the disablement KDF, which takes 15 ms and 16 MiB: one for each user.
    pub(super) fn derivation(self: &Arc<Self>, uid: u32) -> Option<Place> {
        self.take(uid, What::Derivation, |own, _| own == 0)
    }

    fn take(
        self: &Arc<Self>,
        uid: u32,
        what: What,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<Place> {
        let mut counts = self.counts(what).lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(&uid).copied().unwrap_or(0);
        if !fits(own, counts.values().sum()) {
            return None;
        }
        counts.insert(uid, own + 1);
        Some(Place { occupancy: self.clone(), uid, what })
    }

    fn counts(&self, what: What) -> &Mutex<BTreeMap<u32, usize>> {
        match what {
            What::Connection => &self.connections,
            What::Derivation => &self.derivations,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = self.occupancy.counts(self.what);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.uid) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_the_daemon_and_the_operator_may_write() {
        let access = Access { own: 100, operator: Some(1000) };
        for uid in [0, 100, 1000] {
            assert_eq!(access.of(uid), Permission::Write);
        }
        assert_eq!(access.of(1001), Permission::Read);
        assert_eq!(Access { operator: None, ..access }.of(1000), Permission::Read);
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let occupancy = Occupancy::new(Access { own: 100, operator: None });
        let mut places: Vec<_> = (0..CONNECTIONS_PER_USER)
            .map(|_| occupancy.connection(1000).expect("a place"))
            .collect();
        assert!(occupancy.connection(1000).is_none());
        assert!(occupancy.connection(1001).is_some());
        places.pop();
        assert!(occupancy.connection(1000).is_some());

        let crowd: Vec<_> = (2000..2100)
            .flat_map(|uid| (0..CONNECTIONS_PER_USER).map(move |_| uid))
            .filter_map(|uid| occupancy.connection(uid))
            .collect();
        assert!(crowd.len() < CONNECTIONS);
        assert!(occupancy.connection(3000).is_none());
        assert!(occupancy.connection(0).is_some());

        let run = occupancy.derivation(0).expect("a place");
        assert!(occupancy.derivation(0).is_none());
        assert!(occupancy.derivation(100).is_some());
        drop(run);
        assert!(occupancy.derivation(0).is_some());
    }
}
