//! Tailscale's formats and rules, as section 12 of the document sums them up: AUMs, the choice among
//! branches, node-key signatures.

use std::collections::{BTreeMap, BTreeSet};

use blake2::{Blake2s256, Digest};

use crate::cbor::{Result, Value, decode, encode};

pub type Hash = [u8; 32];
pub type KeyId = Vec<u8>;

pub fn blake2s(parts: &[&[u8]]) -> Hash {
    let mut hash = Blake2s256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

pub fn check(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(what.into()) }
}

pub fn zip215(key: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    let key = ed25519_zebra::VerificationKey::try_from(key).map_err(|e| e.to_string())?;
    let signature = ed25519_zebra::Signature::try_from(signature).map_err(|e| e.to_string())?;
    key.verify(&signature, message).map_err(|e| e.to_string())
}

pub fn standard(key: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    use ed25519_dalek::Verifier as _;
    let key = key.try_into().map_err(|_| "not 32 bytes")?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|e| e.to_string())?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|e| e.to_string())?;
    check(!key.is_weak(), "a weak wrapping key")?;
    key.verify(message, &signature).map_err(|e| e.to_string())
}

pub fn weak(key: &[u8]) -> bool {
    key.try_into().is_ok_and(|key| {
        ed25519_dalek::VerifyingKey::from_bytes(key).is_ok_and(|key| key.is_weak())
    })
}

/// Section 12: a trusted key.
#[derive(Clone, PartialEq)]
pub struct Key {
    pub id: KeyId,
    pub votes: u64,
    pub meta: BTreeMap<String, String>,
}

/// Section 12: trusted keys in their order.
#[derive(Clone, PartialEq)]
pub struct State {
    pub keys: Vec<Key>,
    pub values: Vec<Vec<u8>>,
    pub id: (u64, u64),
}

impl State {
    pub fn read(value: &Value) -> Result<State> {
        let fields = value.fields(&[1, 2, 3], &[4, 5])?;
        check(*fields.get(1) == Value::Null, "a checkpoint with a last AUM")?;
        let values: Result<Vec<_>> =
            fields.get(2).list()?.iter().map(|v| v.bytes().map(<[u8]>::to_vec)).collect();
        let keys: Vec<_> = fields.get(3).list()?.iter().map(trusted_key).collect::<Result<_>>()?;
        let part = |key| fields.may(key).map_or(Ok(0), Value::uint);
        let state = State { keys, values: values?, id: (part(4)?, part(5)?) };
        let ids: BTreeSet<&KeyId> = state.keys.iter().map(|key| &key.id).collect();
        check((1..=512).contains(&ids.len()) && ids.len() == state.keys.len(), "its keys")?;
        let values: BTreeSet<&Vec<u8>> = state.values.iter().collect();
        check((1..=32).contains(&values.len()) && values.len() == state.values.len(), "values")?;
        check(values.iter().all(|value| value.len() == 32), "a value's length")?;
        Ok(state)
    }

    pub fn key(&self, id: &[u8]) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub fn votes(&self, id: &[u8]) -> Option<u64> {
        self.key(id).map(|key| key.votes)
    }
}

pub fn trusted_key(value: &Value) -> Result<Key> {
    let fields = value.fields(&[1, 2, 3], &[12])?;
    let votes = fields.get(2).uint()?;
    check(fields.get(1).uint()? == 1 && (1..=4096).contains(&votes), "kind or votes")?;
    let meta = fields.may(12).map_or(Ok(BTreeMap::new()), metadata)?;
    Ok(Key { id: fields.get(3).bytes()?.to_vec(), votes, meta })
}

