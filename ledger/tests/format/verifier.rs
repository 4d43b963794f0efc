//! A verifier written from docs/ledger-format.md alone: no code of the ledger, only CBOR heads,
//! hashes, Ed25519 and Argon2 from their crates. Numbers are those of the document's sections.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::cbor::{Fields, Result, Value, decode, encode};
use crate::tailscale::{
    Aum, Chain, Hash, KeyId, State, blake2s, check, node_key_signature, weak, zip215,
};

/// A member, log or lock key.
fn own_key(value: &Value) -> Result<Hash> {
    let key: Hash = value.fixed()?;
    check(!weak(&key), "a key of small order")?;
    Ok(key)
}

fn node_key(value: &Value) -> Result<Hash> {
    let key: Hash = value.fixed()?;
    let mut x = key;
    x[31] &= 0x7f;
    // Small numbers, and those next to p; the two of order 8 are left to readers.
    let low = x[1..].iter().all(|byte| *byte == 0) && x[0] < 2;
    let high = x[0] >= 0xec && x[1..31].iter().all(|byte| *byte == 0xff) && x[31] == 0x7f;
    check(!(low || high && x[0] <= 0xee), "a node key of small order")?;
    Ok(key)
}

fn name(value: &Value) -> Result<String> {
    let name = value.text()?;
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    check(fits, "not a name")?;
    Ok(name.to_owned())
}

#[derive(Clone)]
struct Member {
    key: Hash,
    log_key: Hash,
    lock_key: Option<Hash>,
    rules: u64,
    node: Option<u64>,
}

#[derive(Clone)]
struct RosterNode {
    name: String,
    key: Hash,
    member: Option<u64>,
    signature: Option<(Vec<u8>, KeyId)>,
    side: u64,
}

#[derive(Clone)]
struct AuthKey {
    hash: Hash,
    reusable: bool,
    expires: Option<u64>,
    used: bool,
    revoked: bool,
}

/// A lock that came from elsewhere: section 5.
#[derive(Clone)]
struct Adoption {
    /// What has been brought in, until it is complete.
    chain: Option<Chain>,
    head: Hash,
    aums: u64,
    followed: bool,
    seen: Option<(Option<Hash>, u64)>,
}

/// What the records so far come to.
#[derive(Clone, Default)]
pub struct Verifier {
    cluster: Option<[u8; 16]>,
    next: u64,
    last: Option<Hash>,
    pub fold_hash: Hash,
    members: BTreeMap<u64, Member>,
    requests: BTreeMap<String, (Hash, BTreeSet<u64>)>,
    nodes: BTreeMap<u64, RosterNode>,
    numbered: u64,
    auth_keys: BTreeMap<String, AuthKey>,
    lock: Option<Chain>,
    /// Revocations that wait, by what is signed: the epoch and the checkpoint.
    revocations: BTreeMap<Hash, (u64, Aum)>,
    /// The number of the current epoch, or of the last one.
    epoch: u64,
    state_ids: BTreeSet<(u64, u64)>,
    /// The lock that is being adopted, or that is on and came from elsewhere.
    adoption: Option<Adoption>,
    /// The AUMs of each epoch that has ended.
    ended: Vec<BTreeSet<Hash>>,
    /// The genesis that waits: of which node, trusting which key of its.
    waiting: Option<(u64, Hash, Hash)>,
    /// What nodes have applied of each epoch: a head, or its end.
    acknowledged: BTreeMap<(u64, u64), Option<Hash>>,
    leaves: Vec<Hash>,
    effects: Vec<u8>,
}

impl Verifier {
    /// Takes the next record, or says why it is none. After an error the verifier is spent.
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        check(bytes.len() <= 4_194_560, "too large")?;
        let record = decode(bytes)?;
        let record = record.fields(&[1, 2, 3], &[])?;
        check(record.get(1).uint()? == self.next, "another index")?;
        let prev = match record.get(2) {
            Value::Null => None,
            prev => Some(prev.fixed()?),
        };
        check(prev == self.last, "another link")?;
        self.effects.clear();
        self.signed(record.get(3).bytes()?)?;

