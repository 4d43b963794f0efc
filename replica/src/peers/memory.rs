//! What other members have signed last, to be shown to them when they come again; and whether
//! somebody has come whom nobody here knows.
//!
//! A machine's disk may be set back to an older copy, as a whole: nothing on it is damaged, and it
//! knows nothing of what it has promised since. Its own signature on it, kept by others, does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::history::ReplicaId;

use super::message::Head;

/// The newest head of each member, of those whose signatures are checked.
#[derive(Debug, Default)]
pub struct Memory {
    heads: Mutex<BTreeMap<ReplicaId, Head>>,
    stranger: AtomicBool,
}

impl Memory {
    /// Goes on from what was remembered before.
    pub fn of(heads: impl IntoIterator<Item = (ReplicaId, Head)>) -> Self {
        Memory { heads: Mutex::new(heads.into_iter().collect()), ..Memory::default() }
    }

    /// Takes a head of that member, if it tells of more writes than the one before. Says whether.
    pub fn heard(&self, id: ReplicaId, head: Head) -> bool {
        let mut heads = self.lock();
        let news = heads.get(&id).is_none_or(|known| known.writes < head.writes);
        if news {
            heads.insert(id, head);
        }
        news
    }

    /// The newest head of that member.
    pub fn head(&self, id: ReplicaId) -> Option<Head> {
        self.lock().get(&id).copied()
    }

    /// All of them.
    pub fn heads(&self) -> BTreeMap<ReplicaId, Head> {
        self.lock().clone()
    }

    /// Forgets members that are none any more.
    pub fn keep(&self, is_member: impl Fn(ReplicaId) -> bool) {
        self.lock().retain(|id, _| is_member(*id));
    }

    /// Somebody has come for this member whose key is no member's here.
    pub fn stranger_came(&self) {
        self.stranger.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has since this was last asked.
    pub fn has_stranger_come(&self) -> bool {
        self.stranger.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Head>> {
        // Nothing that holds this lock can leave it half changed.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ledger::history::{FoldHash, RecordHash};

    use super::*;

    #[test]
    fn the_newest_is_remembered() {
        let (memory, id) = (Memory::default(), ReplicaId(2));
        let head = |writes| Head {
            record: 5,
            hash: RecordHash([1; 32]),
            fold: FoldHash([2; 32]),
            writes,
            signature: [3; 64],
        };
        assert!(memory.heard(id, head(7)) && memory.heard(id, head(8)));
        assert!(!memory.heard(id, head(8)) && !memory.heard(id, head(6)));
        assert_eq!(memory.head(id), Some(head(8)));
        assert_eq!(memory.heads().len(), 1);
        assert!(!memory.has_stranger_come());
        memory.stranger_came();
        assert!(memory.has_stranger_come() && !memory.has_stranger_come());
        memory.keep(|_| false);
        assert_eq!(memory.head(id), None);
    }
}
