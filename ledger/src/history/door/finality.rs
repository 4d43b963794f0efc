//! Finality: how far back the line can still be left, and by whom; and how much one key may sign.
//!
//! An AUM is *final* once keys with more than half of the votes have gone on from it: each of them
//! has signed [`FINAL_AFTER`] AUMs above it. The votes are counted in the state after the AUM that
//! was final before, which no minority can have changed since. So a thief who has fewer votes
//! cannot make final what it did, and whoever has more than half can always undo it: a fork from
//! before the final AUM needs more than half of the votes after that.

use std::cmp::Reverse;

use crate::cbor::{Malformed, Reader, Writer};
use crate::history::effects::Step;
use crate::history::{Epoch, EventRefusal, row};
use crate::ids::{AumHash, LockKey};
use crate::limits::{FINAL_AFTER, KEY_AUMS, KEY_AUMS_RECORDS};
use crate::lock::chain::Place;
use crate::lock::{AumKind, Authority, Sealed, State};
use crate::rows::{Draft, Rows, prefix_end, tables};
use crate::{Failure, Fault};

/// The final AUM of a lock: from before it, nobody forks without most votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalPoint {
    /// The AUM.
    pub at: Place,
    /// The record since which it has been final; none if it is the first AUM of the lock.
    pub since: Option<u64>,
}

/// What a key, or all that were not trusted at the final AUM together, have signed above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Voice {
    /// AUMs since `since`.
    aums: u64,
    /// The record at which the count began.
    since: u64,
    /// Heights of the last AUMs on the active branch, ascending: [`FINAL_AFTER`] at most. None are
    /// kept of keys without a vote at the final AUM.
    heights: Vec<u64>,
}

/// Rows of keys, below the epoch.
const OF_KEY: u8 = 1;
/// The row of all keys without a vote at the final AUM, below the epoch.
const OF_OTHERS: u8 = 0;

/// The final AUM of the lock that is on.
pub fn final_point(rows: &dyn Rows, authority: &Authority) -> Result<FinalPoint, Fault> {
    let key = epoch(authority).0.to_be_bytes();
    match rows.get(tables::FINALITY, &key)? {
        Some(value) => row::decode(tables::FINALITY, &key, &value, FinalPoint::read),
        None => Ok(FinalPoint { at: authority.oldest(), since: None }),
    }
}

/// The votes that a revocation from before the final AUM needs: more than half of those there are
/// at that AUM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The final AUM.
    pub at: AumHash,
    /// The votes of the signers there.
    pub votes: u64,
    /// More than half.
    pub needed: u64,
}

impl From<Needs> for EventRefusal {
    fn from(Needs { at, votes, needed }: Needs) -> Self {
        EventRefusal::Final { at, votes, needed }
    }
}

/// The votes that a revocation needs at the final AUM and has; none if it does not fork off before.
pub fn needs(
    rows: &dyn Rows,
    authority: &Authority,
    revocation: &Sealed,
) -> Result<Option<Needs>, Fault> {
    Final::of(rows, authority)?.needs(rows, authority, revocation)
}

/// The final AUM and the state after it, by which an AUM is judged.
pub(super) struct Final {
    at: Place,
    state: State,
}

impl Final {
    pub(super) fn of(rows: &dyn Rows, authority: &Authority) -> Result<Self, Fault> {
        let FinalPoint { at, .. } = final_point(rows, authority)?;
        Ok(Final { at, state: state_at(rows, authority, &at)? })
    }

    fn needs(
        &self,
        rows: &dyn Rows,
        authority: &Authority,
        revocation: &Sealed,
    ) -> Result<Option<Needs>, Fault> {
        let Some(parent) = revocation.parent_hash() else { return Ok(None) };
        let height = authority.chain(rows).node(&parent)?.map_or(0, |node| node.height);
        let (votes, needed) = (self.state.weight(revocation), majority(&self.state));
        let needs = Needs { at: self.at.hash, votes, needed };
        Ok((height < self.at.height).then_some(needs))
    }

    /// Whether a revocation may undo what it would: if it forks off before the final AUM, with more
    /// than half of the votes there. Says whether it has these.
    pub(super) fn may_undo(
        &self,
        rows: &dyn Rows,
        authority: &Authority,
        revocation: &Sealed,
    ) -> Result<bool, Failure> {
        let state = if planted!(MajorityAtHead) { authority.state() } else { &self.state };
        if state.weight(revocation) >= majority(state) {
            return Ok(true);
        }
        match self.needs(rows, authority, revocation)? {
            Some(needs) => Err(EventRefusal::from(needs).into()),
            None => Ok(false),
        }
    }

