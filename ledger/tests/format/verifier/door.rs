//! Rules 2: the door of section 8.

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::{Result, Value};
use crate::tailscale::{Aum, Chain, Hash, Key, KeyId, State, check};

use super::Verifier;

const FINAL_AFTER: usize = 8;
const KEY_AUMS: u64 = 640;
const KEY_AUMS_RECORDS: u64 = 8192;
const REVOCATIONS_OF_KEY: usize = 4;
const REVOCATIONS_OF_ACTOR: usize = 8;

/// What a key has signed.
#[derive(Clone, Default)]
struct Signed {
    aums: u64,
    beginning: u64,
    heights: Vec<u64>,
}

impl Signed {
    fn count(&mut self, record: u64) {
        if self.counted(record) == 0 {
            (self.aums, self.beginning) = (0, record);
        }
        self.aums += 1;
    }

    fn counted(&self, record: u64) -> u64 {
        if record >= self.beginning + KEY_AUMS_RECORDS { 0 } else { self.aums }
    }
}

/// What is kept of an epoch that is decided here.
#[derive(Clone)]
pub struct Door {
    last: Hash,
    keys: BTreeMap<KeyId, Signed>,
    others: Signed,
}

impl Door {
    /// Before any AUM was judged: the first AUM is final.
    pub fn of(chain: &Chain) -> Door {
        Door { last: chain.genesis, keys: BTreeMap::new(), others: Signed::default() }
    }

    /// Takes an AUM in that record, or says why not; gives the AUM that became final.
    pub fn take(&mut self, chain: &mut Chain, aum: &Aum, record: u64) -> Result<Option<Hash>> {
        let follows = chain.is_followed_by(aum);
        let majority = self.majority(chain, &aum.signers);
        if follows {
            let spent = |signer: &KeyId| self.signed(chain, signer, record) >= KEY_AUMS;
            check(aum.kind == 2 || !aum.signers.iter().all(spent), "the quota of its signers")?;
        } else {
            check(aum.kind == 5, "a fork that is no revocation")?;
            chain.revocation(aum)?;
            chain.revokes_by_right(aum)?;
            let parent = aum.parent.ok_or("no parent")?;
            let behind = chain.aums[&parent].height < chain.aums[&self.last].height;
            check(majority || !behind, "a fork from before what is final")?;
        }
        chain.take(aum)?;
        check(chain.head == aum.hash, "a fork that loses")?;

        let height = chain.aums[&aum.hash].height;
        for key in self.keys.values_mut() {
            key.heights.retain(|at| *at < height);
        }
        if majority && !follows {
            self.becomes_final(chain, aum.hash, record);
            return Ok(Some(aum.hash));
        }
        let mut full = false;
        for signer in aum.signers.iter().collect::<BTreeSet<_>>() {
            if chain.aums[&self.last].state.key(signer).is_none() {
                self.others.count(record);
                continue;
            }
            let key = self.keys.entry(signer.clone()).or_default();
            key.count(record);
            key.heights.push(height);
            let more = key.heights.len().saturating_sub(FINAL_AFTER);
            key.heights.drain(..more);
            full |= key.heights.len() == FINAL_AFTER;
        }
        if !full {
            return Ok(None);
        }
        let last = self.gone_on(chain);
        if let Some(hash) = last {
            self.becomes_final(chain, hash, record);
        }
        Ok(last)
    }

    /// How many AUMs count that the key has signed.
    fn signed(&self, chain: &Chain, key: &KeyId, record: u64) -> u64 {
        match chain.aums[&self.last].state.key(key) {
            Some(_) => self.keys.get(key).map_or(0, |key| key.counted(record)),
            None => self.others.counted(record),
        }
    }

    fn majority<'a>(&self, chain: &Chain, keys: impl IntoIterator<Item = &'a KeyId>) -> bool {
        let state = &chain.aums[&self.last].state;
        let keys: BTreeSet<&KeyId> = keys.into_iter().collect();
        let votes: u64 = keys.into_iter().filter_map(|key| state.votes(key)).sum();
        2 * votes > state.keys.iter().map(|key| key.votes).sum()
    }

    /// The AUM above the final one from which keys with a majority have gone on.
    fn gone_on(&self, chain: &Chain) -> Option<Hash> {
        let full = self.keys.iter().filter(|(_, key)| key.heights.len() == FINAL_AFTER);
        let mut order: Vec<(u64, &KeyId)> = full.map(|(id, key)| (key.heights[0], id)).collect();
        order.sort();
        order.reverse();
        let enough = |n: &usize| self.majority(chain, order[..*n].iter().map(|(_, id)| *id));
        let n = (1..=order.len()).find(enough)?;
        let height = order[n - 1].0 - 1;
        let line = chain.line_from(&chain.genesis).ok()?;
        let at = line[usize::try_from(height).ok()?];
        (height > chain.aums[&self.last].height).then_some(at)
    }

    fn becomes_final(&mut self, chain: &Chain, hash: Hash, record: u64) {
        let node = &chain.aums[&hash];
        self.last = hash;
        self.keys.retain(|id, key| {
            key.heights.retain(|height| *height > node.height);
            (key.aums, key.beginning) = (key.heights.len() as u64, record);
            !key.heights.is_empty() && node.state.key(id).is_some()
        });
        self.others = Signed::default();
    }
}

/// The judgements of the door that need the AUMs alone.
impl Chain {
    /// The AUMs of the line from this one on.
    fn line_from(&self, from: &Hash) -> Result<Vec<Hash>> {
        let mut line = vec![self.head];
        while line.last() != Some(from) {
            let below = line.last().and_then(|hash| self.aums[hash].parent);
            line.push(below.ok_or("not on the line")?);
        }
        line.reverse();
        Ok(line)
    }

