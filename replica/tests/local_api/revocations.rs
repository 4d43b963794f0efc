//! Revocations: tailscaled's endpoints, which the official command line uses, and ours.

use data_encoding::BASE64;
use ledger::ids::LockKey;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::cosign;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::lock::{Aum, AumKind, Key, Sealed};
use ledger::testing::{SECRET, key, node_key};
use replica::local_api::bodies::{
    AskedBody, Base64, FinishRevocationRequest, GenerateRequest, ModifyRequest, NodeAddRequest,
    NodeRotateRequest, OpenRevocationRequest, RevokeBody, SigningRequest, UnsignedRequest,
    WhichRevocation, WithdrawRevocationRequest,
};
use replica::local_api::client::Asked;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Daemon, key_body, refused};

/// A lock that trusts the daemon's key and the seeds 2 and 3, then a stolen key, seed 4, which
/// lets in a node.
async fn stolen(daemon: &Daemon) {
    daemon.init(&[key(2).public(), key(3).public()]).await;
    let added =
        ModifyRequest { add_keys: Some(vec![key_body(key(4).public())]), remove_keys: None };
    let asked = Asked::default();
    daemon.client.modify(&added, &asked).await.unwrap();
    let node = NodeAddRequest {
        name: "guest".into(),
        node_key: node_key(1).to_string(),
        lock_key: None,
        ..Default::default()
    };
    daemon.client.node_add(&node, &asked).await.unwrap();
    let signature = sign_direct(&key(4), node_key(1), None).unwrap();
    let request = NodeRotateRequest {
        node: "guest".into(),
        node_key: Some(node_key(1).to_string()),
        signature: Some(Base64(signature.to_cbor())),
    };
    assert!(daemon.client.node_rotate(&request, &asked).await.unwrap().value.signed);
}

fn of(keys: &[LockKey]) -> GenerateRequest {
    GenerateRequest {
        keys: Some(keys.iter().map(|key| Base64(key.0.to_vec())).collect()),
        // As the official command line sends it.
        fork_from: "A".repeat(52),
    }
}

fn signed_by(aum: &[u8], seed: u8) -> Vec<u8> {
    cosign(Sealed::decode(aum).unwrap(), &key(seed)).unwrap().bytes().to_vec()
}

fn name(name: &str) -> WhichRevocation {
    WhichRevocation::name(name)
}

fn blob(aum: &[u8]) -> WhichRevocation {
    WhichRevocation::blob(aum)
}

