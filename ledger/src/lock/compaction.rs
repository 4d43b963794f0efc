//! Deleting old AUMs from a client node's chain (spec 7.3).
//!
//! A replica never compacts: its records are history. A client node does after each sync, so what
//! it holds, and thus what this costs, stays bounded by its own work: it reads the whole chain.

use std::collections::BTreeMap;

use super::chain::{Chain, Node, Place, Storing};
use super::{AumKind, Authority};
use crate::ids::AumHash;
use crate::limits::{COMPACTION_MIN_AGE_SECS, COMPACTION_MIN_CHAIN};
use crate::rows::Draft;
use crate::{Failure, Fault};

/// What to keep at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// AUMs of the active branch, counted from the head.
    pub min_chain: usize,
    /// Seconds since an AUM was stored, below which it is young and kept.
    pub min_age: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { min_chain: COMPACTION_MIN_CHAIN, min_age: COMPACTION_MIN_AGE_SECS }
    }
}

/// Why a chain is not compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCompacted {
    /// The length to keep is zero.
    #[error("opts.MinChain must be set")]
    MinChain,
    /// The age to keep is zero.
    #[error("opts.MinAge must be set")]
    MinAge,
}

/// What compaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest AUM now: a checkpoint, from which every AUM that is left descends.
    pub oldest: AumHash,
    /// The AUMs deleted, by hash.
    pub deleted: Vec<AumHash>,
}

/// An AUM under consideration.
struct Item {
    node: Node,
    /// It stays.
    kept: bool,
    /// It lies below the place where the chain could begin.
    below: bool,
}

struct Marking {
    items: BTreeMap<AumHash, Item>,
    /// Where the chain could begin, so far.
    oldest: AumHash,
}

/// Deletes what neither the head nor any young AUM needs, and begins the chain at a checkpoint
/// (spec 7.3). `age` gives the seconds since an AUM was stored: of a clock that the caller
/// answers for.
///
/// Decides everything before it changes anything, so it never leaves a chain half compacted. Where
/// the original gives up because it finds no place to begin at, ours keeps what there is (rule
/// `compaction-keeps`). As many reads and steps as the chain has AUMs.
pub fn compact(
    authority: &mut Authority,
    draft: &mut Draft<'_>,
    options: Options,
    age: &dyn Fn(&AumHash) -> u64,
) -> Result<Compacted, Failure> {
    if options.min_chain == 0 {
        return Err(NotCompacted::MinChain.into());
    }
    if options.min_age == 0 {
        return Err(NotCompacted::MinAge.into());
    }
    let chain = authority.chain(&*draft);
    let items = chain.nodes()?.map(|row| {
        let (hash, node) = row?;
        let young = age(&hash) < options.min_age;
        Ok((hash, Item { node, kept: young, below: false }))
    });
    let items = items.collect::<Result<BTreeMap<_, _>, Fault>>()?;
    let mut marking = Marking { items, oldest: authority.head() };
    marking.active(authority.head(), options.min_chain);
    marking.descendants();
    marking.ancestors();
    let oldest = Place {
        hash: marking.oldest,
        height: marking.items.get(&marking.oldest).map_or(0, |item| item.node.height),
    };
    let deleted = marking.items.iter().filter(|(_, item)| !item.kept).map(|(hash, _)| *hash);
    let deleted: Vec<AumHash> = deleted.collect();
    if !deleted.is_empty() {
        apply(authority, draft, &marking, oldest, &deleted)?;
    }
    Ok(Compacted { oldest: oldest.hash, deleted })
}

