//! The AUMs of one chain as rows, with the indexes that make its length not matter.
//!
//! Every AUM has a *node*: its height, its parent, and a jump pointer far back (skew-binary, as
//! in Myers' random-access lists), so that any ancestor is found in a logarithm of the height and
//! nothing is rewritten when another branch becomes the active one. A snapshot of the state is
//! never more than [`SNAPSHOT_EVERY`] AUMs away, each AUM knows the checkpoint before it, and
//! each change of a key's trust has a row of its own.
//!
//! Below the oldest stored AUM there may have been others, deleted by compaction or never known:
//! pointers to them are left as they are and not followed, since every walk stops at a height.

mod row;
mod storing;

use std::ops::Range;

use self::row::{key_change, read_snapshot, tail_hash};
pub(super) use self::storing::{Storing, ends};
use super::{AumKind, Sealed, State};
use crate::Fault;
use crate::ids::{AumHash, blake2s};
use crate::rows::{Rows, Table, prefix_end, tables};

/// AUMs between two snapshots of the state on one branch, at most. Checkpoints count as
/// snapshots.
pub const SNAPSHOT_EVERY: u32 = 64;

/// Which chain: the prefix of all its rows. In the ledger the epoch, from 1; 0 for a client node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainId(pub u32);

impl ChainId {
    fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(4 + parts.iter().map(|part| part.len()).sum::<usize>());
        key.extend_from_slice(&self.0.to_be_bytes());
        for part in parts {
            key.extend_from_slice(part);
        }
        key
    }
}

/// An AUM and its height: the number of AUMs below it, down to the first that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The AUM.
    pub hash: AumHash,
    /// Its height.
    pub height: u64,
}

/// What is known of a stored AUM without decoding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// AUMs below it; 0 for the one that the chain was bootstrapped from.
    pub height: u64,
    /// Its kind.
    pub kind: AumKind,
    /// Its parent, stored or not.
    pub parent: Option<AumHash>,
    /// The votes of its signers in the state at its parent (spec 5.1).
    pub weight: u64,
    /// The nearest checkpoint below it on its branch.
    pub checkpoint: Option<Place>,
    /// An ancestor far below, to jump to.
    jump: Option<Place>,
    /// AUMs since the last snapshot or checkpoint; 0 if its own state is at hand.
    since: u32,
}

/// Where the jumps from an AUM lead, one after the other, as far as somebody has looked; the
/// nearest place last. A run of new AUMs needs no reads to find its jumps.
#[derive(Debug, Clone, Default)]
pub(super) struct Jumps(Vec<Place>);

impl Jumps {
    /// Those from a stored AUM.
    pub(super) fn from(node: &Node) -> Self {
        Jumps(node.jump.into_iter().collect())
    }
}

/// A change of trust in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyChange {
    /// The AUM that made it.
    pub at: Place,
    /// Whether the key is trusted after that AUM.
    pub trusted: bool,
}

/// One AUM among its siblings, in the order of preference (spec 5.2): the least is the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preference {
    /// All ones minus the weight: the heaviest first.
    lightness: u64,
    /// 0 for a RemoveKey, 1 for every other kind.
    keeps: u8,
    /// The smaller hash first.
    pub(super) hash: AumHash,
}

impl Preference {
    pub(super) fn of(aum: &Sealed, weight: u64) -> Self {
        Self::new(weight, aum.kind, aum.hash())
    }

    pub(super) fn new(weight: u64, kind: AumKind, hash: AumHash) -> Self {
        let keeps = match kind {
            AumKind::REMOVE_KEY if !planted!(NoRemovePreference) => 0,
            _ if planted!(HighestHash) => 1 + (!hash.0[0] >> 1),
            _ => 1,
        };
        Preference { lightness: u64::MAX - weight, keeps, hash }
    }

    fn key(&self) -> [u8; 41] {
        let mut key = [0; 41];
        key[..8].copy_from_slice(&self.lightness.to_be_bytes());
        key[8] = self.keeps;
        key[9..].copy_from_slice(&self.hash.0);
        key
    }
}

/// Reading one chain.
#[derive(Clone, Copy)]
pub struct Chain<'a> {
    rows: &'a dyn Rows,
    id: ChainId,
}

impl std::fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chain").field(&self.id).finish()
    }
}

impl<'a> Chain<'a> {
    /// The chain `id` in these rows.
    pub fn new(rows: &'a dyn Rows, id: ChainId) -> Self {
        Chain { rows, id }
    }

    /// Which chain this is.
    pub fn id(&self) -> ChainId {
        self.id
    }

    /// A stored AUM. One read.
    pub fn aum(&self, hash: &AumHash) -> Result<Option<Sealed>, Fault> {
        match self.rows.get(tables::AUMS, &self.id.key(&[&hash.0]))? {
            None => Ok(None),
            Some(bytes) => match Sealed::decode(&bytes) {
                Ok(aum) if aum.hash() == *hash => Ok(Some(aum)),
                Ok(_) => Err(damaged("AUM", hash)),
                Err(e) => Err(Fault::from_error(format!("damaged row of AUM {hash}"), e)),
            },
        }
    }

