//! Random histories: moves that mostly make sense, made into proposals of a group of one.

use ledger::history::lifecycle;
use ledger::history::roster::{self, Node};
use ledger::history::{
    Acknowledged, Applied, AumsAdded, AuthKeyHash, AuthKeyId, AuthKeyUse, BroughtGenesis,
    ChangeReason, ChangedNode, ClusterId, Disablement, Epoch, Event, Initialization, NewAuthKey,
    NewNode, NodeId, NodeSignature, Proposal, Record, ReplicaId, RevocationOpened,
    RevocationSigned, RevocationWithdrawn, SecretLabel, SignedProposal, Verdict, Who, cosigning,
};
use ledger::ids::AumHash;
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::node_keys::{NodeKeySignature, resign, sign_credential, sign_direct};
use ledger::lock::revocation::{cosign, generate};
use ledger::lock::signatures::Signer;
use ledger::lock::{Aum, AumKind, Key, Sealed};
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
    let one = (0..43u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
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
                details.rules = u32::from(self.b % 2);
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
            _ => group.founding(),
        })
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
        let Some(pending) = chosen.filter(|_| self.what != 29) else {
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

/// Delegated by `signer`: a rotation on a credential, as a wrapped auth key makes it.
fn on_credential(signer: &dyn Signer, node_key: ledger::ids::NodeKey) -> NodeKeySignature {
    let auth_key = key(120);
    let credential = sign_credential(signer, auth_key.public()).unwrap();
    resign(&auth_key, node_key, &credential).unwrap()
}

/// A group after these moves, with the proposals that were made and their verdicts.
pub fn played(moves: &[Move]) -> (Group, Vec<(SignedProposal, Verdict)>) {
    let mut group = Group::unfounded();
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
