//! Connections that others have dialled: members, who speak on them, and joiners.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::history::{MemberKey, ReplicaId};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsStream;

use super::connection::{self, End, Inbox, Violation};
use super::event::Event;
use super::hello::{self, Hello, HelloError, Met, Reason};
use super::join::JoinStream;
use super::places::{Place, Turn, lock};
use super::shared::Shared;
use super::tls::{Purpose, Secured, TlsError};

/// Between two times that it is said that somebody of an earlier incarnation is about.
const STRANGERS_PAUSE: Duration = Duration::from_secs(600);

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
         directory and a new invitation (lockstep cluster invite on a member)"
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
