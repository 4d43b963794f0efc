//! The other end: all that a client node asks a server, from what the lock is until it has said
//! what it has applied.

use ledger::Failure;
use ledger::cbor::Malformed;
use ledger::ids::NodeKey;
use ledger::lock::Sealed;
use ledger::lock::client::{Bootstrap, Client, Peer, Question, Reply, Round, Told};
use ledger::lock::signatures::Cores;
use ledger::lock::sync::Offer;
use ledger::rows::{Draft, Rows};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bodies::{
    BootstrapAnswer, BootstrapRequest, HashText, MapAnswer, MapNode, MapRequest, SyncOfferAnswer,
    SyncOfferRequest, SyncSendAnswer, SyncSendRequest, VERSION,
};
use crate::go_json::Base64;

/// Rounds of one visit, at most: each takes a page of AUMs, or gives one.
const ROUNDS: usize = 4096;

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which one, as below `/machine/tka/`; `map` for the node's view of the network.
    pub path: &'static str,
    /// The request in JSON.
    pub body: Vec<u8>,
}

/// Why a visit ended early. What the node knew before the refused answer, it knows still.
#[derive(Debug, thiserror::Error)]
pub enum NotVisited {
    /// An answer that is none.
    #[error("the server's answer to {path} cannot be read: {what}")]
    Unreadable {
        /// The call.
        path: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// An answer that the node does not believe, or a failure of its own.
    #[error("{0}")]
    Failed(#[from] Failure),
}

/// What a visit came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Locks begun.
    pub began: usize,
    /// Locks ended by their secrets.
    pub ended: usize,
    /// AUMs that were new to the node.
    pub received: usize,
    /// AUMs that were given to the server.
    pub sent: usize,
    /// The other nodes, as the server last described them.
    pub peers: Vec<MapNode>,
    /// Whether the node knows all that the server says there is.
    pub settled: bool,
}

/// One visit. The questions come one at a time, and each answer is taken before the next.
#[derive(Debug)]
pub struct Visit {
    node_key: NodeKey,
    stage: Stage,
    rounds: usize,
    seen: Seen,
}

#[derive(Debug)]
enum Stage {
    Map,
    Round(Round),
    Over,
}

impl Visit {
    /// Begins a visit of the node with that node key.
    pub fn begin(node_key: NodeKey) -> Self {
        Visit { node_key, stage: Stage::Map, rounds: 0, seen: Seen::default() }
    }

    /// The call to make now; none when the visit is over.
    pub fn call(&self, client: &Client) -> Option<Call> {
        let (version, node_key) = (VERSION, self.node_key);
        let aums = |aums: &[Sealed]| {
            Some(aums.iter().map(|aum| Base64(aum.bytes().to_vec())).collect::<Vec<_>>())
        };
        Some(match &self.stage {
            Stage::Map => call("map", &MapRequest { version, node_key, tka_head: client.head() }),
            Stage::Round(round) => match round.question()? {
                Question::Bootstrap { head } => {
                    let head = *head;
                    call("bootstrap", &BootstrapRequest { version, node_key, head })
                }
                Question::Offer(Offer { head, ancestors }) => {
                    let ancestors = Some(ancestors.iter().copied().map(HashText).collect());
                    let head = *head;
                    call("sync/offer", &SyncOfferRequest { version, node_key, head, ancestors })
                }
                Question::Send { head, aums: missing } => {
                    let (head, missing_aums) = (*head, aums(missing));
                    let interactive = false;
                    call(
                        "sync/send",
                        &SyncSendRequest { version, node_key, head, missing_aums, interactive },
                    )
                }
            },
            Stage::Over => return None,
        })
    }

