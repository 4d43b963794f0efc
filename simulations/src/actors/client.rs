//! A client node: the half of the lock that every node of a tailnet has, and nothing else. It
//! keeps its rows on a disk of its own, asks servers, and answers other nodes.

use std::collections::BTreeSet;

use ledger::ids::{AumHash, NodeKey};
use ledger::lock::client::{Bootstrap, CHAIN, Client, Peer, Question, Reply, Round, Told};
use ledger::lock::compaction::{Options, compact};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::lock::sync::missing_page;
use ledger::lock::{Authority, Sealed};
use ledger::rows::{Draft, Memory, Rows, tables};
use ledger::{Failure, Fault};

use super::images::Remembering;
use super::wire::{Answer, Ask};
use crate::world::disk::{Disk, Durable};
use crate::world::{Process, ProcessId, STORED_AT};

/// AUMs of one answer, at most: few, so that worlds see several pages.
const PAGE_AUMS: u64 = 40;
/// Bytes of one answer's AUMs, at most.
const PAGE_BYTES: usize = 64 << 10;

/// A node.
#[derive(Debug)]
pub struct ClientNode {
    /// Its disk, its clock, and whether it runs.
    pub process: Process,
    /// Its node key.
    pub node_key: NodeKey,
    /// What it knows; none while it is down.
    pub client: Option<Client>,
    /// The visit that it is making.
    pub visit: Option<Visit>,
    /// The other nodes, as it was last told.
    pub peers: Vec<Peer>,
    /// Whether its chain may begin above the genesis.
    pub begins_late: bool,
    visits: u64,
}

/// A conversation with a server.
#[derive(Debug)]
pub struct Visit {
    /// Its number.
    pub number: u64,
    /// The server.
    pub server: ProcessId,
    turn: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Map,
    Round(Round),
}

/// What an answer led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to ask, of that visit's turn.
    Ask(u64, Ask),
    /// The visit is over; what came last was refused if there is text.
    Over(Option<String>),
    /// It belonged to no visit, or to an earlier turn.
    Stale,
}

impl ClientNode {
    /// A node that runs and knows nothing yet.
    pub fn new(process: Process, node_key: NodeKey) -> Result<Self, Fault> {
        let client = Some(Client::open(process.disk.rows())?);
        Ok(ClientNode {
            process,
            node_key,
            client,
            visit: None,
            peers: Vec::new(),
            begins_late: false,
            visits: 0,
        })
    }

    /// Its head, while it runs and has a lock.
    pub fn head(&self) -> Option<AumHash> {
        self.client.as_ref().and_then(Client::head)
    }

    /// The authority, while it runs and has a lock.
    pub fn authority(&self) -> Option<&Authority> {
        self.client.as_ref().and_then(Client::authority)
    }

    /// Its AUMs, whether it runs or not.
    pub fn stored(&self) -> Result<Vec<Sealed>, Fault> {
        stored(self.process.disk.inspect())
    }

    /// The process is gone, and its memory with it.
    pub fn crash(&mut self) {
        self.process.crash();
        (self.client, self.visit) = (None, None);
        self.peers.clear();
    }

    /// It starts again.
    pub fn start(&mut self) -> Result<(), Fault> {
        self.process.start();
        self.client = Some(Client::open(self.process.disk.rows())?);
        Ok(())
    }

    /// It begins a visit, and drops the one that it was making. The number and the first question.
    pub fn begin_visit(&mut self, server: ProcessId) -> Option<(u64, Ask)> {
        let client = self.client.as_ref()?;
        self.visits += 1;
        self.visit = Some(Visit { number: self.visits, server, turn: 0, stage: Stage::Map });
        Some((self.visits, Ask::Map { node_key: self.node_key, head: client.head() }))
    }

