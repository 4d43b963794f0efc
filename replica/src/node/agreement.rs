//! Replicas compare what they have reached, all the time.
//!
//! Each tells the others, under its signature, the last record, its hash and the fold hash behind
//! it. Records decide nothing by majority: whoever disagrees about a record that both have has made
//! a mistake, been damaged, or lies. One that finds most voters against itself stops; one that finds
//! a single one against itself says so, and keeps both signatures as evidence.

use std::collections::{BTreeMap, VecDeque};

use ledger::cbor::Writer;
use ledger::history::{ClusterId, FoldHash, MemberKey, RecordHash, ReplicaId, records};
use ledger::lock::signatures::{Claim, Signed, Signer, Unverified, verify_one};
use ledger::rows::Rows;
use ledger::{Fault, Refusal};

use super::View;
use crate::peers::Head;

/// Precedes what a head's signature covers.
const TAG: &[u8] = b"lockstep head 1\0";
/// Ticks between two heads of one peer that are taken; honest ones send them further apart.
const PAUSE_TICKS: u64 = 5;
/// Records whose fold hashes are remembered.
const FOLDS: usize = 4096;

/// A head as its sender signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedHead {
    /// Who says so.
    pub replica: ReplicaId,
    /// Its member key.
    pub key: MemberKey,
    /// What it says.
    pub head: Head,
    cluster: ClusterId,
    incarnation: u64,
}

impl SignedHead {
    fn message(&self) -> Vec<u8> {
        message(self.cluster, self.incarnation, self.replica, &self.head)
    }
}

impl Signed for SignedHead {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        let (message, signature) = (self.message(), self.head.signature);
        out.push(Claim::Zip215 { key: self.key.0, message, signature });
        Ok(())
    }
}

fn message(cluster: ClusterId, incarnation: u64, replica: ReplicaId, head: &Head) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(7).bytes(&cluster.0).uint(incarnation).uint(replica.0);
    out.uint(head.record).bytes(&head.hash.0).bytes(&head.fold.0);
    out.uint(head.writes);
    [TAG, &out.into_bytes()].concat()
}

/// Two replicas that disagree about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// What the other one says.
    pub theirs: SignedHead,
    /// What this one says of the same record.
    pub ours: SignedHead,
}

/// What a replica knows of the others' heads.
pub(super) struct Agreement {
    cluster: ClusterId,
    incarnation: u64,
    id: ReplicaId,
    /// The fold hashes behind the last records, by their index.
    folds: VecDeque<(u64, FoldHash)>,
    /// Heads that this replica has not reached.
    ahead: BTreeMap<ReplicaId, SignedHead>,
    /// The newest head of each.
    heads: BTreeMap<ReplicaId, Head>,
    /// In which tick each was last listened to.
    listened: BTreeMap<ReplicaId, u64>,
    disagreements: BTreeMap<ReplicaId, Disagreement>,
}

impl Agreement {
    pub(super) fn new(cluster: ClusterId, incarnation: u64, id: ReplicaId) -> Self {
        Agreement {
            cluster,
            incarnation,
            id,
            folds: VecDeque::new(),
            ahead: BTreeMap::new(),
            heads: BTreeMap::new(),
            listened: BTreeMap::new(),
            disagreements: BTreeMap::new(),
        }
    }

    /// A view that others may be compared with from now on.
    pub(super) fn reached(&mut self, view: &View) {
        let Some(record) = view.fold().next_index().checked_sub(1) else { return };
        if self.folds.back().is_none_or(|(last, _)| *last < record) {
            self.folds.push_back((record, view.fold().fold_hash()));
        }
        while self.folds.len() > FOLDS {
            self.folds.pop_front();
        }
    }

    /// This replica's head, to be told to the others, after so many writes to its log.
    pub(super) fn own(&self, view: &View, writes: u64, member: &dyn Signer) -> Option<Head> {
        let record = view.fold().next_index().checked_sub(1)?;
        let hash = view.fold().last_hash()?;
        let fold = view.fold().fold_hash();
        Some(self.sign(Head { record, hash, fold, writes, signature: [0; 64] }, member))
    }

