//! The ledger: the fold over its records, on a disk, behind the questions that nodes ask.
//!
//! What is decided here beyond the fold is what a coordination server decides: which lock a node
//! is told of, and that AUMs which nodes send are proposed as they come.

use ledger::history::adoption::{self, Adoption};
use ledger::history::door::SINCE_RULES;
use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::{
    Actor, AumsAdded, ClusterId, Epoch, Event, Fold, Founder, LogKey, MemberDetails, MemberKey,
    NodeId, Proposal, RecordHash, ReplicaId, SignedProposal, Verdict, Who, records, roster,
};
use ledger::ids::AumHash;
use ledger::lock::client::{Bootstrap, Peer, Question, Reply, Told};
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, verify_all};
use ledger::lock::{Authority, Chain, ChainId, Sealed};
use ledger::rows::{Draft, Rows};
use ledger::{Failure, Fault, Refusal};

use super::client;
use super::images::Remembering;
use super::keys;
use super::wire::{Answer, Ask};
use crate::world::Process;
use crate::world::disk::{Disk, Durable};

/// The holder whose lock key the ledger's member has.
pub const MEMBER: usize = 0;

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    /// Its disk, its clock, and whether it runs.
    pub process: Process,
    /// The fold; none while it is down.
    pub fold: Option<Fold>,
    /// What it has acknowledged.
    pub acknowledged: Vec<(u64, RecordHash)>,
    /// What it was asked that concerns the door, until somebody looks at it.
    pub heard: Vec<Heard>,
    /// The user on whose behalf it is asked.
    pub uid: u32,
    member: PrivateKey,
    requests: u64,
}

/// What the ledger was asked that concerns the door.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A lock has begun that is decided here, or its door begins now.
    DoorBegan(AumHash),
    /// There is no lock, or no door.
    NoDoor,
    /// AUMs on top of what was the head, and what became of them.
    Aums(AumHash, Vec<Sealed>, Outcome),
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is recorded, now or before.
    Recorded(u64),
    /// It is refused.
    Refused(Refusal),
}

impl Ledger {
    const CLUSTER: ClusterId = ClusterId([0x51; 16]);

    /// A ledger of one member, with record 0.
    ///
    /// It begins under these rules.
    pub fn found(process: Process, rules: u32) -> Result<Self, Fault> {
        let member = PrivateKey::from_seed(&[0xe1; 32]);
        let fold = Some(Fold::open(process.disk.rows())?);
        let (acknowledged, heard) = (Vec::new(), Vec::new());
        let mut ledger =
            Ledger { process, fold, acknowledged, heard, uid: 1000, member, requests: 0 };
        let member_key = MemberKey(ledger.member.public().0);
        let founder = Founder { id: ReplicaId(1), member_key, details: Self::details(rules) };
        ledger.propose(0, Event::GroupCreated(founder))?;
        Ok(ledger)
    }

    fn details(rules: u32) -> MemberDetails {
        MemberDetails {
            name: "first".into(),
            log_key: LogKey(PrivateKey::from_seed(&[0xe2; 32]).public().0),
            lock_key: Some(keys::public(MEMBER)),
            rules,
        }
    }

    /// The rules that are active, while it runs.
    pub fn rules(&self) -> Option<u32> {
        self.fold.as_ref().map(Fold::rules)
    }

    /// Where the lock came from that is on or is being brought in, if from elsewhere.
    pub fn adoption(&self) -> Result<Option<Adoption>, Fault> {
        let fold = self.fold.as_ref().ok_or_else(down)?;
        adoption::current(self.process.disk.inspect(), fold.lifecycle())
    }

    /// The next rules become active: its program knows them now.
    pub fn next_rules(&mut self, now: u64) -> Result<Outcome, Fault> {
        let next = self.fold.as_ref().ok_or_else(down)?.rules() + 1;
        match self.propose(now, Event::MemberChanged(Self::details(next)))? {
            Outcome::Recorded(_) => self.propose(now, Event::RulesActivated(next)),
            refused => Ok(refused),
        }
    }

    /// The authority, while it runs and the lock is on.
    pub fn authority(&self) -> Option<&Authority> {
        self.fold.as_ref().and_then(Fold::authority)
    }

