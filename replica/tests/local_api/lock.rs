//! The lock's life through tailscaled's endpoints.

use ledger::ids::{LockKey, NodeKey};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::Signer;
use ledger::testing::{SECRET, key, node_key, secret_value};
use replica::local_api::bodies::{
    Base64, InitRequest, ModifyRequest, NodeAddRequest, RemoveRequest, SignRequest,
};
use replica::local_api::client::Asked;

use super::{Daemon, key_body, refused};

async fn add_node(daemon: &Daemon, name: &str, node_key: NodeKey, lock_key: Option<LockKey>) {
    let request = NodeAddRequest {
        name: name.into(),
        node_key: node_key.to_string(),
        lock_key: lock_key.map(|key| key.to_tlpub()),
        ..Default::default()
    };
    daemon.client.node_add(&request, &Asked::default()).await.unwrap();
}

fn sign(node_key: NodeKey, rotation: Option<Vec<u8>>) -> SignRequest {
    SignRequest { node_key, rotation_public: rotation.map(Base64) }
}

fn remove(keys: &[LockKey]) -> ModifyRequest {
    ModifyRequest {
        add_keys: None,
        remove_keys: Some(keys.iter().copied().map(key_body).collect()),
    }
}

fn add(keys: &[LockKey]) -> ModifyRequest {
    ModifyRequest {
        add_keys: Some(keys.iter().copied().map(key_body).collect()),
        remove_keys: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_init_to_the_next_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    assert!(!client.lock_status().await.unwrap().enabled);
    add_node(&daemon, "early", node_key(1), Some(key(5).public())).await;

    let status = daemon.init(&[key(2).public()]).await;
    assert!(status.enabled && status.node_key_signed);
    assert_eq!(status.trusted_keys.unwrap().len(), 2);
    // Who was in the roster is signed, with its own lock key to rotate by.
    let early = &status.visible_peers.unwrap()[0];
    assert_eq!(early.node_key_signature.wrapping_pubkey, Some(Base64(key(5).public().0.to_vec())));
    assert_eq!(status.filtered_peers.unwrap_or_default(), []);

    add_node(&daemon, "late", node_key(2), None).await;
    let status = client.lock_status().await.unwrap();
    assert_eq!(status.filtered_peers.unwrap()[0].name, "late");
    // The official command line sends zeros when it means no rotation key.
    let done = client.sign(&sign(node_key(2), Some(vec![0; 32])), &asked).await.unwrap();
    assert_eq!(done.receipt.outcome.as_deref(), Some("applied"));
    let status = client.lock_status().await.unwrap();
    let late = status.visible_peers.unwrap().into_iter().find(|peer| peer.name == "late").unwrap();
    assert_eq!(late.node_key_signature.wrapping_pubkey, None);

    // One more key, and the other away again.
    let done = client.modify(&add(&[key(3).public()]), &asked).await.unwrap();
    assert!(done.receipt.record_index.is_some() && done.receipt.record_hash.is_some());
    client.modify(&remove(&[key(2).public()]), &asked).await.unwrap();
    let log = client.log(50).await.unwrap();
    let kinds: Vec<_> = log.iter().map(|entry| entry.change.as_str()).collect();
    assert_eq!(kinds, ["remove-key", "add-key", "checkpoint"]);
    assert_eq!(Some(log[0].hash), client.lock_status().await.unwrap().head);
    // What is sent piece by piece is spelled as the whole would be.
    let raw = super::hostile::send(&daemon, b"GET /localapi/v0/tka/log HTTP/1.0\r\n\r\n").await;
    let (_, body) = raw.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.as_bytes(), replica::local_api::bodies::to_json(&log));
    assert_eq!(client.log(1).await.unwrap().len(), 1);
    assert_eq!(client.log(0).await.unwrap(), []);

    let (status, text) = refused(client.disable(b"another", &asked).await);
    assert_eq!(status, 400);
    assert!(text.starts_with("tailnet-lock disable failed: incorrect disablement secret"));
    client.disable(SECRET, &asked).await.unwrap();
    assert!(!client.lock_status().await.unwrap().enabled);
    let (status, text) = refused(client.log(50).await);
    assert_eq!(status, 409);
    assert!(text.starts_with("reading log failed: tailnet-lock is not active"), "{text}");

    daemon.init(&[]).await;
    assert_eq!(client.epoch_log(1, 50).await.unwrap(), log);
    assert_eq!(client.epoch_log(2, 50).await.unwrap().len(), 1);
    assert_eq!(refused(client.epoch_log(3, 50).await).0, 404);
    let epochs = client.epochs().await.unwrap();
    assert!(epochs[0].disabled_record.is_some() && epochs[1].disabled_record.is_none());

    // All of it is there after a restart.
    let before = client.lock_status().await.unwrap();
    daemon.stop().await;
    let daemon = Daemon::start(dir.path()).await;
    assert_eq!(daemon.client.lock_status().await.unwrap(), before);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_refuses_what_would_lock_out_or_leak() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let asked = Asked::default();
    let own = key_body(daemon.lock_key().await);
    let good = InitRequest {
        keys: Some(vec![own.clone()]),
        disablement_values: Some(vec![Some(Base64(secret_value().to_vec()))]),
        ..InitRequest::default()
    };
    let without_own = InitRequest { keys: Some(vec![key_body(key(2).public())]), ..good.clone() };
    let without_value = InitRequest { disablement_values: None, ..good.clone() };
    let short_value =
        InitRequest { disablement_values: Some(vec![Some(Base64(vec![1; 31]))]), ..good.clone() };
    let support = InitRequest { support_disablement: Some(Base64(vec![1; 32])), ..good.clone() };
    let twice = InitRequest { keys: Some(vec![own.clone(), own]), ..good.clone() };
    for (request, what) in [
        (without_own, "must be one of the trusted keys"),
        (without_value, "at least one disablement secret required"),
        (short_value, "invalid length (got 31, want 32)"),
        (support, "no escrow is configured"),
        (twice, "duplicates"),
    ] {
        let (status, text) = refused(daemon.client.init(&request, &asked).await);
        assert_eq!(status, 400, "{text}");
        assert!(text.starts_with("initialization failed: ") && text.contains(what), "{text}");
    }
    daemon.client.init(&good, &asked).await.unwrap();
    let (status, text) = refused(daemon.client.init(&good, &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("already enabled"), "{text}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_signed_or_changed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    let (status, text) = refused(client.sign(&sign(node_key(1), None), &asked).await);
    assert_eq!(status, 409);
    assert!(text.starts_with("signing failed: tailnet-lock is not active"), "{text}");

    add_node(&daemon, "one", node_key(1), None).await;
    daemon.init(&[]).await;
    let own = daemon.lock_key().await;
    assert_eq!(refused(client.sign(&sign(node_key(9), None), &asked).await).0, 404);
    assert_eq!(refused(client.sign(&SignRequest::default(), &asked).await).0, 404);
    assert_eq!(refused(client.sign(&sign(node_key(1), Some(vec![1, 2])), &asked).await).0, 400);
    // A point of order 4: anybody can sign for it.
    let mut weak = vec![0; 32];
    weak[31] = 0x80;
    let (_, text) = refused(client.sign(&sign(node_key(1), Some(weak)), &asked).await);
    assert!(text.contains("small order"), "{text}");

    // Keys that could never sign are not taken (the original takes them).
    for (kind, len, what) in [(2, 32, "unknown key kind: Key?<2>"), (1, 3, "has 32 bytes")] {
        let mut key = key_body(own);
        key.kind = kind;
        key.public = Some(Base64(vec![7; len]));
        let request = ModifyRequest { add_keys: Some(vec![key]), remove_keys: None };
        let (status, text) = refused(client.modify(&request, &asked).await);
        assert_eq!(status, 400);
        assert!(text.contains(what), "{text}");
    }
    let (status, text) = refused(client.modify(&remove(&[own]), &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("cannot remove the last trusted signing key"), "{text}");
    assert!(refused(client.modify(&add(&[own]), &asked).await).1.contains("already exists"));
    let unknown = refused(client.modify(&remove(&[key(9).public()]), &asked).await);
    assert!(unknown.1.contains("key not found"), "{}", unknown.1);
    // Nothing to do is done.
    let done = client.modify(&ModifyRequest::default(), &asked).await.unwrap();
    assert_eq!(done.receipt.record_index, None);

    // Once its own key is gone, the daemon cannot sign any more, and says so as the official
    // command line expects it.
    client.modify(&add(&[key(2).public()]), &asked).await.unwrap();
    let request = RemoveRequest { keys: vec![own.to_tlpub()], resign: true, ..Default::default() };
    assert!(refused(client.remove_keys(&request, &asked).await).1.contains("while resigning"));
    let signature = client.lock_status().await.unwrap().node_key_signature.unwrap();
    client.modify(&remove(&[own]), &asked).await.unwrap();
    // What is locked out shows the signature that no longer holds, as the original does.
    let status = client.lock_status().await.unwrap();
    assert!(!status.node_key_signed);
    assert_eq!(status.node_key_signature, Some(signature));
    let (_, text) = refused(client.sign(&sign(node_key(1), None), &asked).await);
    assert!(text.contains("this node is not trusted by Tailnet Lock"), "{text}");
    assert!(text.contains("this node is not trusted by network lock"), "{text}");
    let (_, text) = refused(client.modify(&add(&[key(3).public()]), &asked).await);
    assert!(text.contains("this node does not have a trusted tailnet lock key"), "{text}");
    daemon.stop().await;
}

/// A node that another key let in stays in when that key goes, in one record.
#[tokio::test(flavor = "multi_thread")]
async fn removing_with_new_signatures_is_one_record() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = Daemon::start(a.path()).await;
    let other = Daemon::start(b.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    daemon.init(&[key(2).public()]).await;
    other.stop().await;

    // The node brings a signature by the key that will go.
    add_node(&daemon, "guest", node_key(1), Some(key(6).public())).await;
    let signature =
        ledger::lock::node_keys::sign_direct(&key(2), node_key(1), Some(key(6).public())).unwrap();
    let request = replica::local_api::bodies::NodeRotateRequest {
        node: "guest".into(),
        node_key: Some(node_key(1).to_string()),
        signature: Some(Base64(signature.to_cbor())),
    };
    assert!(client.node_rotate(&request, &asked).await.unwrap().value.signed);
    let affected = client.affected_signatures(&key(2).public().0).await.unwrap();
    assert_eq!(affected, [signature.to_cbor()]);
    assert_eq!(client.affected_signatures(b"short").await.unwrap(), Vec::<Vec<u8>>::new());

    let before = client.identity().await.unwrap().record_index;
    let request = RemoveRequest {
        keys: vec![key(2).public().to_tlpub()],
        resign: true,
        reason: Some("compromised".into()),
        note: Some("laptop stolen".into()),
    };
    client.remove_keys(&request, &asked).await.unwrap();
    assert_eq!(client.identity().await.unwrap().record_index, before + 1);
    let guest = client.node("guest").await.unwrap();
    assert!(guest.signed, "{}", guest.reason);
    let signature = NodeKeySignature::decode(&guest.signature.unwrap().0).unwrap();
    assert_eq!(signature.authorizing_key().unwrap(), daemon.lock_key().await);
    assert_eq!(signature.wrapping_key(), Some(&key(6).public().0[..]));

    let wrong = RemoveRequest { reason: Some("whim".into()), ..request };
    assert_eq!(refused(client.remove_keys(&wrong, &asked).await).0, 400);
    daemon.stop().await;
}
