//! The links between the members of a group: authenticated, bounded, and without an opinion.
//!
//! Frames travel over TLS 1.3 between members whose keys the records enrolled. This room knows no
//! lock, no disk and no node: it checks who is at the other end and that bytes have the shape of
//! a message, and leaves everything else to its owner.
//!
//! ```text
//! links     the handle: one task that owns all others, which messages go out by and events come in by
//! outgoing  one connection to each peer, on which we speak; made anew with growing pauses
//! listener  connections from peers, on which they speak, and from joiners
//! places    who may have one of those: bounds before a hello, of each key, and for whoever speaks
//! hello     cluster, incarnation, members and versions, before any Raft byte
//! codec     messages as canonical CBOR; frame: their lengths and kinds; tls: who is there
//! ```
//!
//! **One direction for each connection.** Each member dials every other one and speaks on the
//! connection that it dialled; the other end answers there with nothing but signs of life and a
//! goodbye. So no two members have to agree on which of two connections to keep. If a member
//! dials while an earlier connection of its own still stands, **the newer one wins**: the earlier
//! is mostly the rest of a process or of a network that is gone, and only the holder of the
//! member key can displace it.
//!
//! **Who has moved says so.** A member's address is on record, but one that was away while its
//! machine moved cannot have that recorded before it is led, nor be led before it is reached. So its
//! hello names its address, and it is tried there too. TLS pins its key wherever it is dialled.
//!
//! **`from` is the TLS identity.** Raft messages do not carry their sender and receiver on the
//! wire; the receiving end fills both in from the handshake.

mod backoff;
mod codec;
mod connection;
mod event;
mod frame;
mod hello;
mod join;
mod limits;
mod links;
mod listener;
mod membership;
mod memory;
mod message;
mod outbox;
mod outgoing;
mod places;
mod raft_codec;
mod reach;
mod shared;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tls;

pub use connection::{Received, Violation};
pub use event::{Event, LinkError};
pub use frame::{FrameError, Kind};
pub use hello::{HelloError, Local, Met, Program, Reason, Session, Versions};
pub use join::{JoinStream, dial};
pub use limits::Limits;
pub use links::{Config, Links, StartError};
pub use membership::{Membership, Peer};
pub use memory::Memory;
pub use message::{Answer, Head, Message};
pub use outbox::SendError;
pub use raft_codec::Unsendable;
pub use reach::NotReached;
pub use shared::Random;
pub use tls::{Binding, Identity, TlsError};
