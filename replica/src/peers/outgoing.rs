//! The connection to one peer, on which this member speaks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ledger::history::ReplicaId;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsStream;

use super::backoff::{Backoff, spread};
use super::connection::{self, End, Inbox, Received};
use super::event::{Event, LinkError};
use super::hello::Met;
use super::membership::Peer;
use super::outbox::Outbox;
use super::reach::{NotReached, reach};
use super::shared::Shared;
use super::tls::Purpose;

/// Where a peer is tried: at the address on record, and in turn where it says that it is.
struct Whereabouts {
    recorded: String,
    /// Whether it is the turn of what it says.
    elsewhere: bool,
    /// What was reported last of either: the same again is no news.
    reported: [Option<String>; 2],
}

impl Whereabouts {
    fn now(&self, said: Option<String>) -> String {
        said.filter(|_| self.elsewhere).unwrap_or_else(|| self.recorded.clone())
    }

    fn reached(&mut self) {
        self.reported = [None, None];
    }

    /// It was not reached there, or is not any more; says whether that is news.
    fn failed(&mut self, address: &str, text: &str) -> bool {
        let reported = &mut self.reported[usize::from(address != self.recorded)];
        let news = reported.as_deref() != Some(text);
        *reported = Some(text.to_owned());
        news
    }
}

/// Keeps up the connection to that peer as long as it is that member.
pub(super) async fn keep(shared: Arc<Shared>, id: ReplicaId, peer: Peer, outbox: Arc<Outbox>) {
    let Some(recorded) = peer.address.clone() else { return };
    let mut place = Whereabouts { recorded, elsewhere: false, reported: [None, None] };
    let mut backoff = Backoff::new(shared.limits.pause_least, shared.limits.pause_most);
    loop {
        let address = place.now(shared.said_by(id));
        let mut missed = false;
        let tried = tokio::select! {
            tried = connect(&shared, id, &peer, &address) => tried,
            _ = shared.over(id, &peer) => return,
        };
        let error = match tried {
            Err(error) => {
                missed = true;
                LinkError::from(error)
            }
            Ok((stream, met)) => {
                let session = shared.met(id, met);
                tracing::info!(%id, %address, wire = session.wire, "reached a peer");
                place.reached();
                outbox.set_up(true);
                let since = Instant::now();
                shared.tell(Event::Up(id, session));
                let end = speak(&shared, id, &peer, &outbox, stream).await;
                outbox.set_up(false);
                if since.elapsed() >= shared.limits.pause_most {
                    backoff.reset();
                }
                shared.tell(Event::Down(id));
                match end {
                    End::Closed(reason) => {
                        tracing::info!(%id, %reason, "closed the connection to a peer");
                        return;
                    }
                    End::Lost(error) => LinkError::Lost(error),
                    End::Goodbye(reason) => LinkError::Goodbye(reason),
                    End::Violated(violation) => LinkError::Violated(violation),
                }
            }
        };
        let pause = pause(&shared, &mut backoff, &error);
        let text = error.to_string();
        if place.failed(&address, &text) {
            tracing::warn!(%id, %address, error = %text, "no connection to a peer");
            shared.tell(Event::Unreachable(id, error));
        }
        // Where it was reached it is tried first again.
        place.elsewhere ^= missed;
        tokio::select! {
            () = sleep(pause) => {}
            _ = shared.over(id, &peer) => return,
        }
    }
}

fn pause(shared: &Shared, backoff: &mut Backoff, error: &LinkError) -> Duration {
    let random = (shared.random)();
    let usual = backoff.failed(random);
    if error.is_refusal() { spread(shared.limits.pause_refused, random) } else { usual }
}

async fn speak(
    shared: &Shared,
    id: ReplicaId,
    peer: &Peer,
    outbox: &Outbox,
    stream: TlsStream<TcpStream>,
) -> End {
    let inbox: Inbox<'_, fn(Received)> = Inbox::Closed;
    connection::run(stream, &shared.limits, Some(outbox), inbox, shared.over(id, peer)).await
}

async fn connect(
    shared: &Shared,
    id: ReplicaId,
    peer: &Peer,
    address: &str,
) -> Result<(TlsStream<TcpStream>, Met), NotReached> {
    let (pins, hello) = (BTreeSet::from([peer.key]), shared.hello(id));
    let limit = shared.limits.handshake;
    let (secured, met) = reach(&shared.dialer, address, pins, Purpose::Peer, &hello, limit).await?;
    Ok((secured.stream, met))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a peer has not said that it is elsewhere, the address on record is tried each time.
    #[test]
    fn the_same_failure_at_the_same_address_is_no_news() {
        let recorded = "recorded.example:1".to_owned();
        let mut place = Whereabouts { recorded, elsewhere: false, reported: [None, None] };
        let mut try_at = |said: Option<&str>, text: &str| {
            let address = place.now(said.map(str::to_owned));
            let news = place.failed(&address, text);
            place.elsewhere ^= true;
            (address, news)
        };
        let recorded = |news| ("recorded.example:1".to_owned(), news);
        let elsewhere = |news| ("elsewhere.example:1".to_owned(), news);
        assert_eq!(try_at(None, "refused"), recorded(true));
        assert_eq!(try_at(None, "refused"), recorded(false));
        assert_eq!(try_at(None, "refused"), recorded(false));
        let said = Some("elsewhere.example:1");
        assert_eq!(try_at(said, "refused"), elsewhere(true));
        assert_eq!(try_at(said, "refused"), recorded(false));
        assert_eq!(try_at(said, "timed out"), elsewhere(true));
        assert_eq!(try_at(said, "timed out"), recorded(true));
        place.reached();
        assert!(place.failed("recorded.example:1", "timed out"));
    }
}
