//! Connections that others have dialled: members, who speak on them, and joiners.
//!
//! Before its hello a connection costs its place among the pending ones and a time limit, and the
//! oldest of them makes room for a new one: honest ones are done within milliseconds, so whoever
//! wants to keep them out has to come at a high rate, rather than just be there.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger::history::{MemberKey, ReplicaId};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsStream;

use super::connection::{self, End, Inbox, Violation};
use super::hello::{self, Hello, HelloError, Met, Reason};
use super::join::JoinStream;
use super::limits::Limits;
use super::links::{Event, Shared};
use super::tls::{Purpose, Secured, TlsError};

/// Between two times that it is said that somebody of an earlier incarnation is about.
const STRANGERS_PAUSE: Duration = Duration::from_secs(600);

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
    fn enter(&mut self, address: IpAddr, limits: &Limits) -> (u64, oneshot::Receiver<()>) {
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

    fn leave(&mut self, serial: u64) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave them half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the connections of one key; free again when dropped.
struct Place<'a> {
    places: &'a Mutex<Places>,
    key: MemberKey,
}

impl<'a> Place<'a> {
    fn take(places: &'a Mutex<Places>, key: MemberKey, limits: &Limits) -> Option<Self> {
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
struct Turn<'a> {
    places: &'a Mutex<Places>,
    id: ReplicaId,
    serial: u64,
}

impl<'a> Turn<'a> {
    fn take(places: &'a Mutex<Places>, id: ReplicaId) -> (Self, oneshot::Receiver<()>) {
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

/// Serves a connection from its first byte to its last.
pub(super) async fn serve(shared: Arc<Shared>, socket: TcpStream, address: IpAddr) {
    let (serial, evicted) = lock(&shared.pending).enter(address, &shared.limits);
    let begun = tokio::select! {
        begun = timeout(shared.limits.handshake, begin(&shared, socket)) => Some(begun),
        _ = evicted => None,
    };
    lock(&shared.pending).leave(serial);
    // Anybody can come and fail: that is no news, and must not fill a log.
    let why = match begun {
        Some(Ok(Ok(Begun::Member { stream, id, key, met, place }))) => {
            // Ahead of all that comes from there.
            shared.met(id, met);
            listen(&shared, stream, id, key, place).await;
            return;
        }
        Some(Ok(Ok(Begun::Joiner(joiner)))) => {
            shared.tell(Event::Joiner(Box::new(joiner)));
            return;
        }
        Some(Ok(Err(NotBegun::Tls(error)))) => {
            match &error {
                // Its key is no member's here.
                TlsError::OtherKey => shared.memory.stranger_came(),
                TlsError::Refused(_) => tell_of_strangers(&shared, address),
                _ => {}
            }
            error.to_string()
        }
        Some(Ok(Err(NotBegun::Hello { id, error, place }))) => {
            tracing::debug!(%id, %error, "turned a peer away");
            if error.is_violation() {
                shared.tell(Event::Misbehaved(id, Violation::Hello(error.to_string())));
                sleep(shared.limits.penalty).await;
            }
            drop(place);
            return;
        }
        Some(Ok(Err(NotBegun::Joiner(error)))) => error.to_string(),
        Some(Ok(Err(NotBegun::Gone))) => "no member any more".to_owned(),
        Some(Err(_)) => "too slow".to_owned(),
        None => "made room for newer ones".to_owned(),
    };
    tracing::debug!(%address, why, "closed a connection before its hello");
}

/// Says now and then that somebody takes this replica for one of an earlier incarnation. Whoever it
/// is has shown no key: it is a guess, and no reason to do anything.
fn tell_of_strangers(shared: &Shared, address: IpAddr) {
    let incarnation = shared.local.incarnation;
    let mut told = lock(&shared.strangers);
    if incarnation < 2 || told.is_some_and(|at| at.elapsed() < STRANGERS_PAUSE) {
        return;
    }
    *told = Some(Instant::now());
    tracing::warn!(
        %address, incarnation,
        "somebody expects another replica here, as a member of an earlier incarnation does; none \
         of those can enter this one: stop its daemon, and let the machine join with an empty data \
         directory and a new invitation (lockstep cluster invite)"
    );
}

enum Begun<'a> {
    Member {
        stream: TlsStream<TcpStream>,
        id: ReplicaId,
        key: MemberKey,
        met: Met,
        place: Place<'a>,
    },
    Joiner(JoinStream),
}

enum NotBegun<'a> {
    Tls(TlsError),
    Hello {
        id: ReplicaId,
        error: HelloError,
        place: Option<Place<'a>>,
    },
    Joiner(HelloError),
    /// It ceased to be a member between two steps of the handshake.
    Gone,
}

impl From<TlsError> for NotBegun<'_> {
    fn from(error: TlsError) -> Self {
        NotBegun::Tls(error)
    }
}

