//! A member that keeps none of the rules, for tests: it holds a key that the others know, and says
//! what it likes.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use ledger::cbor::Malformed;
use ledger::history::{MemberKey, ReplicaId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsStream;

use super::codec;
use super::connection::Received;
use super::event::LinkError;
use super::frame::{self, FrameError, Kind};
use super::hello::{Hello, HelloError, Local, Met, Reason, goodbye, read_goodbye};
use super::message::{Head, Message};
use super::raft_codec::Unsendable;
use super::tls::{Dialer, Identity, Purpose, TlsError};
use crate::core::{PeerMessage, RecordPointer};

/// Longer than any test waits for what should happen.
const LONG: Duration = Duration::from_secs(60);

/// What it shows in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The key of its identity.
    Key,
    /// No key at all.
    Nothing,
}

/// A connection on which anything can be said.
#[derive(Debug)]
pub struct Wire {
    stream: TlsStream<TcpStream>,
}

impl Wire {
    /// Dials a member that holds the key `pin`, as far as TLS goes. In TLS 1.3 a client is done
    /// before the server has seen its key: a refusal only shows when it reads.
    pub async fn dial(
        identity: &Identity,
        shows: Shows,
        address: &str,
        pin: MemberKey,
    ) -> Result<Wire, TlsError> {
        let dialer = match shows {
            Shows::Key => Dialer::new(identity),
            Shows::Nothing => Dialer::keyless(identity),
        };
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let pins = BTreeSet::from([pin]);
        let stream = dialer.secure(socket, pins, Purpose::Peer).await?.stream;
        Ok(Wire { stream })
    }

    /// Dials, and says an honest hello to `to` and hears the answer.
    pub async fn member(
        identity: &Identity,
        local: &Local,
        to: ReplicaId,
        address: &str,
        pin: MemberKey,
    ) -> Result<Wire, TlsError> {
        let mut wire = Self::dial(identity, Shows::Key, address, pin).await?;
        wire.hello(local, to).await?;
        match wire.heard().await {
            Ok((Kind::Hello, _)) => Ok(wire),
            Ok((kind, _)) => Err(io::Error::other(format!("answered with {kind:?}")).into()),
            Err(error) => Err(io::Error::other(error.to_string()).into()),
        }
    }

    /// Accepts one connection as somebody whom any client lets in that pins this identity, and
    /// says nothing.
    pub async fn accept(
        identity: &Identity,
        listener: &TcpListener,
        client: MemberKey,
    ) -> Result<Wire, TlsError> {
        use super::membership::{Membership, Peer};
        let mut membership = Membership::default();
        membership.members.insert(ReplicaId(1), Peer { key: client, address: None });
        let (_publish, membership) = tokio::sync::watch::channel(std::sync::Arc::new(membership));
        let acceptor = super::tls::Acceptor::new(&Dialer::new(identity), membership)?;
        let (socket, _) = listener.accept().await?;
        Ok(Wire { stream: acceptor.secure(socket).await?.stream })
    }

    /// Says hello as `local` to `to`.
    pub async fn hello(&mut self, local: &Local, to: ReplicaId) -> io::Result<()> {
        self.frame(Kind::Hello as u8, &hello(local, to, None)).await
    }

    /// Says goodbye.
    pub async fn goodbye(&mut self, reason: Reason) -> io::Result<()> {
        self.frame(Kind::Goodbye as u8, &goodbye(reason)).await
    }

    /// Sends a frame of any kind.
    pub async fn frame(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let bytes = u32::try_from(body.len()).map_err(io::Error::other)?;
        self.raw(&[&bytes.to_be_bytes()[..], &[kind], body].concat()).await
    }

    /// Sends a message as an honest member would.
    pub async fn message(&mut self, message: &Message) -> io::Result<()> {
        let (kind, body) = body_of(message).map_err(io::Error::other)?;
        self.frame(kind as u8, &body).await
    }

    /// Sends any bytes.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next frame that the other end sends, signs of life left out.
    pub async fn heard(&mut self) -> Result<(Kind, Vec<u8>), FrameError> {
        loop {
            let heard = frame::read(&mut self.stream, &Kind::ALL, LONG, LONG).await?;
            if heard.0 != Kind::Still {
                return Ok(heard);
            }
        }
    }

    /// The reason with which the other end says goodbye; anything else it says is passed over.
    pub async fn parting(&mut self) -> Result<Reason, FrameError> {
        loop {
            if let (Kind::Goodbye, body) = self.heard().await? {
                let odd = |error: ledger::cbor::Malformed| io::Error::other(error);
                return Ok(read_goodbye(&body).map_err(odd)?);
            }
        }
    }

    /// Waits until the other end has closed the connection, whatever it says before.
    pub async fn closed(&mut self) {
        let mut sink = [0; 1024];
        while matches!(self.stream.read(&mut sink).await, Ok(n) if n > 0) {}
    }
}

/// How an honest member would write that message.
pub fn body_of(message: &Message) -> Result<(Kind, Vec<u8>), Unsendable> {
    codec::encode(message)
}

/// The message of such a frame from one member to another; `None` if it is none of messages.
pub fn message_of(
    kind: Kind,
    body: &[u8],
    from: ReplicaId,
    to: ReplicaId,
) -> Option<Result<Message, Malformed>> {
    codec::decode(kind, body, from, to)
}

/// A snapshot message that points to another record than this one does, one that will never be there
/// or one of another hash; and the log index from which it says that the record came; none of another
/// kind of message.
pub fn misquoted(message: &Message, how: u64) -> Option<(u64, Message)> {
    let Message::Raft(PeerMessage(message)) = message else { return None };
    let mut message = message.clone();
    let mut pointer = RecordPointer::from_bytes(&message.get_snapshot().data).ok()?;
    if how.is_multiple_of(2) {
        pointer.hash[0] ^= 1;
    } else {
        pointer.record += 1 << 40;
    }
    let snapshot = message.mut_snapshot();
    snapshot.data = pointer.to_bytes().into();
    let meta = snapshot.mut_metadata();
    // Not one that the log has: whoever leads may say that this is committed.
    meta.index += [0, 1 << 20, 1 << 40][(how / 2 % 3) as usize];
    let index = meta.index;
    Some((index, Message::Raft(PeerMessage(message))))
}

/// Whether a message promises something: a vote, or that entries are synced.
pub fn promises(message: &Message) -> bool {
    use raft::eraftpb::MessageType;
    let Message::Raft(PeerMessage(message)) = message else { return false };
    let answers = [
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVoteResponse,
    ];
    answers.contains(&message.get_msg_type()) && !message.reject
}

/// A message as links deliver it.
pub fn received(from: ReplicaId, message: Message) -> Option<Received> {
    Received::outside(from, message)
}

/// What a member says first to that one, of which it remembers that head.
pub fn hello(local: &Local, to: ReplicaId, remembered: Option<Head>) -> Vec<u8> {
    Hello::to_member(local, to, remembered).encode()
}

/// How whoever understands these bytes as a hello would say the same.
pub fn hello_again(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    Hello::decode(bytes).map(|hello| hello.encode())
}

/// What this member, who expects `peer`, makes of what the other end says first.
pub fn greeted(local: &Local, peer: ReplicaId, bytes: &[u8]) -> Result<Met, HelloError> {
    Hello::to_member(local, peer, None).judge(bytes)
}

/// How a dialled member's refusal looks to whoever dialled.
pub fn refused(reason: Reason) -> LinkError {
    LinkError::NotReached(super::NotReached::Hello(HelloError::Refused(reason)))
}
