//! Bounds of the transport.

use std::time::Duration;

/// How much the transport holds and how long it waits.
///
/// [`Limits::default`] is what a daemon uses; tests make some of it smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From an accepted or begun connection to the end of its hello.
    pub handshake: Duration,
    /// For each 64 KiB of a frame to pass, in either direction, and for what is left of it.
    pub chunk: Duration,
    /// Silence after which an end gives a sign of life.
    pub still: Duration,
    /// Silence after which an end takes the other one for gone. Several times `still`.
    pub idle: Duration,
    /// The pause after a first failure to reach a peer.
    pub pause_least: Duration,
    /// The pause after many of them.
    pub pause_most: Duration,
    /// The pause after a peer has refused us, or we it: such a cause rarely goes away by itself.
    pub pause_refused: Duration,
    /// Raft messages that wait for one peer, and their bytes. Beyond, the oldest are dropped.
    pub raft_messages: usize,
    /// See `raft_messages`.
    pub raft_bytes: usize,
    /// Other messages that wait for one peer, and their bytes. Beyond, sending fails.
    pub other_messages: usize,
    /// See `other_messages`.
    pub other_bytes: usize,
    /// KiB of one peer's messages that the owner has not dropped yet. Beyond, that peer waits.
    /// Each message counts 4 KiB at least.
    pub inbox_kib: u32,
    /// Connections that have not ended their hello. Beyond, the oldest one is closed.
    pub pending: usize,
    /// As `pending`, for one IP address.
    pub pending_per_address: usize,
    /// Connections of one member key, those that are being closed included.
    pub per_key: usize,
    /// Joiners' connections.
    pub joiners: usize,
    /// How long a connection that broke the rules keeps its place among those of its key.
    pub penalty: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(5),
            chunk: Duration::from_secs(10),
            still: Duration::from_secs(1),
            idle: Duration::from_secs(5),
            pause_least: Duration::from_millis(50),
            pause_most: Duration::from_secs(2),
            pause_refused: Duration::from_secs(5),
            raft_messages: 4096,
            raft_bytes: 32 << 20,
            other_messages: 1024,
            other_bytes: 32 << 20,
            inbox_kib: 32 << 10,
            pending: 64,
            pending_per_address: 32,
            per_key: 4,
            joiners: 8,
            penalty: Duration::from_secs(1),
        }
    }
}
