//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::metrics::metrics;
use super::pulse::{PATIENCE, Pulse};
use crate::local_api::http::{self, Body};
use crate::node::Handle;

/// Connections at a time.
const CONNECTIONS: usize = 32;
/// How long the loop of a replica that is ready takes to answer, at most.
const READY_TIME: Duration = Duration::from_secs(2);

/// Serves until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    node: Handle,
    data_dir: PathBuf,
    pulse: Pulse,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (node, data_dir, pulse) = (node.clone(), data_dir.clone(), pulse.clone());
                tokio::spawn(async move {
                    let answer =
                        |request| answer(request, node.clone(), data_dir.clone(), pulse.clone());
                    http::serve_one(stream, answer).await;
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

async fn answer(
    request: Request<Incoming>,
    node: Handle,
    data_dir: PathBuf,
    pulse: Pulse,
) -> Response<Body> {
    let text =
        |status, text: String| http::whole(status, "text/plain; charset=utf-8", text.into_bytes());
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => match liveness(pulse.age()) {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/readyz" => match readiness(&node).await {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/metrics" => {
            let ready = readiness(&node).await.is_ok();
            let body = tokio::task::spawn_blocking(move || metrics(&node, &data_dir, ready)).await;
            let body = match body {
                Ok(Ok(body)) => body.into_bytes(),
                Ok(Err(fault)) => {
                    return text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n"));
                }
                Err(error) => {
                    return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
                }
            };
            http::whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".to_owned()),
    }
}

/// Alive means: the replica's loop goes round. Only a restart helps one that does not.
fn liveness(age: Duration) -> Result<(), String> {
    if age <= PATIENCE {
        return Ok(());
    }
    Err(format!("the replica's loop has not answered for {} s", age.as_secs()))
}

/// Ready means: requests are answered here. Whether a majority of the group is there is another
/// question (`cluster status`, the metrics): without one, reads are answered and marked stale, and
/// taking a replica out of service for what happens elsewhere would make an outage larger. One that
/// most others say is removed has nothing to say that anybody should rely on, and one whose disk is
/// full takes no part.
async fn readiness(node: &Handle) -> Result<(), String> {
    match tokio::time::timeout(READY_TIME, node.answers()).await {
        Ok(Ok(())) => {}
        Ok(Err(stopped)) => return Err(stopped.to_string()),
        Err(_) => return Err("the replica's loop has not answered within 2 s".to_owned()),
    }
    let group = node.group();
    if let Some(why) = &group.full {
        return Err(format!("the disk of this replica is full, its answers are stale: {why}"));
    }
    if let Some(what) = &group.mending {
        return Err(format!("the database of this replica is being mended: {what}"));
    }
    if let Some(record) = group.refetching {
        return Err(format!(
            "records of this replica were damaged; those up to {record} are still to be fetched"
        ));
    }
    if group.is_shut_out(node.replica()) {
        return Err("most of the others say that this replica was removed".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_answer_needs_a_restart() {
        assert_eq!(liveness(PATIENCE), Ok(()));
        let why = liveness(PATIENCE + Duration::from_secs(5)).unwrap_err();
        assert_eq!(why, "the replica's loop has not answered for 20 s");
    }
}
