//! Client nodes against the handlers, through random histories: whatever they missed, they come
//! to the same head, to the same end, and let in whom the ledger lets in.

use ledger::Refusal;
use ledger::history::acknowledgements::{self, Acknowledgement};
use ledger::history::{Applied, Event, EventRefusal, NodeId, NodeSignature, Verdict, roster};
use ledger::ids::NodeKey;
use ledger::lock::builder::Change;
use ledger::lock::client::{Admission, Client, Peer, judge};
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::{OneCore, Signer};
use ledger::lock::{Key, Sealed};
use ledger::rows::{Draft, Memory};
use ledger::testing::{Group, key, node_key};
use proptest::prelude::*;
use replica::node_rpc::{NotVisited, Seen, Visit};

use crate::server::Server;

/// A client node, its rows and its place in the roster.
pub struct Node {
    pub id: NodeId,
    pub key: NodeKey,
    pub rows: Memory,
    pub client: Client,
}

impl Node {
    pub fn joins(server: &mut Server, name: &str, byte: u8) -> Self {
        let id = server.group.add_node(name, byte);
        let rows = Memory::new();
        let client = Client::open(&rows).unwrap();
        Node { id, key: node_key(byte), rows, client }
    }

    /// Visits a server that answers as `tamper` has it.
    pub fn visits_with(
        &mut self,
        server: &mut Server,
        mut tamper: impl FnMut(&str, &mut serde_json::Value),
    ) -> Result<Seen, NotVisited> {
        let mut visit = Visit::begin(self.key);
        let mut calls = 0;
        while let Some(call) = visit.call(&self.client) {
            calls += 1;
            assert!(calls < 1000, "no end of it");
            let body = serde_json::from_slice(&call.body).unwrap();
            let mut answer = server.call(call.path, &body).unwrap();
            tamper(call.path, &mut answer);
            let answer = serde_json::to_vec(&answer).unwrap();
            let before = self.client.head();
            let mut draft = Draft::on(&self.rows);
            let taken = visit.answer(&mut self.client, &mut draft, &answer, &OneCore);
            let changes = draft.finish();
            if taken.is_err() {
                assert!(changes.is_empty());
                assert_eq!(self.client.head(), before);
            }
            self.rows.apply(changes);
            let again = Client::open(&self.rows).unwrap();
            assert_eq!(again.head(), self.client.head());
            taken?;
        }
        Ok(visit.seen().clone())
    }

    pub fn visits(&mut self, server: &mut Server) -> Seen {
        self.visits_with(server, |_, _| ()).unwrap()
    }

    /// After a visit the node has the lock that there is, the server knows it, and the node lets in
    /// whom the ledger lets in.
    pub fn agrees(&mut self, server: &mut Server) {
        let seen = self.visits(server);
        assert!(seen.settled);
        let authority = server.group.fold.authority();
        assert_eq!(self.client.head(), authority.map(|authority| authority.head()));
        if let (Some(ours), Some(theirs)) = (self.client.authority(), authority) {
            assert_eq!(ours.state(), theirs.state());
        }
        let Some(epoch) = server.group.fold.epoch() else { return };
        let said = acknowledgements::of(&server.group.rows, self.id, epoch).unwrap();
        let applied = self.client.head().map_or(Applied::Disabled, Applied::Head);
        assert_eq!(said.map(|said: Acknowledgement| said.applied), Some(applied));
        let peers: Vec<Peer> = seen.peers.iter().map(Peer::from).collect();
        for (peer, admission) in seen.peers.iter().zip(judge(&self.client, &peers, &OneCore)) {
            let node = server.group.node(NodeId(peer.id));
            let expected = self.client.disabled_here() || node.standing.is_in();
            assert_eq!(admission.is_in(), expected, "{}: {admission:?}", peer.name);
            assert!(self.client.enforced().is_some() || admission == Admission::NotAsked);
        }
    }
}

