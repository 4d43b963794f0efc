//! What other nodes are told over the socket, and a lock that is set aside on one machine.

use ledger::history::NodeId;
use ledger::lock::client::Admission;
use ledger::lock::signatures::{OneCore, Signer};
use ledger::testing::{SECRET, key, node_key};
use replica::local_api::bodies::{
    AcknowledgementBody, Base64, GenerateRequest, ModifyRequest, NodeAddRequest, NodeBody,
    NodeRotateRequest, SignRequest,
};
use replica::local_api::client::Asked;
use replica::node_client::{NotPulled, Owner, Store, judged, pull};
use replica::node_rpc::Seen;

use super::{Daemon, key_body, refused};

async fn add_node(daemon: &Daemon, name: &str, byte: u8) -> NodeBody {
    let request = NodeAddRequest {
        name: name.into(),
        node_key: node_key(byte).to_string(),
        lock_key: Some(key(byte).public().to_tlpub()),
        ..NodeAddRequest::default()
    };
    daemon.client.node_add(&request, &Asked::default()).await.unwrap().value
}

/// A node with a directory of its own.
struct Elsewhere {
    dir: tempfile::TempDir,
    owner: Owner,
    node: NodeBody,
}

impl Elsewhere {
    async fn new(daemon: &Daemon, name: &str, byte: u8) -> Self {
        let node = add_node(daemon, name, byte).await;
        let cluster = daemon.ready.cluster_id.parse().unwrap();
        let owner = Owner { cluster, node: NodeId(node.id) };
        Elsewhere { dir: tempfile::tempdir().unwrap(), owner, node }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path(), self.owner, &OneCore).unwrap()
    }

    async fn pull(&self, daemon: &Daemon) -> Seen {
        pull(&daemon.client, &self.node, &mut self.store(), &OneCore).await.unwrap()
    }

    async fn said(&self, daemon: &Daemon) -> Vec<AcknowledgementBody> {
        let all = daemon.client.acknowledgements().await.unwrap();
        all.into_iter().filter(|said| said.node == self.node.id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_elsewhere_follows_the_lock_to_its_end_and_into_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let laptop = Elsewhere::new(&daemon, "laptop", 20).await;
    let seen = laptop.pull(&daemon).await;
    assert!(seen.settled && laptop.said(&daemon).await.is_empty());
    assert!(laptop.store().client().head().is_none());

    daemon.init(&[key(2).public()]).await;
    add_node(&daemon, "stranger", 21).await;
    let seen = laptop.pull(&daemon).await;
    assert_eq!((seen.began, seen.settled), (1, true));
    let first = daemon.client.lock_status().await.unwrap().head.unwrap();
    assert_eq!(laptop.store().client().head(), Some(first));
    let judged = judged(&seen, &laptop.store(), &OneCore);
    let verdicts: Vec<_> =
        judged.iter().map(|(peer, verdict)| (peer.name.as_str(), verdict.clone())).collect();
    assert_eq!(verdicts, [("first", Admission::Signed), ("stranger", Admission::NoSignature)]);
    let said = laptop.said(&daemon).await;
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].epoch, said[0].head.clone()), (1, Some(first.to_string())));
    // Nothing new, nothing recorded.
    let before = daemon.client.identity().await.unwrap().record_index;
    laptop.pull(&daemon).await;
    assert_eq!(daemon.client.identity().await.unwrap().record_index, before);

    let add = ModifyRequest { add_keys: Some(vec![key_body(key(3).public())]), remove_keys: None };
    daemon.client.modify(&add, &Asked::default()).await.unwrap();
    assert_eq!(laptop.pull(&daemon).await.received, 1);

    // The lock ends and another begins while the node is away.
    daemon.client.disable(SECRET, &Asked::default()).await.unwrap();
    let said = laptop.said(&daemon).await;
    assert!(said.iter().all(|said| said.head.is_some()), "nobody has heard of it yet");
    daemon.init(&[]).await;
    let seen = laptop.pull(&daemon).await;
    assert_eq!((seen.ended, seen.began, seen.settled), (1, 1, true));
    let second = daemon.client.lock_status().await.unwrap().head.unwrap();
    let said = laptop.said(&daemon).await;
    let told: Vec<_> = said.iter().map(|said| (said.epoch, said.head.clone())).collect();
    assert_eq!(told, [(1, None), (2, Some(second.to_string()))]);

    // A node key that the roster does not know any more is nobody's.
    let rotate = NodeRotateRequest {
        node: "laptop".into(),
        node_key: Some(node_key(40).to_string()),
        signature: None,
    };
    daemon.client.node_rotate(&rotate, &Asked::default()).await.unwrap();
    let result = pull(&daemon.client, &laptop.node, &mut laptop.store(), &OneCore).await;
    assert!(matches!(result, Err(NotPulled::Daemon(_))), "{result:?}");
    assert_eq!(laptop.store().client().head(), Some(second));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_set_aside_here_stops_the_filter_and_the_signing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let asked = Asked::default();
    let (status, text) = refused(client.local_disable().await);
    assert_eq!(status, 400);
    assert_eq!(
        text.lines().next().unwrap(),
        "tailnet-lock local disable failed: tailnet-lock is not active"
    );
    assert_eq!(refused(client.local_enable().await).0, 400);
    daemon.init(&[key(2).public()]).await;
    add_node(&daemon, "other", 20).await;
    assert_eq!(refused(client.local_enable().await).0, 409);
    let before = client.lock_status().await.unwrap();
    let (_, warning) = client.lock_status_and_warning().await.unwrap();
    assert_eq!(warning, None);

    let genesis = client.epoch_log(1, 1).await.unwrap().remove(0).raw.0;
    client.local_disable().await.unwrap();
    let (status, text) = refused(client.local_disable().await);
    assert!(status == 400 && text.contains("tailnet-lock is not active"), "{text}");
    daemon.stop().await;
    // It is there after a restart.
    let daemon = Daemon::start(dir.path()).await;
    let client = &daemon.client;
    let (off, warning) = client.lock_status_and_warning().await.unwrap();
    assert!(!off.enabled && off.trusted_keys.is_none() && off.head.is_none());
    assert_eq!((off.public_key, off.node_key), (before.public_key, before.node_key));
    assert!(warning.unwrap().contains("local-enable"));

    let add = ModifyRequest { add_keys: Some(vec![key_body(key(3).public())]), remove_keys: None };
    let sign = SignRequest { node_key: node_key(20), rotation_public: None };
    let stolen = Some(vec![Base64(key(2).public().0.to_vec())]);
    let revoke = GenerateRequest { keys: stolen, fork_from: String::new() };
    let own = NodeRotateRequest { node: "first".into(), ..NodeRotateRequest::default() };
    for (status, text) in [
        refused(client.modify(&add, &asked).await),
        refused(client.sign(&sign, &asked).await),
        refused(client.log(50).await),
        refused(client.affected_signatures(&key(2).public().0).await),
        // Its key signed all of these.
        refused(client.generate_revocation(&revoke, &asked).await),
        refused(client.cosign_revocation(&genesis, &asked).await),
        refused(client.submit_revocation(&genesis, &asked).await),
        refused(client.node_rotate(&own, &asked).await),
    ] {
        assert_eq!(status, 409, "{text}");
        assert!(text.contains("tailnet-lock is not active on this node"), "{text}");
        assert!(text.ends_with("(lockstep lock local-enable)"), "{text}");
    }
    // The replica goes on: other nodes are told, the roster changes, the log of the epoch is read.
    let laptop = Elsewhere::new(&daemon, "laptop", 21).await;
    assert!(laptop.pull(&daemon).await.settled);
    assert_eq!(laptop.store().client().head(), before.head);
    assert_eq!(client.epoch_log(1, 50).await.unwrap().len(), 1);

    client.local_enable().await.unwrap();
    assert_eq!(client.lock_status().await.unwrap().head, before.head);
    client.sign(&sign, &asked).await.unwrap();

    // A new lock is not concerned.
    client.local_disable().await.unwrap();
    client.disable(SECRET, &asked).await.unwrap();
    daemon.init(&[]).await;
    assert!(client.lock_status().await.unwrap().enabled);
    daemon.stop().await;
}
