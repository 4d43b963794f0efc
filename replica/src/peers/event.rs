//! What happens on the links, and why there is none.

use std::io;

use ledger::history::ReplicaId;

use super::connection::{Received, Violation};
use super::frame::FrameError;
use super::hello::{HelloError, Reason, Session};
use super::join::JoinStream;
use super::message::Head;
use super::reach::NotReached;
use super::tls::TlsError;

/// What happens on the links.
///
/// Events wait without a bound of their own, but what causes them has one: messages by
/// [`Limits::inbox_kib`](super::Limits::inbox_kib) of each peer, the others by the pauses between tries and by the places
/// that connections have.
#[derive(Debug)]
pub enum Event {
    /// This member can send to that peer.
    Up(ReplicaId, Session),
    /// It no longer can. What was sent lately may be lost.
    Down(ReplicaId),
    /// A peer cannot be reached, for another cause than the last time.
    Unreachable(ReplicaId, LinkError),
    /// A peer shows what this member had signed, as it remembers it; nothing that it says on that
    /// connection comes before. Nobody has checked the signature.
    Remembered(ReplicaId, Head),
    /// A message from a peer.
    Message(Received),
    /// A peer broke the protocol. Its connection is closed; it may come back.
    Misbehaved(ReplicaId, Violation),
    /// Somebody wants to join, and knows no more than where. Drop it to turn it away; it has its
    /// place among [`Limits::joiners`](super::Limits::joiners) until then, so let it prove soon that it was invited.
    Joiner(Box<JoinStream>),
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is not reached.
    #[error(transparent)]
    NotReached(#[from] NotReached),
    /// A connection that stood is lost.
    #[error("{0}")]
    Lost(FrameError),
    /// The peer closed a connection that stood.
    #[error("it closed the connection: {0}")]
    Goodbye(Reason),
    /// The peer said on it what has no place there.
    #[error("it broke the protocol: {0}")]
    Violated(#[from] Violation),
    /// This end closed it: the membership has changed, or it stops.
    #[error("closed here: {0}")]
    Closed(Reason),
}

impl LinkError {
    /// Whether the peer says that this replica was removed from the group.
    pub fn says_removed(&self) -> bool {
        matches!(
            self,
            LinkError::NotReached(NotReached::Hello(HelloError::Refused(Reason::Removed)))
                | LinkError::Goodbye(Reason::Removed)
        )
    }

    /// Whether the other end, or this one, does not want to talk: that rarely passes quickly.
    pub fn is_refusal(&self) -> bool {
        // TLS's own errors, alerts from the other end among them.
        let by_tls = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        match self {
            LinkError::NotReached(
                NotReached::Tls(TlsError::Handshake(error))
                | NotReached::Hello(HelloError::Frame(FrameError::Io(error))),
            )
            | LinkError::Lost(FrameError::Io(error)) => by_tls(error),
            LinkError::NotReached(
                NotReached::Hello(HelloError::Frame(FrameError::Closed | FrameError::Idle))
                | NotReached::Unreachable { .. }
                | NotReached::Silent { .. },
            )
            | LinkError::Goodbye(Reason::Stopping)
            | LinkError::Lost(_)
            | LinkError::Closed(_) => false,
            LinkError::NotReached(NotReached::Tls(_) | NotReached::Hello(_))
            | LinkError::Goodbye(_)
            | LinkError::Violated(_) => true,
        }
    }
}