pub fn metadata(value: &Value) -> Result<BTreeMap<String, String>> {
    let Value::Map(pairs) = value else { return Err("metadata that is no map".into()) };
    let pair =
        |(key, value): &(Value, Value)| Ok((key.text()?.to_owned(), value.text()?.to_owned()));
    let meta = pairs.iter().map(pair).collect::<Result<BTreeMap<_, _>>>()?;
    let bytes: usize = meta.iter().map(|(key, value)| key.len() + value.len()).sum();
    check(!meta.is_empty() && bytes <= 512, "metadata")?;
    Ok(meta)
}

#[derive(Clone)]
pub struct Aum {
    pub hash: Hash,
    /// What its signers sign.
    pub signed: Hash,
    document: Value,
    pub parent: Option<Hash>,
    pub kind: u64,
    pub signers: Vec<KeyId>,
    pub key: Option<Key>,
    pub key_id: Vec<u8>,
    pub state: Option<State>,
    pub votes: Option<u64>,
    pub meta: Option<BTreeMap<String, String>>,
}

impl Aum {
    /// Decodes one and checks its signatures.
    pub fn read(value: &Value) -> Result<Aum> {
        let bytes = value.bytes()?;
        let document = decode(bytes)?;
        let fields = document.fields(&[1, 2], &[3, 4, 5, 6, 7, 23])?;
        let parent = match fields.get(2) {
            Value::Null => None,
            parent => Some(parent.fixed()?),
        };
        let signed = blake2s(&[&encode(&fields.without(23))]);
        let mut signers = Vec::new();
        for signature in fields.may(23).ok_or("an unsigned AUM")?.list()? {
            let signature = signature.fields(&[1, 2], &[])?;
            let key = signature.get(1).bytes()?;
            zip215(key, &signed, signature.get(2).bytes()?)?;
            signers.push(key.to_vec());
        }
        check(!signers.is_empty(), "an unsigned AUM")?;
        let kind = fields.get(1).uint()?;
        let given = |key| fields.may(key).is_some();
        let only =
            |allowed: &[u64]| [3, 4, 5, 6, 7].iter().all(|k| !given(*k) || allowed.contains(k));
        let fits = match kind {
            1 => given(3) && only(&[3]),
            2 => given(4) && only(&[4]),
            4 => given(4) && (given(6) || given(7)) && only(&[4, 6, 7]),
            5 => given(5) && only(&[5]),
            _ => true,
        };
        check(fits && kind < 256, "fields of another kind")?;
        Ok(Aum {
            hash: blake2s(&[bytes]),
            signed,
            document: document.clone(),
            parent,
            kind,
            signers,
            key: fields.may(3).map(trusted_key).transpose()?,
            key_id: fields.may(4).map_or(Ok(&[][..]), Value::bytes)?.to_vec(),
            state: fields.may(5).map(State::read).transpose()?,
            votes: fields.may(6).map(Value::uint).transpose()?,
            meta: fields.may(7).map(metadata).transpose()?,
        })
    }

    pub fn weight(&self, at_parent: &State) -> Result<u64> {
        let signers: BTreeSet<&KeyId> = self.signers.iter().collect();
        let votes = signers.into_iter().map(|id| at_parent.votes(id).ok_or("an untrusted signer"));
        Ok(votes.sum::<std::result::Result<u64, _>>()?)
    }

    pub fn apply(&self, before: &State) -> Result<State> {
        let mut state = before.clone();
        let place = state.keys.iter().position(|key| key.id == self.key_id);
        match self.kind {
            1 => {
                let key = self.key.clone().ok_or("no key")?;
                check(state.key(&key.id).is_none(), "trusted already")?;
                state.keys.push(key);
            }
            2 => {
                state.keys.remove(place.ok_or("not trusted")?);
                check(!state.keys.is_empty(), "the last key")?;
            }
            4 => {
                let key = &mut state.keys[place.ok_or("not trusted")?];
                key.votes = self.votes.unwrap_or(key.votes);
                check((1..=4096).contains(&key.votes), "votes")?;
                key.meta = self.meta.clone().unwrap_or_else(|| key.meta.clone());
            }
            5 => {
                state = self.state.clone().ok_or("no state")?;
                check(state.id == before.id, "another lock")?;
            }
            _ => {}
        }
        Ok(state)
    }

