//! Both directions of a connection that has said hello.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ledger::cbor::Malformed;
use ledger::history::ReplicaId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::codec;
use super::frame::{self, FrameError, Head, Kind};
use super::hello::{Reason, goodbye, read_goodbye};
use super::limits::Limits;
use super::message::Message;
use super::outbox::Outbox;

/// Bytes of messages that are written in one go.
const WRITE_BYTES: usize = 256 << 10;
/// KiB that a message counts at least.
const LEAST_KIB: usize = 4;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A message from a peer. It counts against that peer's share of memory until it is dropped:
/// a peer whose messages nobody takes has to wait, and no other has.
#[derive(Debug)]
pub struct Received {
    /// Who sent it: whoever holds that member's key.
    pub from: ReplicaId,
    /// What it says.
    pub message: Message,
    _room: OwnedSemaphorePermit,
}

#[cfg(any(test, feature = "testing"))]
impl Received {
    /// One that came over no connection.
    pub(super) fn outside(from: ReplicaId, message: Message) -> Option<Self> {
        let room = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        Some(Received { from, message, _room: room.try_acquire_owned().ok()? })
    }
}

/// What no honest member does on a connection.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A frame that is none, too long, or out of place.
    #[error("{0}")]
    Frame(FrameError),
    /// A body that is not what its kind says.
    #[error("a {kind:?} frame: {malformed}")]
    Message {
        /// The kind of frame.
        kind: Kind,
        /// What is wrong with its body.
        malformed: Malformed,
    },
    /// A hello that is none.
    #[error("a hello that is none: {0}")]
    Hello(String),
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// It failed, or was closed without a word.
    Lost(FrameError),
    /// The other end said goodbye.
    Goodbye(Reason),
    /// The other end broke the rules.
    Violated(Violation),
    /// This end closed it.
    Closed(Reason),
}

/// What happens to messages that come in.
pub(super) enum Inbox<'a, F: FnMut(Received)> {
    /// None may come: this end speaks here.
    Closed,
    /// They are handed on.
    Open {
        /// Who is at the other end.
        from: ReplicaId,
        /// Oneself.
        to: ReplicaId,
        /// Room for its messages, in KiB.
        room: &'a Arc<Semaphore>,
        /// All of that room.
        most: u32,
        /// Takes each one.
        deliver: F,
    },
}

/// Runs a connection until it ends or `close` says why this end closes it.
pub(super) async fn run<S, F>(
    stream: S,
    limits: &Limits,
    outbox: Option<&Outbox>,
    inbox: Inbox<'_, F>,
    close: impl Future<Output = Reason>,
) -> End
where
    S: AsyncRead + AsyncWrite,
    F: FnMut(Received),
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (tell, told) = oneshot::channel();
    let mut transmitting = pin!(transmit(&mut writer, limits, outbox, told));
    let end = tokio::select! {
        end = receive(&mut reader, limits, inbox) => end,
        error = &mut transmitting => return End::Lost(error),
        reason = close => End::Closed(reason),
    };
    let reason = match &end {
        End::Closed(reason) => *reason,
        End::Violated(_) => Reason::Malformed,
        End::Lost(_) | End::Goodbye(_) => return end,
    };
    // Whoever writes says goodbye, so that it does not end up within another frame.
    if tell.send(reason).is_ok() {
        let _ = timeout(GOODBYE, transmitting).await;
    }
    end
}

/// Reads frames until there is a reason to stop.
async fn receive<R: AsyncRead + Unpin, F: FnMut(Received)>(
    reader: &mut R,
    limits: &Limits,
    mut inbox: Inbox<'_, F>,
) -> End {
    loop {
        match receive_one(reader, limits, &mut inbox).await {
            Ok(()) => {}
            Err(end) => return end,
        }
    }
}

