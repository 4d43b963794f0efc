//! Records, identity, health.

use replica::local_api::bodies::NodeAddRequest;
use replica::local_api::client::Asked;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Daemon, refused};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_linked_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    for byte in 1..6 {
        let request = NodeAddRequest {
            name: format!("n{byte}"),
            node_key: ledger::testing::node_key(byte).to_string(),
            lock_key: None,
            ..Default::default()
        };
        daemon.client.node_add(&request, &Asked::default()).await.unwrap();
    }
    let records = daemon.client.records(0, 1000).await.unwrap();
    assert_eq!(records[0].kind, "group-created");
    assert_eq!(records[0].prev, None);
    for pair in records.windows(2) {
        assert_eq!(pair[1].prev.as_ref(), Some(&pair[0].hash));
        assert_eq!(pair[1].index, pair[0].index + 1);
    }
    let identity = daemon.client.identity().await.unwrap();
    let last = records.last().unwrap();
    assert_eq!((identity.record_index, &identity.record_hash), (last.index, &last.hash));
    assert_eq!(last.actor.uid, Some(rustix::process::geteuid().as_raw()));
    assert_eq!(daemon.client.records(2, 2).await.unwrap(), records[2..4]);
    assert_eq!(daemon.client.records(100, 2).await.unwrap(), []);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_served_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    for (path, status, text) in [
        ("/livez", "200", "ok"),
        ("/readyz", "200", "ok"),
        ("/metrics", "200", "lockstep_records_total 2"),
        ("/nope", "404", "/metrics"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(daemon.ready.health_addr).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.lines().next().unwrap().contains(status), "{answer}");
        assert!(answer.contains(text), "{answer}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_a_plain_name() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (status, text) = refused(daemon.client.request("bad id").await);
    assert_eq!((status, text.contains("request ID")), (400, true));
    daemon.stop().await;
}
