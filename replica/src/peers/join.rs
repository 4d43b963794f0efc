//! The conversation with somebody who wants to become a member.
//!
//! The member lets any key in, but only for this; the joiner pins the keys in its invitation. What
//! they say to each other is not this room's matter: it carries frames and names the
//! [`Binding`], under which the joiner proves that it holds the invitation's secret on this very
//! connection and with this very key.

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::history::{ClusterId, MemberKey};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;

use super::frame::{self, FrameError, Kind};
use super::hello::{self, Hello, Program, Reason, Session};
use super::limits::Limits;
use super::reach::{NotReached, reach};
use super::tls::{Binding, Dialer, Identity, Purpose, Secured};

/// A connection between a member and a joiner.
#[derive(Debug)]
pub struct JoinStream {
    stream: TlsStream<TcpStream>,
    key: MemberKey,
    binding: Binding,
    session: Session,
    chunk: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl JoinStream {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        key: MemberKey,
        binding: Binding,
        session: Session,
        chunk: Duration,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        JoinStream { stream, key, binding, session, chunk, _place: place }
    }

    /// The key that the other end holds.
    pub fn key(&self) -> MemberKey {
        self.key
    }

    /// What both ends, and nobody else, know of this connection.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// What both ends have agreed on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Says something: at most 64 KiB.
    pub async fn send(&mut self, body: &[u8]) -> Result<(), FrameError> {
        if body.len() > Kind::Join.most() {
            let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
            return Err(FrameError::TooLong { kind: Kind::Join, bytes });
        }
        let mut frames = Vec::new();
        frame::put(&mut frames, Kind::Join, body);
        frame::write(&mut self.stream, &frames, self.chunk).await
    }

    /// Waits up to `limit` for the other end to begin to say something.
    pub async fn receive(&mut self, limit: Duration) -> Result<Vec<u8>, FrameError> {
        let heard = frame::read(&mut self.stream, &[Kind::Join], limit, self.chunk).await;
        heard.map(|(_, body)| body)
    }

    /// Ends the conversation.
    pub async fn close(mut self) {
        hello::refuse(&mut self.stream, Reason::Stopping, self.chunk).await;
    }
}

/// Reaches a member of `cluster` at `address` (`host:port`) that holds one of the keys `pins`.
pub async fn dial(
    identity: &Identity,
    cluster: ClusterId,
    program: &Program,
    address: &str,
    pins: BTreeSet<MemberKey>,
    limits: &Limits,
) -> Result<JoinStream, NotReached> {
    let hello = Hello::to_joiner(cluster, program);
    let dialer = Dialer::new(identity);
    let (secured, met) =
        reach(&dialer, address, pins, Purpose::Join, &hello, limits.handshake).await?;
    let (binding, Secured { key, stream, .. }) = (secured.binding()?, secured);
    Ok(JoinStream::new(stream, key, binding, met.session, limits.chunk, None))
}