    /// Its head, while it runs and the lock is on.
    pub fn head(&self) -> Option<AumHash> {
        self.authority().map(Authority::head)
    }

    /// The process is gone.
    pub fn crash(&mut self) {
        self.process.crash();
        self.fold = None;
    }

    /// It starts again.
    pub fn start(&mut self) -> Result<(), Fault> {
        self.process.start();
        self.fold = Some(Fold::open(self.process.disk.rows())?);
        Ok(())
    }

    /// Proposes an event under a request ID of its own.
    pub fn propose(&mut self, now: u64, event: Event) -> Result<Outcome, Fault> {
        self.requests += 1;
        self.propose_as(now, &format!("request-{}", self.requests), event)
    }

    /// Proposes an event, and remembers what the door should have said.
    pub fn propose_as(&mut self, now: u64, request: &str, event: Event) -> Result<Outcome, Fault> {
        let before = self.head();
        let (rules, aums) = match &event {
            Event::AumsAdded(added) => (self.rules(), added.aums.clone()),
            _ => (self.rules(), Vec::new()),
        };
        let outcome = self.admit(now, request, event)?;
        let shuts = self.rules() >= Some(SINCE_RULES);
        let followed = self.adoption()?.is_some_and(|adoption| adoption.followed);
        match (before, self.authority()) {
            (Some(head), _) if !aums.is_empty() => {
                self.heard.push(Heard::Aums(head, aums, outcome.clone()));
            }
            (_, Some(authority)) if shuts && !followed => {
                let (oldest, began) = (authority.oldest().hash, before.is_none());
                if began || rules != self.rules() {
                    self.heard.push(Heard::DoorBegan(oldest));
                }
            }
            (Some(_), None) => self.heard.push(Heard::NoDoor),
            _ => {}
        }
        Ok(outcome)
    }

