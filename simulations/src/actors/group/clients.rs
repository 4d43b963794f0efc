//! People who ask: operations with request IDs and retries, and reads.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;

use ledger::Refusal;
use ledger::history::{
    AumsAdded, Event, Initialization, InvitationKey, NewNode, NodeSignature, Record, RequestId,
    RevocationOpened, RevocationSigned, Who, cosigning, requests, roster,
};
use ledger::lock::builder::UpdateBuilder;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::generate;
use ledger::lock::signatures::Signer;
use ledger::lock::{Authority, Key, Meta};
use replica::node::{Outcome, Submission, View};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Due, Group};
use crate::actors::OPERATOR;
use crate::actors::keys;
use crate::invariants::{self, Acknowledged, broken};
use crate::invariants::{Result, unexpected};
use crate::world::clock::SECOND;
use crate::world::{ProcessId, Random, Trace};

/// How often an operation is asked before its asker gives up.
const TRIES: u32 = 8;
/// How often its asker looks for a machine that is up.
const LOOKS: u32 = 200;
/// How often whoever must know hears that it is refused, while an earlier try is in doubt, until that
/// is believed.
const DOUBTS: u32 = 6;

/// What somebody wants recorded.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    site: ProcessId,
    request: String,
    event: Event,
    /// The user on whose behalf it is asked.
    uid: u32,
    /// Only that machine can ask for it.
    own: bool,
    /// Asked again until it is known what has become of it.
    must: bool,
}

impl Want {
    /// Asks that machine first.
    pub(crate) fn at(site: ProcessId, request: impl Into<String>, event: Event) -> Self {
        Want { site, request: request.into(), event, uid: OPERATOR, own: false, must: false }
    }

    /// A user other than the usual one asks.
    pub(crate) fn by(self, uid: u32) -> Self {
        Want { uid, ..self }
    }

    /// Only that machine can ask for it.
    pub(crate) fn its_own(self) -> Self {
        Want { own: true, ..self }
    }

    /// It is asked again until it is known what has become of it.
    pub(crate) fn must(self) -> Self {
        Want { must: true, ..self }
    }
}

/// What has become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Recorded(u64),
    Refused,
    Unknown,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Op {
    request: RequestId,
    digest: [u8; 32],
    want: Want,
    before: u64,
    tries: u32,
    looks: u32,
    waiting: Option<(ProcessId, u64, oneshot::Receiver<Outcome>)>,
    pub(super) done: Option<Done>,
    /// Why it was refused.
    refusal: Option<Refusal>,
    /// Whether nobody knows what has become of an earlier try.
    in_doubt: bool,
    /// How often it was refused meanwhile.
    refusals: u32,
}

/// A read.
#[derive(Debug)]
struct Reading {
    site: ProcessId,
    boot: u64,
    before: u64,
    answer: oneshot::Receiver<()>,
}

/// All who ask.
#[derive(Debug, Default)]
pub(super) struct Clients {
    pub(super) ops: Vec<Op>,
    /// Those that are not done.
    open: Vec<usize>,
    reads: Vec<Reading>,
    /// Records that somebody knows of.
    known: u64,
    named: BTreeMap<String, usize>,
    /// Since which leader's term a revocation waits for signatures.
    revocation: Option<u64>,
    /// Expiry of invitations, and whether they were used.
    pub(super) invitations: BTreeMap<InvitationKey, (u64, bool)>,
}

impl Op {
    pub(super) fn changes_members(&self) -> bool {
        matches!(
            self.want.event,
            Event::MemberInvited(_)
                | Event::MemberJoined(_)
                | Event::MemberApproved(_)
                | Event::MemberRoleChanged(_)
                | Event::MemberRemoved(_)
        )
    }
}

impl Clients {
    pub(super) fn is_asked(&self, request: &str) -> bool {
        self.named.contains_key(request)
    }

    pub(super) fn done(&self, request: &str) -> Option<Done> {
        self.named.get(request).and_then(|place| self.ops[*place].done)
    }

    pub(super) fn refusal(&self, request: &str) -> Option<Refusal> {
        self.named.get(request).and_then(|place| self.ops[*place].refusal.clone())
    }
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// Somebody wants something recorded.
    pub(crate) fn want(&mut self, want: Want) -> Result<()> {
        let request: RequestId = want
            .request
            .parse()
            .map_err(|why| broken("requests_have_names", format!("{}: {why:?}", want.request)))?;
        let digest = requests::digest("simulated", want.request.as_bytes());
        let place = self.clients.ops.len();
        // A request that is asked anew may have been recorded when it was asked first.
        let former = self.clients.named.get(&want.request).map(|place| &self.clients.ops[*place]);
        let before = former.map_or(self.clients.known, |former| former.before);
        let in_doubt =
            former.is_some_and(|former| former.in_doubt || former.done != Some(Done::Refused));
        self.clients.named.insert(want.request.clone(), place);
        let (tries, looks) = (0, 0);
        let op = Op {
            request,
            digest,
            want,
            before,
            tries,
            looks,
            waiting: None,
            done: None,
            refusal: None,
            in_doubt,
            refusals: 0,
        };
        self.clients.ops.push(op);
        self.clients.open.push(place);
        self.ask(place)
    }