    fn is_followed_by(&self, aum: &Aum) -> bool {
        let sum = aum.state.as_ref().is_some_and(|state| state == self.state());
        aum.parent == Some(self.head) && (aum.kind != 5 || sum)
    }

    /// Where a revocation forks off and the AUMs above it, and what is trusted after it.
    fn undone(&self, aum: &Aum) -> Result<(Vec<Hash>, State)> {
        let parent = aum.parent.ok_or("no parent")?;
        Ok((self.line_from(&parent)?, aum.state.clone().ok_or("no state")?))
    }

    fn outvotes(&self, aum: &Aum) -> Result<()> {
        let (line, after) = self.undone(aum)?;
        for (i, hash) in line.iter().enumerate() {
            let node = &self.aums[hash];
            if i > 0 && node.signers.iter().all(|signer| after.key(signer).is_none()) {
                break;
            }
            let signers: BTreeSet<&KeyId> = aum.signers.iter().collect();
            let votes: u64 = signers.into_iter().filter_map(|key| node.state.votes(key)).sum();
            let gone = |key: &&Key| after.key(&key.id).is_none();
            let against: u64 = node.state.keys.iter().filter(gone).map(|key| key.votes).sum();
            check(votes > against, "outvoted")?;
        }
        Ok(())
    }

    fn takes_something_away(&self, aum: &Aum) -> Result<()> {
        let (line, after) = self.undone(aum)?;
        let gone = |key: &Key| after.key(&key.id).is_none();
        let takes = line.iter().any(|hash| self.aums[hash].state.keys.iter().any(gone));
        check(takes, "nothing is taken away")
    }

    /// Whether a revocation leaves the rest as it was decided, if these have signed it.
    fn leaves_the_rest(&self, aum: &Aum, signed: impl Fn(&KeyId) -> bool) -> Result<()> {
        let (line, after) = self.undone(aum)?;
        let node = |i: usize| &self.aums[&line[i]];
        let kept = |i: usize| node(i).signers.iter().filter(|key| after.key(key).is_some());
        let theirs = |i: usize| kept(i).next().is_none();
        let first = (1..line.len()).find(|i| theirs(*i)).unwrap_or(line.len());
        let binds = |i: usize| !theirs(i) && (i < first || !kept(i).all(&signed));
        // The states that something may be taken from: the AUMs that left it so.
        let left = |changed: &dyn Fn(&State, &State) -> bool| -> Vec<&State> {
            let changes = |i: &usize| changed(&node(i - 1).state, &node(*i).state);
            let changers: Vec<usize> = (1..line.len()).filter(changes).collect();
            let last = changers.iter().copied().rfind(|i| binds(*i)).unwrap_or(0);
            let later = changers.into_iter().filter(|i| *i > last && !theirs(*i));
            [last].into_iter().chain(later).map(|i| &node(i).state).chain([self.state()]).collect()
        };
        for key in &after.keys {
            let ways = left(&|was, is| was.key(&key.id) != is.key(&key.id));
            let fits = ways.iter().any(|state| state.key(&key.id) == Some(key));
            check(fits, "what others decided of a key")?;
        }
        let ways = left(&|was, is| was.values != is.values);
        let fits = ways.iter().any(|state| state.values == after.values);
        check(fits, "what others decided of the disablement values")
    }

    fn revokes_by_right(&self, aum: &Aum) -> Result<()> {
        self.takes_something_away(aum)?;
        self.outvotes(aum)?;
        self.leaves_the_rest(aum, |key| aum.signers.contains(key))
    }

    /// Whether the door would let the AUM become the head, be it final or not.
    pub fn would_take(&self, aum: &Aum) -> bool {
        let revokes = || {
            self.revocation(aum)?;
            self.revokes_by_right(aum)
        };
        self.is_followed_by(aum) || revokes().is_ok()
    }
}

impl Verifier {
    /// The final AUM of the lock that is on, and its height.
    pub fn final_aum(&self) -> Option<(Hash, u64)> {
        let lock = self.lock.as_ref()?;
        let last = self.door.as_ref().map_or(lock.genesis, |door| door.last);
        Some((last, lock.aums[&last].height))
    }

    /// What a revocation must be so that it may wait, besides that it may be signed.
    pub(super) fn may_wait(&self, aum: &Aum, actor: (u64, Option<u64>)) -> Result<()> {
        let waiting = || self.revocations.values();
        let of_key = waiting().filter(|other| other.opened_by_key == aum.signers[0]).count();
        check(of_key < REVOCATIONS_OF_KEY, "revocations of the key")?;
        let of_actor = waiting().filter(|other| other.opened_by == actor).count();
        check(of_actor < REVOCATIONS_OF_ACTOR, "revocations of the actor")?;
        let lock = self.lock.as_ref().ok_or("the lock is off")?;
        lock.takes_something_away(aum)?;
        let at = &lock.aums[&aum.parent.ok_or("no parent")?].state;
        lock.leaves_the_rest(aum, |key| at.key(key).is_some())
    }

    pub(super) fn rules_activated(&mut self, rules: u64) -> Result<()> {
        check(rules == self.rules + 1, "not the next rules")?;
        let mut active = self.members.values().filter(|member| member.takes_part());
        check(active.all(|member| member.rules >= rules), "a member is too old")?;
        self.begin_rules(rules)?;
        self.effect(vec![Value::Uint(9), Value::Uint(rules)]);
        Ok(())
    }

    pub(super) fn begin_rules(&mut self, rules: u64) -> Result<()> {
        check(rules <= 2, "rules that are not on the page")?;
        self.rules = rules;
        Ok(())
    }
}
