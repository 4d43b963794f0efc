//! Asking a daemon, ours or a tailscaled, over its Unix socket.

mod adoption;
mod changing;
mod group;
mod ours;
mod reading;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::bodies::ErrorBody;
use super::headers;
use crate::node::Impaired;

/// How long an answer is waited for. A daemon gives up earlier whatever it waits for itself.
const PATIENCE: Duration = Duration::from_secs(120);
/// What may take longer: a command of the operator's puts secrets away first.
const INIT: &str = "tka/init";
/// Bytes of an answer, at most.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket, or it may not be opened.
    #[error("cannot connect to the daemon at {}: {source}", socket.display())]
    Connect {
        /// The socket that was tried.
        socket: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The connection broke, or what came back is not HTTP. The outcome of a change is unknown.
    #[error("talking to the daemon at {}: {what}", socket.display())]
    Transport {
        /// The socket.
        socket: PathBuf,
        /// What broke.
        what: String,
        /// Whether earlier answers were a tailscaled's, which knows no request IDs.
        tailscaled: bool,
    },
    /// The daemon answered with a failure.
    #[error("{status_line}: {text}")]
    Status {
        /// The HTTP status code.
        status: u16,
        /// Code and reason, such as `500 Internal Server Error`.
        status_line: String,
        /// The text of the `Error` field, or the body itself without its final newline.
        text: String,
        /// Whether that was an `Error` field: a sentence that stands for itself.
        json: bool,
        /// What the headers say of the outcome.
        receipt: Box<Receipt>,
    },
    /// The answer is not what was expected.
    #[error("unexpected answer of the daemon to {path}: {what}")]
    Unexpected {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// A command that only Lockstep has was sent to another daemon.
    #[error("the daemon at {} is not Lockstep, and this command needs Lockstep", socket.display())]
    NeedsLockstep {
        /// The socket.
        socket: PathBuf,
    },
}

impl ClientError {
    /// Whether the change that was asked for may or may not have happened.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            ClientError::Transport { .. } => true,
            ClientError::Status { receipt, .. } => receipt.outcome.as_deref() == Some("unknown"),
            _ => false,
        }
    }

    /// Whether what was signed outside the daemon has been overtaken: it can be asked for again
    /// and signed as it is now.
    pub fn overtaken(&self) -> bool {
        matches!(self, ClientError::Status { status: 412, .. })
    }
}

/// What a daemon of ours says in its headers about a change; all `None` from a tailscaled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// `applied`, `refused` or `unknown`.
    pub outcome: Option<String>,
    /// Index of the record.
    pub record_index: Option<u64>,
    /// Hash of the record.
    pub record_hash: Option<String>,
    /// The request ID under which the change is on record.
    pub request_id: Option<String>,
    /// Whether the record was already there, from an earlier try with the same request ID.
    pub repeated: bool,
    /// Something to tell the person who asked, though the change was made.
    pub warning: Option<String>,
}

impl Receipt {
    fn of<B>(response: &Response<B>) -> Self {
        let text = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Receipt {
            outcome: text(headers::OUTCOME),
            record_index: text(headers::RECORD_INDEX).and_then(|index| index.parse().ok()),
            record_hash: text(headers::RECORD_HASH),
            request_id: text(headers::REQUEST_ID),
            repeated: text(headers::REPEATED).is_some(),
            warning: text(headers::WARNING),
        }
    }
}

/// An answer to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<T> {
    /// The body.
    pub value: T,
    /// The headers.
    pub receipt: Receipt,
}

/// How a change is named, so that repeating it is safe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The request ID, 1-64 of `A-Z a-z 0-9 . _ -`; the daemon draws one if it is left out.
    pub request_id: Option<String>,
    /// Digest of verb and arguments as the user asked, where the body holds more than that (such
    /// as freshly drawn disablement values); by default the daemon takes it over the body.
    pub digest: Option<[u8; 32]>,
    /// The place of this change among several under one request ID, from 0. All of them have the
    /// same digest.
    pub part: u32,
}

impl Asked {
    /// A change under this request ID.
    pub fn by(request_id: impl Into<String>) -> Self {
        Asked { request_id: Some(request_id.into()), ..Asked::default() }
    }
}

/// A daemon's socket. Each call opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    /// An answer has shown that a tailscaled listens there: it is not asked for what is ours.
    tailscaled: Arc<AtomicBool>,
    /// Whether the daemon is asked for what it has by itself.
    local: bool,
    /// An answer may have been stale.
    stale: Arc<AtomicBool>,
    /// Why the first of them was, if that is the daemon's own trouble.
    impaired: Arc<OnceLock<Impaired>>,
    patience: Duration,
}

