//! Keys that the daemon does not hold.

use ledger::ids::LockKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::testing::{key, node_key};
use replica::local_api::bodies::{
    AskedBody, Base64, ModifyBody, NodeAddRequest, RotateBody, SignBody, SignedRequest,
    SigningRequest, UnsignedRequest, VoterBody,
};
use replica::local_api::client::{Asked, Changed, ClientError};

use super::{Daemon, refused};

fn add(keys: &[LockKey]) -> AskedBody {
    let add = keys.iter().map(|key| VoterBody { key: key.to_tlpub(), votes: 2 }).collect();
    AskedBody { modify: Some(ModifyBody { add, ..Default::default() }), ..Default::default() }
}

fn order(signer: &PrivateKey, asked: AskedBody) -> UnsignedRequest {
    UnsignedRequest { signer: signer.public().to_tlpub(), asked, head: None }
}

async fn unsigned(daemon: &Daemon, order: &UnsignedRequest) -> SigningRequest {
    daemon.client.unsigned(order, &Asked::default()).await.unwrap().value.unwrap()
}

async fn submit(daemon: &Daemon, signed: &SignedRequest) -> Result<Changed<()>, ClientError> {
    daemon.client.signed(signed, &Asked::default()).await
}

/// Asks, signs and submits.
async fn done(daemon: &Daemon, signer: &PrivateKey, asked: AskedBody) {
    let request = unsigned(daemon, &order(signer, asked)).await;
    submit(daemon, &request.sign(signer).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_elsewhere_changes_the_lock_and_signs_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (cold, other) = (key(2), key(3));
    daemon.init(&[cold.public()]).await;
    done(&daemon, &cold, add(&[other.public(), key(4).public()])).await;
    let status = daemon.client.lock_status().await.unwrap();
    let votes = status.trusted_keys.unwrap().iter().map(|key| key.votes).collect::<Vec<_>>();
    assert_eq!(votes, [1, 1, 2, 2]);

    let laptop = NodeAddRequest {
        name: "laptop".into(),
        node_key: node_key(1).to_string(),
        lock_key: Some(key(9).public().to_tlpub()),
        ..NodeAddRequest::default()
    };
    daemon.client.node_add(&laptop, &Asked::default()).await.unwrap();
    let item = SignBody {
        node_key: node_key(1).to_string(),
        rotation_key: Some(key(9).public().to_tlpub()),
    };
    let sign = AskedBody { sign: Some(vec![item]), ..Default::default() };
    let request = unsigned(&daemon, &order(&cold, sign)).await;
    assert_eq!(request.signatures[0].node, "laptop");
    submit(&daemon, &request.sign(&cold).unwrap()).await.unwrap();
    assert!(daemon.client.node("laptop").await.unwrap().signed);

    // The node's own key, which the lock does not trust, rotates.
    let rotate = RotateBody { node: "laptop".into(), node_key: node_key(2).to_string() };
    let rotate = AskedBody { rotate: Some(rotate), ..Default::default() };
    done(&daemon, &key(9), rotate).await;
    let node = daemon.client.node("laptop").await.unwrap();
    assert!(node.signed && node.node_key == node_key(2).to_string());
    let own = RotateBody { node: "first".into(), node_key: node_key(3).to_string() };
    let own = AskedBody { rotate: Some(own), ..Default::default() };
    let answer = daemon.client.unsigned(&order(&cold, own), &Asked::default()).await;
    assert!(refused(answer).1.contains("own machine"));

    // The daemon's own key goes; what it signed is signed again by the other.
    let body = ModifyBody {
        remove: vec![daemon.lock_key().await.to_tlpub()],
        resign: true,
        reason: Some("rotated".into()),
        ..Default::default()
    };
    done(&daemon, &cold, AskedBody { modify: Some(body), ..Default::default() }).await;
    let status = daemon.client.lock_status().await.unwrap();
    assert!(status.node_key_signed);
    assert_eq!(status.trusted_keys.unwrap().len(), 3);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overtaken_signature_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let cold = key(2);
    daemon.init(&[cold.public()]).await;
    let mut order = order(&cold, add(&[key(3).public()]));
    let request = unsigned(&daemon, &order).await;
    let head = request.head.clone();
    let stale = request.sign(&cold).unwrap();
    done(&daemon, &cold, add(&[key(4).public()])).await;
    let error = submit(&daemon, &stale).await.unwrap_err();
    assert!(error.overtaken(), "{error}");
    assert!(error.to_string().contains("has changed since this was made to be signed"));
    order.head = Some(head.clone());
    let request = unsigned(&daemon, &order).await;
    assert_eq!(request.head, head);
    let signed = request.sign(&cold).unwrap();
    submit(&daemon, &signed).await.unwrap();
    // Key 3 is there now: what was asked for when it was not is not asked for any more.
    let (status, text) = refused(daemon.client.unsigned(&order, &Asked::default()).await);
    assert_eq!(status, 409);
    assert!(text.contains("was added by somebody else in the meantime"), "{text}");
    let (status, _) = refused(submit(&daemon, &signed).await);
    assert_eq!(status, 409);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let cold = key(2);
    daemon.init(&[cold.public()]).await;
    let asked = Asked::by("once");
    let order = order(&cold, add(&[key(3).public()]));
    let request = daemon.client.unsigned(&order, &asked).await.unwrap().value.unwrap();
    let signed = request.sign(&cold).unwrap();
    let first = daemon.client.signed(&signed, &asked).await.unwrap().receipt;
    assert!(!first.repeated && first.record_index.is_some());
    let again = daemon.client.signed(&signed, &asked).await.unwrap().receipt;
    assert!(again.repeated && again.record_index == first.record_index);
    let planned = daemon.client.unsigned(&order, &asked).await.unwrap();
    assert!(planned.value.is_none() && planned.receipt.repeated);
    // For something else the name is taken.
    let other = UnsignedRequest { asked: add(&[key(4).public()]), ..order };
    let (status, text) = refused(daemon.client.unsigned(&other, &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("was used for something else"), "{text}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_signed_for_this_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let cold = key(2);
    let add_3 = order(&cold, add(&[key(3).public()]));
    let off = daemon.client.unsigned(&add_3, &Asked::default()).await;
    assert!(refused(off).1.contains("not active"));
    daemon.init(&[cold.public()]).await;
    let before = daemon.client.records(0, 100).await.unwrap().len();
    let request = unsigned(&daemon, &add_3).await;
    let good = request.clone().sign(&cold).unwrap();
    let changed = |change: fn(&mut SignedRequest)| {
        let mut signed = good.clone();
        change(&mut signed);
        signed
    };
    for (signed, code, says) in [
        (changed(|s| s.schema.push('x')), 400, "it is no lockstep.signed-request/1"),
        (changed(|s| s.request.schema.clear()), 400, "it is no lockstep.signing-request/1"),
        (changed(|s| s.request.cluster_id.clear()), 409, "another ledger"),
        (changed(|s| s.request.head = key(1).public().to_tlpub()), 400, "head"),
        (changed(|s| s.signed.clear()), 400, "0 signatures for 1 places"),
        (changed(|s| s.signed[0].0[5] ^= 1), 400, "signature 1 does not hold"),
        (changed(|s| s.signed[0].0.truncate(63)), 400, "signature 1 has 63 bytes"),
        (changed(|s| s.request.aums[0].0.truncate(9)), 400, "AUM 1: not canonical"),
        // Signed for adding key 3, submitted as if something else had been asked.
        (changed(|s| s.request.asked = add(&[LockKey([4; 32])])), 412, "has changed since"),
        (changed(|s| s.request.asked = AskedBody::default()), 400, "none or several"),
        (changed(|s| s.request.signer = key(3).public().to_tlpub()), 400, "does not hold"),
    ] {
        let (status, text) = refused(submit(&daemon, &signed).await);
        assert_eq!(status, code, "{text}");
        assert!(text.contains(says), "{text}");
    }
    // A key that nobody trusts can sign what it likes.
    let stranger = order(&key(8), add(&[key(3).public()]));
    let (status, text) = refused(daemon.client.unsigned(&stranger, &Asked::default()).await);
    assert_eq!(status, 409);
    assert!(text.contains("is no trusted key of the lock"), "{text}");
    let mut forged = request;
    forged.signer = key(8).public().to_tlpub();
    let forged = forged.sign(&key(8)).unwrap();
    assert_eq!(refused(submit(&daemon, &forged).await).0, 409);
    assert_eq!(daemon.client.records(0, 100).await.unwrap().len(), before);

    let votes = |votes| {
        let add = vec![VoterBody { key: key(3).public().to_tlpub(), votes }];
        let modify = ModifyBody { add, ..Default::default() };
        order(&cold, AskedBody { modify: Some(modify), ..Default::default() })
    };
    for (bad, says) in [(0, "votes must be non-zero"), (4097, "excessive key weight")] {
        let answer = daemon.client.unsigned(&votes(bad), &Asked::default()).await;
        assert!(refused(answer).1.contains(says));
    }
    let nothing = order(&cold, add(&[]));
    let answer = daemon.client.unsigned(&nothing, &Asked::default()).await;
    assert!(refused(answer).1.contains("nothing to change"));
    let garbage = SignedRequest { signed: vec![Base64(vec![0; 64]); 3], ..good };
    assert_eq!(refused(submit(&daemon, &garbage).await).0, 400);
    daemon.stop().await;
}