    fn sign(&self, mut head: Head, member: &dyn Signer) -> Head {
        head.signature = member.sign(&message(self.cluster, self.incarnation, self.id, &head));
        head
    }

    /// Whether a head of that peer is worth checking its signature in this tick: it sends few.
    pub(super) fn listens(&mut self, from: ReplicaId, tick: u64) -> bool {
        let before = self.listened.get(&from);
        let listens = before.is_none_or(|before| before + PAUSE_TICKS <= tick);
        if listens {
            self.listened.insert(from, tick);
        }
        listens
    }

    /// Takes a peer's head, whose signature must be its own.
    pub(super) fn heard(
        &mut self,
        from: ReplicaId,
        key: MemberKey,
        head: Head,
    ) -> Result<(), Refusal> {
        let (cluster, incarnation) = (self.cluster, self.incarnation);
        let signed = SignedHead { replica: from, key, head, cluster, incarnation };
        let signed = *verify_one(Unverified::new(signed))?.get();
        self.heads.insert(from, head);
        self.ahead.insert(from, signed);
        Ok(())
    }

    /// Whether this replica, whose key is `key`, has signed that head.
    pub(super) fn is_own(&self, key: MemberKey, head: Head) -> Result<(), Refusal> {
        let (cluster, incarnation) = (self.cluster, self.incarnation);
        let signed = SignedHead { replica: self.id, key, head, cluster, incarnation };
        verify_one(Unverified::new(signed)).map(drop)
    }

    /// Compares what the others say with the records here. Says who has begun to disagree.
    pub(super) fn compare(
        &mut self,
        view: &View,
        writes: u64,
        member: &dyn Signer,
    ) -> Result<Vec<Disagreement>, Fault> {
        let next = view.fold().next_index();
        let within: Vec<_> = self
            .ahead
            .iter()
            .filter(|(_, signed)| signed.head.record < next)
            .map(|(id, signed)| (*id, *signed))
            .collect();
        let mut new = Vec::new();
        for (id, theirs) in within {
            self.ahead.remove(&id);
            let record = theirs.head.record;
            let Some(ours) = record_hash(view.rows(), record)? else { continue };
            let fold = self.fold_at(record);
            let same = ours == theirs.head.hash && fold.is_none_or(|fold| fold == theirs.head.fold);
            if same || self.disagreements.contains_key(&id) {
                continue;
            }
            // Without a fold hash of its own, the records are what is disagreed about.
            let fold = fold.unwrap_or(FoldHash([0; 32]));
            let own = Head { record, hash: ours, fold, writes, signature: [0; 64] };
            let own = self.sign(own, member);
            let ours = SignedHead {
                replica: self.id,
                key: MemberKey(member.public().0),
                head: own,
                cluster: self.cluster,
                incarnation: self.incarnation,
            };
            let disagreement = Disagreement { theirs, ours };
            self.disagreements.insert(id, disagreement.clone());
            new.push(disagreement);
        }
        Ok(new)
    }

    fn fold_at(&self, record: u64) -> Option<FoldHash> {
        let at = self.folds.binary_search_by_key(&record, |(record, _)| *record).ok()?;
        self.folds.get(at).map(|(_, fold)| *fold)
    }

    /// Forgets members that are none any more.
    pub(super) fn keep(&mut self, is_member: impl Fn(ReplicaId) -> bool) {
        self.ahead.retain(|id, _| is_member(*id));
        self.heads.retain(|id, _| is_member(*id));
        self.listened.retain(|id, _| is_member(*id));
        self.disagreements.retain(|id, _| is_member(*id));
    }

    /// The newest head of each of the others.
    pub(super) fn heads(&self) -> &BTreeMap<ReplicaId, Head> {
        &self.heads
    }

    /// Who disagrees with this replica.
    pub(super) fn disagreements(&self) -> &BTreeMap<ReplicaId, Disagreement> {
        &self.disagreements
    }
}

