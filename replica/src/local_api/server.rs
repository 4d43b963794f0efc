//! The listening socket: who comes in, and what a request must be before it is looked at.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::Api;
use super::call::Call;
use super::http::{self, Body};
use super::permissions::{Occupancy, Permission};
use super::routes::Endpoint;
use crate::security_log::Denial;

/// How long requests under way may take after the daemon was told to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Why the socket is not there.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused an operation.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something answers at the socket.
    #[error(
        "another daemon serves at {}: stop it, or choose another path with --socket",
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something other than a socket is there.
    #[error(
        "{} exists and is not a socket: move it away, or choose another path with --socket",
        path.display()
    )]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
}

/// Opens the socket with mode 0600, or 0660 for a group, as a file of the operator's if there is
/// one; takes the place of a dead one only.
pub fn bind(
    path: &Path,
    group: Option<u32>,
    operator: Option<u32>,
) -> Result<UnixListener, BindError> {
    let io = |doing| move |source| BindError::Io { doing, path: path.into(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent).map_err(io("creating the directory of"))?;
        // Group and operator must get through to the socket, whatever the umask is.
        let mode = if group.is_some() || operator.is_some() { 0o755 } else { 0o700 };
        fs::set_permissions(parent, fs::Permissions::from_mode(mode))
            .map_err(io("setting the mode of the directory of"))?;
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.into() });
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(io("removing the dead socket"))?;
            }
            Ok(_) => return Err(BindError::InUse { path: path.into() }),
            Err(error) => return Err(io("trying the socket")(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("looking at")(error)),
    }
    // The daemon's umask keeps others out until the mode is set.
    let listener = UnixListener::bind(path).map_err(io("listening at"))?;
    if let Some(group) = group {
        chown(path, None, Some(group)).map_err(io("giving the group"))?;
    }
    // Root opens it all the same. Only root can give it away.
    if let Some(operator) = operator
        && let Err(error) = chown(path, Some(operator), None)
    {
        tracing::warn!(
            operator, %error,
            "the operator cannot open the socket, unless by its group: start the daemon as root or \
             as the operator, or add --socket-group"
        );
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(io("setting the mode of"))?;
    Ok(listener)
}

