//! What keys have signed that lost their trust later.

use std::collections::BTreeMap;

use ledger::ids::LockKey;
use ledger::lock::{Sealed, State};

use super::Finding;
use super::catalog::KEY_REVOKED_LATER;
use crate::report::lines::some;

/// What a key has signed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Use {
    /// AUMs that were verified.
    pub(crate) aums: u64,
    /// Signatures for nodes.
    pub(crate) nodes: u64,
    /// The first and the last record, if there are records.
    pub(crate) records: Option<(u64, u64)>,
}

/// What each key of one chain has signed.
#[derive(Debug, Default)]
pub(crate) struct Uses(BTreeMap<LockKey, Use>);

impl Uses {
    /// An AUM was verified.
    pub(crate) fn aum(&mut self, aum: &Sealed, record: Option<u64>) {
        for signature in &aum.signatures {
            let id = signature.key_id.as_deref().and_then(|id| id.try_into().ok());
            if let Some(key) = id.map(LockKey) {
                self.of(key, record).aums += 1;
            }
        }
    }

    /// A signature for a node was admitted that rests on this key.
    pub(crate) fn node(&mut self, key: LockKey, record: Option<u64>) {
        self.of(key, record).nodes += 1;
    }

    fn of(&mut self, key: LockKey, record: Option<u64>) -> &mut Use {
        let used = self.0.entry(key).or_default();
        if let Some(record) = record {
            used.records = Some((used.records.map_or(record, |(first, _)| first), record));
        }
        used
    }

    /// Each key, and what it has signed.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&LockKey, &Use)> {
        self.0.iter()
    }

    /// What was known of each key at an earlier audit.
    pub(crate) fn from_entries(entries: impl IntoIterator<Item = (LockKey, Use)>) -> Self {
        Uses(entries.into_iter().collect())
    }

    /// Findings about keys that are not trusted in the state at the end of the chain.
    pub(crate) fn lost(&self, state: &State, findings: &mut Vec<Finding>) {
        for (key, used) in &self.0 {
            if state.key(&key.0).is_some() {
                continue;
            }
            let (aums, nodes) = (some(used.aums, "AUM"), some(used.nodes, "node"));
            let mut message =
                format!("a key that is not trusted any more has signed {aums} and {nodes}");
            match used.records {
                Some((first, last)) if first == last => message += &format!(", in record {first}"),
                Some((first, last)) => message += &format!(", in records {first} to {last}"),
                None => {}
            }
            findings.push(Finding::new(&KEY_REVOKED_LATER, message).key(*key));
        }
    }
}
