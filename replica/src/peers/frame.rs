//! Frames: a length, a kind, a body.
//!
//! Four bytes, most significant first, say how many bytes the body has; one byte says its kind.
//! Each kind has a bound of its own. Memory is taken for what has arrived, not for what was
//! announced.

use std::io;
use std::time::Duration;

use ledger::limits::{ADDRESS_BYTES, MEMBERS_AT_ONCE, PROPOSAL_BYTES, RECORD_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes that have to pass within one time limit.
const CHUNK: usize = 64 << 10;
/// Bytes of a frame's head.
pub(super) const HEAD: usize = 5;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The first frame in either direction.
    Hello = 1,
    /// The last one: why the connection ends.
    Goodbye = 2,
    /// Nothing: a sign of life.
    Still = 3,
    /// A Raft message.
    Raft = 4,
    /// A forwarded proposal.
    Propose = 5,
    /// The answer to one.
    Proposed = 6,
    /// A signed head.
    Head = 7,
    /// A request for records.
    RecordsWanted = 8,
    /// Records.
    Records = 9,
    /// The end of records.
    RecordsEnd = 10,
    /// A part of the conversation with a joiner.
    Join = 11,
    /// A wish that somebody else lead.
    HandOver = 12,
    /// The members, for one that is behind.
    Members = 13,
    /// A leader's word that somebody else leads next.
    Yields = 14,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 14] = [
        Kind::Hello,
        Kind::Goodbye,
        Kind::Still,
        Kind::Raft,
        Kind::Propose,
        Kind::Proposed,
        Kind::Head,
        Kind::RecordsWanted,
        Kind::Records,
        Kind::RecordsEnd,
        Kind::Join,
        Kind::HandOver,
        Kind::Members,
        Kind::Yields,
    ];

    /// Bytes of such a frame's body, at most.
    pub fn most(self) -> usize {
        match self {
            Kind::Hello => 1024,
            Kind::Goodbye => 64,
            Kind::Still => 0,
            // Raft puts together a quarter of a MiB of entries, or a single one of any size.
            Kind::Raft => PROPOSAL_BYTES + (1 << 20),
            Kind::Propose => PROPOSAL_BYTES + 64,
            Kind::Proposed
            | Kind::RecordsWanted
            | Kind::RecordsEnd
            | Kind::HandOver
            | Kind::Yields => 64,
            Kind::Head => 256,
            Kind::Records => RECORD_BYTES + (64 << 10),
            Kind::Join => 64 << 10,
            Kind::Members => MEMBERS_AT_ONCE * (ADDRESS_BYTES + 64),
        }
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why no further frame can be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended between two frames.
    #[error("the connection was closed")]
    Closed,
    /// It failed, or ended within a frame.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// Nothing came for too long.
    #[error("silent for too long")]
    Idle,
    /// A frame that had begun did not pass in time.
    #[error("too slow")]
    Slow,
    /// No kind has this number.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// A kind that has no place here.
    #[error("a frame of kind {0:?} where it has no place")]
    Place(Kind),
    /// The frame is longer than its kind may be.
    #[error("a {kind:?} frame of {bytes} bytes, of at most {}", kind.most())]
    TooLong {
        /// Its kind.
        kind: Kind,
        /// The body's length as announced.
        bytes: u32,
    },
}

/// The head of a frame whose body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
}

/// Waits up to `idle` for a frame to begin, and up to `chunk` for its head to be complete.
pub(super) async fn read_head<R: AsyncRead + Unpin>(
    stream: &mut R,
    idle: Duration,
    chunk: Duration,
) -> Result<Head, FrameError> {
    let mut head = [0; HEAD];
    let (first, others) = head.split_at_mut(1);
    let begun = timeout(idle, stream.read(first)).await.map_err(|_| FrameError::Idle)?;
    if begun? == 0 {
        return Err(FrameError::Closed);
    }
    timeout(chunk, stream.read_exact(others)).await.map_err(|_| FrameError::Slow)??;
    let [a, b, c, d, kind] = head;
    let bytes = u32::from_be_bytes([a, b, c, d]);
    let kind = Kind::of(kind).ok_or(FrameError::Kind(kind))?;
    let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= kind.most());
    let bytes = fits.ok_or(FrameError::TooLong { kind, bytes })?;
    Ok(Head { kind, bytes })
}

