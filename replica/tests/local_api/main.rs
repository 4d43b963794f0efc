//! The daemon as its clients see it: over a real socket, on a real disk.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod auth_keys;
mod escrow;
mod hook;
mod hostile;
mod keys;
mod lock;
mod nodes;
mod outside;
mod records;
mod requests;
mod revocations;
mod shapes;
mod told;

use std::path::Path;

use ledger::ids::LockKey;
use ledger::testing::secret_value;
use replica::daemon::config::{Config, Given, Surroundings};
use replica::daemon::{Ready, ServeError, run};
use replica::local_api::bodies::{Base64, InitRequest, KeyBody, LockStatus};
use replica::local_api::client::{Asked, Client, ClientError};
use replica::node::Supported;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running daemon.
struct Daemon {
    ready: Ready,
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Daemon {
    /// Starts one on a directory, a new group if it is empty.
    async fn start(dir: &Path) -> Daemon {
        Daemon::start_with(dir, "").await
    }

    /// Starts one with this configuration file.
    async fn start_with(dir: &Path, settings: &str) -> Daemon {
        std::fs::write(dir.join("config.toml"), settings).unwrap();
        let given = Given {
            config: Some(dir.join("config.toml")),
            data_dir: Some(dir.join("data")),
            socket: Some(dir.join("s.sock")),
            name: Some("first".into()),
            ..Given::default()
        };
        let config = Config::resolve(given, Given::default(), &Surroundings::default()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell_ready, ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
                "the test is over"
            };
            run(config, Supported::THIS_VERSION, stop, |ready| {
                tell_ready.send(ready.clone()).unwrap()
            })
            .await
        });
        match ready.await {
            Ok(ready) => {
                let client = Client::new(&ready.socket);
                Daemon { ready, client, stop, task }
            }
            Err(_) => panic!("the daemon did not start: {:?}", task.await.unwrap()),
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        assert!(!self.ready.socket.exists());
    }

    async fn lock_key(&self) -> LockKey {
        self.client.lock_status().await.unwrap().public_key
    }

    /// Initializes the lock with the daemon's own key and these.
    async fn init(&self, others: &[LockKey]) -> LockStatus {
        let mut keys = vec![key_body(self.lock_key().await)];
        keys.extend(others.iter().copied().map(key_body));
        let request = InitRequest {
            keys: Some(keys),
            disablement_values: Some(vec![Some(Base64(secret_value().to_vec()))]),
            ..InitRequest::default()
        };
        self.client.init(&request, &Asked::default()).await.unwrap().value
    }
}

fn key_body(key: LockKey) -> KeyBody {
    KeyBody { kind: 1, votes: 1, public: Some(Base64(key.0.to_vec())), meta: None }
}

/// Status code and text of a refusal.
fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Status { status, text, .. }) => (status, text),
        other => panic!("not refused: {other:?}"),
    }
}