    /// It takes an answer, and keeps what it has learnt before it goes on.
    pub fn take(
        &mut self,
        now: u64,
        number: u64,
        turn: u64,
        answer: Answer,
        durable: Durable,
    ) -> Result<Next, Fault> {
        let fits = |visit: &mut Visit| visit.number == number && visit.turn == turn;
        let Some(visit) = self.visit.take_if(fits) else { return Ok(Next::Stale) };
        let Visit { server, stage, .. } = visit;
        let (result, round) = match (stage, answer) {
            (_, Answer::Refused) => return Ok(Next::Over(Some("the server refuses".into()))),
            (Stage::Map, Answer::Map { told, peers }) => {
                self.peers = peers;
                let rows = self.process.disk.rows();
                let client = self.client.as_ref().ok_or_else(down)?;
                match Round::begin(client, rows, told) {
                    Ok(round) => (Ok(()), Some(round)),
                    Err(failure) => (Err(failure), None),
                }
            }
            (Stage::Round(mut round), Answer::Round(reply)) => {
                let result = self.change(now, durable, |client, draft| {
                    round.reply(client, draft, reply, &Remembering)
                });
                (result, Some(round))
            }
            _ => return Ok(Next::Over(Some("another answer than was asked for".into()))),
        };
        match result {
            Ok(()) => {}
            Err(Failure::Refused(refusal)) => return Ok(Next::Over(Some(refusal.to_string()))),
            Err(Failure::Fault(fault)) => return Err(fault),
        }
        let Some(question) = round.as_ref().and_then(Round::question) else {
            return Ok(Next::Over(None));
        };
        let (turn, ask) = (turn + 1, Ask::Round(question.clone()));
        let stage = round.map_or(Stage::Map, Stage::Round);
        self.visit = Some(Visit { number, server, turn, stage });
        Ok(Next::Ask(turn, ask))
    }

    /// It answers another node, as far as it knows the lock.
    pub fn answer(&mut self, now: u64, ask: Ask) -> Result<Answer, Fault> {
        let rows = self.process.disk.rows();
        let client = self.client.as_ref().ok_or_else(down)?;
        if let Ask::Round(Question::Send { aums, .. }) = ask {
            let known = |aum: &Sealed| match client.authority() {
                Some(authority) => authority.chain(rows).node(&aum.hash()).map(|n| n.is_some()),
                None => Ok(false),
            };
            let mut new = Vec::new();
            for aum in aums {
                if !known(&aum)? {
                    new.push(aum);
                }
            }
            if !new.is_empty() {
                let taken = self.change(now, Durable::Later, |client, draft| {
                    client.inform(draft, new, &Remembering)
                });
                match taken {
                    Ok(_) => {}
                    Err(Failure::Refused(_)) => return Ok(Answer::Refused),
                    Err(Failure::Fault(fault)) => return Err(fault),
                }
            }
            return Ok(match self.head() {
                Some(head) => Answer::Round(Reply::Sent { head }),
                None => Answer::Refused,
            });
        }
        answer(client, rows, &ask)
    }

    /// It takes in AUMs that somebody made on it.
    pub fn inform(&mut self, now: u64, aums: Vec<Sealed>) -> Result<(), Failure> {
        self.change(now, Durable::Now, |client, draft| client.inform(draft, aums, &Remembering))?;
        Ok(())
    }

    /// It begins with a later checkpoint, as a node that was compacted, or that copied another.
    pub fn begin_at(&mut self, now: u64, checkpoint: &Sealed) -> Result<(), Failure> {
        let checkpoint = verify_one(Unverified::new(checkpoint.clone()))?;
        self.change(now, Durable::Now, |client, draft| {
            Authority::bootstrap(draft, CHAIN, &checkpoint)?;
            *client = Client::open(&*draft)?;
            Ok(())
        })?;
        self.begins_late = true;
        Ok(())
    }

