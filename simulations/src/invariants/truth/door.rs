//! What the door lets through, once more (docs/ledger-format.md, section 8): from the true states
//! and votes along the line, and from nothing of the ledger's.

use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::AumHash;
use ledger::limits::{FINAL_AFTER, KEY_AUMS, KEY_AUMS_RECORDS};
use ledger::lock::{AumKind, Key, Sealed, State};

use super::Truth;

/// Why the door lets an AUM not through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// The rules of the lock refuse it.
    Invalid,
    /// It leaves the line and is no revocation.
    Leaves,
    /// It is a checkpoint that is neither the sum of what came before nor a revocation.
    NoRevocation(&'static str),
    /// It has not more votes than what it takes away.
    Outvoted,
    /// It forks off before the final AUM, without most votes there.
    Final,
    /// All its signers have signed enough.
    Spent,
    /// The rules of the lock prefer what it would replace.
    Loses,
}

/// What a key has signed since the final AUM.
#[derive(Debug, Clone, Default)]
struct Voice {
    aums: u64,
    since: u64,
    /// The last on the line, oldest first.
    signed: Vec<AumHash>,
}

impl Voice {
    fn counted(&self, record: u64) -> u64 {
        if record - self.since >= KEY_AUMS_RECORDS { 0 } else { self.aums }
    }
}

/// The door of one lock.
#[derive(Debug, Clone)]
pub struct Door {
    /// The final AUM.
    pub final_at: AumHash,
    voices: BTreeMap<Vec<u8>, Voice>,
    /// All keys together that the state at the final AUM does not trust.
    others: Voice,
}

/// How an AUM that comes through moves the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// It follows.
    Follows,
    /// It revokes.
    Revokes,
    /// It revokes, with most votes at the final AUM.
    RevokesWithMost,
}

impl Door {
    /// The door of a lock that begins with that AUM, or whose door begins now.
    pub fn new(oldest: AumHash) -> Self {
        Door { final_at: oldest, voices: BTreeMap::new(), others: Voice::default() }
    }

    /// The door after these AUMs, in an event that becomes that record; or why it is refused.
    pub fn after(
        &self,
        truth: &Truth,
        head: AumHash,
        aums: &[Sealed],
        record: u64,
    ) -> Result<Door, Shut> {
        let mut door = self.clone();
        let mut at = head;
        for aum in aums {
            let comes = door.judge(truth, at, aum, record)?;
            door.take(truth, at, aum, comes, record);
            at = aum.hash();
        }
        Ok(door)
    }

    /// Whether one AUM comes through as that record while that is the head.
    pub fn judge(
        &self,
        truth: &Truth,
        head: AumHash,
        aum: &Sealed,
        record: u64,
    ) -> Result<Comes, Shut> {
        let Some(before) = truth.state(&head) else { return Err(Shut::Invalid) };
        if truth.state(&aum.hash()).is_none() {
            return Err(Shut::Invalid);
        }
        let on_head = aum.parent_hash() == Some(head);
        let plain = match &aum.state {
            None => true,
            Some(state) => on_head && same_trust(state, before),
        };
        if plain && !on_head {
            return Err(Shut::Leaves);
        }
        if plain {
            return self.within_quota(truth, aum, record).map(|()| Comes::Follows);
        }
        let line = truth.line(&head);
        self.revokes(truth, &line, aum)?;
        let at_final = truth.state(&self.final_at).ok_or(Shut::Invalid)?;
        let most = votes(at_final, &signers(aum)) * 2 > all_votes(at_final);
        let parent = aum.parent_hash().unwrap_or(head);
        if !most && truth.height(&parent) < truth.height(&self.final_at) {
            return Err(Shut::Final);
        }
        let rival = line.iter().find(|hash| truth.parent(hash) == Some(parent));
        if rival.is_some_and(|rival| truth.preference(rival) < truth.preference(&aum.hash())) {
            return Err(Shut::Loses);
        }
        Ok(if most { Comes::RevokesWithMost } else { Comes::Revokes })
    }