    /// Whether some signer of an AUM may sign more: removals can always be made.
    pub(super) fn within_quota(
        &self,
        step: &Step<'_>,
        authority: &Authority,
        aum: &Sealed,
    ) -> Result<(), Failure> {
        if aum.kind == AumKind::REMOVE_KEY {
            return Ok(());
        }
        let mut spent = None;
        for key in signers(aum) {
            let voice = voice(&step.rows, authority, &self.state, key)?;
            if voice.counted(step.index) < KEY_AUMS {
                return Ok(());
            }
            spent = Some((key, voice.since));
        }
        match spent {
            Some((key, since)) => Err(EventRefusal::KeyQuota { key, since }.into()),
            None => Ok(()),
        }
    }
}

/// Notes that an AUM has become the head, which was `before`, and moves the final AUM if most votes
/// are now above it, or to the AUM itself if its signers have most votes and it is a revocation.
pub(super) fn count(
    step: &mut Step<'_>,
    last: &Final,
    before: AumHash,
    now: &Authority,
    aum: &Sealed,
    forced: bool,
) -> Result<(), Fault> {
    let head = now.head_place();
    let counted = planted!(CountUndone) && forced;
    if aum.parent_hash() != Some(before) && !counted {
        forget_above(step, now, head.height.saturating_sub(1))?;
    }
    if forced {
        return settle(step, now, head);
    }
    let mut ready = false;
    for key in signers(aum) {
        let mut voice = voice(&step.rows, now, &last.state, key)?;
        voice.aums = voice.counted(step.index);
        if voice.aums == 0 {
            voice.since = step.index;
        }
        voice.aums = voice.aums.saturating_add(1);
        if last.state.key(&key.0).is_some() {
            voice.heights.push(head.height);
            let spare = voice.heights.len().saturating_sub(FINAL_AFTER);
            voice.heights.drain(..spare);
            ready |= voice.heights.len() == FINAL_AFTER;
        }
        step.rows.put(tables::FINALITY, voice_key(now, &last.state, key), voice.write());
    }
    if !ready {
        return Ok(());
    }
    let passed = passed(&step.rows, now, &last.state)?;
    if let Some(height) = passed.filter(|height| *height > last.at.height) {
        let hash = now.chain(&step.rows).ancestor_at(&now.head(), height)?;
        let hash = hash.ok_or_else(|| Fault::new("an ancestor of the head is missing"))?;
        settle(step, now, Place { hash, height })?;
    }
    Ok(())
}

/// The height up to which keys with more than half of the votes have each gone on far enough.
fn passed(rows: &dyn Rows, authority: &Authority, state: &State) -> Result<Option<u64>, Fault> {
    let mut far: Vec<(u64, u64)> = Vec::new();
    for (key, voice) in voices(rows, authority)? {
        if let (Some(lowest), FINAL_AFTER) = (voice.heights.first(), voice.heights.len()) {
            let votes = state.key(&key.0).map_or(0, |key| key.votes);
            far.push((lowest.saturating_sub(1), votes));
        }
    }
    far.sort_unstable_by_key(|(height, _)| Reverse(*height));
    let needed = if planted!(FinalAtOnce) { 1 } else { majority(state) };
    let mut votes = 0_u64;
    Ok(far.into_iter().find_map(|(height, more)| {
        votes = votes.saturating_add(more);
        (votes >= needed).then_some(height)
    }))
}

/// Makes an AUM of the active branch the final one. All counts begin anew.
fn settle(step: &mut Step<'_>, now: &Authority, at: Place) -> Result<(), Fault> {
    let state = state_at(&step.rows, now, &at)?;
    for (key, mut voice) in voices(&step.rows, now)? {
        voice.heights.retain(|height| *height > at.height);
        let row = key_of(now, key);
        match voice.heights.is_empty() || state.key(&key.0).is_none() {
            true => step.rows.delete(tables::FINALITY, row),
            false => {
                (voice.aums, voice.since) = (voice.heights.len() as u64, step.index);
                step.rows.put(tables::FINALITY, row, voice.write());
            }
        }
    }
    let epoch = epoch(now);
    step.rows.delete(tables::FINALITY, [&epoch.0.to_be_bytes()[..], &[OF_OTHERS]].concat());
    let point = FinalPoint { at, since: Some(step.index) };
    step.rows.put(tables::FINALITY, epoch.0.to_be_bytes(), point.write());
    step.settled(epoch, at.hash);
    Ok(())
}