    /// Signs a proposal, and takes the way of every proposal from there.
    fn admit(&mut self, now: u64, request: &str, event: Event) -> Result<Outcome, Fault> {
        let fold = self.fold.as_mut().ok_or_else(down)?;
        let request = request.parse().map_err(|e| Fault::from_error("a request ID", e))?;
        let proposal = Proposal {
            cluster: Self::CLUSTER,
            incarnation: 1,
            last_index: fold.next_index() + 100,
            request,
            digest: [7; 32],
            part: 0,
            actor: Actor { member: ReplicaId(1), who: Who::Uid(self.uid), name: "ada".into() },
            time_ms: self.process.clock.read(now),
            event,
        };
        let signed = match SignedProposal::sign(&proposal, &self.member) {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let proposal = match SignedProposal::decode(signed.bytes()) {
            Ok(proposal) => Unverified::new(proposal),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let verified = match verify_all(vec![proposal], &Remembering).pop() {
            Some(Ok(verified)) => verified,
            Some(Err(refusal)) => return Ok(Outcome::Refused(refusal)),
            None => return Err(Fault::new("a proposal was not checked")),
        };
        let mut draft = Draft::on(self.process.disk.rows());
        let verdict = fold.admit(&mut draft, &verified)?;
        let changes = draft.finish();
        match verdict {
            Verdict::Sealed(record) => {
                self.process.disk.commit(changes, Durable::Now)?;
                self.acknowledged.push((record.index(), record.hash()));
                Ok(Outcome::Recorded(record.index()))
            }
            Verdict::Repeated { index, .. } => Ok(Outcome::Recorded(index)),
            Verdict::Refused(_) if !changes.is_empty() => {
                Err(Fault::new("a refused proposal has left rows"))
            }
            Verdict::Refused(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    /// It answers a node.
    pub fn answer(&mut self, now: u64, ask: Ask) -> Result<Answer, Fault> {
        let rows = self.process.disk.rows();
        let fold = self.fold.as_ref().ok_or_else(down)?;
        match ask {
            Ask::Map { head, node_key } => {
                let told = told(rows, fold, head)?;
                let peers = roster::list(rows)?.into_iter();
                let peers = peers.filter(|node| node.node_key != node_key).map(|node| Peer {
                    node_key: node.node_key,
                    signature: node.signature.map(|signature| signature.to_cbor()),
                });
                Ok(Answer::Map { told, peers: peers.collect() })
            }
            Ask::Round(Question::Bootstrap { head }) => {
                Ok(Answer::Round(Reply::Bootstrap(bootstrap(rows, fold, head)?)))
            }
            Ask::Round(Question::Offer(theirs)) => {
                let Some(authority) = fold.authority() else { return Ok(Answer::Refused) };
                match client::offer(rows, authority, &theirs) {
                    Ok(answer) => Ok(answer),
                    Err(Failure::Refused(_)) => Ok(Answer::Refused),
                    Err(Failure::Fault(fault)) => Err(fault),
                }
            }
            Ask::Round(Question::Send { aums, .. }) => self.send(now, aums),
        }
    }

    /// A node sends AUMs. Those that are new are proposed, wherever they fork off.
    pub fn send(&mut self, now: u64, aums: Vec<Sealed>) -> Result<Answer, Fault> {
        let rows = self.process.disk.rows();
        let Some(authority) = self.authority() else { return Ok(Answer::Refused) };
        let chain = authority.chain(rows);
        let mut new: Vec<Sealed> = Vec::new();
        for aum in aums {
            let twice = new.iter().any(|other| other.hash() == aum.hash());
            if !twice && chain.node(&aum.hash())?.is_none() {
                new.push(aum);
            }
        }
        let mut at = authority.head();
        let follows = new.iter().all(|aum| {
            let follows = aum.parent_hash() == Some(at);
            at = aum.hash();
            follows
        });
        if !new.is_empty() {
            let added = AumsAdded {
                aums: new,
                fork: !follows,
                signatures: Vec::new(),
                reason: None,
                note: None,
            };
            if let Outcome::Refused(_) = self.propose(now, Event::AumsAdded(added))? {
                return Ok(Answer::Refused);
            }
        }
        Ok(match self.head() {
            Some(head) => Answer::Round(Reply::Sent { head }),
            None => Answer::Refused,
        })
    }

    /// A node of the roster.
    pub fn node(&self, id: NodeId) -> Result<Option<roster::Node>, Fault> {
        roster::node(self.process.disk.rows(), id)
    }
}

fn down() -> Fault {
    Fault::new("the ledger is down")
}

/// The lock that has or had that AUM.
fn epoch_of(rows: &dyn Rows, fold: &Fold, aum: AumHash) -> Result<Option<Epoch>, Fault> {
    let last = fold.epoch().map_or(0, |epoch| epoch.0);
    for number in (1..=last).rev() {
        if Chain::new(rows, ChainId(number)).node(&aum)?.is_some() {
            return Ok(Some(Epoch(number)));
        }
    }
    Ok(None)
}

/// What a node is told that has `head`. One whose lock has ended while another began hears of
/// the end first.
fn told(rows: &dyn Rows, fold: &Fold, head: Option<AumHash>) -> Result<Told, Fault> {
    let (Some(authority), Lifecycle::On(now)) = (fold.authority(), fold.lifecycle()) else {
        return Ok(Told::Off);
    };
    if let Some(head) = head
        && epoch_of(rows, fold, head)?.is_some_and(|epoch| epoch != now)
    {
        return Ok(Told::Off);
    }
    Ok(Told::On(authority.head()))
}

/// How the lock that is on began, and how the one that the node has ended.
fn bootstrap(rows: &dyn Rows, fold: &Fold, head: Option<AumHash>) -> Result<Bootstrap, Fault> {
    let mut answer = Bootstrap::default();
    if let Lifecycle::On(epoch) = fold.lifecycle()
        && let Some(entry) = lifecycle::epoch(rows, epoch)?
    {
        answer.genesis = Chain::new(rows, ChainId(epoch.0)).aum(&entry.genesis)?;
    }
    let ended = match head {
        Some(head) => epoch_of(rows, fold, head)?,
        None => None,
    };
    if let Some(epoch) = ended
        && let Some(ended) = lifecycle::epoch(rows, epoch)?.and_then(|entry| entry.ended)
        && let Some(record) = records::record(rows, ended)?
        && let Event::LockDisabled(disablement) = &record.proposal().proposal().event
    {
        answer.secret = Some(disablement.secret.clone());
    }
    Ok(answer)
}