    /// The same AUM with more signatures, which are checked.
    pub fn with_signatures(&self, more: &[(Hash, Vec<u8>)]) -> Result<Aum> {
        let Value::Map(mut pairs) = self.document.clone() else { return Err("no map".into()) };
        let Some((_, Value::Array(list))) = pairs.last_mut() else { return Err("no list".into()) };
        for (key, signature) in more {
            let pair = [Value::Bytes(key.to_vec()), Value::Bytes(signature.clone())];
            let keyed = [Value::Uint(1), Value::Uint(2)].into_iter().zip(pair);
            list.push(Value::Map(keyed.collect()));
        }
        Aum::read(&Value::Bytes(encode(&Value::Map(pairs))))
    }

    /// Section 5: nobody becomes trusted who cannot be.
    pub fn trusts_well(&self, now: Option<&State>) -> Result<()> {
        let named: &[Key] = match self.kind {
            1 => self.key.as_slice(),
            5 => self.state.as_ref().map_or(&[], |state| &state.keys),
            _ => &[],
        };
        let news = |id: &KeyId| now.is_none_or(|state| state.key(id).is_none());
        let bad = named.iter().any(|key| news(&key.id) && (key.id.len() != 32 || weak(&key.id)));
        check(!bad, "a key that cannot be trusted")
    }
}

/// A stored AUM.
#[derive(Clone)]
pub struct Node {
    pub parent: Option<Hash>,
    /// Least is preferred.
    pub preference: (std::cmp::Reverse<u64>, bool, Hash),
    pub signed: Hash,
    pub signers: Vec<KeyId>,
    /// The number of AUMs below it.
    pub height: u64,
    pub state: State,
}

/// An epoch's chain of AUMs.
#[derive(Clone)]
pub struct Chain {
    pub genesis: Hash,
    pub aums: BTreeMap<Hash, Node>,
    pub head: Hash,
}

impl Chain {
    pub fn new(genesis: &Aum) -> Result<Chain> {
        check(genesis.parent.is_none(), "a genesis with a parent")?;
        Self::from_root(genesis)
    }

    /// Begins with a genesis or a later checkpoint.
    pub fn from_root(genesis: &Aum) -> Result<Chain> {
        check(genesis.kind == 5, "not a checkpoint")?;
        let state = genesis.state.clone().ok_or("no state")?;
        genesis.weight(&state)?;
        let preference = (std::cmp::Reverse(0), true, genesis.hash);
        let (hash, signed, signers) = (genesis.hash, genesis.signed, genesis.signers.clone());
        let node = Node { parent: None, preference, signed, signers, height: 0, state };
        Ok(Chain { genesis: hash, aums: BTreeMap::from([(hash, node)]), head: hash })
    }

    pub fn state(&self) -> &State {
        &self.aums[&self.head].state
    }

    pub fn take(&mut self, aum: &Aum) -> Result<()> {
        let parent = aum.parent.ok_or("no parent")?;
        let below = self.aums.get(&parent).ok_or("an unknown parent")?;
        let weight = aum.weight(&below.state)?;
        let (state, height) = (aum.apply(&below.state)?, below.height + 1);
        let preference = (std::cmp::Reverse(weight), aum.kind != 2, aum.hash);
        let (parent, signed, signers) = (Some(parent), aum.signed, aum.signers.clone());
        let node = Node { parent, preference, signed, signers, height, state };
        self.aums.insert(aum.hash, node);
        // On the head there is nothing to choose from.
        self.head = if parent == Some(self.head) { aum.hash } else { self.genesis };
        while let Some(next) = self.active_child() {
            self.head = next;
        }
        Ok(())
    }