    /// The AUM that must be there because another row names it.
    fn present(&self, hash: &AumHash) -> Result<Sealed, Fault> {
        self.aum(hash)?.ok_or_else(|| damaged("AUM", hash))
    }

    /// What is known of a stored AUM. One read.
    pub fn node(&self, hash: &AumHash) -> Result<Option<Node>, Fault> {
        self.rows
            .get(tables::AUM_NODES, &self.id.key(&[&hash.0]))?
            .map(|row| Node::decode(&row).map_err(|e| Fault::from_error("damaged AUM node row", e)))
            .transpose()
    }

    /// Whether an AUM is stored. One read.
    pub(super) fn has(&self, hash: &AumHash) -> Result<bool, Fault> {
        Ok(self.rows.get(tables::AUM_NODES, &self.id.key(&[&hash.0]))?.is_some())
    }

    /// The node that must be there because another row names it.
    pub(super) fn known(&self, hash: &AumHash) -> Result<Node, Fault> {
        self.node(hash)?.ok_or_else(|| damaged("node of AUM", hash))
    }

    /// The node at a place that another row names, if it is stored. Rows that do not agree about its
    /// height are damaged: whoever follows others relies on getting down.
    fn at(&self, place: Place) -> Result<Option<Node>, Fault> {
        match self.node(&place.hash)? {
            Some(node) if node.height != place.height => Err(damaged("node of AUM", &place.hash)),
            found => Ok(found),
        }
    }

    /// The checkpoint that the node of an AUM names.
    pub(super) fn checkpoint_of(&self, node: &Node) -> Result<Option<(Place, Node)>, Fault> {
        let Some(place) = node.checkpoint else { return Ok(None) };
        let below = self.at(place)?.ok_or_else(|| damaged("node of AUM", &place.hash))?;
        Ok(Some((place, below)))
    }