impl Client {
    /// A client of the daemon that listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Client {
            socket: socket.into(),
            tailscaled: Arc::default(),
            local: false,
            stale: Arc::default(),
            impaired: Arc::default(),
            patience: PATIENCE,
        }
    }

    /// The same client, whose reads the daemon answers from what it has by itself, without asking
    /// the others whether that is the newest.
    pub fn reading_locally(&self, local: bool) -> Self {
        Client { local, ..self.clone() }
    }

    /// Whether a daemon has said, to this client or one made of it, that an answer may be stale.
    pub fn was_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Why it was, if that is not for want of a quorum.
    pub fn impaired(&self) -> Option<Impaired> {
        self.impaired.get().copied()
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (bytes, _) = self.call(Method::GET, path, Vec::new(), &Asked::default()).await?;
        decode(path, &bytes)
    }

    /// A question that is too long for a query.
    async fn ask<Q: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<T, ClientError> {
        let (bytes, _) = self.call(Method::POST, path, json(question), &Asked::default()).await?;
        decode(path, &bytes)
    }

    async fn blob(
        &self,
        path: &str,
        body: Vec<u8>,
        asked: &Asked,
    ) -> Result<Changed<Vec<u8>>, ClientError> {
        let (bytes, receipt) = self.call(Method::POST, path, body, asked).await?;
        Ok(Changed { value: bytes.to_vec(), receipt })
    }

    /// An absent list is an empty one.
    async fn get_list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        self.get::<Option<Vec<T>>>(path).await.map(Option::unwrap_or_default)
    }

    async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        asked: &Asked,
    ) -> Result<Changed<T>, ClientError> {
        let (bytes, receipt) = self.call(Method::POST, path, body, asked).await?;
        Ok(Changed { value: decode(path, &bytes)?, receipt })
    }

    async fn change_without_answer(
        &self,
        path: &str,
        body: Vec<u8>,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        let (_, receipt) = self.call(Method::POST, path, body, asked).await?;
        Ok(Changed { value: (), receipt })
    }

    /// Sends one request below `/localapi/v0/` and returns the body of a successful answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        asked: &Asked,
    ) -> Result<(Bytes, Receipt), ClientError> {
        let ours_alone = path.starts_with("lockstep/");
        if ours_alone && self.tailscaled.load(Ordering::Relaxed) {
            return Err(ClientError::NeedsLockstep { socket: self.socket.clone() });
        }
        let connect = |source| ClientError::Connect { socket: self.socket.clone(), source };
        let tailscaled = self.tailscaled.load(Ordering::Relaxed);
        let transport = |what: &dyn std::fmt::Display| ClientError::Transport {
            tailscaled,
            socket: self.socket.clone(),
            what: what.to_string(),
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| transport(&e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the daemon ended");
            }
        });

        let more = match (self.local && method == Method::GET, path.contains('?')) {
            (false, _) => "",
            (true, false) => "?read=local",
            (true, true) => "&read=local",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/localapi/v0/{path}{more}"))
            .header(header::HOST, headers::HOST)
            .header(header::USER_AGENT, concat!("lockstep/", env!("CARGO_PKG_VERSION")));
        if let Some(id) = &asked.request_id {
            request = request.header(headers::REQUEST_ID, id);
        }
        if let Some(digest) = &asked.digest {
            request = request.header(headers::REQUEST_DIGEST, HEXLOWER.encode(digest));
        }
        if asked.part > 0 {
            request = request.header(headers::REQUEST_PART, asked.part);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| ClientError::Unexpected { path: path.to_owned(), what: e.to_string() })?;
        let sent = sender.send_request(request);
        let answered = if path == INIT {
            sent.await
        } else {
            let answered = tokio::time::timeout(self.patience, sent).await;
            let hangs = |_| transport(&format!("no answer within {} s", self.patience.as_secs()));
            answered.map_err(hangs)?
        };
        let response = answered.map_err(|e| transport(&e))?;

        if response.headers().contains_key(headers::TAILSCALED) {
            self.tailscaled.store(true, Ordering::Relaxed);
        }
        if response.headers().contains_key(headers::STALE) {
            self.stale.store(true, Ordering::Relaxed);
        }
        let because = response.headers().get(headers::STALE_BECAUSE);
        if let Some(why) = because.and_then(headers::read_because) {
            let _ = self.impaired.set(why);
        }
        let receipt = Receipt::of(&response);
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let bytes = body.collect().await.map_err(|e| transport(&e))?.to_bytes();
        if status.is_success() {
            return Ok((bytes, receipt));
        }
        let error: Option<ErrorBody> = serde_json::from_slice(&bytes).ok();
        if status == StatusCode::NOT_FOUND && error.is_none() && ours_alone {
            return Err(ClientError::NeedsLockstep { socket: self.socket.clone() });
        }
        let json = error.is_some();
        let text = match error {
            Some(body) => body.error,
            None => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        };
        let status_line = status.to_string();
        Err(ClientError::Status {
            status: status.as_u16(),
            status_line,
            text,
            json,
            receipt: Box::new(receipt),
        })
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Only a map with keys that are no strings could fail, and there is none in the bodies.
    serde_json::to_vec(value).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes)
        .map_err(|e| ClientError::Unexpected { path: path.to_owned(), what: e.to_string() })
}

/// Percent-encodes everything but unreserved characters.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command waited for ever for a daemon that was stopped.
    #[tokio::test]
    async fn a_daemon_that_hangs_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        // The system takes the connection; nobody answers.
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let client = Client { patience: Duration::from_millis(10), ..Client::new(&socket) };
        let hangs = client.get::<serde_json::Value>("status").await.unwrap_err();
        assert!(hangs.outcome_unknown() && hangs.to_string().contains("no answer"), "{hangs}");
    }

    #[test]
    fn escapes_what_a_query_cannot_hold() {
        assert_eq!(escape("nodekey:0a b&c"), "nodekey%3A0a%20b%26c");
        assert_eq!(escape("é"), "%C3%A9");
    }
}