    /// An operation is asked, once more perhaps.
    pub(super) fn ask(&mut self, place: usize) -> Result<()> {
        let now = self.now();
        let op = &self.clients.ops[place];
        if op.done.is_some() {
            return Ok(());
        }
        let awake: Vec<ProcessId> =
            self.sites.iter().filter(|site| site.is_awake(now)).map(|site| site.id).collect();
        let first = op.want.own || op.tries == 0;
        let who = match awake.contains(&op.want.site) && first {
            true => op.want.site,
            false if op.want.own || awake.is_empty() => {
                return self.ask_later(place);
            }
            false => self.random.pick(&awake),
        };
        let op = &mut self.clients.ops[place];
        op.tries += 1;
        op.in_doubt |= op.waiting.take().is_some();
        let submission = Submission {
            request: op.request.clone(),
            digest: op.digest,
            part: 0,
            who: Who::Uid(op.want.uid),
            name: "ada".into(),
            event: op.want.event.clone(),
        };
        let boot = self.sites[who].boot;
        let asked = self.turn(who, |machine| machine.submit(submission))?;
        let op = &mut self.clients.ops[place];
        match asked {
            Some(Ok((_, answer))) => {
                op.waiting = Some((who, boot, answer));
                // Some lose patience before the replica does.
                if self.random.chance(200) {
                    let at = self.soon(4 * SECOND);
                    self.agenda.plan(at, Due::AsksAgain(place));
                }
                self.answers(who)
            }
            Some(Err(refusal)) => {
                op.done = Some(Done::Refused);
                self.say(format_args!("a request is not signed: {refusal}"));
                self.clients.ops[place].refusal = Some(refusal);
                Ok(())
            }
            None => self.ask_later(place),
        }
    }

    fn ask_later(&mut self, place: usize) -> Result<()> {
        let op = &mut self.clients.ops[place];
        op.looks += 1;
        if op.done.is_some() {
            return Ok(());
        }
        if (op.tries >= TRIES || op.looks >= LOOKS) && !op.want.must {
            op.done = Some(Done::Unknown);
            self.count("outcome unknown");
            return Ok(());
        }
        let at = self.soon(2 * SECOND);
        self.agenda.plan(at, Due::AsksAgain(place));
        Ok(())
    }

