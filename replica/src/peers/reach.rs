//! Reaching somebody who listens: TCP, TLS, hello, in one time limit.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use ledger::history::MemberKey;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hello::{self, Hello, HelloError, Met};
use super::tls::{Dialer, Purpose, Secured, TlsError};

/// Why somebody is not reached.
#[derive(Debug, thiserror::Error)]
pub enum NotReached {
    /// The address does not answer.
    #[error("{address} cannot be reached: {error}")]
    Unreachable {
        /// The address.
        address: String,
        /// What happened.
        error: io::Error,
    },
    /// No answer in time.
    #[error("{address} does not answer")]
    Silent {
        /// The address.
        address: String,
    },
    /// No TLS: mostly, that another key is there than the one that is pinned, or that no joiners
    /// are let in.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Both ends do not belong together.
    #[error(transparent)]
    Hello(#[from] HelloError),
}

/// Reaches whoever holds one of these keys at `address` (`host:port`), within `limit`.
pub(super) async fn reach(
    dialer: &Dialer,
    address: &str,
    pins: BTreeSet<MemberKey>,
    purpose: Purpose,
    ours: &Hello,
    limit: Duration,
) -> Result<(Secured, Met), NotReached> {
    let all = async {
        let unreachable = |error| NotReached::Unreachable { address: address.to_owned(), error };
        let socket = TcpStream::connect(address).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let mut secured = dialer.secure(socket, pins, purpose).await?;
        let met = hello::greet(&mut secured.stream, ours, limit).await?;
        Ok((secured, met))
    };
    let silent = |_| NotReached::Silent { address: address.to_owned() };
    timeout(limit, all).await.map_err(silent)?
}