/// Reads the body that such a head announced.
pub(super) async fn read_body<R: AsyncRead + Unpin>(
    stream: &mut R,
    head: Head,
    chunk: Duration,
) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::new();
    while let Some(left) = head.bytes.checked_sub(body.len()).filter(|left| *left > 0) {
        let next = left.min(CHUNK);
        body.reserve(next);
        let mut part = (&mut *stream).take(next as u64);
        let end = body.len() + next;
        let all = async {
            while body.len() < end {
                if part.read_buf(&mut body).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok::<_, io::Error>(())
        };
        timeout(chunk, all).await.map_err(|_| FrameError::Slow)??;
    }
    Ok(body)
}

/// Reads a whole frame, which has to be of one of these kinds. For where no messages go by.
pub(super) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
    kinds: &[Kind],
    idle: Duration,
    chunk: Duration,
) -> Result<(Kind, Vec<u8>), FrameError> {
    let head = read_head(stream, idle, chunk).await?;
    if !kinds.contains(&head.kind) {
        return Err(FrameError::Place(head.kind));
    }
    Ok((head.kind, read_body(stream, head, chunk).await?))
}

/// Appends a frame to what is to be written.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    // Bodies are far shorter than 4 GiB; one that is not would be refused at the other end.
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&bytes.to_be_bytes());
    out.push(kind as u8);
    out.extend_from_slice(body);
}

/// Writes frames that [`put`] made.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    stream: &mut W,
    frames: &[u8],
    chunk: Duration,
) -> Result<(), FrameError> {
    for part in frames.chunks(CHUNK) {
        timeout(chunk, stream.write_all(part)).await.map_err(|_| FrameError::Slow)??;
    }
    timeout(chunk, stream.flush()).await.map_err(|_| FrameError::Slow)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const ANY: &[Kind] = &Kind::ALL;

    async fn read_from(bytes: &[u8]) -> Result<(Kind, Vec<u8>), FrameError> {
        let mut stream = bytes;
        read(&mut stream, ANY, LONG, LONG).await
    }

    #[tokio::test]
    async fn frames_are_read_as_they_were_written() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let body: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut frames = Vec::new();
        put(&mut frames, Kind::Records, &body);
        put(&mut frames, Kind::Still, &[]);
        let written = async {
            write(&mut near, &frames, LONG).await.unwrap();
            drop(near);
        };
        let read_back = async {
            assert_eq!(read(&mut far, ANY, LONG, LONG).await.unwrap(), (Kind::Records, body));
            assert_eq!(read(&mut far, ANY, LONG, LONG).await.unwrap(), (Kind::Still, vec![]));
            let end = read(&mut far, ANY, LONG, LONG).await.unwrap_err();
            assert!(matches!(end, FrameError::Closed), "{end}");
        };
        tokio::join!(written, read_back);
    }

    #[tokio::test]
    async fn heads_that_promise_too_much_are_refused_before_any_body() {
        for kind in Kind::ALL {
            let over = u32::try_from(kind.most() + 1).unwrap();
            let head = [&over.to_be_bytes()[..], &[kind as u8]].concat();
            let error = read_from(&head).await.unwrap_err();
            assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
        }
        let error = read_from(&[0, 0, 0, 0, 99]).await.unwrap_err();
        assert!(matches!(error, FrameError::Kind(99)), "{error}");
        let error = read_from(&[0, 0, 0, 9, 4, 1]).await.unwrap_err();
        assert!(matches!(error, FrameError::Io(_)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_slowness_end_the_reading() {
        let (idle, chunk) = (Duration::from_secs(5), Duration::from_secs(10));
        let (mut near, mut far) = tokio::io::duplex(1000);
        let error = read(&mut far, ANY, idle, chunk).await.unwrap_err();
        assert!(matches!(error, FrameError::Idle), "{error}");
        // A byte now and then is not enough.
        let slow = async {
            for byte in [0, 0, 0, 9, 4].into_iter().chain([0; 9]) {
                if near.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let read = async {
            let error = read(&mut far, ANY, idle, chunk).await.unwrap_err();
            assert!(matches!(error, FrameError::Slow), "{error}");
            drop(far);
        };
        tokio::join!(slow, read);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_ends_the_writing() {
        let (mut near, far) = tokio::io::duplex(10);
        let mut frames = Vec::new();
        put(&mut frames, Kind::Goodbye, &[0; 64]);
        let error = write(&mut near, &frames, Duration::from_secs(10)).await.unwrap_err();
        assert!(matches!(error, FrameError::Slow), "{error}");
        drop(far);
    }
}