    /// Takes the answers that a replica has given.
    pub(super) fn answers(&mut self, who: ProcessId) -> Result<()> {
        let mut open = std::mem::take(&mut self.clients.open);
        open.retain(|place| self.clients.ops[*place].done.is_none());
        self.clients.open = open;
        for at in 0..self.clients.open.len() {
            let place = self.clients.open[at];
            let op = &mut self.clients.ops[place];
            let Some((site, boot, answer)) = &mut op.waiting else { continue };
            if *site != who || *boot != self.sites[who].boot {
                continue;
            }
            let outcome = match answer.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Closed) => Outcome::Unknown,
            };
            op.waiting = None;
            match outcome {
                Outcome::Applied { index, hash } => self.recorded(place, index, hash)?,
                Outcome::Repeated { index, hash } => {
                    self.count("deduplicated retry");
                    self.recorded(place, index, hash)?;
                }
                Outcome::Refused(refusal) => {
                    let op = &mut self.clients.ops[place];
                    // An earlier try may be recorded yet: whoever must know asks on for a while.
                    if op.want.must && op.in_doubt && op.refusals < DOUBTS {
                        op.refusals += 1;
                        self.ask_later(place)?;
                        continue;
                    }
                    let request = op.want.request.clone();
                    op.done = Some(Done::Refused);
                    self.count("refused");
                    self.say(format_args!("{request} is refused: {refusal}"));
                    self.clients.ops[place].refusal = Some(refusal);
                }
                Outcome::ClockApart => self.ask_later(place)?,
                Outcome::Unknown => {
                    self.clients.ops[place].in_doubt = true;
                    self.ask_later(place)?;
                }
            }
        }
        self.answer_reads(who)
    }

    fn recorded(
        &mut self,
        place: usize,
        index: u64,
        hash: ledger::history::RecordHash,
    ) -> Result<()> {
        let op = &mut self.clients.ops[place];
        let key = (op.request.to_string(), 0);
        let found = self.looking.requests.get(&key).copied();
        let recorded = found.map(|index| (index, self.looking.records[index as usize]));
        invariants::acknowledged_operations_are_recorded(Acknowledged {
            request: &op.request,
            told: (index, hash),
            recorded,
            before: op.before,
        })?;
        op.done = Some(Done::Recorded(index));
        self.clients.known = self.clients.known.max(index + 1);
        match &self.clients.ops[place].want.event {
            Event::RevocationOpened(_) => self.clients.revocation = Some(self.looking.led.0),
            Event::RevocationSigned(_) => {
                if let Some(term) = self.clients.revocation.take()
                    && self.looking.led.0 > term
                {
                    self.count("leader change in mid-revocation");
                }
            }
            _ => {}
        }
        self.count("acknowledged");
        Ok(())
    }

    /// A record that nobody has had before.
    pub(super) fn clients_see(&mut self, record: &Record) -> Result<()> {
        let proposal = record.proposal().proposal();
        let asked = self.clients.named.get(&proposal.request.to_string());
        if let Some(op) = asked.map(|op| &self.clients.ops[*op])
            && op.done == Some(Done::Refused)
        {
            invariants::what_was_refused_is_not_recorded(&proposal.request, op.in_doubt)?;
            self.count("recorded by an earlier try than the one refused");
        }
        match &proposal.event {
            Event::MemberInvited(invited) => {
                self.clients.invitations.insert(invited.key, (invited.expires_ms, false));
            }
            Event::MemberJoined(joined) => {
                let made = &mut self.clients.invitations;
                invariants::an_invitation_lets_in_one(made, joined, proposal.time_ms)?;
                self.count("joined");
            }
            Event::MemberRemoved(_) => self.count("removed"),
            Event::RulesActivated(_) => self.count("rules activated"),
            Event::MemberRoleChanged(_) => self.count("role changed"),
            _ => {}
        }
        Ok(())
    }

    /// A replica is gone, and what it was asked with it.
    pub(super) fn clients_lose(&mut self, who: ProcessId) {
        self.clients.reads.retain(|read| read.site != who);
        for at in 0..self.clients.open.len() {
            let place = self.clients.open[at];
            let op = &mut self.clients.ops[place];
            if op.waiting.as_ref().is_some_and(|(site, _, _)| *site == who) {
                op.waiting = None;
                let at = self.soon(SECOND);
                self.agenda.plan(at, Due::AsksAgain(place));
            }
        }
    }

    /// Somebody reads on a machine.
    pub(crate) fn read(&mut self, who: ProcessId) -> Result<()> {
        if !self.sites[who].is_awake(self.now()) {
            return Ok(());
        }
        let (before, boot) = (self.clients.known, self.sites[who].boot);
        let asked = self.turn(who, |machine| machine.read().map(Some))?;
        if let Some(answer) = asked {
            self.clients.reads.push(Reading { site: who, boot, before, answer });
        }
        self.answer_reads(who)
    }

    fn answer_reads(&mut self, who: ProcessId) -> Result<()> {
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let shown = machine.view().fold().next_index();
        let boot = self.sites[who].boot;
        let mut answered = Vec::new();
        self.clients.reads.retain_mut(|read| {
            if read.site != who || read.boot != boot {
                return true;
            }
            match read.answer.try_recv() {
                Ok(()) => {
                    answered.push(read.before);
                    false
                }
                Err(error) => error == TryRecvError::Empty,
            }
        });
        for before in answered {
            invariants::reads_are_linearizable(who, before, shown)?;
            self.clients.known = self.clients.known.max(shown);
            self.count("read");
        }
        Ok(())
    }

    /// Some operation on the lock or the roster, as it looks from a machine.
    pub(crate) fn operate(&mut self, who: ProcessId, draw: u64) -> Result<()> {
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let view = machine.view();
        if view.fold().next_index() == 0 {
            return Ok(());
        }
        let Some(event) = operation(&view, self.sites[who].holder(), draw)? else { return Ok(()) };
        self.want(Want::at(who, format!("operation-{draw:016x}"), event))
    }

    /// A revocation is begun on record, or signed by one more, as it looks from a machine.
    pub(crate) fn revoke(&mut self, who: ProcessId, draw: u64) -> Result<()> {
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let view = machine.view();
        let Some(event) = revocation(&view, draw)? else { return Ok(()) };
        self.want(Want::at(who, format!("revocation-{draw:016x}"), event))
    }
}

