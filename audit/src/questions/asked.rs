//! Places in a history as people name them.

use std::str::FromStr;

use ledger::history::RecordHash;
use ledger::ids::AumHash;
use ledger::lock::State;

use super::NoAnswer;
use crate::chronicle::{AumStory, ChainStory, Chronicle};
use crate::dates::{date_time, parse_time};

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Of an AUM, or of a record.
    Hash(AumHash),
    /// A record's index or, without records, an AUM's place in the log.
    Index(u64),
    /// A time in milliseconds since 1970.
    Time(u64),
}

/// Text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no hash, record index or time such as 2026-11-26T18:25Z")]
pub struct BadAt(String);

impl FromStr for At {
    type Err = BadAt;

    fn from_str(text: &str) -> Result<Self, BadAt> {
        let short = text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
        if short && let Ok(index) = text.parse() {
            return Ok(At::Index(index));
        }
        if let Some(ms) = parse_time(text) {
            return Ok(At::Time(ms));
        }
        AumHash::from_any(text).map(At::Hash).map_err(|_| BadAt(text.to_owned()))
    }
}

/// The state of the lock at a place.
pub(super) struct StateAt {
    /// None while the lock was off.
    pub(super) state: Option<State>,
    pub(super) head: Option<AumHash>,
    pub(super) epoch: Option<u32>,
    /// The last entry that counts.
    pub(super) entry: usize,
    /// The place in words.
    pub(super) place: String,
}

/// Finds a place; none is the end.
pub(super) fn state_at(told: &Chronicle, at: Option<At>) -> Result<StateAt, NoAnswer> {
    let last = told.entries.len().saturating_sub(1);
    match at {
        None => after(told, last, "the end".to_owned()),
        Some(At::Index(index)) => {
            let entry = usize::try_from(index).ok().filter(|entry| *entry <= last);
            let entry = entry.ok_or_else(|| NoAnswer::NotThere(format!("record {index}")))?;
            after(told, entry, format!("number {index}"))
        }
        Some(At::Time(ms)) => {
            if !told.has_records {
                return Err(NoAnswer::Unknown("AUMs carry no time: name one by its hash".into()));
            }
            // By position: a clock that went back does not reorder records.
            let before = |entry: &crate::chronicle::Entry| entry.time_ms.is_some_and(|t| t <= ms);
            let entry = told.entries.iter().rposition(before);
            let place = date_time(ms);
            let entry =
                entry.ok_or_else(|| NoAnswer::NotThere(format!("record before {place}")))?;
            after(told, entry, place)
        }
        Some(At::Hash(hash)) => {
            if let Some((chain, at)) = told.find(&hash) {
                let story = &told.chains[chain];
                let state = story.state_at(at);
                let state = state.ok_or_else(|| {
                    NoAnswer::Unknown(format!("AUM {hash} was not verified, so it has no state"))
                })?;
                return Ok(StateAt {
                    state: Some(state),
                    head: Some(hash),
                    epoch: Some(story.epoch),
                    entry: story.aums[at].entry,
                    place: format!("AUM {hash}"),
                });
            }
            let record = RecordHash(hash.0);
            let entry = told.entries.iter().position(|entry| entry.hash == Some(record));
            let entry = entry.ok_or_else(|| NoAnswer::NotThere(format!("AUM or record {hash}")))?;
            after(told, entry, format!("record {hash}"))
        }
    }
}

/// The state once an entry and all before it had happened.
fn after(told: &Chronicle, entry: usize, place: String) -> Result<StateAt, NoAnswer> {
    let begun = |story: &&ChainStory| story.began.is_some_and(|began| began <= entry);
    let story = told.chains.iter().rev().find(begun);
    let on = story.filter(|story| story.ended.is_none_or(|ended| ended > entry));
    let Some(story) = on else {
        return Ok(StateAt { state: None, head: None, epoch: None, entry, place });
    };
    let known = story.aums.iter().filter(|aum| aum.entry <= entry).map(|aum| AumStory {
        aum: aum.aum.clone(),
        entry: aum.entry,
        standing: aum.standing.clone(),
        weight: aum.weight,
        parent: None,
        children: Vec::new(),
        active: false,
        departs: aum.departs,
    });
    let then = ChainStory::new(story.epoch, story.assumed, known.collect());
    let state = then.state_at(then.head);
    let state = state
        .ok_or_else(|| NoAnswer::Unknown("no state is known there: see 'audit verify'".into()))?;
    let head = Some(then.aums[then.head].aum.hash());
    Ok(StateAt { state: Some(state), head, epoch: Some(then.epoch), entry, place })
}