fn apply(
    authority: &mut Authority,
    draft: &mut Draft<'_>,
    marking: &Marking,
    oldest: Place,
    deleted: &[AumHash],
) -> Result<(), Fault> {
    let chain = Chain::new(&*draft, authority.chain_id());
    let state = chain.state_at(&oldest.hash)?;
    let state = state.ok_or_else(|| Fault::new("the state of the oldest AUM is missing"))?;
    let mut gone = Vec::with_capacity(deleted.len());
    for hash in deleted {
        let aum = chain.aum(hash)?;
        gone.push(aum.ok_or_else(|| Fault::new(format!("AUM {hash} is missing")))?);
    }
    let mut changes = Vec::new();
    for row in chain.key_change_rows()? {
        let (key, change) = row?;
        if marking.items.get(&change.at.hash).is_none_or(|item| !item.kept) {
            changes.push(key);
        }
    }
    let mut storing = Storing { draft, id: authority.chain_id() };
    for (hash, aum) in deleted.iter().zip(&gone) {
        if let Some(item) = marking.items.get(hash) {
            storing.delete(aum, &item.node);
        }
    }
    storing.delete_key_changes(changes);
    // What was known of each key's past now begins here.
    for key in state.keys() {
        storing.key_change(key.id(), oldest, true);
    }
    authority.begin_at(storing.draft, oldest);
    Ok(())
}

impl Marking {
    fn parent(&self, hash: &AumHash) -> Option<AumHash> {
        let parent = self.items.get(hash)?.node.parent?;
        self.items.contains_key(&parent).then_some(parent)
    }

    fn keep(&mut self, hash: &AumHash) {
        if let Some(item) = self.items.get_mut(hash) {
            item.kept = true;
        }
    }

    /// Keeps the active branch down to where the chain could begin: at least `min_chain` AUMs, then
    /// on to a checkpoint that is not young. Everything below is marked as that.
    fn active(&mut self, head: AumHash, min_chain: usize) {
        let mut at = head;
        let mut steps = 0;
        loop {
            let Some(item) = self.items.get_mut(&at) else { return };
            let young = item.kept;
            item.kept = true;
            self.oldest = at;
            if steps >= min_chain && item.node.kind == AumKind::CHECKPOINT && !young {
                break;
            }
            steps += 1;
            // The end of what is stored is where it must begin, whatever it is.
            let Some(parent) = self.parent(&at) else { return };
            at = parent;
        }
        while let Some(parent) = self.parent(&at) {
            at = parent;
            if let Some(item) = self.items.get_mut(&at) {
                item.below = true;
            }
        }
    }

    /// Keeps every descendant of what is kept so far.
    fn descendants(&mut self) {
        let mut by_height: Vec<_> =
            self.items.iter().map(|(hash, item)| (item.node.height, *hash)).collect();
        by_height.sort_unstable();
        for (_, hash) in by_height {
            let parent = self.items.get(&hash).and_then(|item| item.node.parent);
            if parent.and_then(|parent| self.items.get(&parent)).is_some_and(|item| item.kept) {
                self.keep(&hash);
            }
        }
    }

    /// Keeps the way from everything that is kept down to where the chain could begin, and moves
    /// that place down to where the lowest branch forks off, and on to a checkpoint.
    fn ancestors(&mut self) {
        let mut moved = false;
        let kept: Vec<AumHash> = self
            .items
            .iter()
            .filter(|(hash, item)| item.kept && **hash != self.oldest)
            .map(|(hash, _)| *hash)
            .collect();
        for start in kept {
            let mut at = start;
            loop {
                let Some(parent) = self.parent(&at) else {
                    // The oldest AUM of all is kept: the chain goes on beginning there.
                    self.lower(at);
                    moved = true;
                    break;
                };
                let Some(item) = self.items.get(&parent).filter(|item| !item.kept) else { break };
                if item.below {
                    self.lower(parent);
                    moved = true;
                    break;
                }
                self.keep(&parent);
                at = parent;
            }
        }
        if !moved {
            return;
        }
        loop {
            self.keep(&self.oldest.clone());
            let item = self.items.get(&self.oldest);
            if item.is_none_or(|item| item.node.kind == AumKind::CHECKPOINT) {
                break;
            }
            match self.parent(&self.oldest) {
                Some(parent) => self.oldest = parent,
                None => break,
            }
        }
    }

    /// Moves the place where the chain could begin down to `to`, if it lies above it.
    fn lower(&mut self, to: AumHash) {
        let height = |m: &Self, hash: &AumHash| m.items.get(hash).map(|item| item.node.height);
        while height(self, &self.oldest) > height(self, &to) {
            let Some(parent) = self.parent(&self.oldest) else { break };
            self.keep(&parent);
            self.oldest = parent;
        }
    }
}
