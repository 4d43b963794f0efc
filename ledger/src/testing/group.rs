//! A group in memory, of which one member at a time speaks.

use crate::history::{
    Actor, AumsAdded, ClusterId, Disablement, Event, Fold, Founder, Initialization, KNOWN_RULES,
    LogKey, MemberDetails, MemberKey, NewNode, NodeId, NodeSignature, Proposal, Record, ReplicaId,
    SignedProposal, Verdict, Who, records, roster,
};
use crate::ids::LockKey;
use crate::lock::Sealed;
use crate::lock::builder::{Change, UpdateBuilder};
use crate::lock::node_keys::{NodeKeySignature, sign_direct};
use crate::lock::signatures::{PrivateKey, Signer, Unverified, Verified, verify_one};
use crate::rows::{Changes, Draft, Memory};
use crate::{Fault, Refusal};

use super::{SECRET, genesis, key, node_key, secret_value};

/// A group that admits at once what a member proposes: the first one, until another one
/// [speaks](Group::speak).
#[derive(Debug)]
pub struct Group {
    /// The tables.
    pub rows: Memory,
    /// The fold at their end.
    pub fold: Fold,
    /// The member that proposes.
    pub id: ReplicaId,
    /// Its member key.
    pub member: PrivateKey,
    /// The member's lock key.
    pub lock: PrivateKey,
    /// The rules that the member can execute, and so those that the group begins with.
    pub rules: u32,
    requests: u64,
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl Group {
    /// The ledger's ID.
    pub const CLUSTER: ClusterId = ClusterId([0x4c; 16]);

    /// Nothing yet, not even record 0.
    pub fn unfounded() -> Self {
        Self::unfounded_under(KNOWN_RULES)
    }

    /// Nothing yet; its founder can execute these rules.
    pub fn unfounded_under(rules: u32) -> Self {
        let rows = Memory::new();
        let fold = Fold::open(&rows).expect("empty tables open");
        let (id, member) = (ReplicaId(1), key(0xe1));
        Group { rows, fold, id, member, lock: key(1), rules, requests: 0 }
    }

    /// A group with record 0 under rules 1, without a door for AUMs.
    pub fn under_rules_1() -> Self {
        let mut group = Self::unfounded_under(1);
        group.apply(group.founding());
        group
    }

    /// A group with record 0: member 1 holds the lock key of seed 1.
    pub fn new() -> Self {
        let mut group = Self::unfounded();
        group.apply(group.founding());
        group
    }

    /// The event of record 0.
    pub fn founding(&self) -> Event {
        Event::GroupCreated(Founder {
            id: ReplicaId(1),
            member_key: MemberKey(self.member.public().0),
            details: self.details(),
        })
    }

    /// What the member says of itself.
    pub fn details(&self) -> MemberDetails {
        MemberDetails {
            name: "first".into(),
            log_key: LogKey(key(0xe2).public().0),
            lock_key: Some(self.lock.public()),
            rules: self.rules,
            address: None,
        }
    }

    /// A proposal of the member's, with a request ID of its own.
    pub fn proposal(&mut self, event: Event) -> Proposal {
        self.requests += 1;
        Proposal {
            cluster: Self::CLUSTER,
            incarnation: self.fold.incarnation().max(1),
            last_index: self.fold.next_index() + 100,
            request: format!("request-{}", self.requests).parse().expect("a request ID"),
            digest: [7; 32],
            part: 0,
            actor: Actor { member: self.id, who: Who::Uid(1000), name: "ada".into() },
            time_ms: 1_700_000_000_000 + self.requests * 1000,
            event,
        }
    }

    /// Signs, verifies and admits a proposal. What does not decode or verify is refused as well.
    pub fn admit(&mut self, proposal: &Proposal) -> Verdict {
        let signed = match SignedProposal::sign(proposal, &self.member) {
            Ok(signed) => signed,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        self.admit_signed(signed)
    }

    /// Verifies and admits.
    pub fn admit_signed(&mut self, signed: SignedProposal) -> Verdict {
        self.judged(signed, Fold::admit)
    }

    /// Verifies, and judges in one of the fold's ways.
    pub(super) fn judged(
        &mut self,
        signed: SignedProposal,
        judge: impl FnOnce(
            &mut Fold,
            &mut Draft<'_>,
            &Verified<SignedProposal>,
        ) -> Result<Verdict, Fault>,
    ) -> Verdict {
        let verified = match verify_one(Unverified::new(signed)) {
            Ok(verified) => verified,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let mut draft = Draft::on(&self.rows);
        let verdict = judge(&mut self.fold, &mut draft, &verified).expect("no fault");
        let changes = draft.finish();
        assert!(matches!(verdict, Verdict::Sealed(_)) || changes == Changes::default());
        self.rows.apply(changes);
        verdict
    }

    /// Proposes an event.
    pub fn propose(&mut self, event: Event) -> Verdict {
        let proposal = self.proposal(event);
        self.admit(&proposal)
    }

    /// Proposes an event that must be recorded.
    pub fn apply(&mut self, event: Event) -> Record {
        match self.propose(event) {
            Verdict::Sealed(record) => record,
            verdict => panic!("not recorded: {verdict:?}"),
        }
    }

    /// Proposes an event that must be refused.
    pub fn refuse(&mut self, event: Event) -> Refusal {
        match self.propose(event) {
            Verdict::Refused(refusal) => refusal,
            verdict => panic!("not refused: {verdict:?}"),
        }
    }

    /// Adds a node whose key is 32 times `byte`, with a lock key of seed `byte`.
    pub fn add_node(&mut self, name: &str, byte: u8) -> NodeId {
        let id = self.fold.next_node();
        self.apply(Event::NodeAdded(NewNode {
            name: name.into(),
            node_key: node_key(byte),
            lock_key: Some(key(byte).public()),
            own: false,
            signature: None,
            auth_key: None,
        }));
        id
    }

    /// The node as the roster has it.
    pub fn node(&self, id: NodeId) -> roster::Node {
        roster::node(&self.rows, id).expect("no fault").expect("a node of the roster")
    }

    /// A direct signature for the node's current key, rotatable with its lock key.
    pub fn signature(&self, signer: &PrivateKey, id: NodeId) -> NodeKeySignature {
        let node = self.node(id);
        sign_direct(signer, node.node_key, node.lock_key).expect("a signature")
    }

    /// Signatures of `signer` for every node.
    pub fn signatures(&self, signer: &PrivateKey) -> Vec<NodeSignature> {
        let nodes = roster::list(&self.rows).expect("no fault");
        let sign = |node: roster::Node| NodeSignature {
            node: node.id,
            signature: self.signature(signer, node.id),
        };
        nodes.into_iter().map(sign).collect()
    }

    /// An initialization with the member's lock key and the keys of these seeds, one vote each.
    pub fn initialization(&self, state_id: u64, seeds: &[u8]) -> Event {
        let keys: Vec<PrivateKey> = seeds.iter().map(|seed| key(*seed)).collect();
        let mut trusted = vec![(&self.lock, 1)];
        trusted.extend(keys.iter().map(|key| (key, 1)));
        Event::LockInitialized(Box::new(Initialization {
            genesis: genesis(state_id, &trusted),
            signatures: self.signatures(&self.lock),
            labels: Vec::new(),
            brought_by: None,
        }))
    }

    /// AUMs for changes on the head, signed with `signer`.
    pub fn build(&self, signer: &PrivateKey, changes: Vec<Change>) -> Vec<Sealed> {
        let authority = self.fold.authority().expect("the lock is on");
        let mut builder =
            UpdateBuilder::new(&self.rows, authority, Some(signer)).expect("no fault");
        for change in changes {
            builder.change(change).expect("a change that can be built");
        }
        builder.finish().expect("an update")
    }

    /// The event of these AUMs on the head.
    pub fn added(aums: Vec<Sealed>) -> Event {
        Event::AumsAdded(AumsAdded {
            aums,
            fork: false,
            signatures: Vec::new(),
            reason: None,
            note: None,
        })
    }

    /// The removal of a key, signed with the member's lock key.
    pub fn removal(&self, of: LockKey) -> Event {
        Self::added(self.build(&self.lock, vec![Change::Remove(of.0.to_vec())]))
    }

    /// The disablement by the secret of every genesis here.
    pub fn disablement(&self) -> Event {
        Event::LockDisabled(Disablement { secret: SECRET.to_vec(), value: secret_value() })
    }

    /// All records.
    pub fn records(&self) -> Vec<Record> {
        let records = records::from(&self.rows, 0).expect("no fault");
        records.map(|record| record.expect("no fault")).collect()
    }
}
