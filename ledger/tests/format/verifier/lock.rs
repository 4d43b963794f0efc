//! Where a lock begins, changes and ends: sections 5 and 7.

use std::collections::BTreeSet;

use crate::cbor::{Fields, Result, Value};
use crate::tailscale::{Aum, Chain, Hash, KeyId, State, check};

use super::door::Door;
use super::{Member, RosterNode, Verifier, note, reason};

impl Verifier {
    pub(super) fn initialize(&mut self, body: Fields<'_>, member: &Member) -> Result<()> {
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
        body.may(2).map_or(Ok(()), |signatures| self.sign(signatures, true))
    }

    pub(super) fn add_aums(&mut self, body: Fields<'_>) -> Result<()> {
        let list = body.get(1).list()?;
        check((1..=1024).contains(&list.len()), "number of AUMs")?;
        let aums: Vec<Aum> = list.iter().map(Aum::read).collect::<Result<_>>()?;
        let fork = body.get(2).bool()?;
        reason(body.may(4))?;
        note(body.may(5))?;
        self.decided_here()?;
        let chain = self.lock.as_mut().ok_or("the lock is off")?;
        let before = chain.state().clone();
        let (mut follows, mut finals) = (chain.head, Vec::new());
        for aum in &aums {
            check(fork || aum.parent == Some(follows), "not on the head")?;
            follows = aum.hash;
            check(!chain.aums.contains_key(&aum.hash), "on record already")?;
            aum.trusts_well(Some(&before))?;
            if self.rules == 1 {
                chain.take(aum)?;
                continue;
            }
            let door = self.door.get_or_insert_with(|| Door::of(chain));
            finals.extend(door.take(chain, aum, self.next)?);
        }
        let (after, head) = (chain.state().clone(), chain.head);
        for aum in aums.iter().filter(|aum| self.revocations.contains_key(&aum.signed)) {
            check(chain.is_active(&aum.hash), "a revocation that loses")?;
        }
        for hash in finals {
            let hash = Value::Bytes(hash.to_vec());
            self.effect(vec![Value::Uint(22), Value::Uint(self.epoch), hash]);
        }
        self.stored(&aums, head);
        aums.iter().for_each(|aum| self.end_revocation(aum.signed));
        if let Some(signatures) = body.may(3) {
            self.sign(signatures, false)?;
        }
        self.trust_moved(&before, &after);
        Ok(())
    }

    pub(super) fn stored(&mut self, aums: &[Aum], head: Hash) {
        let hashes = aums.iter().map(|aum| Value::Bytes(aum.hash.to_vec())).collect();
        self.effect(vec![Value::Uint(7), Value::Array(hashes), Value::Bytes(head.to_vec())]);
    }

    /// Nodes whose signature rests on a key that was trusted, or is now, come in or go out.
    pub(super) fn trust_moved(&mut self, before: &State, after: &State) {
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

    pub(super) fn disable(&mut self, body: Fields<'_>) -> Result<()> {
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

    pub(super) fn end_epoch(&mut self, lock: &Chain) {
        self.door = None;
        self.ended.push(lock.aums.keys().copied().collect());
        self.effect(vec![Value::Uint(8), Value::Uint(self.epoch)]);
        for (id, node) in self.nodes.clone() {
            self.put_node(id, RosterNode { signature: None, ..node });
        }
    }
}
