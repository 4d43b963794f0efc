//! Members with links and nothing above them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ledger::history::{ClusterId, MemberKey, ReplicaId};
use ledger::testing::key;
use raft::eraftpb::{Message as RaftMessage, MessageType};
use replica::core::PeerMessage;
use replica::peers::{
    Config, Event, Identity, Limits, LinkError, Links, Local, Membership, Message, Peer, Program,
    Versions,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const A: ReplicaId = ReplicaId(1);
pub(crate) const B: ReplicaId = ReplicaId(2);
pub(crate) const C: ReplicaId = ReplicaId(3);

pub(crate) fn identity(id: ReplicaId) -> Identity {
    Identity::new(Arc::new(key(id.0 as u8)))
}

pub(crate) fn key_of(id: ReplicaId) -> MemberKey {
    identity(id).key()
}

pub(crate) fn local(id: ReplicaId) -> Local {
    let one = Versions { least: 1, most: 1 };
    let program = Program { wire: one, rules: one, software: "test".into() };
    Local { cluster: ClusterId([7; 16]), incarnation: 1, replica: id, address: None, program }
}

/// Limits with pauses so short that nobody has to wait for them.
pub(crate) fn limits() -> Limits {
    Limits {
        pause_least: Duration::from_millis(1),
        pause_most: Duration::from_millis(10),
        pause_refused: Duration::from_millis(10),
        penalty: Duration::from_millis(1),
        ..Limits::default()
    }
}

/// A place to listen that nobody serves yet.
pub(crate) struct Spot {
    pub(crate) listener: TcpListener,
    pub(crate) address: String,
}

pub(crate) async fn spot() -> Spot {
    spot_at("127.0.0.1:0").await
}

pub(crate) async fn spot_at(address: &str) -> Spot {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    Spot { listener, address }
}

pub(crate) fn peer(id: ReplicaId, address: Option<&str>) -> Peer {
    Peer { key: key_of(id), address: address.map(str::to_owned) }
}

/// A member's links, its events, and its view of the membership.
pub(crate) struct Member {
    pub(crate) links: Links,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) publish: watch::Sender<Arc<Membership>>,
    pub(crate) address: String,
}

pub(crate) fn member(local: Local, limits: Limits, spot: Spot, membership: Membership) -> Member {
    let (publish, receiver) = watch::channel(Arc::new(membership));
    let (tell, events) = mpsc::unbounded_channel();
    let config = Config {
        identity: identity(local.replica),
        local,
        membership: receiver,
        memory: Arc::default(),
        limits,
        random: Arc::new(|| 0),
    };
    let links = Links::start(config, spot.listener, tell).unwrap();
    Member { links, events, publish, address: spot.address }
}

pub(crate) fn membership<'a>(
    members: impl IntoIterator<Item = (ReplicaId, Option<&'a str>)>,
) -> Membership {
    let members = members.into_iter().map(|(id, address)| (id, peer(id, address)));
    Membership { members: members.collect(), ..Membership::default() }
}

/// Two members that know each other.
pub(crate) async fn pair() -> (Member, Member) {
    pair_with(local(A), local(B)).await
}

pub(crate) async fn pair_with(a: Local, b: Local) -> (Member, Member) {
    let (at_a, at_b) = (spot().await, spot().await);
    let both = membership([(A, Some(&*at_a.address)), (B, Some(&*at_b.address))]);
    let a = member(a, limits(), at_a, both.clone());
    (a, member(b, limits(), at_b, both))
}

/// Waits for what surely comes.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("it never came")
}

impl Member {
    /// The first event that `pick` takes; others before it are dropped.
    pub(crate) async fn event<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        soon(async {
            loop {
                if let Some(found) = pick(self.events.recv().await.unwrap()) {
                    return found;
                }
            }
        })
        .await
    }

    pub(crate) async fn up(&mut self, id: ReplicaId) {
        self.event(|event| matches!(event, Event::Up(up, _) if up == id).then_some(())).await;
    }

    pub(crate) async fn down(&mut self, id: ReplicaId) {
        self.event(|event| matches!(event, Event::Down(down) if down == id).then_some(())).await;
    }

    pub(crate) async fn unreachable(&mut self, id: ReplicaId) -> LinkError {
        self.event(|event| match event {
            Event::Unreachable(found, error) if found == id => Some(error),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> (ReplicaId, Message) {
        self.event(|event| match event {
            Event::Message(received) => Some((received.from, received.message)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn misbehaved(&mut self) -> (ReplicaId, String) {
        self.event(|event| match event {
            Event::Misbehaved(id, violation) => Some((id, violation.to_string())),
            _ => None,
        })
        .await
    }
}

/// A heartbeat that names these members.
pub(crate) fn heartbeat(from: ReplicaId, to: ReplicaId, commit: u64) -> Message {
    let mut message = RaftMessage { from: from.0, to: to.0, term: 1, commit, ..Default::default() };
    message.set_msg_type(MessageType::MsgHeartbeat);
    Message::Raft(PeerMessage(message))
}