fn record_hash(rows: &dyn Rows, index: u64) -> Result<Option<RecordHash>, Fault> {
    Ok(records::record(rows, index)?.map(|record| record.hash()))
}

#[cfg(test)]
mod tests {
    use ledger::history::{Event, NewNode};
    use ledger::ids::NodeKey;
    use ledger::testing::{Group, key};

    use super::*;

    const WRITES: u64 = 9;

    fn view(group: &Group) -> View {
        View::new(9, group.fold.clone(), Box::new(group.rows.clone()))
    }

    fn add(group: &mut Group, byte: u8) {
        group.apply(Event::NodeAdded(NewNode {
            name: format!("n{byte}"),
            node_key: NodeKey([byte; 32]),
            lock_key: None,
            own: false,
            signature: None,
            auth_key: None,
        }));
    }

    #[test]
    fn whoever_has_other_records_is_noticed_once_both_have_them() {
        let (ours, theirs) = (key(1), key(2));
        let their_key = MemberKey(theirs.public().0);
        let (mut here, mut there) = (Group::new(), Group::new());
        add(&mut here, 1);
        let cluster = here.fold.cluster().unwrap();
        let mut agreement = Agreement::new(cluster, 1, ReplicaId(1));
        let mut other = Agreement::new(cluster, 1, ReplicaId(2));
        agreement.reached(&view(&here));
        other.reached(&view(&there));

        // Behind, and of one mind.
        let head = other.own(&view(&there), WRITES, &theirs).unwrap();
        agreement.heard(ReplicaId(2), their_key, head).unwrap();
        assert_eq!(agreement.compare(&view(&here), WRITES, &ours).unwrap(), []);

        // Ahead with another record: nothing can be said until this one gets there.
        add(&mut there, 2);
        add(&mut there, 3);
        let head = other.own(&view(&there), WRITES, &theirs).unwrap();
        agreement.heard(ReplicaId(2), their_key, head).unwrap();
        assert_eq!(agreement.compare(&view(&here), WRITES, &ours).unwrap(), []);
        add(&mut here, 4);
        agreement.reached(&view(&here));
        let found = agreement.compare(&view(&here), WRITES, &ours).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].theirs.replica, found[0].ours.head.record), (ReplicaId(2), 2));
        // Both signatures convince anybody.
        assert!(verify_one(Unverified::new(found[0].theirs)).is_ok());
        assert!(verify_one(Unverified::new(found[0].ours)).is_ok());
        agreement.heard(ReplicaId(2), their_key, head).unwrap();
        assert_eq!(agreement.compare(&view(&here), WRITES, &ours).unwrap(), [], "once");
    }

    #[test]
    fn a_head_is_its_senders_own() {
        let mut agreement = Agreement::new(ClusterId([1; 16]), 1, ReplicaId(1));
        let other = Agreement::new(ClusterId([1; 16]), 2, ReplicaId(2));
        let theirs = key(2);
        let (hash, fold) = (RecordHash([1; 32]), FoldHash([2; 32]));
        let unsigned = Head { record: 5, hash, fold, writes: WRITES, signature: [0; 64] };
        let head = other.sign(unsigned, &theirs);
        let their_key = MemberKey(theirs.public().0);
        // Signed for another incarnation.
        assert!(agreement.heard(ReplicaId(2), their_key, head).is_err());
        let same = Agreement::new(ClusterId([1; 16]), 1, ReplicaId(2));
        let head = same.sign(unsigned, &theirs);
        assert!(agreement.heard(ReplicaId(3), their_key, head).is_err());
        assert!(agreement.heard(ReplicaId(2), their_key, head).is_ok());
        // What is shown to it later it knows for its own, and nothing else.
        assert!(same.is_own(their_key, head).is_ok());
        assert!(agreement.is_own(their_key, head).is_err(), "another replica's");
        assert!(same.is_own(their_key, Head { writes: 10, ..head }).is_err());
    }
}
