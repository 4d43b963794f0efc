//! The machine's keys replaced under the daemon, as a logout and login does.

use std::fs;
use std::path::Path;

use ledger::testing::node_key;
use replica::local_api::bodies::{NodeAddRequest, NodeRotateRequest, Signature};
use replica::local_api::client::Asked;

use super::Daemon;

fn take_away(dir: &Path, files: &[&str]) {
    for file in files {
        fs::remove_file(dir.join("data/keys").join(file)).unwrap();
    }
}

/// The bug "bootstrap tka state does not trust the initializing node" of the original: a genesis
/// made for keys that were no longer the node's.
#[tokio::test(flavor = "multi_thread")]
async fn an_init_signs_for_the_keys_at_hand() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let before = daemon.client.lock_status().await.unwrap();
    daemon.stop().await;
    take_away(dir.path(), &["lock.key", "node.key"]);

    let daemon = Daemon::start(dir.path()).await;
    let now = daemon.client.lock_status().await.unwrap();
    assert_ne!((now.public_key, now.node_key), (before.public_key, before.node_key));
    assert_eq!(daemon.client.nodes().await.unwrap().len(), 1);
    let status = daemon.init(&[]).await;
    assert!(status.node_key_signed);
    assert_eq!(status.trusted_keys.unwrap()[0].key, now.public_key);
    daemon.stop().await;
}

/// Keys change while the init is on its way: it is planned again, and nobody is left out.
#[tokio::test(flavor = "multi_thread")]
async fn keys_replaced_in_the_middle_of_an_init() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(dir.path()).await;
        let rotations = async {
            for _ in 0..8 {
                let request = NodeRotateRequest { node: "first".into(), ..Default::default() };
                daemon.client.node_rotate(&request, &Asked::default()).await.unwrap();
            }
        };
        let additions = async {
            for byte in 1..8 {
                let request = NodeAddRequest {
                    name: format!("n{byte}"),
                    node_key: node_key(byte).to_string(),
                    lock_key: None,
                    ..Default::default()
                };
                daemon.client.node_add(&request, &Asked::default()).await.unwrap();
            }
        };
        let (status, (), ()) = tokio::join!(daemon.init(&[]), rotations, additions);
        assert!(status.enabled);
        let records = daemon.client.records(0, 1000).await.unwrap();
        let init = records.iter().find(|record| record.kind == "lock-initialized").unwrap();
        for node in daemon.client.nodes().await.unwrap() {
            let early = records.iter().any(|record| {
                record.kind == "node-added"
                    && record.index < init.index
                    && node.since_record <= init.index
            });
            assert!(node.signed || !early, "{} is out: {}", node.name, node.reason);
        }
        // The machine itself is in, whenever its key changed: its own lock key rotates it.
        assert!(daemon.client.node("first").await.unwrap().signed);
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_key_under_the_lock_is_signed_by_the_machine_itself() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.init(&[]).await;
    daemon.stop().await;
    take_away(dir.path(), &["node.key"]);
    let daemon = Daemon::start(dir.path()).await;
    let status = daemon.client.lock_status().await.unwrap();
    assert!(status.node_key_signed);
    assert_eq!(status.node_key_signature.unwrap().sig_kind, 2);
    daemon.stop().await;

    // With another lock key there is nothing that could sign it.
    take_away(dir.path(), &["node.key", "lock.key"]);
    let daemon = Daemon::start(dir.path()).await;
    let status = daemon.client.lock_status().await.unwrap();
    assert!(status.enabled && !status.node_key_signed);
    // As the original says it: a signature of kind 0.
    assert_eq!(status.node_key_signature, Some(Signature::default()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_twice_with_one_request_makes_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.init(&[]).await;
    let request = NodeRotateRequest { node: "first".into(), ..Default::default() };
    let asked = Asked::by("rotate-1");
    let first = daemon.client.node_rotate(&request, &asked).await.unwrap();
    assert!(first.value.signed);
    let again = daemon.client.node_rotate(&request, &asked).await.unwrap();
    assert!(again.receipt.repeated);
    assert_eq!(again.value.node_key, first.value.node_key);
    let before = daemon.client.lock_status().await.unwrap().node_key;
    daemon.stop().await;
    let daemon = Daemon::start(dir.path()).await;
    assert_eq!(daemon.client.lock_status().await.unwrap().node_key, before);
    daemon.stop().await;
}