fn operation(view: &View, own: usize, draw: u64) -> Result<Option<Event>> {
    let mut random = Random::new(draw, "operation");
    let rows = view.rows();
    let node = |random: &mut Random| {
        let n = random.any();
        Event::NodeAdded(NewNode {
            // A few names, so that some are taken.
            name: format!("node-{}", n % 400),
            node_key: keys::node_key((n % 100) as usize, n),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        })
    };
    let Some(authority) = view.fold().authority() else {
        if random.chance(300) {
            let mut all: Vec<(usize, u64)> = (0..4).map(|n| (n * 6, 1)).collect();
            if !all.contains(&(own, 1)) {
                all.push((own, 1));
            }
            let state = keys::state(draw % 1000, &all, 0);
            let genesis = Authority::genesis(state, keys::private(own));
            let genesis = genesis.map_err(|why| broken("a_lock_begins", why.to_string()))?;
            let mut signatures = Vec::new();
            for node in roster::list(rows).map_err(unexpected)? {
                let signature = sign_direct(keys::private(own), node.node_key, node.lock_key);
                let Ok(signature) = signature else { continue };
                signatures.push(NodeSignature { node: node.id, signature });
            }
            let labels = Vec::new();
            let init = Initialization { genesis, signatures, labels, brought_by: None };
            return Ok(Some(Event::LockInitialized(Box::new(init))));
        }
        return Ok(Some(node(&mut random)));
    };
    let holders: Vec<usize> =
        authority.state().keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    if holders.is_empty() {
        return Ok(None);
    }
    let signer = random.pick(&holders);
    let nodes = roster::list(rows).map_err(unexpected)?;
    Ok(match random.below(10) {
        0..4 => Some(node(&mut random)),
        4 if !nodes.is_empty() => Some(Event::NodeRemoved(random.pick(&nodes).id)),
        5 | 6 if !nodes.is_empty() => {
            let node = random.pick(&nodes);
            let signature = sign_direct(keys::private(signer), node.node_key, node.lock_key);
            signature.ok().map(|signature| {
                Event::NodeKeysSigned(vec![NodeSignature { node: node.id, signature }])
            })
        }
        _ => {
            let builder = UpdateBuilder::new(rows, authority, Some(keys::private(signer)));
            let mut builder = builder.map_err(unexpected)?;
            let about = random.pick(builder.state().keys());
            let id = about.id().unwrap_or_default().to_vec();
            let new = Key::ed25519(keys::public(random.place(8) * 6), 1);
            let _ = match random.below(4) {
                0 => builder.add_key(new),
                1 if holders.len() > 3 => builder.remove_key(&id),
                2 => builder.set_votes(&id, random.between(1, 3)),
                _ => {
                    let meta = [("note".to_owned(), random.below(1000).to_string())];
                    builder.set_meta(&id, Meta(meta.into_iter().collect()))
                }
            };
            let aums = builder.finish().ok().filter(|aums| !aums.is_empty());
            aums.map(|aums| {
                let (fork, signatures) = (false, Vec::new());
                Event::AumsAdded(AumsAdded { aums, fork, signatures, reason: None, note: None })
            })
        }
    })
}

fn revocation(view: &View, draw: u64) -> Result<Option<Event>> {
    let mut random = Random::new(draw, "revocation");
    let Some(authority) = view.fold().authority() else { return Ok(None) };
    let rows = view.rows();
    let holders: Vec<usize> =
        authority.state().keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    if holders.len() < 2 {
        return Ok(None);
    }
    if let Some(waits) = cosigning::list(rows).map_err(unexpected)?.first() {
        let id = waits.id();
        let signed = |holder: &&usize| {
            let signatures = waits.opened.aum.signatures.iter();
            !signatures.flat_map(|s| &s.key_id).any(|key| *key == keys::id(**holder))
        };
        let Some(signer) = holders.iter().find(signed) else { return Ok(None) };
        let signatures = vec![(keys::public(*signer), keys::private(*signer).sign(&id.0))];
        return Ok(Some(Event::RevocationSigned(RevocationSigned { revocation: id, signatures })));
    }
    let (gone, signer) = (random.pick(&holders), random.pick(&holders));
    if gone == signer {
        return Ok(None);
    }
    let Ok(aum) = generate(rows, authority, &[keys::id(gone)], &keys::public(signer), None) else {
        return Ok(None);
    };
    let opened = RevocationOpened {
        aum: keys::signed(aum, &[signer]),
        keys: vec![keys::public(gone)],
        reason: None,
        note: None,
    };
    Ok(Some(Event::RevocationOpened(Box::new(opened))))
}
