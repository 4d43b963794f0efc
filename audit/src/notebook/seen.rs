//! What was seen in a history, in a form that lasts until the next audit.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ledger::history::adoption::Alarm;
use ledger::history::{Cause, LogKey, RecordHash};
use ledger::ids::{AumHash, LockKey};
use serde::{Deserialize, Serialize};

use crate::checks::{Use, Uses};
use crate::observations::{EpochSeen, Observations};
use crate::replay::Departure;

/// An AUM by its hash, and the record that it is about.
type OfAum = (String, u64);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    origin: String,
    epochs: BTreeMap<u32, Epoch>,
    /// Places in [`Alarm::ALL`].
    alarms: Vec<(u64, usize)>,
    objections: Vec<(u64, String)>,
    /// Places in [`Cause::ALL`].
    incarnations: Vec<(u64, usize, u64)>,
    log_keys: Vec<(u64, String)>,
    uses: BTreeMap<u32, Vec<Used>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    forks: Vec<String>,
    records: Vec<OfAum>,
    departs: Vec<Departed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Departed {
    aum: String,
    record: u64,
    removed: usize,
    added: usize,
    changed: usize,
    disablement: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    key: String,
    aums: u64,
    nodes: u64,
    records: Option<(u64, u64)>,
}

impl Seen {
    /// None before record 0.
    pub(super) fn of(seen: &Observations) -> Option<Self> {
        let place = |all: &[Alarm], alarm| all.iter().position(|one| *one == alarm);
        let alarms = seen.alarms.iter().map(|(at, alarm)| Some((*at, place(&Alarm::ALL, *alarm)?)));
        let incarnations = seen.incarnations.iter().map(|(at, cause, last)| {
            Some((*at, Cause::ALL.iter().position(|one| one == cause)?, *last))
        });
        let used = |(key, used): (&LockKey, &Use)| Used {
            key: HEXLOWER.encode(&key.0),
            aums: used.aums,
            nodes: used.nodes,
            records: used.records,
        };
        Some(Seen {
            origin: seen.origin?.to_string(),
            epochs: seen.epochs.iter().map(|(epoch, seen)| (*epoch, Epoch::of(seen))).collect(),
            alarms: alarms.collect::<Option<_>>()?,
            objections: seen.objections.iter().map(|(at, aum)| (*at, aum.to_string())).collect(),
            incarnations: incarnations.collect::<Option<_>>()?,
            log_keys: seen
                .log_keys
                .iter()
                .map(|(at, key)| (*at, HEXLOWER.encode(&key.0)))
                .collect(),
            uses: seen
                .uses
                .iter()
                .map(|(epoch, uses)| (*epoch, uses.entries().map(used).collect()))
                .collect(),
        })
    }

    /// The observations; none if something in them is not as it was written.
    pub(super) fn restore(&self) -> Option<Observations> {
        let mut log_keys = Vec::new();
        for (at, key) in &self.log_keys {
            log_keys.push((*at, LogKey(bytes(key)?)));
        }
        let mut seen = Observations::new(None, None).with_log_keys(log_keys);
        seen.origin = Some(self.origin.parse::<RecordHash>().ok()?);
        for (at, alarm) in &self.alarms {
            seen.alarms.push((*at, *Alarm::ALL.get(*alarm)?));
        }
        for (at, aum) in &self.objections {
            seen.objections.push((*at, aum.parse().ok()?));
        }
        for (at, cause, last) in &self.incarnations {
            seen.incarnations.push((*at, *Cause::ALL.get(*cause)?, *last));
        }
        for (number, epoch) in &self.epochs {
            seen.epochs.insert(*number, epoch.restore()?);
        }
        for (epoch, uses) in &self.uses {
            let mut entries = Vec::new();
            for Used { key, aums, nodes, records } in uses {
                let used = Use { aums: *aums, nodes: *nodes, records: *records };
                entries.push((LockKey(bytes(key)?), used));
            }
            seen.uses.insert(*epoch, Uses::from_entries(entries));
        }
        Some(seen)
    }
}

impl Epoch {
    fn of(seen: &EpochSeen) -> Self {
        let departed = |(aum, (departs, record)): (&AumHash, &(Departure, u64))| Departed {
            aum: aum.to_string(),
            record: *record,
            removed: departs.removed,
            added: departs.added,
            changed: departs.changed,
            disablement: departs.disablement,
        };
        Epoch {
            forks: seen.forks.iter().map(ToString::to_string).collect(),
            records: seen.records.iter().map(|(aum, at)| (aum.to_string(), *at)).collect(),
            departs: seen.departs.iter().map(departed).collect(),
        }
    }

    fn restore(&self) -> Option<EpochSeen> {
        let mut seen = EpochSeen::default();
        for aum in &self.forks {
            seen.forks.insert(aum.parse().ok()?);
        }
        for (aum, at) in &self.records {
            seen.records.insert(aum.parse().ok()?, *at);
        }
        for Departed { aum, record, removed, added, changed, disablement } in &self.departs {
            let (removed, added, changed) = (*removed, *added, *changed);
            let departs = Departure { removed, added, changed, disablement: *disablement };
            seen.departs.insert(aum.parse().ok()?, (departs, *record));
        }
        Some(seen)
    }
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}
