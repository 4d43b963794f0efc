//! Nodes and auth keys: sections 5 and 6.

use crate::cbor::{Fields, Result, Value};
use crate::tailscale::{Hash, KeyId, check, node_key_signature};

use super::{AuthKey, Member, RosterNode, Verifier, auth_key_id, name, node_key, own_key};

impl Verifier {
    /// Sets a node's entry, on the side on which it is now.
    pub(super) fn put_node(&mut self, id: u64, mut node: RosterNode) {
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
    pub(super) fn accepted(&self, signature: &Value, key: Hash) -> Result<(Vec<u8>, KeyId)> {
        let (pubkey, rests_on) = node_key_signature(signature)?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        check(pubkey == [&b"np"[..], &key].concat(), "a signature for another node key")?;
        check(lock.state().votes(&rests_on).is_some(), "an untrusted signer")?;
        Ok((signature.bytes()?.to_vec(), rests_on))
    }

    /// Section 9: a credential's signature counts for whoever is entitled to one.
    fn entitled(&self, rests_on: &KeyId, entitled: bool) -> Result<()> {
        let key = self.lock.as_ref().and_then(|lock| lock.state().key(rests_on));
        let purpose = key.and_then(|key| key.meta.get("purpose"));
        let is_credential = purpose.is_some_and(|purpose| purpose == "pre-auth key");
        let asks = self.rules >= 2 && self.adoption.is_none();
        check(!is_credential || !asks || entitled, "a credential without its auth key")
    }

    /// Section 3's *signatures*, applied; those of a genesis are anybody's.
    pub(super) fn sign(&mut self, signatures: &Value, genesis: bool) -> Result<()> {
        let list = signatures.list()?;
        check((1..=16_384).contains(&list.len()), "number of signatures")?;
        let mut last = None;
        for item in list {
            let [id, signature] = item.tuple()?;
            let id = id.uint()?;
            check(last < Some(id), "nodes out of order")?;
            last = Some(id);
            let mut node = self.nodes.get(&id).ok_or("an unknown node")?.clone();
            let signed = self.accepted(signature, node.key)?;
            let renews = node.signature.is_some_and(|(_, before)| before == signed.1);
            self.entitled(&signed.1, renews || genesis)?;
            node.signature = Some(signed);
            self.put_node(id, node);
        }
        Ok(())
    }

    /// A node says what it has applied of an epoch: a head, or its end.
    pub(super) fn acknowledge(&mut self, body: Fields<'_>) -> Result<()> {
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

    pub(super) fn put_auth_key(&mut self, id: String, key: AuthKey) {
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

    pub(super) fn issue_auth_key(&mut self, body: Fields<'_>, time: u64) -> Result<()> {
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
    pub(super) fn show_auth_key(
        &mut self,
        shown: &Value,
        rests_on: Option<KeyId>,
        time: u64,
    ) -> Result<()> {
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

    pub(super) fn free(&self, name: &str, key: Hash, but: Option<u64>) -> Result<()> {
        let others = || self.nodes.iter().filter(|(id, _)| Some(**id) != but).map(|(_, node)| node);
        check(others().all(|node| node.name != name), "the name is taken")?;
        check(others().all(|node| node.key != key), "the node key is taken")
    }

    /// A node joins; gives the key on which its signature rests, if it brings one.
    pub(super) fn add_node(
        &mut self,
        body: Fields<'_>,
        actor: u64,
        member: &Member,
    ) -> Result<Option<KeyId>> {
        let (name, key) = (name(body.get(1))?, node_key(body.get(2))?);
        body.may(3).map(own_key).transpose()?;
        check(self.nodes.len() < 16_384 && self.numbered < 4_193_534, "the roster is full")?;
        self.free(&name, key, None)?;
        let own = body.get(4).bool()?;
        check(!own || member.node.is_none(), "the member has a machine")?;
        let signature = body.may(5).map(|sig| self.accepted(sig, key)).transpose()?;
        let rests_on = signature.as_ref().map(|(_, rests_on)| rests_on.clone());
        if let Some(key) = &rests_on {
            self.entitled(key, body.may(6).is_some())?;
        }
        self.numbered += 1;
        let id = self.numbered;
        let node = RosterNode { name, key, member: own.then_some(actor), signature, side: 0 };
        self.put_node(id, node);
        if own {
            self.put_member(actor, Member { node: Some(id), ..member.clone() });
        }
        Ok(rests_on)
    }

    pub(super) fn change_node(&mut self, body: Fields<'_>) -> Result<()> {
        let (id, key) = (body.get(1).uint()?, node_key(body.get(2))?);
        body.may(3).map(own_key).transpose()?;
        let mut node = self.nodes.get(&id).ok_or("an unknown node")?.clone();
        self.free("", key, Some(id))?;
        let before = node.signature.clone();
        if node.key != key {
            (node.key, node.signature) = (key, None);
        }
        if let Some(signature) = body.may(4) {
            let signed = self.accepted(signature, key)?;
            let rotates = before.is_some_and(|(_, before)| before == signed.1);
            self.entitled(&signed.1, rotates)?;
            node.signature = Some(signed);
        }
        self.put_node(id, node);
        Ok(())
    }
}
