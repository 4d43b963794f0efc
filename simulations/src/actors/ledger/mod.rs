//! The ledger: the fold over its records, on a disk, behind the questions that nodes ask.
//!
//! What is decided here beyond the fold is what a coordination server decides: which lock a node
//! is told of, and that AUMs which nodes send are proposed as they come.

mod answers;
mod kept_by;
mod mending;

use ledger::history::adoption::{self, Adoption};
use ledger::history::door::SINCE_RULES;
use ledger::history::{
    Actor, AumsAdded, ClusterId, Event, Fold, Founder, LogKey, MemberDetails, MemberKey, NodeId,
    Proposal, Record, RecordHash, ReplicaId, SignedProposal, Verdict, Who, records, roster,
};
use ledger::ids::AumHash;
use ledger::lock::client::{Question, Reply};
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, verify_all};
use ledger::lock::{Authority, Sealed};
use ledger::rows::Draft;
use ledger::rows::watermark::{FILE_BYTES, SLOT_BYTES, slot_offset};
use ledger::{Fault, Refusal};

use self::answers::answered;
pub(crate) use self::kept_by::Keeper;
pub use self::mending::Mended;
use self::mending::promise;
use super::images::Remembering;
use super::keys;
use super::wire::{Answer, Ask};
use crate::actors::OPERATOR;
use crate::actors::group::{Group, Nobody, first_member};
use crate::invariants::Broken;
use crate::world::disk::{Disk, Durable};
use crate::world::{Process, Trace};

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
    /// What has happened to it that nobody has counted yet.
    pub happened: Vec<&'static str>,
    /// What it said while its disk was worn, until somebody looks at it.
    pub on_worn_disk: Vec<OnWornDisk>,
    member: PrivateKey,
    requests: u64,
    /// The records that it has acknowledged, kept elsewhere as well.
    copy: Vec<Vec<u8>>,
    /// The watermark's file, beside the disk, and how often it was written.
    mark: (Vec<u8>, u64),
    /// Whether everything is to be read at the next start.
    suspect: bool,
    /// The group that keeps it, unless it is one member's.
    group: Option<Box<Group<Nobody, Trace>>>,
    /// What somebody wanted recorded that was, how often.
    pub recorded: u64,
    /// What did not hold of the group that keeps it.
    broken: Option<Broken>,
}

/// Something that the ledger said while some of its disk could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnWornDisk {
    /// To what.
    pub to: &'static str,
    /// Whether it would have said the same, had nothing been wrong.
    pub same: bool,
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

    /// A ledger with its first records. That of a group is written down on a disk of its own, as
    /// its records come to be known.
    pub(crate) fn found(process: Process, keeper: Keeper) -> Result<Self, Fault> {
        let member = match keeper {
            Keeper::Alone { .. } => PrivateKey::from_seed(&[0xe1; 32]),
            Keeper::Group(_) => first_member(),
        };
        let fold = Some(Fold::open(process.disk.rows())?);
        let mut ledger = Ledger {
            process,
            fold,
            acknowledged: Vec::new(),
            heard: Vec::new(),
            uid: OPERATOR,
            happened: Vec::new(),
            on_worn_disk: Vec::new(),
            member,
            requests: 0,
            copy: Vec::new(),
            mark: (vec![0; FILE_BYTES], 0),
            suspect: false,
            group: None,
            recorded: 0,
            broken: None,
        };
        let rules = match keeper {
            Keeper::Alone { rules } => rules,
            Keeper::Group(group) => {
                ledger.group = Some(group);
                ledger.follow()?;
                return Ok(ledger);
            }
        };
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
            address: None,
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

    /// The key of its first member.
    pub fn member(&self) -> &PrivateKey {
        &self.member
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
        let records = self.acknowledged.len() as u64;
        let outcome = match self.group {
            Some(_) => self.ask_the_group(request, event)?,
            None => self.admit(now, request, event)?,
        };
        if matches!(outcome, Outcome::Recorded(index) if index >= records) {
            self.recorded += 1;
        }
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
        let id = request.parse().map_err(|e| Fault::from_error("a request ID", e))?;
        let proposal = Proposal {
            cluster: Self::CLUSTER,
            incarnation: 1,
            last_index: fold.next_index() + 100,
            request: id,
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
        let unverified = match SignedProposal::decode(signed.bytes()) {
            Ok(proposal) => Unverified::new(proposal),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let verified = match verify_all(vec![unverified], &Remembering).pop() {
            Some(Ok(verified)) => verified,
            Some(Err(refusal)) => return Ok(Outcome::Refused(refusal)),
            None => return Err(Fault::new("a proposal was not checked")),
        };
        let mut sound = self.process.disk.is_worn().then(|| fold.clone());
        let mut draft = Draft::on(self.process.disk.rows());
        let verdict = fold.admit(&mut draft, &verified)?;
        let changes = draft.finish();
        if let Some(fold) = &mut sound {
            let mut draft = Draft::on(self.process.disk.inspect());
            let same = fold.admit(&mut draft, &verified)? == verdict && draft.finish() == changes;
            self.on_worn_disk.push(OnWornDisk { to: "a proposal", same });
        }
        match verdict {
            Verdict::Sealed(record) => {
                let disk = &mut self.process.disk;
                disk.power_may_fail();
                match disk.commit(changes, Durable::Now) {
                    Ok(()) => self.acknowledge(&record),
                    Err(_) if disk.lost_power() => {
                        // Whoever asked has heard nothing, and asks again.
                        self.crash();
                        self.process.start();
                        self.open()?;
                        self.happened.push("power lost during a write");
                        return self.admit(now, request, proposal.event);
                    }
                    Err(fault) => return Err(fault),
                }
                Ok(Outcome::Recorded(record.index()))
            }
            Verdict::Repeated { index, .. } => {
                if index >= self.acknowledged.len() as u64
                    && let Some(record) = records::record(self.process.disk.rows(), index)?
                {
                    self.happened.push("a write outlived the power");
                    self.acknowledge(&record);
                }
                Ok(Outcome::Recorded(index))
            }
            Verdict::Refused(_) if !changes.is_empty() => {
                Err(Fault::new("a refused proposal has left rows"))
            }
            Verdict::Refused(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    /// It has synced a record: now it can say so.
    fn acknowledge(&mut self, record: &Record) {
        self.acknowledged.push((record.index(), record.hash()));
        self.copy.push(record.bytes().to_vec());
        let (file, sequence) = &mut self.mark;
        *sequence += 1;
        let at = slot_offset(*sequence) as usize;
        let slot = promise(record.index() + 1).to_slot(*sequence);
        file[at..at + SLOT_BYTES].copy_from_slice(&slot);
    }

    /// It answers a node.
    pub fn answer(&mut self, now: u64, ask: Ask) -> Result<Answer, Fault> {
        if let Ask::Round(Question::Send { aums, .. }) = ask {
            return self.send(now, aums);
        }
        let fold = self.fold.as_ref().ok_or_else(down)?;
        let disk = &self.process.disk;
        let worn = disk.is_worn();
        let answer = answered(disk.rows(), fold, &ask)?;
        if worn {
            let same = answered(disk.inspect(), fold, &ask)? == answer;
            self.on_worn_disk.push(OnWornDisk { to: "a node", same });
        }
        Ok(answer)
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
        roster::node(self.process.disk.inspect(), id)
    }
}

fn down() -> Fault {
    Fault::new("the ledger is down")
}
