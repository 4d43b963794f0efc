//! What a replay of records is to remember besides the derived rows.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Fault;
use ledger::history::adoption::{self, Alarm};
use ledger::history::{Cause, Event, Fold, FoldHash, LogKey, Record, RecordHash};
use ledger::ids::AumHash;
use ledger::lock::{Chain, ChainId};
use ledger::rows::Rows;

use crate::checks::Uses;
use crate::chronicle::Collector;
use crate::replay::{Departure, departure};

/// What is looked out for, and what was seen.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// A hash that may be a record's.
    looked_for: Option<AumHash>,
    /// What somebody says of the history at some record.
    claimed: Option<Claimed>,
    /// The hash of record 0.
    pub(crate) origin: Option<RecordHash>,
    /// The record whose hash was looked for.
    pub(crate) found: Option<u64>,
    /// What is so at the record that [`Claimed`] is about.
    pub(crate) instead: Option<Claimed>,
    /// What is out of the ordinary in each epoch's chain, by number.
    pub(crate) epochs: BTreeMap<u32, EpochSeen>,
    /// Records in which the server of a followed lock raised an alarm.
    pub(crate) alarms: Vec<(u64, Alarm)>,
    /// Records of a followed lock that brought an AUM which the door would have refused, and the
    /// last such AUM of each.
    pub(crate) objections: Vec<(u64, AumHash)>,
    /// Records with which incarnations began, why, and the last record before.
    pub(crate) incarnations: Vec<(u64, Cause, u64)>,
    /// Log keys that members have or had, each once, and the records that brought them.
    pub(crate) log_keys: Vec<(u64, LogKey)>,
    known_log_keys: BTreeSet<[u8; 32]>,
    /// What keys have signed in each epoch, by number.
    pub(crate) uses: BTreeMap<u32, Uses>,
    /// Everything, if somebody wants to know it.
    pub(crate) collector: Option<Box<Collector>>,
}

/// Hashes at a record, as a daemon says or as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The record.
    pub index: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// The fold hash after it.
    pub fold_hash: FoldHash,
}

/// What is out of the ordinary in one epoch's chain.
#[derive(Debug, Default)]
pub(crate) struct EpochSeen {
    /// AUMs at which the chain may fork.
    pub(crate) forks: BTreeSet<AumHash>,
    /// Records of the AUMs that began elsewhere than at the head.
    pub(crate) records: BTreeMap<AumHash, u64>,
    /// Checkpoints that are not the sum of what came before, and their records.
    pub(crate) departs: BTreeMap<AumHash, (Departure, u64)>,
}

impl Observations {
    pub(crate) fn new(looked_for: Option<AumHash>, claimed: Option<Claimed>) -> Self {
        Observations { looked_for, claimed, ..Observations::default() }
    }

    /// Log keys that an earlier audit has seen, and the records that brought them.
    pub(crate) fn with_log_keys(mut self, keys: impl IntoIterator<Item = (u64, LogKey)>) -> Self {
        for (index, key) in keys {
            self.log_key(index, key);
        }
        self
    }

    /// The same, looking out for what somebody claims.
    pub(crate) fn claiming(self, claimed: Option<Claimed>) -> Self {
        Observations { claimed, ..self }
    }

    /// The same, with everything kept if `all`.
    pub(crate) fn keeping(self, all: bool) -> Self {
        Observations { collector: all.then(Box::default), ..self }
    }

    /// What is claimed, if it is about this history and no record has shown otherwise.
    pub(crate) fn claimed(&self) -> Option<Claimed> {
        self.claimed
    }

    /// A record has this hash, admitted or not.
    pub(crate) fn hash(&mut self, index: u64, hash: RecordHash) {
        if self.looked_for.is_some_and(|looked_for| looked_for.0 == hash.0) {
            self.found = Some(index);
        }
    }

    fn log_key(&mut self, index: u64, key: LogKey) {
        if self.known_log_keys.insert(key.0) {
            self.log_keys.push((index, key));
        }
    }