async fn receive_one<R: AsyncRead + Unpin, F: FnMut(Received)>(
    reader: &mut R,
    limits: &Limits,
    inbox: &mut Inbox<'_, F>,
) -> Result<(), End> {
    let head = frame::read_head(reader, limits.idle, limits.chunk).await.map_err(ended)?;
    match (head.kind, inbox) {
        (Kind::Still, _) => Ok(()),
        (Kind::Goodbye, _) => {
            let body = frame::read_body(reader, head, limits.chunk).await.map_err(ended)?;
            Err(match read_goodbye(&body) {
                Ok(reason) => End::Goodbye(reason),
                Err(malformed) => {
                    End::Violated(Violation::Message { kind: Kind::Goodbye, malformed })
                }
            })
        }
        (kind, Inbox::Open { from, to, room, most, deliver }) => {
            let permit = take_room(room, *most, head).await?;
            let body = frame::read_body(reader, head, limits.chunk).await.map_err(ended)?;
            match codec::decode(kind, &body, *from, *to) {
                Some(Ok(message)) => {
                    deliver(Received { from: *from, message, _room: permit });
                    Ok(())
                }
                Some(Err(malformed)) => Err(End::Violated(Violation::Message { kind, malformed })),
                None => Err(ended(FrameError::Place(kind))),
            }
        }
        (kind, Inbox::Closed) => Err(ended(FrameError::Place(kind))),
    }
}

/// Waits for room before the body is read: what waits stays in the other end's memory.
async fn take_room(
    room: &Arc<Semaphore>,
    most: u32,
    head: Head,
) -> Result<OwnedSemaphorePermit, End> {
    let kib = (head.bytes >> 10).max(LEAST_KIB);
    let kib = u32::try_from(kib).unwrap_or(u32::MAX).min(most);
    // It is never closed.
    room.clone().acquire_many_owned(kib).await.map_err(|_| End::Lost(FrameError::Closed))
}

fn ended(error: FrameError) -> End {
    match error {
        FrameError::Kind(_) | FrameError::Place(_) | FrameError::TooLong { .. } => {
            End::Violated(Violation::Frame(error))
        }
        _ => End::Lost(error),
    }
}

/// Writes what is in the outbox, and signs of life while there is nothing, until told to stop.
async fn transmit<W: AsyncWrite + Unpin>(
    writer: &mut W,
    limits: &Limits,
    outbox: Option<&Outbox>,
    mut told: oneshot::Receiver<Reason>,
) -> FrameError {
    let mut frames = Vec::new();
    loop {
        frames.clear();
        // However much waits, it is not sent any more.
        if let Ok(reason) = told.try_recv() {
            return part(writer, limits, reason).await;
        }
        gather(outbox, &mut frames);
        if frames.is_empty() {
            let filled = async {
                match outbox {
                    Some(outbox) => outbox.filled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = filled => continue,
                () = tokio::time::sleep(limits.still) => frame::put(&mut frames, Kind::Still, &[]),
                reason = &mut told => {
                    return part(writer, limits, reason.unwrap_or(Reason::Stopping)).await;
                }
            }
        }
        if let Err(error) = frame::write(writer, &frames, limits.chunk).await {
            return error;
        }
    }
}

/// Says goodbye.
async fn part<W: AsyncWrite + Unpin>(
    writer: &mut W,
    limits: &Limits,
    reason: Reason,
) -> FrameError {
    let mut frames = Vec::new();
    frame::put(&mut frames, Kind::Goodbye, &goodbye(reason));
    let written = frame::write(writer, &frames, limits.chunk).await;
    let _ = writer.shutdown().await;
    written.err().unwrap_or(FrameError::Closed)
}

fn gather(outbox: Option<&Outbox>, frames: &mut Vec<u8>) {
    let Some(outbox) = outbox else { return };
    while frames.len() < WRITE_BYTES {
        let Some(message) = outbox.pop() else { return };
        match codec::encode(&message) {
            Ok((kind, body)) => frame::put(frames, kind, &body),
            // Raft never makes such a message; whoever made it sees that it is not answered.
            Err(error) => tracing::error!(%error, "dropped a message to a peer"),
        }
    }
}