/// What the key of a seed is to sign, far from the daemon.
async fn unsigned(
    daemon: &Daemon,
    signer: u8,
    of: &[LockKey],
    fork_from: Option<String>,
) -> SigningRequest {
    let keys = of.iter().map(LockKey::to_tlpub).collect();
    let revoke = RevokeBody { keys, fork_from, ..RevokeBody::default() };
    let asked = AskedBody { revoke: Some(revoke), ..AskedBody::default() };
    let request = UnsignedRequest { signer: key(signer).public().to_tlpub(), asked, head: None };
    daemon.client.unsigned(&request, &Asked::default()).await.unwrap().value.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_steps_take_a_stolen_key_back() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (client, asked) = (&daemon.client, Asked::default());
    stolen(&daemon).await;
    let thief = key(4).public();

    let begun = client.generate_revocation(&of(&[thief]), &asked).await.unwrap();
    assert_eq!(begun.receipt.outcome.as_deref(), Some("applied"));
    let first = Sealed::decode(&begun.value).unwrap();
    assert_eq!((first.kind, first.signatures.len()), (AumKind::CHECKPOINT, 1));
    // Asked again it is the same, and nothing is recorded twice.
    let again = client.generate_revocation(&of(&[thief]), &asked).await.unwrap();
    assert_eq!((again.value, again.receipt.record_index), (begun.value.clone(), None));
    let (status, text) = refused(client.cosign_revocation(&begun.value, &asked).await);
    assert_eq!(status, 409);
    assert!(text.starts_with("this node has already signed this recovery AUM"), "{text}");

    // Another machine signs the blob without asking this ledger.
    let second = signed_by(&begun.value, 2);
    client.submit_revocation(&second, &asked).await.unwrap();
    let status = client.lock_status().await.unwrap();
    assert!(status.trusted_keys.unwrap().iter().all(|trusted| trusted.key != thief));
    assert_eq!(status.head, Some(Sealed::decode(&second).unwrap().hash()));
    assert!(!client.node("guest").await.unwrap().signed);
    assert_eq!(client.revocations().await.unwrap(), []);
    // Once more is as good as once.
    let again = client.submit_revocation(&second, &asked).await.unwrap();
    assert_eq!(again.receipt.record_index, None);
    let (status, text) = refused(client.generate_revocation(&of(&[thief]), &asked).await);
    assert_eq!((status, text.starts_with("no provided key is currently trusted")), (409, true));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_over_the_socket_is_judged_before_it_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (client, asked) = (&daemon.client, Asked::default());
    let no_op = Sealed::new(Aum::new(AumKind::NO_OP, None)).bytes().to_vec();
    for (status, text) in [
        refused(client.generate_revocation(&of(&[key(4).public()]), &asked).await),
        refused(client.cosign_revocation(&no_op, &asked).await),
        refused(client.submit_revocation(&no_op, &asked).await),
    ] {
        assert_eq!(status, 409);
        assert!(text.starts_with("tailnet-lock is not active"), "{text}");
    }
    stolen(&daemon).await;
    for bad in [&b""[..], b"{not json", &[0xff, 0xff], &[0xa0], &[0x18, 1]] {
        for answer in [
            client.cosign_revocation(bad, &asked).await.map(drop),
            client.submit_revocation(bad, &asked).await.map(drop),
        ] {
            let (status, text) = refused(answer);
            assert_eq!((status, text.starts_with("decoding AUM")), (400, true), "{text}");
        }
    }
    // The original signs it (spec 16.7), and takes an unknown parent.
    let (status, text) = refused(client.cosign_revocation(&no_op, &asked).await);
    assert_eq!((status, text.starts_with("not a revocation")), (409, true), "{text}");
    let own = daemon.lock_key().await;
    for (request, status, what) in [
        (GenerateRequest { fork_from: "zz".into(), ..of(&[own]) }, 400, "decoding fork-from: "),
        (GenerateRequest { fork_from: "a".repeat(52), ..of(&[own]) }, 400, "decoding fork-from: "),
        (
            GenerateRequest { fork_from: format!("V{}", "A".repeat(51)), ..of(&[own]) },
            409,
            "no fork",
        ),
        (of(&[]), 409, "no provided key is currently trusted"),
        (of(&[own, key(2).public(), key(3).public(), key(4).public()]), 409, "cannot revoke all"),
        (
            GenerateRequest { keys: Some(vec![Base64(vec![1, 2, 3])]), ..of(&[]) },
            400,
            "a tailnet-lock key has 32 bytes",
        ),
    ] {
        let (got, text) = refused(client.generate_revocation(&request, &asked).await);
        assert_eq!((got, text.starts_with(what)), (status, true), "{text}");
    }
    // A body that no AUM can have is not even read.
    for path in ["tka/cosign-recovery-aum", "lockstep/revocations/sign"] {
        let head = format!(
            "POST /localapi/v0/{path} HTTP/1.1\r\nHost:\r\nContent-Length: {}\r\n\r\n",
            1_u64 << 30
        );
        let answer = super::hostile::send(&daemon, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    // Nothing of all that is waiting.
    assert_eq!(client.revocations().await.unwrap(), []);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_on_record_for_its_signers() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let asked = Asked::default();
    stolen(&daemon).await;
    let (own, thief) = (daemon.lock_key().await, key(4).public());
    let request = OpenRevocationRequest {
        keys: vec![thief.to_tlpub()],
        reason: Some("compromised".into()),
        note: Some("laptop stolen".into()),
        ..OpenRevocationRequest::default()
    };
    let opened = daemon.client.revocation_open(&request, &Asked::by("begin")).await.unwrap();
    let shown = opened.value;
    assert_eq!(shown.keys, [thief.to_tlpub()]);
    assert_eq!(
        (shown.reason.as_deref(), shown.note.as_deref()),
        (Some("compromised"), Some("laptop stolen"))
    );
    assert_eq!(shown.opened_record, opened.receipt.record_index);
    assert!(shown.pending && ["waiting", "ready"].contains(&shown.state.as_str()));
    let effect = shown.effect.clone().unwrap();
    assert_eq!((effect.removed, effect.undone_count), (vec![thief.to_tlpub()], 1));
    assert_eq!(effect.undone[0].change, "add-key");
    assert_eq!(effect.locked_out, ["guest"]);
    let votes = shown.votes.clone().unwrap();
    assert_eq!((votes.present, votes.against, votes.others.len()), (1, Some(1), 2));
    // The same request once more.
    let again = daemon.client.revocation_open(&request, &Asked::by("begin")).await.unwrap();
    assert!(again.receipt.repeated);
    assert_eq!(again.value, shown);
    assert_eq!(daemon.client.revocations().await.unwrap(), std::slice::from_ref(&shown));
    assert_eq!(daemon.client.revocation(&name(&shown.id[..8])).await.unwrap(), shown);
    daemon.stop().await;

    // Another signing node of the same ledger: this one with another key.
    let lock_key = dir.path().join("data/keys/lock.key");
    let text = std::fs::read_to_string(&lock_key).unwrap();
    std::fs::write(&lock_key, key_text(&text, &key(2))).unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    assert_eq!(daemon.lock_key().await, key(2).public());
    let signed = client.revocation_sign(&name(&shown.id[..8]), &asked).await.unwrap().value;
    let keys: Vec<_> = signed.signatures.iter().map(|signature| signature.key.clone()).collect();
    assert_eq!(keys, [own.to_tlpub(), key(2).public().to_tlpub()]);
    assert_eq!((signed.state.as_str(), signed.votes.clone().unwrap().missing), ("ready", 0));

    // A third key lies on no daemon: it signs what is exported, by name or anew.
    let cosign = AskedBody { cosign: Some(name(&shown.id[..8])), ..AskedBody::default() };
    let cosign = UnsignedRequest { signer: key(3).public().to_tlpub(), asked: cosign, head: None };
    let by_name = client.unsigned(&cosign, &asked).await.unwrap().value.unwrap();
    let anew = unsigned(&daemon, 3, &[thief], None).await;
    assert_eq!(by_name.aums, anew.aums);
    let draft = Sealed::decode(&anew.aums[0].0).unwrap();
    assert_eq!((draft.sig_hash().to_string(), draft.signatures.len()), (shown.id.clone(), 0));
    client.signed(&by_name.sign(&key(3)).unwrap(), &asked).await.unwrap();
    let whole = client.revocation(&name(&shown.id)).await.unwrap();
    assert_eq!(whole.signatures.len(), 3);
    // The blob says no more than is on record.
    let brought =
        OpenRevocationRequest { aum: Some(whole.aum.clone()), ..OpenRevocationRequest::default() };
    let again = client.revocation_open(&brought, &asked).await.unwrap();
    assert_eq!((again.value, again.receipt.record_index), (whole.clone(), None));
    assert!(whole.signatures.iter().all(|signature| signature.record.is_some()));
    assert_eq!(client.revocation(&blob(&whole.aum.0)).await.unwrap(), whole);
    // As one signer handed it on, it shows those signatures only.
    let early = client.revocation(&blob(&shown.aum.0)).await.unwrap();
    assert_eq!((early.signatures.len(), early.pending), (1, true));

    let request = FinishRevocationRequest { which: name(&whole.id[..6]), ..Default::default() };
    let done = client.revocation_finish(&request, &asked).await.unwrap();
    let records = client.records(done.receipt.record_index.unwrap(), 1).await.unwrap();
    assert_eq!(records[0].kind, "aums-added");
    assert!(!client.node("guest").await.unwrap().signed);
    assert_eq!(client.revocation(&blob(&whole.aum.0)).await.unwrap().state, "in-force");
    assert_eq!(refused(client.revocation(&name(&whole.id[..6])).await).0, 404);
    daemon.stop().await;
}

/// The key file's text with another key in it.
fn key_text(before: &str, key: &PrivateKey) -> String {
    let private = before.split_whitespace().find(|word| word.starts_with("nlpriv:")).unwrap();
    before.replace(private, &key.to_nlpriv())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_lose_be_withdrawn_and_outlive_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (client, asked) = (&daemon.client, Asked::default());
    stolen(&daemon).await;
    let thief = key(4).public();
    // One that wins whatever comes, brought from elsewhere.
    let begun = async |keys: &[LockKey], fork_from| {
        signed_by(&unsigned(&daemon, 2, keys, fork_from).await.aums[0].0, 2)
    };
    let light = begun(&[key(3).public()], None).await;
    let open = OpenRevocationRequest { aum: Some(Base64(light.clone())), ..Default::default() };
    let light_id = client.revocation_open(&open, &asked).await.unwrap().value.id;
    let genesis = client.epochs().await.unwrap()[0].genesis.clone();
    let heavy = signed_by(&begun(&[thief], Some(genesis.clone())).await, 3);
    client.submit_revocation(&heavy, &asked).await.unwrap();

    let (status, text) = refused(client.submit_revocation(&light, &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("never all trusted together"), "{text}");
    let shown = client.revocation(&name(&light_id)).await.unwrap();
    assert_eq!((shown.state.as_str(), shown.effect), ("void", None));
    assert!(shown.problem.unwrap().contains("never all trusted together"));
    let withdraw = WithdrawRevocationRequest { revocation: light_id[..10].into(), note: None };
    let done = client.revocation_withdraw(&withdraw, &asked).await.unwrap();
    let record = done.receipt.record_index.unwrap();
    assert_eq!(client.records(record, 1).await.unwrap()[0].kind, "revocation-withdrawn");
    assert_eq!(refused(client.revocation_withdraw(&withdraw, &asked).await).0, 404);
    let short = WithdrawRevocationRequest { revocation: "abc".into(), note: None };
    assert_eq!(refused(client.revocation_withdraw(&short, &asked).await).0, 400);

    // From the genesis it cannot win any more; by itself it would begin later.
    let later = Sealed::decode(&begun(&[key(3).public()], None).await).unwrap();
    assert_ne!(later.parent_hash().unwrap().to_string(), genesis);
    let loser = begun(&[key(3).public()], Some(genesis)).await;
    let (status, text) = refused(client.submit_revocation(&loser, &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("the revocation would lose: votes for it 1"), "{text}");
    assert!(text.contains("missing 2"), "{text}");
    let open = OpenRevocationRequest { aum: Some(Base64(loser)), ..Default::default() };
    let id = client.revocation_open(&open, &asked).await.unwrap().value.id;
    client.disable(SECRET, &asked).await.unwrap();
    let over = client.revocation(&name(&id)).await.unwrap();
    assert_eq!((over.state.as_str(), over.votes), ("over", None));
    let withdraw = WithdrawRevocationRequest { revocation: id, note: Some("over".into()) };
    client.revocation_withdraw(&withdraw, &asked).await.unwrap();

    let bad = OpenRevocationRequest { reason: Some("whim".into()), ..Default::default() };
    assert_eq!(refused(client.revocation_open(&bad, &asked).await).0, 400);
    for which in [
        WhichRevocation::default(),
        WhichRevocation { revocation: Some("ABCDEF".into()), aum: Some(Base64(vec![])) },
    ] {
        assert_eq!(refused(client.revocation(&which).await).0, 400);
    }
    daemon.stop().await;
}

/// Removing leaves a key that somebody can sign with.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_key_that_can_sign_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let (client, asked) = (&daemon.client, Asked::default());
    daemon.init(&[]).await;
    let meta = ledger::lock::node_keys::auth_key_meta("tskey-auth-k1-x", "n1CNTRL", 1);
    let mut wrapped = key_body(key(8).public());
    wrapped.meta = Some(meta.0);
    let add = ModifyRequest { add_keys: Some(vec![wrapped]), remove_keys: None };
    client.modify(&add, &asked).await.unwrap();
    let own = Key::ed25519(daemon.lock_key().await, 1).lock_key().unwrap();
    let remove = ModifyRequest { add_keys: None, remove_keys: Some(vec![key_body(own)]) };
    let (status, text) = refused(client.modify(&remove, &asked).await);
    assert_eq!(status, 409);
    assert!(text.contains("the last trusted signing key that anyone can sign with"), "{text}");
    assert!(text.contains("lockstep lock disable"), "{text}");
    daemon.stop().await;
}

/// The requests as the official command line makes them (spec 15.3): the first in chunks, neither
/// with a content type.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_command_line_is_answered_as_it_expects() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    stolen(&daemon).await;
    let head = |endpoint: &str, length: &str| {
        format!(
            "POST /localapi/v0/tka/{endpoint} HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\
             User-Agent: Go-http-client/1.1\r\nTailscale-Cap: 138\r\nAccept-Encoding: gzip\r\n\
             Connection: close\r\n{length}\r\n\r\n"
        )
    };
    let keys = BASE64.encode(&key(4).public().0);
    let body = format!("{{\"Keys\":[\"{keys}\"],\"ForkFrom\":\"{}\"}}\n", "A".repeat(52));
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head_of = head("generate-recovery-aum", "Transfer-Encoding: chunked");
    let begun = answer(&daemon, &[head_of.as_bytes(), chunked.as_bytes()].concat()).await;
    assert_eq!(Sealed::decode(&begun).unwrap().signatures.len(), 1);
    // Two more keys, one of which another machine has; then the last step, answered by nothing.
    let more = signed_by(&signed_by(&begun, 2), 3);
    let post = |endpoint: &str, body: &[u8]| {
        let length = format!("Content-Length: {}", body.len());
        [head(endpoint, &length).as_bytes(), body].concat()
    };
    let shown = daemon.client.revocation(&blob(&more)).await.unwrap();
    assert_eq!((shown.state.as_str(), shown.signatures.len()), ("ready", 3));
    let twice = super::hostile::send(&daemon, &post("cosign-recovery-aum", &begun)).await;
    assert!(twice.starts_with("HTTP/1.1 409 "), "{twice}");
    assert!(twice.contains("this node has already signed this recovery AUM"), "{twice}");
    assert_eq!(answer(&daemon, &post("submit-recovery-aum", &more)).await, b"");
    let head = daemon.client.lock_status().await.unwrap().head;
    assert_eq!(head, Some(Sealed::decode(&more).unwrap().hash()));
    daemon.stop().await;
}

/// The body of a successful answer.
async fn answer(daemon: &Daemon, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&daemon.ready.socket).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    answer.split_off(end)
}
