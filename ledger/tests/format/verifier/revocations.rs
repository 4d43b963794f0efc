//! Revocations that wait for signatures: section 5.

use crate::cbor::{Fields, Result, Value};
use crate::tailscale::{Aum, Hash, check};

use super::{Verifier, Waiting, note, reason};

impl Verifier {
    fn put_revocation(&mut self, waiting: Waiting) {
        let id = waiting.aum.signed;
        let hashes = [id, waiting.aum.hash].map(|hash| Value::Bytes(hash.to_vec()));
        self.effect([vec![Value::Uint(11)], hashes.to_vec()].concat());
        self.revocations.insert(id, waiting);
    }

    pub(super) fn end_revocation(&mut self, id: Hash) {
        if self.revocations.remove(&id).is_some() {
            self.effect(vec![Value::Uint(12), Value::Bytes(id.to_vec())]);
        }
    }

    pub(super) fn open_revocation(
        &mut self,
        body: Fields<'_>,
        opened_by: (u64, Option<u64>),
    ) -> Result<()> {
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
        if self.rules >= 2 {
            self.may_wait(&aum, opened_by)?;
        }
        let opened_by_key = aum.signers[0].clone();
        self.put_revocation(Waiting { epoch: self.epoch, aum, opened_by, opened_by_key });
        Ok(())
    }

    pub(super) fn sign_revocation(&mut self, body: Fields<'_>) -> Result<()> {
        let id: Hash = body.get(1).fixed()?;
        let mut more: Vec<(Hash, Vec<u8>)> = Vec::new();
        for item in body.get(2).list()? {
            let [key, signature] = item.tuple()?;
            more.push((key.fixed()?, signature.fixed::<64>()?.to_vec()));
        }
        let ascend = more.windows(2).all(|pair| pair[0].0 < pair[1].0);
        check((1..=512).contains(&more.len()) && ascend, "its signers")?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        let waiting = self.revocations.get(&id).ok_or("an unknown revocation")?;
        check(waiting.epoch == self.epoch, "a revocation of an earlier lock")?;
        let aum = waiting.aum.with_signatures(&more)?;
        lock.revocation(&aum)?;
        self.put_revocation(Waiting { aum, ..waiting.clone() });
        Ok(())
    }
}
