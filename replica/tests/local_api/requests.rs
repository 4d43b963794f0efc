//! Asking twice: a request ID is applied once.

use ledger::lock::signatures::Signer;
use ledger::testing::{key, secret_value};
use replica::local_api::bodies::{Base64, InitRequest, ModifyRequest};
use replica::local_api::client::Asked;

use super::{Daemon, key_body, refused};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_returns_the_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    // As the command line does it: the digest stands for what was asked, the values are new.
    let asked = Asked { digest: Some([7; 32]), ..Asked::by("init-1") };
    let own = key_body(daemon.lock_key().await);
    let request = |value: Vec<u8>| InitRequest {
        keys: Some(vec![own.clone()]),
        disablement_values: Some(vec![Some(Base64(value))]),
        ..InitRequest::default()
    };
    assert!(!client.request("init-1").await.unwrap().applied);
    let first = client.init(&request(secret_value().to_vec()), &asked).await.unwrap();
    assert!(!first.receipt.repeated);
    let known = client.request("init-1").await.unwrap();
    assert_eq!(known.record_index, first.receipt.record_index);
    assert_eq!(known.record_hash, first.receipt.record_hash);
    let again = client.init(&request(vec![9; 32]), &asked).await.unwrap();
    assert!(again.receipt.repeated && again.value.enabled);
    assert_eq!(again.receipt.record_index, first.receipt.record_index);
    assert_eq!(client.log(50).await.unwrap().len(), 1);

    let other = Asked { digest: Some([8; 32]), ..asked };
    let (status, text) = refused(client.init(&request(vec![9; 32]), &other).await);
    assert_eq!(status, 409);
    assert!(text.contains("used for something else"), "{text}");

    // Without a digest of its own the daemon takes it over what was asked.
    let add = |seed| ModifyRequest {
        add_keys: Some(vec![key_body(key(seed).public())]),
        remove_keys: None,
    };
    let asked = Asked::by("add-1");
    client.modify(&add(2), &asked).await.unwrap();
    assert!(client.modify(&add(2), &asked).await.unwrap().receipt.repeated);
    assert_eq!(refused(client.modify(&add(3), &asked).await).0, 409);
    let (status, text) = refused(client.modify(&add(3), &Asked::by("no such/ID")).await);
    assert_eq!(status, 400);
    assert!(text.contains("request ID"), "{text}");
    daemon.stop().await;
}

/// Many changes at once: each is planned again until it is through, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn lost_races_are_planned_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.init(&[]).await;
    let mut tasks = Vec::new();
    for seed in 10..18 {
        let client = daemon.client.clone();
        tasks.push(tokio::spawn(async move {
            let request = ModifyRequest {
                add_keys: Some(vec![key_body(key(seed).public())]),
                remove_keys: None,
            };
            client.modify(&request, &Asked::default()).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let status = daemon.client.lock_status().await.unwrap();
    assert_eq!(status.trusted_keys.unwrap().len(), 9);
    assert_eq!(daemon.client.log(50).await.unwrap().len(), 9);
    daemon.stop().await;
}