    /// Takes the answer to the call. When it is refused the visit is over and the draft as before.
    pub fn answer(
        &mut self,
        client: &mut Client,
        draft: &mut Draft<'_>,
        body: &[u8],
        cores: &dyn Cores,
    ) -> Result<(), NotVisited> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Map => self.told(client, &*draft, body),
            Stage::Round(round) => self.replied(round, client, draft, body, cores),
            Stage::Over => Ok(()),
        }
    }

    /// What the visit came to, so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    fn told(&mut self, client: &Client, rows: &dyn Rows, body: &[u8]) -> Result<(), NotVisited> {
        let map: MapAnswer = read("map", body)?;
        let told = match (map.tka_info.disabled, map.tka_info.head) {
            (true, _) => Told::Off,
            (false, Some(head)) => Told::On(head),
            (false, None) => {
                return Err(unreadable("map", "it does not say what the lock is".into()));
            }
        };
        self.seen.peers = map.peers.unwrap_or_default();
        let round = Round::begin(client, rows, told)?;
        if round.question().is_none() {
            self.seen.settled = true;
        } else if self.rounds < ROUNDS && !(self.seen.ended > 0 && told == Told::Off) {
            // A server that ends lock after lock could go on for ever: one end a visit is enough.
            self.rounds += 1;
            self.stage = Stage::Round(round);
        }
        Ok(())
    }

    fn replied(
        &mut self,
        mut round: Round,
        client: &mut Client,
        draft: &mut Draft<'_>,
        body: &[u8],
        cores: &dyn Cores,
    ) -> Result<(), NotVisited> {
        let reply = match round.question() {
            Some(Question::Bootstrap { .. }) => {
                let answer: BootstrapAnswer = read("bootstrap", body)?;
                let genesis =
                    answer.genesis_aum.map(|aum| aum_of("bootstrap", &aum)).transpose()?;
                let secret = answer.disablement_secret.map(|secret| secret.0);
                Reply::Bootstrap(Bootstrap { genesis, secret })
            }
            Some(Question::Offer(_)) => {
                let path = "sync/offer";
                let answer: SyncOfferAnswer = read(path, body)?;
                let aums = answer.missing_aums.unwrap_or_default();
                let aums = aums.iter().map(|aum| aum_of(path, aum)).collect::<Result<_, _>>()?;
                let ancestors = answer.ancestors.unwrap_or_default();
                let ancestors = ancestors.into_iter().map(|HashText(hash)| hash).collect();
                Reply::Offer { offer: Offer { head: answer.head, ancestors }, aums }
            }
            Some(Question::Send { .. }) => {
                let answer: SyncSendAnswer = read("sync/send", body)?;
                Reply::Sent { head: answer.head }
            }
            None => return Ok(()),
        };
        round.reply(client, draft, reply, cores)?;
        if round.question().is_some() {
            self.stage = Stage::Round(round);
            return Ok(());
        }
        let progress = round.progress();
        self.seen.began += usize::from(progress.began);
        self.seen.ended += usize::from(progress.ended);
        self.seen.received += progress.received;
        self.seen.sent += progress.sent;
        // What has changed is said, and there may be more of it.
        if progress.began || progress.ended || progress.received > 0 || progress.sent > 0 {
            self.stage = Stage::Map;
        }
        Ok(())
    }
}

impl From<&MapNode> for Peer {
    fn from(node: &MapNode) -> Self {
        let signature = node.key_signature.as_ref().map(|bytes| bytes.0.clone());
        Peer { node_key: node.key, signature }
    }
}

fn call<T: Serialize>(path: &'static str, body: &T) -> Call {
    // Only a map with keys that are no strings could fail, and there is none in the bodies.
    Call { path, body: serde_json::to_vec(body).unwrap_or_default() }
}

fn read<T: DeserializeOwned>(path: &'static str, body: &[u8]) -> Result<T, NotVisited> {
    serde_json::from_slice(body).map_err(|error| unreadable(path, error.to_string()))
}

fn aum_of(path: &'static str, bytes: &Base64) -> Result<Sealed, NotVisited> {
    Sealed::decode(&bytes.0).map_err(|error: Malformed| unreadable(path, error.to_string()))
}

fn unreadable(path: &'static str, what: String) -> NotVisited {
    NotVisited::Unreadable { path, what }
}