    fn within_quota(&self, truth: &Truth, aum: &Sealed, record: u64) -> Result<(), Shut> {
        let spent = |id: &Vec<u8>| self.voice(truth, id).counted(record) >= KEY_AUMS;
        match aum.kind != AumKind::REMOVE_KEY && signers(aum).iter().all(spent) {
            true => Err(Shut::Spent),
            false => Ok(()),
        }
    }

    fn voice(&self, truth: &Truth, id: &[u8]) -> Voice {
        let trusted = truth.state(&self.final_at).is_some_and(|state| state.key(id).is_some());
        let voice = if trusted { self.voices.get(id) } else { Some(&self.others) };
        voice.cloned().unwrap_or_default()
    }

    /// Whether it is a revocation that has a right to what it undoes, along the line (newest first).
    fn revokes(&self, truth: &Truth, line: &[AumHash], aum: &Sealed) -> Result<(), Shut> {
        let no = |what| Err(Shut::NoRevocation(what));
        let (Some(kept), Some(parent)) = (&aum.state, aum.parent_hash()) else {
            return no("not a checkpoint on another AUM");
        };
        let Some(depth) = line.iter().position(|hash| *hash == parent) else {
            return no("not on the line");
        };
        // From the fork point to the head.
        let mut path: Vec<AumHash> = line[..=depth].to_vec();
        path.reverse();
        let judged: Vec<_> = path.iter().filter_map(|hash| truth.of(hash)).collect();
        let states: Vec<&State> = path.iter().filter_map(|hash| truth.state(hash)).collect();
        if judged.get(1).is_some_and(|next| next.aum.sig_hash() == aum.sig_hash()) {
            return no("in force");
        }
        let signed = signers(aum);
        if signed.len() != aum.signatures.len() {
            return no("signed twice");
        }
        if kept.keys().is_empty() || !states.iter().any(|state| was_in_force(kept, state)) {
            return no("never in force");
        }
        let unkept = |id: &[u8]| kept.key(id).is_none();
        let alone = |at: &usize| {
            let by = signers(&judged[*at].aum);
            by.iter().all(|id| unkept(id))
        };
        let disputed = (1..judged.len()).find(alone).unwrap_or(judged.len());
        let taken = |state: &State| -> u64 {
            let gone = state.keys().iter().filter(|key| key.id().is_none_or(unkept));
            gone.map(|key| key.votes).sum()
        };
        if states.iter().all(|state| taken(state) == 0) {
            return no("takes nothing");
        }
        if states[..disputed].iter().any(|state| votes(state, &signed) <= taken(state)) {
            return Err(Shut::Outvoted);
        }
        // An AUM binds if somebody who stays has signed it; above the dispute, only if one of
        // these does not sign the revocation.
        let binds = |at: usize| {
            let by = signers(&judged[at].aum);
            let mut stay = by.iter().filter(|id| !unkept(id));
            if at > disputed { stay.any(|id| !signed.contains(id)) } else { stay.next().is_some() }
        };
        let agreed = |at: usize| at > disputed && !binds(at) && !alone(&at);
        let now = states[states.len() - 1];
        let fits = |get: &dyn Fn(&State) -> Option<Key>, wanted: &Option<Key>| {
            let changed = |at: &usize| get(states[*at - 1]) != get(states[*at]);
            let changes: Vec<usize> = (1..states.len()).filter(changed).collect();
            let last = changes.iter().rev().find(|at| binds(**at)).copied().unwrap_or(0);
            let since = changes.iter().filter(|at| **at > last && agreed(**at));
            get(now) == *wanted
                || get(states[last]) == *wanted
                || since.into_iter().any(|at| get(states[*at]) == *wanted)
        };
        for key in kept.keys() {
            let id = key.id().unwrap_or_default().to_vec();
            if !fits(&|state| state.key(&id).cloned(), &Some(key.clone())) {
                return no("contradicts others");
            }
        }
        let changed =
            |at: &usize| states[*at - 1].disablement_values != states[*at].disablement_values;
        let changes: Vec<usize> = (1..states.len()).filter(changed).collect();
        let last = changes.iter().rev().find(|at| binds(**at)).copied().unwrap_or(0);
        let allowed = changes.iter().filter(|at| **at > last && agreed(**at)).copied();
        let mut allowed = allowed.chain([last, states.len() - 1]);
        if !allowed.any(|at| states[at].disablement_values == kept.disablement_values) {
            return no("contradicts others about the secrets");
        }
        Ok(())
    }

