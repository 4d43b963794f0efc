//! Asking a daemon, ours or a tailscaled, over its Unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::bodies::{
    AcknowledgementBody, AuthKeyBody, AuthKeyCreateRequest, AuthKeyRevokeRequest, Base64,
    DeeplinkAnswer, DeeplinkRequest, EpochBody, ErrorBody, FinishRevocationRequest,
    GenerateRequest, Identity, InitRequest, LockStatus, LogEntry, MachineStatus, ModifyRequest,
    NodeAddRequest, NodeBody, NodeRemoveRequest, NodeRotateRequest, OpenRevocationRequest,
    RecordLine, RemoveRequest, RequestBody, RevocationBody, SignRequest, SignedRequest,
    SigningRequest, UnsignedRequest, WhichRevocation, WithdrawRevocationRequest, WrapRequest,
};
use super::headers;

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
}

impl Client {
    /// A client of the daemon that listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Client { socket: socket.into(), tailscaled: Arc::default() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    // ---- tailscaled's endpoints ----

    /// `GET tka/status`.
    pub async fn lock_status(&self) -> Result<LockStatus, ClientError> {
        self.get("tka/status").await
    }

    /// `GET tka/status`, and what the daemon says besides.
    pub async fn lock_status_and_warning(
        &self,
    ) -> Result<(LockStatus, Option<String>), ClientError> {
        let path = "tka/status";
        let (bytes, receipt) = self.call(Method::GET, path, Vec::new(), &Asked::default()).await?;
        Ok((decode(path, &bytes)?, receipt.warning))
    }

    /// `POST tka/force-local-disable`: this node lets everybody in, as if the lock were off.
    pub async fn local_disable(&self) -> Result<(), ClientError> {
        self.call(Method::POST, "tka/force-local-disable", b"{}\n".to_vec(), &Asked::default())
            .await
            .map(drop)
    }

    /// `POST lockstep/local-enable`: takes that back.
    pub async fn local_enable(&self) -> Result<(), ClientError> {
        self.call(Method::POST, "lockstep/local-enable", b"{}\n".to_vec(), &Asked::default())
            .await
            .map(drop)
    }

    /// `GET lockstep/acknowledgements`, by node and epoch.
    pub async fn acknowledgements(&self) -> Result<Vec<AcknowledgementBody>, ClientError> {
        self.get_list("lockstep/acknowledgements").await
    }

    /// A call of a node that is no signing node (`node_rpc`), below `lockstep/machine/`.
    pub async fn machine(&self, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        let path = format!("lockstep/machine/{path}");
        Ok(self.call(Method::POST, &path, body, &Asked::default()).await?.0)
    }

    /// `GET tka/log`: newest first, at most `limit`; below 1 there is nothing to list.
    pub async fn log(&self, limit: i64) -> Result<Vec<LogEntry>, ClientError> {
        self.get_list(&format!("tka/log?limit={limit}")).await
    }

    /// `GET status`; without peers it is enough to learn the own stable ID.
    pub async fn machine_status(&self, peers: bool) -> Result<MachineStatus, ClientError> {
        self.get(if peers { "status" } else { "status?peers=false" }).await
    }

    /// `POST tka/init`.
    pub async fn init(
        &self,
        request: &InitRequest,
        asked: &Asked,
    ) -> Result<Changed<LockStatus>, ClientError> {
        self.change("tka/init", json(request), asked).await
    }

    /// `POST tka/modify`.
    pub async fn modify(
        &self,
        request: &ModifyRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/modify", json(request), asked).await
    }

    /// `POST tka/sign`.
    pub async fn sign(
        &self,
        request: &SignRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/sign", json(request), asked).await
    }

