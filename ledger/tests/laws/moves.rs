//! Random histories: moves that mostly make sense, made into proposals of a group of one.

use ledger::history::roster::{self, Node};
use ledger::history::{
    Acknowledged, AdoptionBegun, Applied, AumsAdded, AuthKeyHash, AuthKeyId, AuthKeyUse,
    BroughtGenesis, ChangeReason, ChangedNode, ClusterId, Disablement, Epoch, Event, Foreign,
    ForeignReason, Initialization, NewAuthKey, NewNode, NodeId, NodeSignature, Observed, Proposal,
    Record, ReplicaId, RevocationOpened, RevocationSigned, RevocationWithdrawn, SecretLabel,
    SignedProposal, Verdict, Who, cosigning,
};
use ledger::history::{adoption, lifecycle};
use ledger::ids::{AumHash, LockKey};
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::node_keys::{NodeKeySignature, resign, sign_credential, sign_direct};
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::lock::{Aum, AumKind, Authority, ChainId, Key, Sealed};
use ledger::rows::{Draft, Memory};
use ledger::testing::{Group, SECRET, genesis, key, node_key, secret_value};
use proptest::prelude::*;

/// Lock keys in play: seeds from 1 on; 1 is the member's own.
const KEYS: u8 = 5;
/// Node keys in play.
const NODE_KEYS: u8 = 12;

/// One move: what, about what, and what is odd about its proposal.
#[derive(Debug, Clone)]
pub struct Move {
    what: u8,
    a: u8,
    b: u8,
    flags: u8,
    oddity: u8,
}