    /// The AUM has become the head.
    fn take(&mut self, truth: &Truth, before: AumHash, aum: &Sealed, comes: Comes, record: u64) {
        let hash = aum.hash();
        if aum.parent_hash() != Some(before) {
            let line: BTreeSet<AumHash> = truth.line(&hash).into_iter().collect();
            for voice in self.voices.values_mut() {
                voice.signed.retain(|hash| line.contains(hash));
            }
        }
        if comes == Comes::RevokesWithMost {
            self.settle(truth, hash, record);
            return;
        }
        let Some(state) = truth.state(&self.final_at) else { return };
        let mut ready = false;
        for id in signers(aum) {
            let trusted = state.key(&id).is_some();
            let voice = if trusted { self.voices.entry(id).or_default() } else { &mut self.others };
            voice.aums = voice.counted(record);
            if voice.aums == 0 {
                voice.since = record;
            }
            voice.aums += 1;
            if trusted {
                voice.signed.push(hash);
                let spare = voice.signed.len().saturating_sub(FINAL_AFTER);
                voice.signed.drain(..spare);
                ready |= voice.signed.len() == FINAL_AFTER;
            }
        }
        if ready && let Some(at) = self.built_upon(truth, state) {
            self.settle(truth, at, record);
        }
    }

    /// The latest AUM above the final one that keys with most votes have gone on from.
    fn built_upon(&self, truth: &Truth, state: &State) -> Option<AumHash> {
        let gone_on = |(id, voice): (&Vec<u8>, &Voice)| {
            let first = voice.signed.first().filter(|_| voice.signed.len() == FINAL_AFTER)?;
            Some((truth.parent(first)?, state.key(id)?.votes))
        };
        let far: Vec<(AumHash, u64)> = self.voices.iter().filter_map(gone_on).collect();
        let behind = |at: &AumHash| -> u64 {
            let beyond = far.iter().filter(|(other, _)| truth.height(other) >= truth.height(at));
            beyond.map(|(_, votes)| votes).sum()
        };
        let most = far.iter().map(|(at, _)| *at).filter(|at| behind(at) * 2 > all_votes(state));
        let latest = most.max_by_key(|at| truth.height(at))?;
        (truth.height(&latest) > truth.height(&self.final_at)).then_some(latest)
    }

    fn settle(&mut self, truth: &Truth, at: AumHash, record: u64) {
        self.final_at = at;
        self.others = Voice::default();
        let Some(state) = truth.state(&at) else { return };
        self.voices.retain(|id, voice| {
            voice.signed.retain(|hash| truth.height(hash) > truth.height(&at));
            (voice.aums, voice.since) = (voice.signed.len() as u64, record);
            !voice.signed.is_empty() && state.key(id).is_some()
        });
    }
}

/// Whether two states trust the same keys, in the same order, under the same secrets.
fn same_trust(one: &State, other: &State) -> bool {
    one.keys == other.keys
        && one.disablement_values == other.disablement_values
        && one.state_id() == other.state_id()
}

/// Whether a state was that of a revocation and perhaps more keys.
fn was_in_force(kept: &State, state: &State) -> bool {
    let values = |state: &State| -> BTreeSet<Vec<u8>> {
        state.disablement_values().map(<[u8]>::to_vec).collect()
    };
    let stays = |key: &&Key| kept.keys().contains(key);
    let left: Vec<&Key> = state.keys().iter().filter(stays).collect();
    values(kept) == values(state) && left == kept.keys().iter().collect::<Vec<_>>()
}

/// The signers of an AUM, each once.
fn signers(aum: &Sealed) -> BTreeSet<Vec<u8>> {
    aum.signatures.iter().filter_map(|by| by.key_id.clone()).collect()
}

fn votes(state: &State, ids: &BTreeSet<Vec<u8>>) -> u64 {
    ids.iter().filter_map(|id| state.key(id)).map(|key| key.votes).sum()
}

fn all_votes(state: &State) -> u64 {
    state.keys().iter().map(|key| key.votes).sum()
}
