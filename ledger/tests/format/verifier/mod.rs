//! A verifier written from docs/ledger-format.md alone: no code of the ledger, only CBOR heads,
//! hashes, Ed25519 and Argon2 from their crates. Numbers are those of the document's sections.

mod adoption;
mod door;
mod lock;
mod members;
mod revocations;
mod roster;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::cbor::{Result, Value, decode, encode};
use crate::tailscale::{Aum, Chain, Hash, KeyId, blake2s, check, weak, zip215};

use door::Door;
use members::{Invitation, Member, Purpose, details};

/// A member, log, lock or invitation key.
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

/// A revocation that waits.
#[derive(Clone)]
struct Waiting {
    epoch: u64,
    aum: Aum,
    /// Who opened it: the member, and as whom.
    opened_by: (u64, Option<u64>),
    /// The key of the first signature that it had.
    opened_by_key: KeyId,
}

/// Who proposes, and when.
struct Actor {
    /// Its number, and the user of its machine that asked, if any.
    id: (u64, Option<u64>),
    member: Member,
    time: u64,
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
    incarnation: u64,
    next: u64,
    last: Option<Hash>,
    pub fold_hash: Hash,
    /// The active rules.
    rules: u64,
    /// All that there ever were; the last number is the last one given.
    members: BTreeMap<u64, Member>,
    /// Every key that a member has or had: whose, and what for.
    member_keys: BTreeMap<Hash, (u64, Purpose)>,
    invitations: BTreeMap<Hash, Invitation>,
    requests: BTreeMap<String, (Hash, BTreeSet<u64>)>,
    nodes: BTreeMap<u64, RosterNode>,
    numbered: u64,
    auth_keys: BTreeMap<String, AuthKey>,
    lock: Option<Chain>,
    /// What the door keeps of the lock, once it has judged something.
    door: Option<Door>,
    /// Revocations that wait, by what is signed.
    revocations: BTreeMap<Hash, Waiting>,
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
        let who = match who.list()? {
            [Value::Uint(0)] => None,
            [Value::Uint(1), uid] => Some(uid.uint()?),
            _ => return Err("an unknown kind of actor".into()),
        };
        check(who.is_none_or(|uid| uid <= u32::MAX.into()), "user ID")?;
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
            self.incarnation = 1;
            self.effect(vec![
                Value::Uint(1),
                Value::Bytes(cluster.to_vec()),
                Value::Uint(incarnation),
            ]);
            self.found(body)?;
        }
        check(self.cluster == Some(cluster), "another cluster")?;
        if kind == 27 {
            self.begin_incarnation(body.fields(&[1, 2, 3], &[])?, p.get(3).uint()?)?;
        }
        check(p.get(3).uint()? == self.incarnation, "another incarnation")?;
        let member = self.members.get(&actor).ok_or("an unknown member")?.clone();
        check(member.takes_part(), "the member takes no part")?;
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
        self.event(kind, body, &Actor { id: (actor, who), member, time })
    }

    fn found(&mut self, body: &Value) -> Result<()> {
        let body = body.fields(&[1, 2, 3], &[])?;
        check(body.get(1).uint()? == 1, "the first member is number 1")?;
        let key = own_key(body.get(2))?;
        let member = details(body.get(3), key, None)?;
        self.begin_rules(member.rules)?;
        check(!member.addressed || self.rules >= 2, "rules 1 know no addresses")?;
        self.put_member(1, member);
        Ok(())
    }

    fn event(&mut self, kind: u64, body: &Value, actor: &Actor) -> Result<()> {
        let (id, member, time) = (actor.id.0, &actor.member, actor.time);
        match kind {
            1 => check(self.next == 0, "another group"),
            2 => self.initialize(body.fields(&[1], &[2, 3, 4])?, member),
            3 => self.add_aums(body.fields(&[1, 2], &[3, 4, 5])?),
            4 => {
                check(self.lock.is_some(), "the lock is off")?;
                self.decided_here()?;
                self.sign(body.fields(&[1], &[])?.get(1), false)
            }
            5 => self.disable(body.fields(&[1, 2], &[])?),
            6 => {
                let body = body.fields(&[1, 2, 4], &[3, 5, 6])?;
                let rests_on = self.add_node(body, id, member)?;
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
                self.change_member(id, Member { standing: member.standing, ..changed })
            }
            10 => self.rules_activated(body.fields(&[1], &[])?.get(1).uint()?),
            11 => self.open_revocation(body.fields(&[1], &[2, 3, 4])?, actor.id),
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
            22..=26 => self.member_event(kind, body, time),
            27 => Ok(()),
            _ => Err("an unknown kind of event".into()),
        }
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