/// Serves until told to stop, then lets the requests under way come to their end.
pub async fn serve(listener: UnixListener, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let occupancy = Occupancy::new(api.access());
    let mut exchanges = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = exchanges.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                exchanges.spawn(exchange(stream, api.clone(), occupancy.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let rest = async { while exchanges.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME, rest).await.is_err() {
        tracing::warn!("requests under way were cut off by the stop");
    }
}

async fn exchange(stream: UnixStream, api: Arc<Api>, occupancy: Arc<Occupancy>) {
    let uid = match stream.peer_cred() {
        Ok(credentials) => credentials.uid(),
        Err(error) => {
            tracing::warn!(%error, "a connection without peer credentials was dropped");
            return;
        }
    };
    let Some(_place) = occupancy.connection(uid) else {
        let text = "too many connections; close some and ask again";
        let who = format!("uid {uid}");
        api.node().security().denied(Denial::Crowded, &who, "a connection to the socket");
        http::write_refusal(stream, &[], StatusCode::SERVICE_UNAVAILABLE, text).await;
        return;
    };
    converse(stream, uid, &api, &occupancy).await;
}

/// One request and its answer, on whatever stream the user is at the other end of.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uid: u32,
    api: &Arc<Api>,
    occupancy: &Arc<Occupancy>,
) {
    http::serve_one(stream, |request| {
        let (api, occupancy) = (api.clone(), occupancy.clone());
        async move {
            let method = request.method().clone();
            let path = request.uri().path().to_owned();
            let response = answer(request, uid, &api, &occupancy).await;
            note_denial(&api, uid, &method, &path, response.status());
            tracing::debug!(uid, %method, path, status = response.status().as_u16(), "answered");
            response
        }
    })
    .await;
}

/// Writes down what was denied: whatever a user may not do, and refused changes. The path of an
/// endpoint says what was asked for; neither the query nor a body is looked at.
fn note_denial(api: &Api, uid: u32, method: &Method, path: &str, status: StatusCode) {
    let endpoint = Endpoint::of(path);
    let changes = endpoint.as_ref().is_some_and(|e| e.demands().permission == Permission::Write);
    let denial = match status {
        StatusCode::FORBIDDEN => Denial::Permission,
        _ if status.is_client_error() && changes => Denial::Change,
        _ => return,
    };
    // What is no endpoint was made up by somebody.
    let what = match endpoint {
        Some(_) => format!("{method} {path}: {}", status.as_u16()),
        None => format!("{method} of what is no endpoint: {}", status.as_u16()),
    };
    api.node().security().denied(denial, &format!("uid {uid}"), &what);
}

async fn answer(
    request: Request<Incoming>,
    uid: u32,
    api: &Arc<Api>,
    occupancy: &Arc<Occupancy>,
) -> Response<Body> {
    let mut response = match Call::admit(request, uid, api.access(), occupancy).await {
        Ok(call) => match api.answer(&call).await {
            Ok(response) => response,
            Err(problem) => problem.response(),
        },
        Err(problem) => problem.response(),
    };
    let fields = response.headers_mut();
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
pub(super) mod tests {
    use ledger::testing::key;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use ledger::history::KnownRules;

    use super::*;
    use crate::disk::local_disable::LocalDisable;
    use crate::keys::{Keys, LockKeyChoice, Start};
    use crate::local_api::{Access, own};
    use crate::node::{Node, Options};
    use crate::operations::enrol::details;

    /// An API whose daemon runs as user 500 and has user 501 as its operator.
    async fn api(dir: &Path) -> (Node, Arc<Api>) {
        let keys = Arc::new(Keys::open(dir, Start::First, &LockKeyChoice::default()).unwrap());
        let own = own(&keys, keys.node.public());
        let founder = details("first", own, None, KnownRules::THIS_VERSION);
        let options = Options::alone(dir, Arc::new(key(1)), Some(founder));
        let node = Node::start(options).await.unwrap();
        let access = Access { own: 500, operator: Some(501) };
        let aside = LocalDisable::open(dir).unwrap();
        let api = Api::new(node.handle().clone(), keys, dir.into(), access, None, aside);
        (node, Arc::new(api))
    }

    async fn ask(api: &Arc<Api>, uid: u32, request: &str) -> String {
        String::from_utf8(ask_bytes(api, uid, request.as_bytes()).await).unwrap()
    }

    /// Sends a request as that user; the whole answer.
    pub(in crate::local_api) async fn ask_bytes(
        api: &Arc<Api>,
        uid: u32,
        request: &[u8],
    ) -> Vec<u8> {
        let (mut near, far) = tokio::io::duplex(1 << 21);
        let occupancy = Occupancy::new(api.access());
        near.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let (_, read) =
            tokio::join!(converse(far, uid, api, &occupancy), near.read_to_end(&mut answer));
        read.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_may_not_write_learns_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (node, api) = api(dir.path()).await;
        for path in [
            "tka/init",
            "tka/modify",
            "tka/sign",
            "tka/disable",
            "tka/generate-recovery-aum",
            "tka/cosign-recovery-aum",
            "tka/submit-recovery-aum",
            "lockstep/remove",
            "lockstep/revocations/open",
            "lockstep/revocations/sign",
            "lockstep/revocations/finish",
            "lockstep/revocations/withdraw",
            "lockstep/unsigned",
            "lockstep/signed",
            "lockstep/nodes/add",
            "lockstep/nodes/rotate",
            "lockstep/nodes/remove",
            "tka/wrap-preauth-key",
            "lockstep/authkeys/create",
            "lockstep/authkeys/revoke",
            "lockstep/check-disablement",
            "lockstep/group/invite",
            "lockstep/group/approve",
            "lockstep/group/promote",
            "lockstep/group/demote",
            "lockstep/group/remove",
            "lockstep/group/transfer-leader",
        ] {
            // The permission comes before the method, and both before the body.
            for method in ["POST", "GET"] {
                let request = format!(
                    "{method} /localapi/v0/{path} HTTP/1.1\r\nHost:\r\n\
                     Content-Length: 1000000000\r\n\r\n"
                );
                let answer = ask(&api, 1000, &request).await;
                assert!(answer.starts_with("HTTP/1.1 403 "), "{method} {path}: {answer}");
                assert!(answer.contains("access denied"), "{answer}");
            }
            for uid in [0, 500, 501] {
                let request = format!("GET /localapi/v0/{path} HTTP/1.1\r\nHost:\r\n\r\n");
                let answer = ask(&api, uid, &request).await;
                assert!(answer.starts_with("HTTP/1.1 405 "), "{uid} {path}: {answer}");
            }
        }
        for path in ["status", "tka/status", "lockstep/records", "lockstep/nodes", "lockstep/group"]
        {
            let request = format!("GET /localapi/v0/{path} HTTP/1.1\r\nHost:\r\n\r\n");
            let answer = ask(&api, 1000, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        let request = "GET /localapi/v0/lockstep/group?read=stale HTTP/1.1\r\nHost:\r\n\r\n";
        let answer = ask(&api, 1000, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        // Each sort of denial is in the security log, which a flood of them does not fill.
        let log = std::fs::read_to_string(dir.path().join("security.log")).unwrap();
        let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(line["event"], "permission-denied");
        assert_eq!(
            (&line["who"], &line["what"]),
            (&"uid 1000".into(), &"POST /localapi/v0/tka/init: 403".into())
        );
        let what = r#""what":"GET /localapi/v0/tka/init: 405","who":"uid 0""#;
        let line = log.lines().find(|line| line.contains(what)).unwrap();
        assert!(line.contains(r#""event":"change-refused""#), "{line}");
        assert_eq!(node.handle().security().count(Denial::Permission), 54);
        node.stop().await.unwrap();
    }
}
