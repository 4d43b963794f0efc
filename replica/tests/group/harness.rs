//! Replicas in one process, each with a real disk and real connections.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger::history::{
    Event, InvitationKey, Invited, KNOWN_RULES, LogKey, MemberDetails, NewNode, ReplicaId, Who,
};
use ledger::ids::NodeKey;
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::rows::raft::{Identity, Neighbour};
use ledger::testing::key;
use replica::joining::guest::{Guest, Progress, join};
use replica::joining::{Introduction, Token, host};
use replica::node::{GroupView, Handle, Node, Options, Outcome, Peering, Submission, Supported};
use replica::peers;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(60);

/// Waits for what surely comes.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("it never came")
}

/// A replica and its directory.
pub(crate) struct Replica {
    number: u8,
    pub(crate) dir: TempDir,
    address: String,
    node: Option<Node>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        // A test that fails should say what has become of its replicas.
        if std::thread::panicking()
            && let Some(node) = &mut self.node
            && let Some(Err(fault)) = node.ended_already()
        {
            eprintln!("replica {} ended: {fault}", self.number);
        }
    }
}

pub(crate) fn details(number: u8, address: &str) -> MemberDetails {
    MemberDetails {
        name: format!("signer-{number}"),
        log_key: LogKey([100 + number; 32]),
        lock_key: None,
        rules: KNOWN_RULES,
        address: Some(address.to_owned()),
    }
}

async fn start(
    number: u8,
    dir: &Path,
    address: &str,
    listener: TcpListener,
    joined: Option<(Identity, Vec<Neighbour>)>,
) -> Node {
    let (tell, mut joiners) = mpsc::unbounded_channel();
    let founder = (number == 1).then(|| details(number, address));
    let node = Node::start(Options {
        dir: dir.to_owned(),
        member: Arc::new(key(number)),
        founder,
        joined,
        peering: Some(Peering { listener, address: Some(address.to_owned()), joiners: tell }),
        supported: Supported::THIS_VERSION,
    });
    let node = soon(node).await.unwrap();
    let handle = node.handle().clone();
    tokio::spawn(async move {
        while let Some(stream) = joiners.recv().await {
            tokio::spawn(host::receive(handle.clone(), *stream));
        }
    });
    node
}

impl Replica {
    /// The first of a new group.
    pub(crate) async fn founder() -> Replica {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = start(1, dir.path(), &address, listener, None).await;
        Replica { number: 1, dir, address, node: Some(node) }
    }

    /// Joins by a token.
    pub(crate) async fn join(
        number: u8,
        token: &Token,
        progress: impl FnMut(Progress),
    ) -> Result<Replica, String> {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (member, details) = (key(number), details(number, &address));
        let identity = peers::Identity::new(Arc::new(key(number)));
        let program = Supported::THIS_VERSION.program();
        let guest = Guest {
            member: &member,
            identity: &identity,
            details: &details,
            program: &program,
            former: None,
        };
        let introduction = soon(join(&guest, token, progress)).await;
        let Introduction { replica, incarnation, peers } =
            introduction.map_err(|error| error.to_string())?;
        let identity = Identity { cluster: token.cluster.0, replica: replica.0, incarnation };
        let neighbours = peers
            .into_iter()
            .map(|(id, peer)| Neighbour { replica: id.0, key: peer.key.0, address: peer.address })
            .collect();
        let joined = Some((identity, neighbours));
        let node = start(number, dir.path(), &address, listener, joined).await;
        Ok(Replica { number, dir, address, node: Some(node) })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.node.as_ref().unwrap().handle().clone()
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What its security log says.
    pub(crate) fn security_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("security.log")).unwrap_or_default()
    }

    pub(crate) async fn stop(&mut self) {
        soon(self.node.take().unwrap().stop()).await.unwrap();
    }

    /// Starts again where it listened before.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        let node = start(self.number, self.dir.path(), &self.address, listener, None).await;
        self.node = Some(node);
    }

    /// Waits until this replica sees its group like that.
    pub(crate) async fn sees(&self, what: impl Fn(&GroupView) -> bool) -> Arc<GroupView> {
        let mut group = self.handle().watch_group();
        match soon(group.wait_for(|now| what(now))).await {
            Ok(seen) => seen.clone(),
            Err(_) => panic!("replica {} has ended", self.number),
        }
    }

    pub(crate) async fn has_voters(&self, voters: &[u64]) {
        self.sees(|now| now.raft.group.voters == voters).await;
    }

    /// Waits until it has so many records.
    pub(crate) async fn has_records(&self, records: u64) {
        let mut views = self.handle().watch();
        soon(views.wait_for(|view| view.fold().next_index() >= records)).await.unwrap();
    }

    /// Has an event recorded, and gives its index.
    pub(crate) async fn record(&self, request: &str, event: Event) -> u64 {
        match soon(self.handle().submit(submission(request, event))).await {
            Outcome::Applied { index, .. } => index,
            other => panic!("{request}: {other:?}"),
        }
    }

    /// Invites somebody.
    pub(crate) async fn invite(&self, seed: u8, named: Option<u8>) -> Token {
        let secret = PrivateKey::from_seed(&[200 + seed; 32]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let named =
            named.map(|number| ledger::history::MemberKey(key(number).public().0).fingerprint());
        let event = Event::MemberInvited(Invited {
            key: InvitationKey(secret.public().0),
            expires_ms: now + 60_000,
            named,
        });
        self.record(&format!("invite-{seed}"), event).await;
        let handle = self.handle();
        Token {
            cluster: handle.cluster(),
            incarnation: handle.incarnation(),
            members: vec![(handle.member_key(), self.address.clone())],
            secret,
        }
    }
}

/// A founder and others that it has invited by name.
pub(crate) async fn group(size: u8) -> Vec<Replica> {
    let mut all = vec![Replica::founder().await];
    for number in 2..=size {
        let token = all[0].invite(number, Some(number)).await;
        all.push(Replica::join(number, &token, |_| ()).await.unwrap());
    }
    let voters: Vec<u64> = (1..=size.into()).collect();
    for replica in &all {
        replica.has_voters(&voters).await;
    }
    all
}

pub(crate) fn submission(request: &str, event: Event) -> Submission {
    Submission {
        request: request.parse().unwrap(),
        digest: [7; 32],
        part: 0,
        who: Who::Uid(0),
        name: "root".into(),
        event,
    }
}

/// The `number`-th node joins the roster.
pub(crate) fn node_added(number: u64) -> Event {
    let mut node_key = [0x11; 32];
    node_key[..8].copy_from_slice(&number.to_be_bytes());
    Event::NodeAdded(NewNode {
        name: format!("node-{number}"),
        node_key: NodeKey(node_key),
        lock_key: None,
        own: false,
        signature: None,
        auth_key: None,
    })
}

/// Record, fold and hashes agree wherever records are.
pub(crate) async fn same_everywhere(replicas: &[&Replica], records: u64) {
    let mut reached = BTreeMap::new();
    for replica in replicas {
        replica.has_records(records).await;
        let view = replica.handle().view();
        let fold = view.fold();
        reached.insert((fold.last_hash(), fold.fold_hash()), replica.number);
    }
    assert_eq!(reached.len(), 1, "{reached:?}");
}

pub(crate) fn leader(view: &GroupView) -> Option<ReplicaId> {
    view.raft.leader
}