    /// It deletes what is old, by its own clock.
    pub fn compact(&mut self, now: u64, options: Options) -> Result<(), Failure> {
        let clock = self.process.clock.read(now);
        // Read before, so that the ages do not borrow the rows that change.
        let stored_at = |rows: &dyn Rows, hash: &AumHash| -> Option<u64> {
            let row = rows.get(STORED_AT, &hash.0).ok()??;
            row.try_into().ok().map(u64::from_be_bytes)
        };
        let inspect = self.process.disk.inspect().clone();
        self.change(now, Durable::Later, |client, draft| {
            let Some(mut authority) = client.authority().cloned() else { return Ok(()) };
            let age = |hash: &AumHash| {
                stored_at(&inspect, hash).map_or(0, |at| clock.saturating_sub(at) / 1000)
            };
            compact(&mut authority, draft, options, &age)?;
            *client = Client::open(&*draft)?;
            Ok(())
        })?;
        self.begins_late = true;
        Ok(())
    }

    /// Does something to what the node knows, and keeps it; what is refused leaves nothing.
    pub fn change<T>(
        &mut self,
        now: u64,
        durable: Durable,
        f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.process.disk.may_fail_soon();
        let mut client = self.client.clone().ok_or_else(down)?;
        let mut draft = Draft::on(self.process.disk.rows());
        let result = f(&mut client, &mut draft)?;
        let changes = draft.finish();
        let clock = self.process.clock.read(now).to_be_bytes();
        let new: Vec<Vec<u8>> = changes
            .iter()
            .filter(|(table, _, value)| *table == tables::AUMS && value.is_some())
            .map(|(_, key, _)| key[4..].to_vec())
            .collect();
        let mut draft = Draft::on(self.process.disk.rows());
        draft.absorb(changes);
        for hash in new {
            draft.put(STORED_AT, hash, clock);
        }
        let changes = draft.finish();
        self.process.disk.commit(changes, durable)?;
        self.client = Some(client);
        Ok(result)
    }
}

fn down() -> Fault {
    Fault::new("the process is down")
}

/// All AUMs in a client node's rows.
pub fn stored(rows: &Memory) -> Result<Vec<Sealed>, Fault> {
    rows.scan(tables::AUMS, &[][..]..&[][..])?
        .map(|row| Sealed::decode(&row?.1).map_err(|why| Fault::from_error("a damaged AUM", why)))
        .collect()
}

/// Their hashes.
pub fn hashes(aums: &[Sealed]) -> BTreeSet<AumHash> {
    aums.iter().map(Sealed::hash).collect()
}

/// What somebody with these rows answers to everything but what he is sent.
pub fn answer(client: &Client, rows: &dyn Rows, ask: &Ask) -> Result<Answer, Fault> {
    let answered = match ask {
        Ask::Map { .. } => {
            let told = client.head().map_or(Told::Off, Told::On);
            Ok(Answer::Map { told, peers: Vec::new() })
        }
        Ask::Round(Question::Bootstrap { .. }) => {
            let genesis = match client.authority() {
                Some(authority) => authority.chain(rows).aum(&authority.oldest().hash)?,
                None => None,
            };
            let genesis = genesis.filter(|aum| aum.parent.is_none());
            Ok(Answer::Round(Reply::Bootstrap(Bootstrap { genesis, secret: None })))
        }
        Ask::Round(Question::Offer(theirs)) => match client.authority() {
            Some(authority) => offer(rows, authority, theirs),
            None => Ok(Answer::Refused),
        },
        Ask::Round(Question::Send { .. }) => Ok(Answer::Refused),
    };
    match answered {
        Ok(answer) => Ok(answer),
        Err(Failure::Refused(_)) => Ok(Answer::Refused),
        Err(Failure::Fault(fault)) => Err(fault),
    }
}

/// What an authority answers to an offer: its own, and a page of what is missing.
pub fn offer(
    rows: &dyn Rows,
    authority: &Authority,
    theirs: &ledger::lock::sync::Offer,
) -> Result<Answer, Failure> {
    let offer = ledger::lock::sync::offer(rows, authority)?;
    let aums = missing_page(rows, authority, theirs, PAGE_AUMS, PAGE_BYTES)?;
    Ok(Answer::Round(Reply::Offer { offer, aums }))
}