    /// Section 5: whether it is a revocation that may be signed.
    pub fn revocation(&self, aum: &Aum) -> Result<()> {
        let parent = aum.parent.ok_or("no parent")?;
        let state = aum.state.as_ref().filter(|_| aum.kind == 5).ok_or("no checkpoint")?;
        let now = self.state();
        check(state.id == now.id, "another lock")?;
        let values = |state: &State| state.values.iter().cloned().collect::<BTreeSet<_>>();
        let mut since = vec![self.head];
        while since.last() != Some(&parent) {
            let below = self.aums[since.last().unwrap()].parent;
            since.push(below.ok_or("the parent is not on the active branch")?);
        }
        if let [.., next, _] = since[..] {
            check(self.aums[&next].signed != aum.signed, "in force already")?;
        }
        let at_parent = &self.aums[&parent].state;
        let signers: BTreeSet<&KeyId> = aum.signers.iter().collect();
        check(signers.len() == aum.signers.len(), "a signer twice")?;
        check(signers.iter().all(|id| at_parent.key(id).is_some()), "an untrusted signer")?;
        let once = since.iter().any(|hash| {
            let at = &self.aums[hash].state;
            let mut then = at.keys.iter();
            values(state) == values(at) && state.keys.iter().all(|key| then.any(|k| k == key))
        });
        check(once, "a state that never was")?;
        let can_sign = |key: &Key| {
            let purpose = key.meta.get("purpose").map(String::as_str);
            key.id.len() == 32 && !weak(&key.id) && purpose != Some("pre-auth key")
        };
        check(state.keys.iter().any(can_sign), "nobody could sign any more")
    }

    /// Whether it is the head or lies below it.
    pub fn is_active(&self, hash: &Hash) -> bool {
        let mut at = Some(self.head);
        while at.is_some_and(|at| at != *hash) {
            at = at.and_then(|at| self.aums[&at].parent);
        }
        at.is_some()
    }

    pub fn active_child(&self) -> Option<Hash> {
        let children = self.aums.values().filter(|node| node.parent == Some(self.head));
        children.map(|node| node.preference).min().map(|(_, _, hash)| hash)
    }
}

/// Checks every level of a node-key signature; gives the node key and the key on which it rests.
pub fn node_key_signature(value: &Value) -> Result<(Vec<u8>, KeyId)> {
    fn level(value: &Value, outermost: bool) -> Result<(Vec<u8>, KeyId, Vec<u8>)> {
        let fields = value.fields(&[1], &[2, 3, 4, 5, 6])?;
        let bytes = |key| -> Result<Vec<u8>> {
            let field = fields.may(key).map_or(Ok(&[][..]), Value::bytes)?;
            check(fields.may(key).is_none() || !field.is_empty(), "an empty field")?;
            Ok(field.to_vec())
        };
        let message = blake2s(&[&encode(&fields.without(4))]);
        let (pubkey, key_id, signature, wrapping) = (bytes(2)?, bytes(3)?, bytes(4)?, bytes(6)?);
        let kind = fields.get(1).uint()?;
        check(!outermost || kind != 3, "a credential by itself")?;
        check(kind == 3 && pubkey.is_empty() || well_formed(&pubkey), "no node key")?;
        match (kind, fields.may(5)) {
            (1 | 3, None) => {
                zip215(&key_id, &message, &signature)?;
                Ok((pubkey, key_id, wrapping))
            }
            (2, Some(nested)) => {
                let (_, rests_on, inherited) = level(nested, false)?;
                standard(&inherited, &message, &signature)?;
                let wrapping = if wrapping.is_empty() { inherited } else { wrapping };
                Ok((pubkey, rests_on, wrapping))
            }
            _ => Err("an unknown kind of signature".into()),
        }
    }
    let (pubkey, rests_on, _) = level(&decode(value.bytes()?)?, true)?;
    Ok((pubkey, rests_on))
}

pub fn well_formed(pubkey: &[u8]) -> bool {
    pubkey.len() == 34 && pubkey.starts_with(b"np")
}