async fn begin(shared: &Shared, socket: TcpStream) -> Result<Begun<'_>, NotBegun<'_>> {
    socket.set_nodelay(true).map_err(TlsError::from)?;
    let secured = shared.acceptor.secure(socket).await?;
    match secured.purpose {
        Purpose::Peer => begin_peer(shared, secured).await,
        Purpose::Join => begin_joiner(shared, secured).await,
    }
}

async fn begin_peer(shared: &Shared, secured: Secured) -> Result<Begun<'_>, NotBegun<'_>> {
    let Secured { mut stream, key, .. } = secured;
    let (id, removed) = {
        let now = shared.membership.borrow();
        match now.holder(key) {
            Some(id) => (id, None),
            None => match now.removed.get(&key) {
                Some(id) => (*id, Some(HelloError::Removed)),
                None => return Err(NotBegun::Gone),
            },
        }
    };
    let place = Place::take(&shared.places, key, &shared.limits);
    let turned_away = removed.or(if place.is_none() { Some(HelloError::Busy) } else { None });
    let ours = shared.hello(id);
    match (hello::answer(&mut stream, &ours, turned_away, shared.limits.handshake).await, place) {
        (Ok(met), Some(place)) => Ok(Begun::Member { stream, id, key, met, place }),
        // Without a place it was turned away.
        (Ok(_), None) => Err(NotBegun::Gone),
        (Err(error), place) => Err(NotBegun::Hello { id, error, place }),
    }
}

async fn begin_joiner(shared: &Shared, secured: Secured) -> Result<Begun<'_>, NotBegun<'_>> {
    let binding = secured.binding()?;
    let Secured { mut stream, key, .. } = secured;
    let place = shared.joiners.clone().try_acquire_owned().ok();
    let turned_away = if place.is_none() { Some(HelloError::Busy) } else { None };
    let ours = Hello::to_joiner(shared.local.cluster, &shared.local.program);
    let limit = shared.limits.handshake;
    let met =
        hello::answer(&mut stream, &ours, turned_away, limit).await.map_err(NotBegun::Joiner)?;
    let chunk = shared.limits.chunk;
    Ok(Begun::Joiner(JoinStream::new(stream, key, binding, met.session, chunk, place)))
}

/// Takes what a member says.
async fn listen(
    shared: &Shared,
    stream: TlsStream<TcpStream>,
    id: ReplicaId,
    key: MemberKey,
    place: Place<'_>,
) {
    let (turn, superseded) = Turn::take(&shared.places, id);
    let close = async {
        tokio::select! {
            _ = superseded => Reason::Superseded,
            () = shared.unheld(id, key) => Reason::Removed,
            () = shared.stopping() => Reason::Stopping,
        }
    };
    let inbox = Inbox::Open {
        from: id,
        to: shared.local.replica,
        room: &shared.room(id),
        most: shared.limits.inbox_kib,
        deliver: |received| shared.tell(Event::Message(received)),
    };
    let end = connection::run(stream, &shared.limits, None, inbox, close).await;
    drop(turn);
    match end {
        End::Violated(violation) => {
            tracing::warn!(%id, %violation, "a peer broke the protocol");
            shared.tell(Event::Misbehaved(id, violation));
            sleep(shared.limits.penalty).await;
        }
        End::Lost(error) => tracing::debug!(%id, %error, "a peer's connection ended"),
        End::Goodbye(reason) => tracing::debug!(%id, %reason, "a peer said goodbye"),
        End::Closed(reason) => tracing::info!(%id, %reason, "closed a peer's connection"),
    }
    drop(place);
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