    /// Every stored AUM, by hash. Reads the whole chain: for compaction, audit and tests.
    pub fn nodes(
        &self,
    ) -> Result<impl Iterator<Item = Result<(AumHash, Node), Fault>> + 'a, Fault> {
        let rows = self.scan(tables::AUM_NODES, &[])?;
        Ok(rows.map(|row| {
            let (key, value) = row?;
            let hash = tail_hash(&key)?;
            let node = Node::decode(&value).map_err(|e| Fault::from_error("damaged node", e))?;
            Ok((hash, node))
        }))
    }

    fn scan(&self, table: Table, prefix: &[&[u8]]) -> Result<crate::rows::RowIter<'a>, Fault> {
        let start = self.id.key(prefix);
        self.range(table, start.as_slice()..&prefix_end(&start))
    }

    fn range(&self, table: Table, keys: Range<&[u8]>) -> Result<crate::rows::RowIter<'a>, Fault> {
        self.rows.scan(table, keys)
    }

    /// The stored children of an AUM, preferred first (spec 5.2). As many steps as children.
    pub fn children(&self, parent: &AumHash) -> Result<Vec<AumHash>, Fault> {
        self.scan(tables::AUM_CHILDREN, &[&parent.0])?.map(|row| tail_hash(&row?.0)).collect()
    }

    /// The child that fork resolution prefers (spec 5.2). One seek.
    pub fn best_child(&self, parent: &AumHash) -> Result<Option<AumHash>, Fault> {
        let mut rows = self.scan(tables::AUM_CHILDREN, &[&parent.0])?;
        rows.next().map(|row| tail_hash(&row?.0)).transpose()
    }

    /// The state after a stored AUM, whichever branch it is on; `None` if it is not stored.
    /// At most [`SNAPSHOT_EVERY`] reads and steps.
    pub fn state_at(&self, hash: &AumHash) -> Result<Option<State>, Fault> {
        match self.node(hash)? {
            Some(node) => self.state_of(hash, &node).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn state_of(&self, hash: &AumHash, node: &Node) -> Result<State, Fault> {
        let mut path = Vec::new();
        let (mut at, mut node) = (*hash, node.clone());
        while node.since > 0 {
            path.push(at);
            at = node.parent.ok_or_else(|| damaged("parent of AUM", &at))?;
            let below = self.known(&at)?;
            if below.since != node.since - 1 {
                return Err(damaged("node of AUM", &at));
            }
            node = below;
        }
        let mut state = self.snapshot(&at, &node)?;
        for hash in path.iter().rev() {
            let aum = self.present(hash)?;
            state.apply(&aum).map_err(|e| {
                Fault::from_error(format!("stored AUM {hash} does not apply to its parent"), e)
            })?;
        }
        Ok(state)
    }

    fn snapshot(&self, hash: &AumHash, node: &Node) -> Result<State, Fault> {
        if node.kind == AumKind::CHECKPOINT {
            let aum = self.present(hash)?;
            return State::at_checkpoint(&aum).ok_or_else(|| damaged("checkpoint", hash));
        }
        let row = self.rows.get(tables::AUM_STATES, &self.id.key(&[&hash.0]))?;
        let row = row.ok_or_else(|| damaged("state at AUM", hash))?;
        read_snapshot(&row)
            .map_err(|e| Fault::from_error(format!("damaged state row of AUM {hash}"), e))
    }

    /// The ancestor of an AUM (itself included) at that height; `None` if the AUM is not stored,
    /// lies lower, or the ancestor is not stored. A logarithm of the height in reads.
    pub fn ancestor_at(&self, hash: &AumHash, height: u64) -> Result<Option<AumHash>, Fault> {
        let mut at = *hash;
        let Some(mut node) = self.node(&at)? else { return Ok(None) };
        if node.height < height {
            return Ok(None);
        }
        while node.height > height {
            let parent = node.parent.map(|hash| Place { hash, height: node.height - 1 });
            let Some(next) = node.jump.filter(|jump| jump.height >= height).or(parent) else {
                return Ok(None);
            };
            at = next.hash;
            node = match self.at(next)? {
                Some(node) => node,
                // Below the oldest stored AUM, or a jump across a gap that compaction left.
                None => return Ok(None),
            };
        }
        Ok(Some(at))
    }

    /// Whether `ancestor` is `of` or lies below it on its branch. A logarithm of the height.
    pub fn is_ancestor(&self, ancestor: &AumHash, of: &AumHash) -> Result<bool, Fault> {
        if ancestor == of {
            return Ok(self.node(of)?.is_some());
        }
        match self.node(ancestor)? {
            Some(node) => Ok(self.ancestor_at(of, node.height)? == Some(*ancestor)),
            None => Ok(false),
        }
    }

    /// From an AUM back along its parents, it first, as far as they are stored. One read a step.
    pub fn back_from(&self, hash: AumHash) -> impl Iterator<Item = Result<Sealed, Fault>> + 'a {
        let chain = *self;
        let mut next = Some(hash);
        std::iter::from_fn(move || {
            let aum = chain.aum(&next.take()?).transpose()?;
            next = aum.as_ref().ok().and_then(|aum| aum.parent_hash());
            Some(aum)
        })
    }

    /// The changes of a key's trust at or below `height`, highest first, on all branches. Two
    /// rows may say the same; a key without rows was never trusted. One seek and as many steps
    /// as are taken.
    pub fn key_changes(
        &self,
        key_id: &[u8],
        height: u64,
    ) -> Result<impl Iterator<Item = Result<KeyChange, Fault>> + 'a, Fault> {
        let prefix = self.id.key(&[&blake2s(key_id)]);
        let mut start = prefix.clone();
        start.extend_from_slice(&(u64::MAX - height).to_be_bytes());
        let rows = self.range(tables::AUM_KEY_CHANGES, start.as_slice()..&prefix_end(&prefix))?;
        Ok(rows.map(|row| {
            let (key, value) = row?;
            key_change(&key, &value)
        }))
    }

    /// Every key-change row of the chain, for compaction.
    pub(super) fn key_change_rows(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, KeyChange), Fault>> + 'a, Fault> {
        Ok(self.scan(tables::AUM_KEY_CHANGES, &[])?.map(|row| {
            let (key, value) = row?;
            let change = key_change(&key, &value)?;
            Ok((key, change))
        }))
    }

    /// Whether the key is trusted at an AUM of the branch that ends in `tip`, and since which
    /// height it has been so. `None` if it never was.
    pub(crate) fn trust_below(
        &self,
        key_id: &[u8],
        height: u64,
        tip: &AumHash,
    ) -> Result<Option<KeyChange>, Fault> {
        for change in self.key_changes(key_id, height)? {
            let change = change?;
            if self.ancestor_at(tip, change.at.height)? == Some(change.at.hash) {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    /// The node of a new AUM on top of a stored one, to which `jumps` belong; afterwards they
    /// belong to the new one. A read at most, and none where the AUMs before were new as well.
    pub(super) fn node_above(
        &self,
        parent: Place,
        below: &Node,
        jumps: &mut Jumps,
        kind: AumKind,
        weight: u64,
    ) -> Result<Node, Fault> {
        if let [jump] = jumps.0[..] {
            let farther = self.at(jump)?.and_then(|node| node.jump);
            jumps.0 = farther.into_iter().chain([jump]).collect();
        }
        // Skew-binary numbers: two jumps of the same length below make one of twice as much and one.
        match jumps.0[..] {
            [.., farther, jump] if parent.height - jump.height == jump.height - farther.height => {
                jumps.0.pop();
            }
            _ => jumps.0.push(parent),
        }
        let since = (below.since + 1) % SNAPSHOT_EVERY;
        Ok(Node {
            height: parent.height + 1,
            kind,
            parent: Some(parent.hash),
            weight,
            checkpoint: if below.kind == AumKind::CHECKPOINT {
                Some(parent)
            } else {
                below.checkpoint
            },
            jump: jumps.0.last().copied(),
            since: if kind == AumKind::CHECKPOINT { 0 } else { since },
        })
    }
}

fn damaged(what: &str, hash: &AumHash) -> Fault {
    Fault::new(format!("missing or damaged row: {what} {hash}"))
}