    /// What an event's AUMs and signatures for nodes rest on.
    fn used(
        &mut self,
        rows: &dyn Rows,
        fold: &Fold,
        event: &Event,
        index: u64,
    ) -> Result<(), Fault> {
        let signatures = event.signatures();
        if event.aums().is_empty() && signatures.is_empty() {
            return Ok(());
        }
        let Some(epoch) = epoch_of(rows, fold)? else { return Ok(()) };
        let uses = self.uses.entry(epoch).or_default();
        for aum in event.aums() {
            uses.aum(aum, Some(index));
        }
        for signature in signatures {
            if let Ok(key) = signature.authorizing_key() {
                uses.node(key, Some(index));
            }
        }
        Ok(())
    }

    /// A record was admitted; `rows` and `fold` are as it left them.
    pub(crate) fn record(
        &mut self,
        rows: &dyn Rows,
        fold: &Fold,
        record: &Record,
    ) -> Result<(), Fault> {
        if let Some(collector) = &mut self.collector {
            collector.record(rows, fold, record)?;
        }
        let index = record.index();
        match &record.proposal().proposal().event {
            Event::GroupCreated(founder) => self.log_key(index, founder.details.log_key),
            Event::MemberJoined(joined) => self.log_key(index, joined.details.log_key),
            Event::IncarnationBegun(begun) => {
                self.log_key(index, begun.founder.details.log_key);
                self.incarnations.push((index, begun.cause, begun.last.0));
            }
            Event::MemberChanged(details) => self.log_key(index, details.log_key),
            event => self.used(rows, fold, event, index)?,
        }
        if index == 0 {
            self.origin = Some(record.hash());
        }
        if self.claimed.is_some_and(|claimed| claimed.index == index) {
            let (hash, fold_hash) = (record.hash(), fold.fold_hash());
            self.instead = Some(Claimed { index, hash, fold_hash });
        }
        let (aums, fork) = match &record.proposal().proposal().event {
            Event::AumsAdded(added) => (&added.aums, added.fork),
            // Branches that lost come with the others.
            Event::AumsAdopted(aums) => {
                let current = adoption::current(rows, fold.lifecycle())?;
                let last = current.and_then(|adoption| adoption.objection);
                let new = last.filter(|(_, record)| *record == index);
                self.objections.extend(new.map(|(aum, record)| (record, aum)));
                (aums, true)
            }
            Event::LockObserved(_) => {
                let current = adoption::current(rows, fold.lifecycle())?;
                let seen = current.and_then(|adoption| adoption.seen);
                self.alarms.extend(seen.and_then(|seen| seen.alarm).map(|alarm| (index, alarm)));
                return Ok(());
            }
            Event::AdoptionEnded => {
                let given_up = given_up(fold);
                self.epochs.remove(&given_up);
                self.uses.remove(&given_up);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(epoch) = epoch_of(rows, fold)? else { return Ok(()) };
        let seen = self.epochs.entry(epoch).or_default();
        let chain = Chain::new(rows, ChainId(epoch));
        for aum in aums {
            let Some(parent) = aum.parent_hash() else { continue };
            if fork && chain.children(&parent)?.len() > 1 {
                seen.forks.insert(parent);
                seen.records.insert(aum.hash(), index);
            }
            if let Some(new) = aum.checkpointed()
                && let Some(before) = chain.state_at(&parent)?
            {
                let departs = departure(&before, new);
                if departs != Departure::NONE {
                    seen.departs.entry(aum.hash()).or_insert((departs, index));
                }
            }
        }
        Ok(())
    }
}

/// The epoch whose chain an event's AUMs are of. While a lock is being adopted none is on.
pub(crate) fn epoch_of(rows: &dyn Rows, fold: &Fold) -> Result<Option<u32>, Fault> {
    if let Some(authority) = fold.authority() {
        return Ok(Some(authority.chain_id().0));
    }
    let adoption = adoption::current(rows, fold.lifecycle())?;
    Ok(adoption.map(|adoption| adoption.epoch.0))
}

/// The epoch that an adoption would have begun, after a record that has given one up. If the record
/// has ended an epoch instead, it is the next one, which nothing is known of.
pub(crate) fn given_up(fold: &Fold) -> u32 {
    fold.lifecycle().epoch().map_or(1, |last| last.0.saturating_add(1))
}
