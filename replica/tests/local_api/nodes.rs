//! The roster, and a node's life under the lock.

use ledger::lock::node_keys::{resign, sign_direct};
use ledger::lock::signatures::Signer;
use ledger::testing::{key, node_key};
use replica::local_api::bodies::{
    Base64, NodeAddRequest, NodeRemoveRequest, NodeRotateRequest, RemoveRequest, SignRequest,
};
use replica::local_api::client::Asked;

use super::{Daemon, refused};

fn rotate(node: &str, byte: u8, signature: Option<Vec<u8>>) -> NodeRotateRequest {
    NodeRotateRequest {
        node: node.into(),
        node_key: Some(node_key(byte).to_string()),
        signature: signature.map(Base64),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_from_added_to_its_signers_removal() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    daemon.init(&[key(2).public()]).await;
    let request = NodeAddRequest {
        name: "web".into(),
        node_key: node_key(1).to_string(),
        lock_key: Some(key(6).public().to_tlpub()),
        ..Default::default()
    };
    let added = client.node_add(&request, &asked).await.unwrap();
    assert!(!added.value.signed);
    assert_eq!(added.value.since_record, added.receipt.record_index.unwrap());

    let first = sign_direct(&key(2), node_key(1), Some(key(6).public())).unwrap();
    let signed =
        client.node_rotate(&rotate("web", 1, Some(first.to_cbor())), &asked).await.unwrap();
    assert!(signed.value.signed, "{}", signed.value.reason);
    let second = resign(&key(6), node_key(2), &first).unwrap();
    let rotated =
        client.node_rotate(&rotate("web", 2, Some(second.to_cbor())), &asked).await.unwrap();
    assert!(rotated.value.signed, "{}", rotated.value.reason);
    let rotated = client.node_rotate(&rotate("web", 3, None), &asked).await.unwrap();
    assert!(!rotated.value.signed);
    assert!(rotated.value.reason.contains("without a signature"), "{}", rotated.value.reason);
    // A signature for another key lets nobody in.
    let foreign = rotate("web", 4, Some(second.to_cbor()));
    assert_eq!(refused(client.node_rotate(&foreign, &asked).await).0, 409);

    let request = SignRequest { node_key: node_key(3), rotation_public: None };
    client.sign(&request, &asked).await.unwrap();
    assert!(client.node("web").await.unwrap().signed);
    let third = sign_direct(&key(2), node_key(3), None).unwrap();
    client.node_rotate(&rotate("web", 3, Some(third.to_cbor())), &asked).await.unwrap();
    let request = RemoveRequest { keys: vec![key(2).public().to_tlpub()], ..Default::default() };
    let removed = client.remove_keys(&request, &asked).await.unwrap();
    let web = client.node(&node_key(3).to_string()).await.unwrap();
    assert!(!web.signed);
    assert_eq!(Some(web.since_record), removed.receipt.record_index);
    assert!(web.reason.contains("no longer trusted"), "{}", web.reason);
    assert_eq!(client.node(&web.id.to_string()).await.unwrap(), web);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roster_keeps_names_and_keys_apart() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    let request = |name: &str, byte| NodeAddRequest {
        name: name.into(),
        node_key: node_key(byte).to_string(),
        lock_key: None,
        ..Default::default()
    };
    client.node_add(&request("a", 1), &asked).await.unwrap();
    assert_eq!(refused(client.node_add(&request("a", 2), &asked).await).0, 409);
    assert_eq!(refused(client.node_add(&request("b", 1), &asked).await).0, 409);
    assert_eq!(refused(client.node_add(&request("b", 0), &asked).await).0, 409);
    assert_eq!(refused(client.node_add(&request("B!", 3), &asked).await).0, 409);
    let bad = NodeAddRequest { node_key: "nodekey:12".into(), ..request("c", 3) };
    assert_eq!(refused(client.node_add(&bad, &asked).await).0, 400);
    assert_eq!(refused(client.node("nobody").await).0, 404);

    let nodes = client.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["first", "a"]);
    let machine = client.machine_status(true).await.unwrap();
    assert_eq!(machine.own.unwrap().stable_id, nodes[0].stable_id);
    assert_eq!(machine.peer.unwrap().len(), 1);
    assert_eq!(client.machine_status(false).await.unwrap().peer, None);

    let remove = |node: &str| NodeRemoveRequest { node: node.into() };
    let asked_once = Asked::by("once");
    let removed = client.node_remove(&remove("a"), &asked_once).await.unwrap();
    assert_eq!(removed.value.name, "a");
    let again = client.node_remove(&remove("a"), &asked_once).await.unwrap();
    assert!(again.receipt.repeated);
    assert_eq!(again.receipt.record_index, removed.receipt.record_index);
    assert_eq!(refused(client.node_remove(&remove("a"), &asked).await).0, 404);
    // The daemon's own machine stays, and rotates itself.
    assert_eq!(refused(client.node_remove(&remove("first"), &asked).await).0, 409);
    assert_eq!(refused(client.node_rotate(&rotate("first", 9, None), &asked).await).0, 409);
    daemon.stop().await;
}
