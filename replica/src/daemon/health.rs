//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use ledger::lock::Authority;
use ledger::lock::builder::capacity;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::local_api::http::{self, Body};
use crate::node::Handle;

/// Connections at a time.
const CONNECTIONS: usize = 32;
/// How long a replica that is ready takes to answer a read, at most.
const READY_TIME: Duration = Duration::from_secs(2);

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, node: Handle, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    http::serve_one(stream, |request| answer(request, node.clone())).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a health connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(request: Request<Incoming>, node: Handle) -> Response<Body> {
    let text =
        |status, text: String| http::whole(status, "text/plain; charset=utf-8", text.into_bytes());
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match readiness(&node).await {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/metrics" => {
            let ready = readiness(&node).await.is_ok();
            let body = metrics(&node, ready).into_bytes();
            http::whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".to_owned()),
    }
}

/// Ready means: a read that takes in everything acknowledged before comes to its end.
async fn readiness(node: &Handle) -> Result<(), String> {
    match tokio::time::timeout(READY_TIME, node.read()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(stopped)) => Err(stopped.to_string()),
        Err(_) => Err("no answer of the group within 2 s".to_owned()),
    }
}

/// In the text format of Prometheus. Names no key and no node.
fn metrics(node: &Handle, ready: bool) -> String {
    let view = node.view();
    let fold = view.fold();
    let keys = fold.authority().map(Authority::state).map_or(0, |state| capacity(state).keys);
    let mut out = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "# HELP lockstep_{name} {help}\n# TYPE lockstep_{name} {kind}\nlockstep_{name} {value}"
        );
    };
    put("ready", "gauge", "Whether the replica can serve.", ready.into());
    put("records_total", "counter", "Records in the ledger.", fold.next_index());
    put("applied_index", "counter", "Raft log index applied last.", view.applied());
    put("lock_enabled", "gauge", "Whether tailnet lock is on.", fold.lifecycle().is_on().into());
    let epoch = fold.epoch().map_or(0, |epoch| epoch.0);
    put("lock_epoch", "gauge", "Epochs of the lock so far.", epoch.into());
    put("trusted_keys", "gauge", "Keys that the lock trusts.", keys as u64);
    out
}