        self.fold_hash = blake2s(&[b"lockstep fold 1\0", &self.fold_hash, &self.effects]);
        let hash = blake2s(&[b"lockstep record 1\0", bytes]);
        self.last = Some(hash);
        self.leaves.push(Sha256::new().chain_update([0]).chain_update(hash).finalize().into());
        self.next += 1;
        Ok(())
    }

    /// The record hash of the last record.
    pub fn last_hash(&self) -> Hash {
        self.last.unwrap()
    }

    /// Section 4.
    pub fn merkle_root(&self) -> Hash {
        fn root(leaves: &[Hash]) -> Hash {
            if let [leaf] = leaves {
                return *leaf;
            }
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let inner = Sha256::new().chain_update([1]).chain_update(root(left));
            inner.chain_update(root(right)).finalize().into()
        }
        if self.leaves.is_empty() { Sha256::digest([]).into() } else { root(&self.leaves) }
    }

    fn effect(&mut self, items: Vec<Value>) {
        self.effects.extend(encode(&Value::Array(items)));
    }

    fn signed(&mut self, bytes: &[u8]) -> Result<()> {
        let signed = decode(bytes)?;
        let signed = signed.fields(&[1, 2, 3], &[])?;
        let proposal = signed.get(1).bytes()?;
        check(proposal.len() <= 4_194_304, "too large")?;
        let key: Hash = signed.get(2).fixed()?;
        let message = [&b"lockstep member signature 1\0"[..], &blake2s(&[proposal])].concat();
        zip215(&key, &message, &signed.get(3).fixed::<64>()?)?;
        self.proposal(&decode(proposal)?, key)
    }

    fn proposal(&mut self, proposal: &Value, key: Hash) -> Result<()> {
        let p = proposal.fields(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[])?;
        check(p.get(1).text()? == "lockstep proposal 1", "the tag")?;
        let request = p.get(5).text()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        check((1..=64).contains(&request.len()) && request.bytes().all(plain), "request ID")?;
        let digest: Hash = p.get(6).fixed()?;
        let part = p.get(7).uint()?;
        check(part < 65_536, "part")?;
        let [actor, who, actor_name] = p.get(8).tuple()?;
        match who.list()? {
            [Value::Uint(0)] => {}
            [Value::Uint(1), uid] => check(uid.uint()? <= u32::MAX.into(), "user ID")?,
            _ => return Err("an unknown kind of actor".into()),
        }
        check(actor_name.text()?.len() <= 256, "actor's name")?;
        let time = p.get(9).uint()?;
        let [kind, body] = p.get(10).tuple()?;
        let (actor, kind) = (actor.uint()?, kind.uint()?);

        let cluster: [u8; 16] = p.get(2).fixed()?;
        if self.next == 0 {
            check(kind == 1, "no group")?;
            let incarnation = p.get(3).uint()?;
            check(incarnation == 1, "incarnation")?;
            self.cluster = Some(cluster);
            self.effect(vec![
                Value::Uint(1),
                Value::Bytes(cluster.to_vec()),
                Value::Uint(incarnation),
            ]);
            self.found(body)?;
        }
        check(self.cluster == Some(cluster), "another cluster")?;
        check(p.get(3).uint()? == 1, "another incarnation")?;
        let member = self.members.get(&actor).ok_or("an unknown member")?.clone();
        check(member.key == key, "another member's key")?;
        let known = self.requests.entry(request.to_owned()).or_insert((digest, BTreeSet::new()));
        check(known.0 == digest, "the request ID is used")?;
        check(known.1.insert(part), "a repetition")?;
        check(self.next <= p.get(4).uint()?, "expired")?;
        self.effect(vec![
            Value::Uint(2),
            Value::Text(request.to_owned()),
            Value::Bytes(digest.to_vec()),
            Value::Uint(part),
            Value::Uint(self.next),
        ]);
        self.event(kind, body, actor, &member, time)
    }

    fn found(&mut self, body: &Value) -> Result<()> {
        let body = body.fields(&[1, 2, 3], &[])?;
        check(body.get(1).uint()? == 1, "the first member is number 1")?;
        let key = own_key(body.get(2))?;
        let member = details(body.get(3), key, None)?;
        self.put_member(1, member);
        Ok(())
    }

    fn put_member(&mut self, id: u64, member: Member) {
        self.effect(vec![
            Value::Uint(3),
            Value::Uint(id),
            Value::Bytes(member.key.to_vec()),
            Value::Bytes(member.log_key.to_vec()),
            member.lock_key.map_or(Value::Null, |key| Value::Bytes(key.to_vec())),
            Value::Uint(member.rules),
            member.node.map_or(Value::Null, Value::Uint),
        ]);
        self.members.insert(id, member);
    }

    /// Sets a node's entry, on the side on which it is now.
    fn put_node(&mut self, id: u64, mut node: RosterNode) {
        let rests_on = node.signature.as_ref().map(|(_, rests_on)| rests_on);
        node.side = match (&self.lock, rests_on) {
            (None, _) => 0,
            (Some(lock), Some(key)) if lock.state().votes(key).is_some() => 1,
            _ => 2,
        };
        self.effect(vec![
            Value::Uint(4),
            Value::Uint(id),
            Value::Text(node.name.clone()),
            Value::Bytes(node.key.to_vec()),
            node.member.map_or(Value::Null, Value::Uint),
            node.signature.clone().map_or(Value::Null, |(bytes, _)| Value::Bytes(bytes)),
            Value::Uint(node.side),
        ]);
        self.nodes.insert(id, node);
    }

    /// A signature that lets the node key in now: its bytes, and the key on which it rests.
    fn accepted(&self, signature: &Value, key: Hash) -> Result<(Vec<u8>, KeyId)> {
        let (pubkey, rests_on) = node_key_signature(signature)?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        check(pubkey == [&b"np"[..], &key].concat(), "a signature for another node key")?;
        check(lock.state().votes(&rests_on).is_some(), "an untrusted signer")?;
        Ok((signature.bytes()?.to_vec(), rests_on))
    }

    /// Section 3's *signatures*, applied.
    fn sign(&mut self, signatures: &Value) -> Result<()> {
        let list = signatures.list()?;
        check((1..=16_384).contains(&list.len()), "number of signatures")?;
        let mut last = None;
        for item in list {
            let [id, signature] = item.tuple()?;
            let id = id.uint()?;
            check(last < Some(id), "nodes out of order")?;
            last = Some(id);
            let mut node = self.nodes.get(&id).ok_or("an unknown node")?.clone();
            node.signature = Some(self.accepted(signature, node.key)?);
            self.put_node(id, node);
        }
        Ok(())
    }

    fn event(
        &mut self,
        kind: u64,
        body: &Value,
        actor: u64,
        member: &Member,
        time: u64,
    ) -> Result<()> {
        match kind {
            1 => check(self.next == 0, "another group"),
            2 => self.initialize(body.fields(&[1], &[2, 3, 4])?, member),
            3 => self.add_aums(body.fields(&[1, 2], &[3, 4, 5])?),
            4 => {
                check(self.lock.is_some(), "the lock is off")?;
                self.decided_here()?;
                self.sign(body.fields(&[1], &[])?.get(1))
            }
            5 => self.disable(body.fields(&[1, 2], &[])?),
            6 => {
                let body = body.fields(&[1, 2, 4], &[3, 5, 6])?;
                let rests_on = self.add_node(body, actor, member)?;
                body.may(6).map_or(Ok(()), |shown| self.show_auth_key(shown, rests_on, time))
            }
            7 => self.change_node(body.fields(&[1, 2], &[3, 4])?),
            8 => {
                let id = body.fields(&[1], &[])?.get(1).uint()?;
                let node = self.nodes.remove(&id).ok_or("an unknown node")?;
                self.acknowledged.retain(|(node, _), _| *node != id);
                self.waiting = self.waiting.filter(|(node, ..)| *node != id);
                self.effect(vec![Value::Uint(5), Value::Uint(id)]);
                if let Some(owner) = node.member {
                    let own = self.members[&owner].clone();
                    self.put_member(owner, Member { node: None, ..own });
                }
                Ok(())
            }
            9 => {
                let changed = details(body, member.key, member.node)?;
                self.put_member(actor, changed);
                Ok(())
            }
            10 => Err("only rules 1 are known".into()),
            11 => self.open_revocation(body.fields(&[1], &[2, 3, 4])?),
            12 => self.sign_revocation(body.fields(&[1, 2], &[])?),
            13 => {
                let body = body.fields(&[1], &[2])?;
                note(body.may(2))?;
                let id = body.get(1).fixed()?;
                check(self.revocations.contains_key(&id), "an unknown revocation")?;
                self.end_revocation(id);
                Ok(())
            }
            14 => self.issue_auth_key(body.fields(&[1, 2, 3], &[4])?, time),
            15 => {
                let id = auth_key_id(body.fields(&[1], &[])?.get(1))?;
                let key = self.auth_keys.get(&id).ok_or("an unknown auth key")?.clone();
                check(!key.revoked, "revoked already")?;
                self.put_auth_key(id, AuthKey { revoked: true, ..key });
                Ok(())
            }
            16 => self.acknowledge(body.fields(&[1, 2], &[3])?),
            17 => self.bring(body.fields(&[1, 2, 3], &[])?),
            18 => self.begin_adoption(body.fields(&[1, 2, 3, 4], &[])?),
            19 => self.adopt(body.fields(&[1], &[])?.get(1)),
            20 => {
                body.fields(&[], &[])?;
                self.end_adoption()
            }
            21 => self.observe(body.fields(&[1], &[])?.get(1)),
            _ => Err("an unknown kind of event".into()),
        }
    }

    /// A node says what it has applied of an epoch: a head, or its end.
    fn acknowledge(&mut self, body: Fields<'_>) -> Result<()> {
        let (node, epoch) = (body.get(1).uint()?, body.get(2).uint()?);
        let head: Option<Hash> = body.may(3).map(Value::fixed).transpose()?;
        check(self.nodes.contains_key(&node), "an unknown node")?;
        let now = self.epoch;
        check((1..=now).contains(&epoch), "an unknown epoch")?;
        let on = self.lock.as_ref().filter(|_| epoch == now);
        match (head, on) {
            (Some(head), Some(lock)) => check(lock.aums.contains_key(&head), "an unknown AUM")?,
            (Some(head), None) => {
                check(self.ended[epoch as usize - 1].contains(&head), "an unknown AUM")?;
            }
            (None, on) => check(on.is_none(), "the lock is on")?,
        }
        let before = self.acknowledged.insert((node, epoch), head);
        check(before != Some(head), "acknowledged already")?;
        self.effect(vec![
            Value::Uint(16),
            Value::Uint(node),
            Value::Uint(epoch),
            head.map_or(Value::Null, |head| Value::Bytes(head.to_vec())),
        ]);
        Ok(())
    }

    /// Whether somebody else's server decides the lock.
    fn followed(&self) -> bool {
        self.lock.is_some() && self.adoption.as_ref().is_some_and(|adoption| adoption.followed)
    }

    fn decided_here(&self) -> Result<()> {
        check(!self.followed(), "the lock is followed")
    }

    /// Whether an epoch may begin otherwise than by an adoption that is under way.
    fn may_begin(&self) -> Result<()> {
        check(self.lock.is_none(), "the lock is on")?;
        check(self.adoption.is_none(), "a lock is being adopted")
    }

    fn begin_adoption(&mut self, body: Fields<'_>) -> Result<()> {
        let root = Aum::read(body.get(1))?;
        let (head, aums) = (body.get(2).fixed()?, body.get(3).uint()?);
        let followed = body.get(4).bool()?;
        check(aums > 0, "no AUM")?;
        self.may_begin()?;
        let chain = Chain::from_root(&root)?;
        check(!self.state_ids.contains(&chain.state().id), "the state ID of an earlier epoch")?;
        self.effect(vec![
            Value::Uint(18),
            Value::Uint(self.epoch + 1),
            Value::Bytes(root.hash.to_vec()),
            Value::Bytes(head.to_vec()),
            Value::Uint(aums),
            Value::Bool(followed),
        ]);
        self.adoption = Some(Adoption { chain: Some(chain), head, aums, followed, seen: None });
        self.complete()
    }

    /// Begins the epoch if nothing of what is being adopted is missing.
    fn complete(&mut self) -> Result<()> {
        let Some(adoption) = &mut self.adoption else { return Ok(()) };
        let stored = adoption.chain.as_ref().map_or(0, |chain| chain.aums.len() as u64);
        check(stored <= adoption.aums, "more AUMs than announced")?;
        if stored < adoption.aums {
            return Ok(());
        }
        let chain = adoption.chain.take().ok_or("nothing is being adopted")?;
        check(chain.head == adoption.head, "another head than announced")?;
        self.state_ids.insert(chain.state().id);
        self.epoch += 1;
        let root = Value::Bytes(chain.genesis.to_vec());
        self.effect(vec![Value::Uint(6), Value::Uint(self.epoch), root]);
        self.lock = Some(chain);
        self.waiting = None;
        self.nodes.clone().into_iter().for_each(|(id, node)| self.put_node(id, node));
        Ok(())
    }

    fn adopt(&mut self, list: &Value) -> Result<()> {
        let list = list.list()?;
        check((1..=1024).contains(&list.len()), "number of AUMs")?;
        let aums: Vec<Aum> = list.iter().map(Aum::read).collect::<Result<_>>()?;
        let adoption = self.adoption.as_mut().ok_or("no adoption")?;
        let chain = match &mut adoption.chain {
            Some(chain) => chain,
            None => {
                check(adoption.followed, "an adoption that is complete")?;
                self.lock.as_mut().ok_or("the lock is off")?
            }
        };
        let before = chain.state().clone();
        for aum in &aums {
            check(!chain.aums.contains_key(&aum.hash), "on record already")?;
            chain.take(aum)?;
        }
        let (after, head) = (chain.state().clone(), chain.head);
        self.stored(&aums, head);
        if self.lock.is_some() {
            self.trust_moved(&before, &after);
            return Ok(());
        }
        self.complete()
    }

    fn end_adoption(&mut self) -> Result<()> {
        let adoption = self.adoption.take().ok_or("no adoption")?;
        if adoption.chain.is_some() {
            self.effect(vec![Value::Uint(20), Value::Uint(self.epoch + 1)]);
            return Ok(());
        }
        check(adoption.followed, "an adoption that is complete")?;
        let lock = self.lock.take().ok_or("the lock is off")?;
        self.state_ids.remove(&lock.state().id);
        self.end_epoch(&lock);
        Ok(())
    }

    fn observe(&mut self, shown: &Value) -> Result<()> {
        let lock = self.lock.as_ref().filter(|_| self.followed()).ok_or("no lock is followed")?;
        let (head, alarm): (Option<Hash>, u64) = match shown.list()? {
            [Value::Uint(0)] => (None, 1),
            [Value::Uint(1), head] => {
                let head: Hash = head.fixed()?;
                check(lock.aums.contains_key(&head), "an unknown AUM")?;
                let below = lock.is_active(&head);
                (
                    Some(head),
                    if head == lock.head {
                        0
                    } else if below {
                        2
                    } else {
                        3
                    },
                )
            }
            [Value::Uint(2), head, why, evidence] => {
                let (head, why) = (head.fixed()?, why.uint()?);
                check((1..=3).contains(&why), "an unknown reason")?;
                check(evidence.bytes()?.len() <= 1 << 20, "evidence")?;
                (Some(head), why + 3)
            }
            _ => return Err("an unknown kind of observation".into()),
        };
        let adoption = self.adoption.as_mut().ok_or("no adoption")?;
        check(adoption.seen != Some((head, alarm)), "observed already")?;
        adoption.seen = Some((head, alarm));
        self.effect(vec![
            Value::Uint(21),
            Value::Uint(self.epoch),
            head.map_or(Value::Null, |head| Value::Bytes(head.to_vec())),
            Value::Uint(alarm),
        ]);
        Ok(())
    }

    /// A node brings a genesis, which waits.
    fn bring(&mut self, body: Fields<'_>) -> Result<()> {
        self.may_begin()?;
        let node = body.get(1).uint()?;
        check(self.nodes.contains_key(&node), "an unknown node")?;
        let key = own_key(body.get(2))?;
        let genesis = Aum::read(body.get(3))?;
        let chain = Chain::new(&genesis)?;
        genesis.trusts_well(None)?;
        check(chain.state().votes(&key).is_some(), "its maker is not trusted")?;
        check(!self.state_ids.contains(&chain.state().id), "the state ID of an earlier epoch")?;
        self.waiting = Some((node, key, genesis.hash));
        self.effect(vec![Value::Uint(17), Value::Uint(node), Value::Bytes(genesis.hash.to_vec())]);
        Ok(())
    }

    fn put_revocation(&mut self, aum: Aum) {
        let (id, epoch) = (aum.signed, self.epoch);
        let hashes = [id, aum.hash].map(|hash| Value::Bytes(hash.to_vec()));
        self.effect([vec![Value::Uint(11)], hashes.to_vec()].concat());
        self.revocations.insert(id, (epoch, aum));
    }

    fn end_revocation(&mut self, id: Hash) {
        if self.revocations.remove(&id).is_some() {
            self.effect(vec![Value::Uint(12), Value::Bytes(id.to_vec())]);
        }
    }

    fn open_revocation(&mut self, body: Fields<'_>) -> Result<()> {
        let aum = Aum::read(body.get(1))?;
        if let Some(keys) = body.may(2) {
            let keys: Vec<Hash> = keys.list()?.iter().map(Value::fixed).collect::<Result<_>>()?;
            let ascend = keys.windows(2).all(|pair| pair[0] < pair[1]);
            check((1..=512).contains(&keys.len()) && ascend, "its keys")?;
            let state = aum.state.as_ref().ok_or("no checkpoint")?;
            check(keys.iter().all(|key| state.key(key).is_none()), "a key that it trusts")?;
        }
        reason(body.may(3))?;
        note(body.may(4))?;
        self.decided_here()?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        check(!self.revocations.contains_key(&aum.signed), "it waits already")?;
        check(self.revocations.len() < 32, "too many wait")?;
        lock.revocation(&aum)?;
        self.put_revocation(aum);
        Ok(())
    }

    fn sign_revocation(&mut self, body: Fields<'_>) -> Result<()> {
        let id: Hash = body.get(1).fixed()?;
        let mut more: Vec<(Hash, Vec<u8>)> = Vec::new();
        for item in body.get(2).list()? {
            let [key, signature] = item.tuple()?;
            more.push((key.fixed()?, signature.fixed::<64>()?.to_vec()));
        }
        let ascend = more.windows(2).all(|pair| pair[0].0 < pair[1].0);
        check((1..=512).contains(&more.len()) && ascend, "its signers")?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        let (epoch, aum) = self.revocations.get(&id).ok_or("an unknown revocation")?;
        check(*epoch == self.epoch, "a revocation of an earlier lock")?;
        let aum = aum.with_signatures(&more)?;
        lock.revocation(&aum)?;
        self.put_revocation(aum);
        Ok(())
    }

    fn put_auth_key(&mut self, id: String, key: AuthKey) {
        self.effect(vec![
            Value::Uint(14),
            Value::Text(id.clone()),
            Value::Bytes(key.hash.to_vec()),
            Value::Bool(key.reusable),
            key.expires.map_or(Value::Null, Value::Uint),
            Value::Bool(key.revoked || key.used && !key.reusable),
        ]);
        self.auth_keys.insert(id, key);
    }

    fn issue_auth_key(&mut self, body: Fields<'_>, time: u64) -> Result<()> {
        let id = auth_key_id(body.get(1))?;
        let (hash, reusable) = (body.get(2).fixed()?, body.get(3).bool()?);
        let expires = body.may(4).map(Value::uint).transpose()?;
        check(!self.auth_keys.contains_key(&id), "an auth key that was there")?;
        check(expires.is_none_or(|expires| time < expires), "expired when it is issued")?;
        let key = AuthKey { hash, reusable, expires, used: false, revoked: false };
        self.put_auth_key(id, key);
        Ok(())
    }

    /// A node came in by showing an auth key; `rests_on` is what its signature rests on.
    fn show_auth_key(&mut self, shown: &Value, rests_on: Option<KeyId>, time: u64) -> Result<()> {
        let [id, hash] = shown.tuple()?;
        let (id, hash): (String, Hash) = (auth_key_id(id)?, hash.fixed()?);
        let key = self.auth_keys.get(&id).ok_or("an unknown auth key")?.clone();
        check(key.hash == hash, "another secret")?;
        check(!key.revoked && (key.reusable || !key.used), "revoked or used")?;
        check(key.expires.is_none_or(|expires| time < expires), "expired")?;
        let signer = self.lock.as_ref().and_then(|lock| lock.state().key(&rests_on?));
        let pre_auth = signer
            .map(|key| &key.meta)
            .filter(|meta| meta.get("purpose").is_some_and(|purpose| purpose == "pre-auth key"));
        let made_for = pre_auth.and_then(|meta| meta.get("authkey_stableid"));
        check(made_for.is_none_or(|other| *other == id), "another auth key's credential")?;
        self.put_auth_key(id, AuthKey { used: true, ..key });
        Ok(())
    }

    fn initialize(&mut self, body: Fields<'_>, member: &Member) -> Result<()> {
        self.may_begin()?;
        let genesis = Aum::read(body.get(1))?;
        let chain = Chain::new(&genesis)?;
        genesis.trusts_well(None)?;
        let own = match body.may(4) {
            None => member.lock_key.ok_or("the member has no lock key")?,
            Some(node) => match self.waiting {
                Some((by, key, hash)) if by == node.uint()? && hash == genesis.hash => key,
                _ => return Err("no such genesis waits".into()),
            },
        };
        check(chain.state().votes(&own).is_some(), "the initializer is not trusted")?;
        check(self.state_ids.insert(chain.state().id), "the state ID of an earlier epoch")?;
        if let Some(labels) = body.may(3) {
            let labels = labels.list()?;
            check(labels.len() == chain.state().values.len(), "labels for other values")?;
            for label in labels {
                let label = label.fields(&[1, 2], &[3])?;
                label.get(2).uint()?;
                for text in [Some(label.get(1)), label.may(3)].into_iter().flatten() {
                    check((1..=256).contains(&text.text()?.len()), "text of a label")?;
                }
            }
        }
        let signed: Vec<u64> = match body.may(2) {
            None => Vec::new(),
            Some(list) => list
                .list()?
                .iter()
                .map(|item| item.tuple::<2>()?[0].uint())
                .collect::<Result<_>>()?,
        };
        check(signed.iter().eq(self.nodes.keys()), "the roster has changed")?;
        self.epoch += 1;
        let epoch = self.epoch;
        let hash = || Value::Bytes(genesis.hash.to_vec());
        self.effect(vec![Value::Uint(6), Value::Uint(epoch), hash()]);
        self.effect(vec![Value::Uint(7), Value::Array(vec![hash()]), hash()]);
        self.lock = Some(chain);
        self.waiting = None;
        body.may(2).map_or(Ok(()), |signatures| self.sign(signatures))
    }

    fn add_aums(&mut self, body: Fields<'_>) -> Result<()> {
        let list = body.get(1).list()?;
        check((1..=1024).contains(&list.len()), "number of AUMs")?;
        let aums: Vec<Aum> = list.iter().map(Aum::read).collect::<Result<_>>()?;
        let fork = body.get(2).bool()?;
        reason(body.may(4))?;
        note(body.may(5))?;
        self.decided_here()?;
        let chain = self.lock.as_mut().ok_or("the lock is off")?;
        let before = chain.state().clone();
        let mut follows = chain.head;
        for aum in &aums {
            check(fork || aum.parent == Some(follows), "not on the head")?;
            follows = aum.hash;
            check(!chain.aums.contains_key(&aum.hash), "on record already")?;
            aum.trusts_well(Some(&before))?;
            chain.take(aum)?;
        }
        let (after, head) = (chain.state().clone(), chain.head);
        for aum in aums.iter().filter(|aum| self.revocations.contains_key(&aum.signed)) {
            check(chain.is_active(&aum.hash), "a revocation that loses")?;
        }
        self.stored(&aums, head);
        aums.iter().for_each(|aum| self.end_revocation(aum.signed));
        if let Some(signatures) = body.may(3) {
            self.sign(signatures)?;
        }
        self.trust_moved(&before, &after);
        Ok(())
    }

    fn stored(&mut self, aums: &[Aum], head: Hash) {
        let hashes = aums.iter().map(|aum| Value::Bytes(aum.hash.to_vec())).collect();
        self.effect(vec![Value::Uint(7), Value::Array(hashes), Value::Bytes(head.to_vec())]);
    }

    /// Nodes whose signature rests on a key that was trusted, or is now, come in or go out.
    fn trust_moved(&mut self, before: &State, after: &State) {
        for (was, is) in [(before, after), (after, before)] {
            let ids = |state: &State| state.keys.iter().map(|key| key.id.clone()).collect();
            let (was, is): (BTreeSet<KeyId>, BTreeSet<KeyId>) = (ids(was), ids(is));
            for key in was.difference(&is) {
                let resting: Vec<(u64, RosterNode)> = self
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.signature.as_ref().is_some_and(|(_, on)| on == key))
                    .map(|(id, node)| (*id, node.clone()))
                    .collect();
                resting.into_iter().for_each(|(id, node)| self.put_node(id, node));
            }
        }
    }

    fn disable(&mut self, body: Fields<'_>) -> Result<()> {
        let secret = body.get(1).bytes()?;
        check((1..=1024).contains(&secret.len()), "the secret's length")?;
        let params = argon2::Params::new(16_384, 4, 4, Some(32)).unwrap();
        let kdf = argon2::Argon2::new(argon2::Algorithm::Argon2i, argon2::Version::V0x13, params);
        let mut value = [0; 32];
        let salt = b"tailscale network-lock disablement salt";
        kdf.hash_password_into(secret, salt, &mut value).map_err(|e| e.to_string())?;
        check(value == body.get(2).fixed()?, "another value")?;
        self.decided_here()?;
        let lock = self.lock.take().ok_or("the lock is off")?;
        check(lock.state().values.contains(&value.to_vec()), "not a value of the lock")?;
        self.adoption = None;
        self.end_epoch(&lock);
        Ok(())
    }

    fn end_epoch(&mut self, lock: &Chain) {
        self.ended.push(lock.aums.keys().copied().collect());
        self.effect(vec![Value::Uint(8), Value::Uint(self.epoch)]);
        for (id, node) in self.nodes.clone() {
            self.put_node(id, RosterNode { signature: None, ..node });
        }
    }

    fn free(&self, name: &str, key: Hash, but: Option<u64>) -> Result<()> {
        let others = || self.nodes.iter().filter(|(id, _)| Some(**id) != but).map(|(_, node)| node);
        check(others().all(|node| node.name != name), "the name is taken")?;
        check(others().all(|node| node.key != key), "the node key is taken")
    }

    /// A node joins; gives the key on which its signature rests, if it brings one.
    fn add_node(&mut self, body: Fields<'_>, actor: u64, member: &Member) -> Result<Option<KeyId>> {
        let (name, key) = (name(body.get(1))?, node_key(body.get(2))?);
        body.may(3).map(own_key).transpose()?;
        check(self.nodes.len() < 16_384 && self.numbered < 4_193_534, "the roster is full")?;
        self.free(&name, key, None)?;
        let own = body.get(4).bool()?;
        check(!own || member.node.is_none(), "the member has a machine")?;
        let signature = body.may(5).map(|sig| self.accepted(sig, key)).transpose()?;
        let rests_on = signature.as_ref().map(|(_, rests_on)| rests_on.clone());
        self.numbered += 1;
        let id = self.numbered;
        let node = RosterNode { name, key, member: own.then_some(actor), signature, side: 0 };
        self.put_node(id, node);
        if own {
            self.put_member(actor, Member { node: Some(id), ..member.clone() });
        }
        Ok(rests_on)
    }

    fn change_node(&mut self, body: Fields<'_>) -> Result<()> {
        let (id, key) = (body.get(1).uint()?, node_key(body.get(2))?);
        body.may(3).map(own_key).transpose()?;
        let mut node = self.nodes.get(&id).ok_or("an unknown node")?.clone();
        self.free("", key, Some(id))?;
        if node.key != key {
            (node.key, node.signature) = (key, None);
        }
        if let Some(signature) = body.may(4) {
            node.signature = Some(self.accepted(signature, key)?);
        }
        self.put_node(id, node);
        Ok(())
    }
}

fn reason(value: Option<&Value>) -> Result<()> {
    value.map_or(Ok(()), |reason| check((1..=4).contains(&reason.uint()?), "reason"))
}

fn note(value: Option<&Value>) -> Result<()> {
    value.map_or(Ok(()), |note| check((1..=1024).contains(&note.text()?.len()), "note"))
}

fn auth_key_id(value: &Value) -> Result<String> {
    let id = value.text()?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    check(fits, "not an auth key's ID")?;
    Ok(id.to_owned())
}

/// A member's details, for the member with that key and machine. Only rules 1 are known.
fn details(value: &Value, key: Hash, node: Option<u64>) -> Result<Member> {
    let body = value.fields(&[1, 2, 4], &[3])?;
    name(body.get(1))?;
    let log_key = own_key(body.get(2))?;
    let lock_key = body.may(3).map(own_key).transpose()?;
    let rules = body.get(4).uint()?;
    check((1..=u64::from(u32::MAX)).contains(&rules), "rules")?;
    let different = log_key != key && lock_key.is_none_or(|lock| lock != key && lock != log_key);
    check(different, "one key for two purposes")?;
    Ok(Member { key, log_key, lock_key, rules, node })
}