    /// `POST tka/disable` with the secret itself.
    pub async fn disable(&self, secret: &[u8], asked: &Asked) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/disable", secret.to_vec(), asked).await
    }

    /// `POST tka/affected-sigs`: the signatures that end when this key is no longer trusted.
    pub async fn affected_signatures(&self, key_id: &[u8]) -> Result<Vec<Vec<u8>>, ClientError> {
        let path = "tka/affected-sigs";
        let (bytes, _) = self.call(Method::POST, path, key_id.to_vec(), &Asked::default()).await?;
        let list: Option<Vec<Base64>> = decode(path, &bytes)?;
        Ok(list.unwrap_or_default().into_iter().map(|bytes| bytes.0).collect())
    }

    /// `POST tka/verify-deeplink`.
    pub async fn verify_deeplink(&self, url: &str) -> Result<DeeplinkAnswer, ClientError> {
        let path = "tka/verify-deeplink";
        let body = json(&DeeplinkRequest { url: url.to_owned() });
        let (bytes, _) = self.call(Method::POST, path, body, &Asked::default()).await?;
        decode(path, &bytes)
    }

    /// `POST tka/wrap-preauth-key`: the auth key with a credential.
    pub async fn wrap_auth_key(
        &self,
        request: &WrapRequest,
    ) -> Result<Zeroizing<String>, ClientError> {
        let path = "tka/wrap-preauth-key";
        let (bytes, _) = self.call(Method::POST, path, json(request), &Asked::default()).await?;
        let text = Zeroizing::new(bytes.to_vec());
        let text = str::from_utf8(&text).map_err(|error| ClientError::Unexpected {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        Ok(Zeroizing::new(text.trim_end().to_owned()))
    }

    /// `POST tka/generate-recovery-aum`: the first signature on a revocation. The keys are IDs.
    pub async fn generate_revocation(
        &self,
        request: &GenerateRequest,
        asked: &Asked,
    ) -> Result<Changed<Vec<u8>>, ClientError> {
        self.blob("tka/generate-recovery-aum", json(request), asked).await
    }

    /// `POST tka/cosign-recovery-aum`: one more signature.
    pub async fn cosign_revocation(
        &self,
        aum: &[u8],
        asked: &Asked,
    ) -> Result<Changed<Vec<u8>>, ClientError> {
        self.blob("tka/cosign-recovery-aum", aum.to_vec(), asked).await
    }

    /// `POST tka/submit-recovery-aum`: the last step.
    pub async fn submit_revocation(
        &self,
        aum: &[u8],
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("tka/submit-recovery-aum", aum.to_vec(), asked).await
    }

    // ---- ours ----

    /// `GET lockstep/identity`.
    pub async fn identity(&self) -> Result<Identity, ClientError> {
        self.get("lockstep/identity").await
    }

    /// `GET lockstep/records`: one page from record `from` on, oldest first; empty at the end. A
    /// page may hold fewer than `limit` records though more follow.
    pub async fn records(&self, from: u64, limit: u64) -> Result<Vec<RecordLine>, ClientError> {
        let path = format!("lockstep/records?from={from}&limit={limit}");
        let (bytes, _) = self.call(Method::GET, &path, Vec::new(), &Asked::default()).await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| decode(&path, line)).collect()
    }

    /// `GET lockstep/log`: the AUMs of an epoch, as [`log`](Self::log) has them of the present.
    pub async fn epoch_log(&self, epoch: u32, limit: i64) -> Result<Vec<LogEntry>, ClientError> {
        self.get_list(&format!("lockstep/log?epoch={epoch}&limit={limit}")).await
    }

    /// `GET lockstep/epochs`, oldest first.
    pub async fn epochs(&self) -> Result<Vec<EpochBody>, ClientError> {
        self.get_list("lockstep/epochs").await
    }

    /// `GET lockstep/requests/ID`: whether a request is already on record.
    pub async fn request(&self, request_id: &str) -> Result<RequestBody, ClientError> {
        self.get(&format!("lockstep/requests/{}", escape(request_id))).await
    }

    /// `GET lockstep/nodes`, by ID.
    pub async fn nodes(&self) -> Result<Vec<NodeBody>, ClientError> {
        self.get_list("lockstep/nodes").await
    }

    /// `GET lockstep/nodes/show`: by name, ID or node key.
    pub async fn node(&self, node: &str) -> Result<NodeBody, ClientError> {
        self.get(&format!("lockstep/nodes/show?node={}", escape(node))).await
    }

    /// `POST lockstep/nodes/add`.
    pub async fn node_add(
        &self,
        request: &NodeAddRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/add", json(request), asked).await
    }

    /// `POST lockstep/nodes/rotate`.
    pub async fn node_rotate(
        &self,
        request: &NodeRotateRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/rotate", json(request), asked).await
    }

    /// `POST lockstep/nodes/remove`; answers with the entry as it was.
    pub async fn node_remove(
        &self,
        request: &NodeRemoveRequest,
        asked: &Asked,
    ) -> Result<Changed<NodeBody>, ClientError> {
        self.change("lockstep/nodes/remove", json(request), asked).await
    }

    /// `POST lockstep/remove`: removes keys and signs their nodes again, as one record.
    pub async fn remove_keys(
        &self,
        request: &RemoveRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/remove", json(request), asked).await
    }

    /// `GET lockstep/authkeys`, in the order in which they were issued.
    pub async fn auth_keys(&self) -> Result<Vec<AuthKeyBody>, ClientError> {
        self.get_list("lockstep/authkeys").await
    }

    /// `POST lockstep/authkeys/create`. `None` if the request was recorded earlier, for another
    /// key.
    pub async fn auth_key_create(
        &self,
        request: &AuthKeyCreateRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AuthKeyBody>>, ClientError> {
        self.change("lockstep/authkeys/create", json(request), asked).await
    }

    /// `POST lockstep/authkeys/revoke`.
    pub async fn auth_key_revoke(
        &self,
        request: &AuthKeyRevokeRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<AuthKeyBody>>, ClientError> {
        self.change("lockstep/authkeys/revoke", json(request), asked).await
    }

    /// `POST lockstep/check-disablement`: whether a secret is right, without using it. A wrong one
    /// is refused.
    pub async fn check_disablement(&self, secret: &[u8]) -> Result<(), ClientError> {
        let (path, body) = ("lockstep/check-disablement", secret.to_vec());
        self.call(Method::POST, path, body, &Asked::default()).await.map(drop)
    }

    /// `POST lockstep/unsigned`: what a key outside the daemon is to sign. Nothing, with a receipt,
    /// if the same request is on record already.
    pub async fn unsigned(
        &self,
        request: &UnsignedRequest,
        asked: &Asked,
    ) -> Result<Changed<Option<SigningRequest>>, ClientError> {
        self.change("lockstep/unsigned", json(request), asked).await
    }

    /// `POST lockstep/signed`: has recorded what was signed.
    pub async fn signed(
        &self,
        signed: &SignedRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/signed", json(signed), asked).await
    }

    /// `GET lockstep/revocations`: those that wait, oldest first.
    pub async fn revocations(&self) -> Result<Vec<RevocationBody>, ClientError> {
        self.get_list("lockstep/revocations").await
    }

    /// `POST lockstep/revocations/show`: one that waits or was brought along.
    pub async fn revocation(&self, which: &WhichRevocation) -> Result<RevocationBody, ClientError> {
        self.ask("lockstep/revocations/show", which).await
    }

    /// `POST lockstep/revocations/open`.
    pub async fn revocation_open(
        &self,
        request: &OpenRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<RevocationBody>, ClientError> {
        self.change("lockstep/revocations/open", json(request), asked).await
    }

    /// `POST lockstep/revocations/sign`, with the daemon's key.
    pub async fn revocation_sign(
        &self,
        which: &WhichRevocation,
        asked: &Asked,
    ) -> Result<Changed<RevocationBody>, ClientError> {
        self.change("lockstep/revocations/sign", json(which), asked).await
    }

    /// `POST lockstep/revocations/finish`.
    pub async fn revocation_finish(
        &self,
        request: &FinishRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/revocations/finish", json(request), asked).await
    }

    /// `POST lockstep/revocations/withdraw`.
    pub async fn revocation_withdraw(
        &self,
        request: &WithdrawRevocationRequest,
        asked: &Asked,
    ) -> Result<Changed<()>, ClientError> {
        self.change_without_answer("lockstep/revocations/withdraw", json(request), asked).await
    }

    // ---- how ----

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
        let transport = |what: &dyn std::fmt::Display| ClientError::Transport {
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

        let mut request = Request::builder()
            .method(method)
            .uri(format!("/localapi/v0/{path}"))
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
        let response = sender.send_request(request).await.map_err(|e| transport(&e))?;

        if response.headers().contains_key(headers::TAILSCALED) {
            self.tailscaled.store(true, Ordering::Relaxed);
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

    #[test]
    fn escapes_what_a_query_cannot_hold() {
        assert_eq!(escape("nodekey:0a b&c"), "nodekey%3A0a%20b%26c");
        assert_eq!(escape("é"), "%C3%A9");
    }
}