pub fn moves(most: usize) -> impl Strategy<Value = Vec<Move>> {
    let one = (0..52u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    let one = one.prop_map(|(what, a, b, flags, oddity)| Move { what, a, b, flags, oddity });
    prop::collection::vec(one, 1..most)
}

impl Move {
    fn flag(&self, n: u8) -> bool {
        self.flags & 1 << n != 0
    }

    fn name(&self) -> String {
        format!("n{}", self.a % 6)
    }

    fn signer(&self) -> impl Signer + use<> {
        key(1 + self.b % KEYS)
    }

    fn node(&self, group: &Group) -> NodeId {
        NodeId(1 + u64::from(self.a) % group.fold.next_node().0)
    }

    /// The event; none if nothing of the kind can be made as things stand.
    fn event(&self, group: &Group) -> Option<Event> {
        Some(match self.what {
            0..=4 => {
                let node_key = node_key(1 + self.b % NODE_KEYS);
                let lock_key = self.flag(0).then(|| key(100 + self.a % 8).public());
                let signed = self.flag(1) && self.flag(2);
                let signature = sign_direct(&self.signer(), node_key, lock_key).unwrap();
                Event::NodeAdded(NewNode {
                    name: self.name(),
                    node_key,
                    lock_key,
                    own: self.flag(3) && self.flag(4),
                    signature: signed.then_some(signature),
                    auth_key: self.flag(5).then(|| self.shown()),
                })
            }
            5..=9 => self.changed(group),
            10..=11 => Event::NodeRemoved(self.node(group)),
            12..=15 => Event::NodeKeysSigned(self.signatures(group)),
            16..=18 => self.initialized(group),
            19 => {
                let value = if self.flag(0) { secret_value() } else { [9; 32] };
                let secret = if self.flag(1) { SECRET.to_vec() } else { vec![self.a] };
                Event::LockDisabled(Disablement { secret, value })
            }
            20..=24 => Group::added(self.update(group)?),
            25..=26 => self.fork(group)?,
            27 => {
                let mut details = group.details();
                details.name = self.name();
                details.rules = u32::from(self.b % 3);
                details.lock_key = self.flag(0).then(|| key(1 + self.b % 2).public());
                Event::MemberChanged(details)
            }
            28 => Event::RulesActivated(u32::from(self.b % 4)),
            30..=32 => {
                let AuthKeyUse { id, hash } = self.shown();
                // Proposals here are made a second apart.
                let expires_ms = self.flag(4).then(|| 1_700_000_000_000 + u64::from(self.b) * 500);
                Event::AuthKeyCreated(NewAuthKey { id, hash, reusable: self.flag(3), expires_ms })
            }
            33 => Event::AuthKeyRevoked(self.shown().id),
            34..=36 => self.said(group),
            37..=38 => {
                let maker = key(2 + self.b % (KEYS - 1));
                Event::GenesisBrought(Box::new(BroughtGenesis {
                    node: self.node(group),
                    key: key(1 + self.flags % KEYS).public(),
                    genesis: genesis(u64::from(self.a % 32), &[(&group.lock, 1), (&maker, 1)]),
                }))
            }
            39..=42 => self.waiting(group)?,
            43..=44 => {
                let history = Elsewhere::of(self.a);
                let odd = u64::from(self.flag(0) && self.flag(1));
                Event::AdoptionBegun(Box::new(AdoptionBegun {
                    root: history.aums[0].clone(),
                    head: if self.flag(2) && self.flag(3) {
                        AumHash([self.b; 32])
                    } else {
                        history.head
                    },
                    aums: (history.aums.len() as u64 + odd)
                        .saturating_sub(u64::from(self.flag(4) && self.flag(5))),
                    followed: self.flag(6),
                }))
            }
            45..=48 => Event::AumsAdopted(self.adopted(group)),
            49 => Event::AdoptionEnded,
            50..=51 => Event::LockObserved(self.observed(group)),
            _ => group.founding(),
        })
    }

    /// What comes next of the lock that is being adopted, or something like what its server adds.
    fn adopted(&self, group: &Group) -> Vec<Sealed> {
        if let Some(authority) = group.fold.authority() {
            let line = authority.chain(&group.rows).back_from(authority.head());
            let below: Vec<Sealed> = line.map(Result::unwrap).take(3).collect();
            let at = &below[usize::from(self.a) % below.len()];
            return vec![elsewhere_added(at, self.b, &self.signer())];
        }
        let adoption = adoption::current(&group.rows, group.fold.lifecycle()).unwrap();
        let (n, taken) = match &adoption {
            Some(adoption) if !(self.flag(0) && self.flag(1)) => {
                let all = (0..Elsewhere::SEVERAL).map(Elsewhere::of);
                let at = all.enumerate().find(|(_, all)| all.aums[0].hash() == adoption.root);
                (at.map_or(self.a, |(n, _)| n as u8), adoption.taken as usize)
            }
            _ => (self.a, usize::from(self.b % 3)),
        };
        let aums = Elsewhere::of(n).aums;
        let from = taken.min(aums.len() - 1);
        aums[from..].iter().take(1 + usize::from(self.flags >> 6)).cloned().collect()
    }

    /// A head on record, mostly, or what cannot be part of the lock.
    fn observed(&self, group: &Group) -> Observed {
        let head = group.fold.authority().map(|authority| {
            let chain = authority.chain(&group.rows);
            let nodes: Vec<AumHash> = chain.nodes().unwrap().map(|node| node.unwrap().0).collect();
            if self.flag(0) { authority.head() } else { nodes[usize::from(self.a) % nodes.len()] }
        });
        match (head, self.flags >> 5) {
            (_, 0) => Observed::Off,
            (Some(head), 1..=5) => Observed::Head(head),
            (_, n) => Observed::Foreign(Foreign {
                head: AumHash([self.a; 32]),
                why: ForeignReason::ALL[usize::from(n) % 3],
                evidence: vec![self.b; 1 + usize::from(self.a)],
            }),
        }
    }

    /// One of a few auth keys, forged now and then.
    fn shown(&self) -> AuthKeyUse {
        let text = format!("tskey-auth-k{}-secret{}", self.a % 3, u8::from(self.a > 240));
        AuthKeyUse { id: AuthKeyId::of(&text).unwrap(), hash: AuthKeyHash::of(&text) }
    }

    /// A node says that it has applied an AUM that is somewhere on record, or ended a lock.
    fn said(&self, group: &Group) -> Event {
        let records = group.records();
        let events = records.iter().map(|record| &record.proposal().proposal().event);
        let aums: Vec<AumHash> = events.flat_map(Event::aums).map(Sealed::hash).collect();
        let applied = match aums.get(usize::from(self.b) % aums.len().max(1)) {
            Some(head) if !self.flag(0) => Applied::Head(*head),
            _ => Applied::Disabled,
        };
        let epoch = Epoch(1 + u32::from(self.flags >> 1) % 3);
        Event::NodeAcknowledged(Acknowledged { node: self.node(group), epoch, applied })
    }

    fn changed(&self, group: &Group) -> Event {
        let node = self.node(group);
        let before = roster::node(&group.rows, node).unwrap();
        let node_key = match &before {
            Some(before) if self.flag(0) => before.node_key,
            _ => node_key(1 + self.b % NODE_KEYS),
        };
        let lock_key = before.as_ref().and_then(|before| before.lock_key);
        let former = before.as_ref().and_then(|before| before.signature.clone());
        let signature = match (self.flags >> 1) % 4 {
            0 => None,
            1 => sign_direct(&self.signer(), node_key, lock_key).ok(),
            2 => Some(on_credential(&self.signer(), node_key)),
            _ => former.and_then(|former| {
                let lock = (100..108).map(key).find(|key| Some(key.public()) == lock_key)?;
                resign(&lock, node_key, &former).ok()
            }),
        };
        Event::NodeChanged(ChangedNode { node, node_key, lock_key, signature })
    }

    fn signatures(&self, group: &Group) -> Vec<NodeSignature> {
        let nodes = roster::list(&group.rows).unwrap().into_iter();
        let chosen = nodes.filter(|node| self.flags & 1 << (node.id.0 % 8) != 0);
        chosen.map(|node| self.signature(&node)).collect()
    }

    fn signature(&self, node: &Node) -> NodeSignature {
        let signature = sign_direct(&self.signer(), node.node_key, node.lock_key).unwrap();
        NodeSignature { node: node.id, signature }
    }

    fn initialized(&self, group: &Group) -> Event {
        let own = &group.lock;
        let others: Vec<_> = (2..=KEYS).filter(|n| self.flag(n - 2)).map(key).collect();
        let mut trusted = vec![(own, 1)];
        trusted.extend(others.iter().map(|key| (key, 1 + u64::from(self.b % 3))));
        let mut signatures = group.signatures(own);
        if self.flag(6) && self.flag(7) {
            signatures.pop();
        }
        let mut genesis = genesis(u64::from(self.a % 32), &trusted);
        let mut brought_by = None;
        if let Some(waiting) = lifecycle::waiting(&group.rows).unwrap().filter(|_| self.flag(4)) {
            brought_by = Some(waiting.brought.node);
            if self.flag(5) {
                genesis = waiting.brought.genesis;
            }
        }
        let label = SecretLabel {
            maker: format!("user {}", self.a),
            made_ms: u64::from(self.b) << 40,
            holder: self.flag(4).then(|| "the safe".to_owned()),
        };
        // The genesis has one disablement value.
        let labels = if self.flag(3) { vec![label] } else { Vec::new() };
        Event::LockInitialized(Box::new(Initialization { genesis, signatures, labels, brought_by }))
    }

    /// A change of the trusted keys on the head, with new signatures for some nodes.
    fn update(&self, group: &Group) -> Option<Vec<Sealed>> {
        let authority = group.fold.authority()?;
        let about = key(1 + self.a % KEYS).public();
        let change = match self.flags % 4 {
            0 | 1 => Change::Add(Key::ed25519(about, 1 + u64::from(self.b % 3))),
            2 => Change::Remove(about.0.to_vec()),
            _ => Change::Votes(about.0.to_vec(), u64::from(self.b % 5)),
        };
        let signer = self.signer();
        let mut builder = UpdateBuilder::new(&group.rows, authority, Some(&signer)).unwrap();
        builder.change(change).ok()?;
        builder.finish().ok()
    }

    /// A revocation begins to wait, is signed, withdrawn or finished.
    fn waiting(&self, group: &Group) -> Option<Event> {
        let waiting = cosigning::list(&group.rows).unwrap();
        let chosen = waiting.get(usize::from(self.a) % waiting.len().max(1));
        let Some(pending) = chosen.filter(|_| self.what != 39) else {
            let Some(Event::AumsAdded(added)) = self.fork(group) else { return None };
            let AumsAdded { mut aums, reason, note, .. } = added;
            let keys = vec![key(1 + self.a % KEYS).public()];
            let aum = aums.pop()?;
            return Some(Event::RevocationOpened(Box::new(RevocationOpened {
                aum,
                keys,
                reason,
                note,
            })));
        };
        let revocation = pending.id();
        Some(match self.flags % 4 {
            0 => Event::RevocationWithdrawn(RevocationWithdrawn {
                revocation,
                note: self.flag(4).then(|| "given up".to_owned()),
            }),
            1 => Event::AumsAdded(AumsAdded {
                aums: vec![pending.opened.aum.clone()],
                fork: true,
                signatures: Vec::new(),
                reason: None,
                note: None,
            }),
            _ => {
                let signer = self.signer();
                let signatures = vec![(signer.public(), signer.sign(&revocation.0))];
                Event::RevocationSigned(RevocationSigned { revocation, signatures })
            }
        })
    }

    /// A revocation, or something else beside the head.
    fn fork(&self, group: &Group) -> Option<Event> {
        let authority = group.fold.authority()?;
        let signers = || (1..=KEYS).filter(|n| self.flag(n - 1)).map(key);
        let aum = if self.flag(6) {
            let keys = [key(1 + self.a % KEYS).public().0.to_vec()];
            let our = signers().next()?.public();
            generate(&group.rows, authority, &keys, &our, None).ok()?
        } else {
            let line = authority.chain(&group.rows).back_from(authority.head());
            let below: Vec<Sealed> = line.map(Result::unwrap).collect();
            let at = &below[usize::from(self.a) % below.len()];
            let mut aum = Aum::new(AumKind::NO_OP, Some(at.hash()));
            aum.key_id = Some(vec![self.b]);
            aum
        };
        let signed = signers().fold(Sealed::new(aum), |aum, signer| cosign(aum, &signer).unwrap());
        Some(Event::AumsAdded(AumsAdded {
            aums: vec![signed],
            fork: !self.flag(7),
            signatures: Vec::new(),
            reason: self.flag(5).then_some(ChangeReason::ALL[usize::from(self.b % 4)]),
            note: self.flag(4).then(|| "because".to_owned()),
        }))
    }

    /// The proposal, odd in one way in a third of all cases.
    fn proposal(&self, group: &mut Group, event: Event) -> Proposal {
        let mut proposal = group.proposal(event);
        proposal.actor.who = if self.flag(0) { Who::Member } else { Who::Uid(self.a.into()) };
        match self.oddity % 30 {
            0 => proposal.cluster = ClusterId([1; 16]),
            1 => proposal.incarnation = 2,
            2 => proposal.last_index = group.fold.next_index().saturating_sub(1),
            3 => proposal.last_index = group.fold.next_index(),
            4 => proposal.actor.member = ReplicaId(2),
            5 => proposal.request = "request-1".parse().unwrap(),
            6 => {
                proposal.request = "request-1".parse().unwrap();
                proposal.part = 1;
            }
            7 => {
                proposal.request = "request-2".parse().unwrap();
                proposal.digest = [8; 32];
            }
            _ => {}
        }
        proposal
    }

    /// Makes the move: the signed proposal and what became of it.
    pub fn make(&self, group: &mut Group) -> Option<(SignedProposal, Verdict)> {
        let event = self.event(group)?;
        let proposal = self.proposal(group, event);
        let signer = if self.oddity == 255 { key(77) } else { key(0xe1) };
        let signed = SignedProposal::sign(&proposal, &signer).ok()?;
        let verdict = group.admit_signed(signed.clone());
        Some((signed, verdict))
    }
}

/// The history of a lock that exists elsewhere.
struct Elsewhere {
    /// The root, then all others, each after its parent.
    aums: Vec<Sealed>,
    head: AumHash,
}

impl Elsewhere {
    /// How many there are.
    const SEVERAL: u8 = 6;

    /// One of a few: with or without forks, from a genesis or from a later checkpoint.
    fn of(n: u8) -> Self {
        let n = n % Self::SEVERAL;
        let (two, three) = (key(2), key(3));
        let mut root = genesis(100 + u64::from(n), &[(&two, 1), (&three, 2)]);
        if n == 5 {
            let mut later = Aum::new(AumKind::CHECKPOINT, Some(AumHash([5; 32])));
            later.state = root.state.clone();
            root = cosign(Sealed::new(later), &two).unwrap();
        }
        let mut aums = vec![root];
        for i in 1..=n {
            // Every other one forks off, by the heavier key.
            let parent = aums.len() - if i % 2 == 0 { 2.min(aums.len()) } else { 1 };
            let signer = if i % 2 == 0 { &three } else { &two };
            aums.push(elsewhere_added(&aums[parent], i, signer));
        }
        let rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let verified = |aum: &Sealed| verify_one(Unverified::new(aum.clone())).unwrap();
        let mut authority =
            Authority::bootstrap(&mut draft, ChainId(9), &verified(&aums[0])).unwrap();
        for aum in &aums[1..] {
            authority.inform(&mut draft, &[verified(aum)]).unwrap();
        }
        Elsewhere { head: authority.head(), aums }
    }
}

/// A key comes, in someone else's tailnet; now and then one of small order, which our door would
/// refuse.
fn elsewhere_added(parent: &Sealed, n: u8, signer: &dyn Signer) -> Sealed {
    let mut aum = Aum::new(AumKind::ADD_KEY, Some(parent.hash()));
    let new = if n.is_multiple_of(7) { LockKey([0; 32]) } else { key(4 + n % 60).public() };
    aum.key = Some(Key::ed25519(new, 1));
    cosign(Sealed::new(aum), signer).unwrap()
}

/// Delegated by `signer`: a rotation on a credential, as a wrapped auth key makes it.
fn on_credential(signer: &dyn Signer, node_key: ledger::ids::NodeKey) -> NodeKeySignature {
    let auth_key = key(120);
    let credential = sign_credential(signer, auth_key.public()).unwrap();
    resign(&auth_key, node_key, &credential).unwrap()
}

/// A group after these moves, under these rules, with the proposals that were made and their
/// verdicts.
pub fn played_under(rules: u32, moves: &[Move]) -> (Group, Vec<(SignedProposal, Verdict)>) {
    let mut group = Group::unfounded_under(rules);
    let founding = group.founding();
    let proposal = group.proposal(founding);
    let first = SignedProposal::sign(&proposal, &group.member).unwrap();
    let mut made = vec![(first.clone(), group.admit_signed(first))];
    made.extend(moves.iter().filter_map(|one| one.make(&mut group)));
    (group, made)
}

/// Its records, as bytes decoded again.
pub fn records(group: &Group) -> Vec<Record> {
    group.records().iter().map(|record| Record::decode(record.bytes()).unwrap()).collect()
}
