//! Who may have a connection here: places before a hello, of each key, and for whoever speaks.
//!
//! Before its hello a connection costs its place among the pending ones and a time limit, and the
//! oldest of them makes room for a new one: honest ones are done within milliseconds, so whoever
//! wants to keep them out has to come at a high rate, rather than just be there.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::history::{MemberKey, ReplicaId};
use tokio::sync::oneshot;

use super::limits::Limits;

/// Connections that have not said hello yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    next: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    serial: u64,
    address: IpAddr,
    evict: oneshot::Sender<()>,
}

impl Pending {
    pub(super) fn enter(
        &mut self,
        address: IpAddr,
        limits: &Limits,
    ) -> (u64, oneshot::Receiver<()>) {
        let from_there = self.waiting.iter().filter(|w| w.address == address).count();
        if from_there >= limits.pending_per_address.max(1) {
            self.evict(|waiting| waiting.address == address);
        } else if self.waiting.len() >= limits.pending.max(1) {
            self.evict(|_| true);
        }
        let (evict, evicted) = oneshot::channel();
        let serial = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back(Waiting { serial, address, evict });
        (serial, evicted)
    }

    fn evict(&mut self, which: impl Fn(&Waiting) -> bool) {
        if let Some(oldest) = self.waiting.iter().position(which).and_then(|at| {
            // Its task ends, and finds its place taken back already.
            self.waiting.remove(at)
        }) {
            let _ = oldest.evict.send(());
        }
    }

    pub(super) fn leave(&mut self, serial: u64) {
        self.waiting.retain(|waiting| waiting.serial != serial);
    }
}

/// Connections that have shown a member's key.
#[derive(Debug, Default)]
pub(super) struct Places {
    next: u64,
    of_key: BTreeMap<MemberKey, usize>,
    /// The connection on which a member speaks.
    newest: BTreeMap<ReplicaId, (u64, oneshot::Sender<()>)>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave them half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the connections of one key; free again when dropped.
pub(super) struct Place<'a> {
    places: &'a Mutex<Places>,
    key: MemberKey,
}

impl<'a> Place<'a> {
    pub(super) fn take(places: &'a Mutex<Places>, key: MemberKey, limits: &Limits) -> Option<Self> {
        let mut all = lock(places);
        let count = all.of_key.entry(key).or_insert(0);
        if *count >= limits.per_key.max(1) {
            return None;
        }
        *count += 1;
        Some(Place { places, key })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.places);
        if let Some(count) = all.of_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.of_key.remove(&self.key);
            }
        }
    }
}

/// The right to speak for a member; told when a newer connection takes it over.
pub(super) struct Turn<'a> {
    places: &'a Mutex<Places>,
    id: ReplicaId,
    serial: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn take(places: &'a Mutex<Places>, id: ReplicaId) -> (Self, oneshot::Receiver<()>) {
        let mut all = lock(places);
        let serial = all.next;
        all.next = all.next.wrapping_add(1);
        let (tell, told) = oneshot::channel();
        if let Some((_, older)) = all.newest.insert(id, (serial, tell)) {
            let _ = older.send(());
        }
        (Turn { places, id, serial }, told)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.places);
        if all.newest.get(&self.id).is_some_and(|(serial, _)| *serial == self.serial) {
            all.newest.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pending_connection_makes_room() {
        let limits = Limits { pending: 3, pending_per_address: 2, ..Limits::default() };
        let [a, b] = [1, 2].map(|n| IpAddr::from([127, 0, 0, n]));
        let mut pending = Pending::default();
        let mut a1 = pending.enter(a, &limits).1;
        let mut b1 = pending.enter(b, &limits).1;
        let (serial, mut a2) = pending.enter(a, &limits);
        // One more from there: the oldest from there goes, not the oldest of all.
        let mut a3 = pending.enter(a, &limits).1;
        assert!(a1.try_recv().is_ok());
        assert!(b1.try_recv().is_err() && a2.try_recv().is_err());
        // One more in all.
        let mut b2 = pending.enter(b, &limits).1;
        assert!(b1.try_recv().is_ok());
        pending.leave(serial);
        let mut b3 = pending.enter(b, &limits).1;
        assert!(a3.try_recv().is_err() && b2.try_recv().is_err() && b3.try_recv().is_err());
    }

    #[test]
    fn a_key_has_so_many_places_and_one_turn() {
        let limits = Limits { per_key: 2, ..Limits::default() };
        let places = Mutex::new(Places::default());
        let key = MemberKey([1; 32]);
        let first = Place::take(&places, key, &limits);
        let second = Place::take(&places, key, &limits);
        assert!(first.is_some() && second.is_some());
        assert!(Place::take(&places, key, &limits).is_none());
        assert!(Place::take(&places, MemberKey([2; 32]), &limits).is_some());
        drop(first);
        assert!(Place::take(&places, key, &limits).is_some());
        drop(second);
        assert!(lock(&places).of_key.is_empty());

        let id = ReplicaId(1);
        let (older, mut told) = Turn::take(&places, id);
        let (newer, mut not_told) = Turn::take(&places, id);
        assert!(told.try_recv().is_ok() && not_told.try_recv().is_err());
        drop(older);
        assert!(lock(&places).newest.contains_key(&id));
        drop(newer);
        assert!(lock(&places).newest.is_empty());
    }
}