/// Something that happens. What is impossible at the time is refused and changes nothing.
#[derive(Debug, Clone)]
enum Happens {
    Init,
    Disable,
    Trust(u8),
    Distrust(u8),
    Revoke(u8),
    Sign { signer: u8, node: u8 },
    Joins,
    Visit(u8),
    LocalDisable(u8),
    LocalEnable(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    let seed = 2..6u8;
    prop_oneof![
        3 => Just(Happens::Init),
        1 => Just(Happens::Disable),
        4 => seed.clone().prop_map(Happens::Trust),
        2 => seed.clone().prop_map(Happens::Distrust),
        1 => seed.clone().prop_map(Happens::Revoke),
        3 => (seed, any::<u8>()).prop_map(|(signer, node)| Happens::Sign { signer, node }),
        1 => Just(Happens::Joins),
        4 => any::<u8>().prop_map(Happens::Visit),
        1 => any::<u8>().prop_map(Happens::LocalDisable),
        1 => any::<u8>().prop_map(Happens::LocalEnable),
    ]
}

/// Proposes AUMs; what the rules refuse is no matter here.
fn add(group: &mut Group, aums: Vec<Sealed>, fork: bool) {
    let Event::AumsAdded(mut added) = Group::added(aums) else { unreachable!() };
    added.fork = fork;
    group.propose(Event::AumsAdded(added));
}

fn happen(server: &mut Server, nodes: &mut Vec<Node>, what: &Happens, id: u64) {
    let on = server.group.fold.authority().is_some();
    let group = &mut server.group;
    match what {
        Happens::Init if !on => {
            group.apply(group.initialization(id, &[2, 3]));
        }
        Happens::Disable if on => {
            group.apply(group.disablement());
        }
        Happens::Trust(seed) if on => {
            let state = group.fold.authority().unwrap().state();
            if state.key(&key(*seed).public().0).is_none() {
                let change = Change::Add(Key::ed25519(key(*seed).public(), 1));
                let aums = group.build(&group.lock, vec![change]);
                add(group, aums, false);
            }
        }
        Happens::Distrust(seed) if on => {
            let key = key(*seed).public();
            if group.fold.authority().unwrap().state().key(&key.0).is_some() {
                group.apply(group.removal(key));
            }
        }
        Happens::Revoke(seed) if on => {
            let authority = group.fold.authority().unwrap();
            let revoked = vec![key(*seed).public().0.to_vec()];
            let made = generate(&group.rows, authority, &revoked, &group.lock.public(), None);
            if let Ok(aum) = made {
                let aum = cosign(Sealed::new(aum), &group.lock).unwrap();
                let aum = cosign(aum, &key(if *seed == 2 { 3 } else { 2 })).unwrap();
                add(group, vec![aum], true);
            }
        }
        Happens::Sign { signer, node } if on && !nodes.is_empty() => {
            let node = nodes[usize::from(*node) % nodes.len()].id;
            let signature = group.signature(&key(*signer), node);
            let verdict =
                group.propose(Event::NodeKeysSigned(vec![NodeSignature { node, signature }]));
            let known = matches!(
                verdict,
                Verdict::Sealed(_)
                    | Verdict::Refused(Refusal::Event(EventRefusal::NodeNotAuthorized { .. }))
            );
            assert!(known, "{verdict:?}");
        }
        Happens::Joins if nodes.len() < 6 => {
            let byte = 20 + u8::try_from(nodes.len()).unwrap();
            nodes.push(Node::joins(server, &format!("n{byte}"), byte));
        }
        Happens::Visit(node) if !nodes.is_empty() => {
            let at = usize::from(*node) % nodes.len();
            nodes[at].agrees(server);
        }
        Happens::LocalDisable(node) | Happens::LocalEnable(node) if !nodes.is_empty() => {
            let at = usize::from(*node) % nodes.len();
            let node = &mut nodes[at];
            let mut draft = Draft::on(&node.rows);
            let _ = match what {
                Happens::LocalDisable(_) => node.client.local_disable(&mut draft),
                _ => node.client.local_enable(&mut draft),
            };
            let changes = draft.finish();
            node.rows.apply(changes);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn clients_come_to_the_same_head_and_the_same_end(
        story in prop::collection::vec(happens(), 1..40),
    ) {
        let mut server = Server::default();
        let mut nodes = vec![Node::joins(&mut server, "n20", 20), Node::joins(&mut server, "n21", 21)];
        for (id, what) in (1..).zip(&story) {
            happen(&mut server, &mut nodes, what, id);
        }
        for node in &mut nodes {
            node.agrees(&mut server);
            // Nothing is left to say: another visit records nothing.
            let records = server.group.fold.next_index();
            prop_assert_eq!(node.visits(&mut server).received, 0);
            prop_assert_eq!(server.group.fold.next_index(), records);
        }
        let all = roster::list(&server.group.rows).unwrap();
        prop_assert_eq!(all.len(), nodes.len());
    }
}
