//! Locks that exist elsewhere: section 5.

use crate::cbor::{Fields, Result, Value};
use crate::tailscale::{Aum, Chain, Hash, check};

use super::{Adoption, Verifier, own_key};

impl Verifier {
    /// Whether somebody else's server decides the lock.
    pub(super) fn followed(&self) -> bool {
        self.lock.is_some() && self.adoption.as_ref().is_some_and(|adoption| adoption.followed)
    }

    pub(super) fn decided_here(&self) -> Result<()> {
        check(!self.followed(), "the lock is followed")
    }

    /// Whether an epoch may begin otherwise than by an adoption that is under way.
    pub(super) fn may_begin(&self) -> Result<()> {
        check(self.lock.is_none(), "the lock is on")?;
        check(self.adoption.is_none(), "a lock is being adopted")
    }

    pub(super) fn begin_adoption(&mut self, body: Fields<'_>) -> Result<()> {
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
    pub(super) fn complete(&mut self) -> Result<()> {
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

    pub(super) fn adopt(&mut self, list: &Value) -> Result<()> {
        let list = list.list()?;
        check((1..=1024).contains(&list.len()), "number of AUMs")?;
        let aums: Vec<Aum> = list.iter().map(Aum::read).collect::<Result<_>>()?;
        let adoption = self.adoption.as_mut().ok_or("no adoption")?;
        let followed = adoption.chain.is_none();
        check(!followed || adoption.followed, "an adoption that is complete")?;
        let on = if followed { self.lock.as_mut() } else { adoption.chain.as_mut() };
        let chain = on.ok_or("the lock is off")?;
        let (before, mut noted) = (chain.state().clone(), Vec::new());
        for aum in &aums {
            check(!chain.aums.contains_key(&aum.hash), "on record already")?;
            let passes = chain.would_take(aum);
            chain.take(aum)?;
            if followed && self.rules >= 2 && !passes && chain.head == aum.hash {
                noted.push(Value::Bytes(aum.hash.to_vec()));
            }
        }
        let (after, head) = (chain.state().clone(), chain.head);
        self.stored(&aums, head);
        for hash in noted {
            self.effect(vec![Value::Uint(23), Value::Uint(self.epoch), hash]);
        }
        if self.lock.is_some() {
            self.trust_moved(&before, &after);
            return Ok(());
        }
        self.complete()
    }

    pub(super) fn end_adoption(&mut self) -> Result<()> {
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

    pub(super) fn observe(&mut self, shown: &Value) -> Result<()> {
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
    pub(super) fn bring(&mut self, body: Fields<'_>) -> Result<()> {
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
}