/// AUMs above this height are not on the active branch any more.
fn forget_above(step: &mut Step<'_>, now: &Authority, height: u64) -> Result<(), Fault> {
    for (key, mut voice) in voices(&step.rows, now)? {
        let before = voice.heights.len();
        voice.heights.retain(|other| *other <= height);
        if voice.heights.len() != before {
            step.rows.put(tables::FINALITY, key_of(now, key), voice.write());
        }
    }
    Ok(())
}

fn epoch(authority: &Authority) -> Epoch {
    Epoch(authority.chain_id().0)
}

fn state_at(rows: &dyn Rows, authority: &Authority, at: &Place) -> Result<State, Fault> {
    let state = authority.chain(rows).state_at(&at.hash)?;
    state.ok_or_else(|| Fault::new("the state at the final AUM is missing"))
}

/// More than half of the votes of all keys.
fn majority(state: &State) -> u64 {
    state.keys().iter().fold(0_u64, |sum, key| sum.saturating_add(key.votes)) / 2 + 1
}

/// The signers of an AUM, each once.
fn signers(aum: &Sealed) -> Vec<LockKey> {
    let ids = aum.signatures.iter().filter_map(|by| by.key_id.as_deref());
    let mut keys: Vec<LockKey> = ids.filter_map(|id| id.try_into().ok()).map(LockKey).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn key_of(authority: &Authority, key: LockKey) -> Vec<u8> {
    [&epoch(authority).0.to_be_bytes()[..], &[OF_KEY], &key.0].concat()
}

fn voice_key(authority: &Authority, state: &State, key: LockKey) -> Vec<u8> {
    match state.key(&key.0) {
        Some(_) => key_of(authority, key),
        None => [&epoch(authority).0.to_be_bytes()[..], &[OF_OTHERS]].concat(),
    }
}

fn voice(
    rows: &dyn Rows,
    authority: &Authority,
    state: &State,
    key: LockKey,
) -> Result<Voice, Fault> {
    let row = voice_key(authority, state, key);
    match rows.get(tables::FINALITY, &row)? {
        Some(value) => row::decode(tables::FINALITY, &row, &value, Voice::read),
        None => Ok(Voice::default()),
    }
}

/// What each key with a vote at the final AUM has signed above it, in the order of their keys.
fn voices(rows: &dyn Rows, authority: &Authority) -> Result<Vec<(LockKey, Voice)>, Fault> {
    let start = [&epoch(authority).0.to_be_bytes()[..], &[OF_KEY]].concat();
    let found = rows.scan(tables::FINALITY, start.as_slice()..&prefix_end(&start))?;
    found
        .map(|item| {
            let (row, value) = item?;
            let voice = row::decode(tables::FINALITY, &row, &value, Voice::read)?;
            let key = row.last_chunk().ok_or_else(|| Fault::new("damaged key in finality"))?;
            Ok((LockKey(*key), voice))
        })
        .collect()
}

/// Forgets all of a lock that has ended.
pub(in crate::history) fn forget(rows: &mut Draft<'_>, epoch: Epoch) -> Result<(), Fault> {
    let start = epoch.0.to_be_bytes();
    let found: Vec<Vec<u8>> = rows
        .scan(tables::FINALITY, &start[..]..&prefix_end(&start))?
        .map(|item| item.map(|(row, _)| row))
        .collect::<Result<_, _>>()?;
    found.into_iter().for_each(|row| rows.delete(tables::FINALITY, row));
    Ok(())
}

impl FinalPoint {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).bytes(&self.at.hash.0).uint(self.at.height);
        match self.since {
            Some(record) => out.uint(record),
            None => out.null(),
        };
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(3)?;
        let at = Place { hash: AumHash(reader.fixed()?), height: reader.uint()? };
        let since = if reader.null() { None } else { Some(reader.uint()?) };
        reader.close();
        Ok(FinalPoint { at, since })
    }
}

impl Voice {
    /// AUMs that count against the quota of the record with that index.
    fn counted(&self, index: u64) -> u64 {
        if index.saturating_sub(self.since) >= KEY_AUMS_RECORDS { 0 } else { self.aums }
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(self.aums).uint(self.since).array(self.heights.len());
        for height in &self.heights {
            out.uint(*height);
        }
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(3)?;
        let (aums, since) = (reader.uint()?, reader.uint()?);
        let heights = (0..reader.array()?).map(|_| reader.uint()).collect::<Result<_, _>>()?;
        reader.close();
        reader.close();
        Ok(Voice { aums, since, heights })
    }
}
