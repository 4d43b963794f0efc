//! Everything that happened in a history, in memory, oldest first: what questions are answered
//! from, what policies judge and what the HTML report draws. A plain verdict needs none of it.

mod describe;
mod of_aums;
mod of_records;

use std::collections::BTreeMap;

use ledger::history::{RecordHash, Who};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::lock::{AumKind, Sealed, State};

pub use describe::{change, short};
pub(crate) use of_aums::of_aums;
pub(crate) use of_records::{Collector, finish, levels};

use crate::replay::Departure;

/// A history, told.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// What happened, in the order of the source: a record each or, without records, an AUM.
    pub entries: Vec<Entry>,
    /// The chains: one for each epoch of a ledger, one for each root otherwise.
    pub chains: Vec<ChainStory>,
    /// Nodes that are known by name, as they stand at the end.
    pub nodes: Vec<NodeStory>,
    /// Whose lock key is whose, as far as anybody has said so. Foreign text.
    pub holders: BTreeMap<LockKey, String>,
    /// Whether entries are records, with times and actors.
    pub has_records: bool,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The record's index or, without records, its place among the AUMs.
    pub number: u64,
    /// The record's hash.
    pub hash: Option<RecordHash>,
    /// The proposing member's clock, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Who asked.
    pub actor: Option<ActorSeen>,
    /// The kind of event or AUM.
    pub kind: String,
    /// What it was, in one sentence or more. May hold foreign text.
    pub what: String,
    /// The AUMs that it brought.
    pub aums: Vec<AumHash>,
    /// Trusted keys that it is about, signers included.
    pub keys: Vec<LockKey>,
    /// Nodes that it is about, by the keys that they had.
    pub nodes: Vec<NodeKey>,
    /// Names of the nodes that it let in.
    pub let_in: Vec<String>,
    /// Names of the nodes that it locked out.
    pub locked_out: Vec<String>,
}

/// Who asked, on the word of the member that proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorSeen {
    /// The member's name.
    pub member: String,
    /// As whom it knows the asker.
    pub who: Who,
    /// The asker's name as the member knows it.
    pub name: String,
}

/// A chain of AUMs from one root.
#[derive(Debug)]
pub struct ChainStory {
    /// Its epoch, from 1.
    pub epoch: u32,
    /// The state ID.
    pub state_id: (u64, u64),
    /// Whether something came before its root.
    pub assumed: bool,
    /// Its AUMs, each after its parent.
    pub aums: Vec<AumStory>,
    /// The last AUM of its active branch, by its place.
    pub head: usize,
    /// The entry since which it was in force: of a lock from elsewhere, the one that completed it.
    pub began: Option<usize>,
    /// The entry that ended it.
    pub ended: Option<usize>,
    by_hash: BTreeMap<AumHash, usize>,
}

/// What became of an AUM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AumStanding {
    /// It was verified.
    Verified,
    /// It breaks a rule: why.
    Rejected(String),
    /// It is built on one that does.
    OnRejected,
    /// What came before it is not there.
    Unrooted,
}

/// One AUM.
#[derive(Debug)]
pub struct AumStory {
    /// The AUM.
    pub aum: Sealed,
    /// The entry that brought it, by its place.
    pub entry: usize,
    /// What became of it.
    pub standing: AumStanding,
    /// Its weight at its parent.
    pub weight: u64,
    /// Its parent, by its place.
    pub parent: Option<usize>,
    /// What is built on it, by place, preferred first.
    pub children: Vec<usize>,
    /// Whether it is on the active branch.
    pub active: bool,
    /// How it differs from the sum of what came before, if it is a checkpoint that does.
    pub departs: Option<Departure>,
}

/// A node of the tailnet.
#[derive(Debug, Clone)]
pub struct NodeStory {
    /// Its name. Foreign text.
    pub name: String,
    /// Its node key now.
    pub node_key: NodeKey,
    /// The node keys that it had before.
    pub former: Vec<NodeKey>,
    /// Whether it is let in.
    pub admitted: bool,
    /// Why, in one sentence.
    pub why: String,
    /// The record since which it is so.
    pub since: Option<u64>,
    /// Its chain of signatures, outermost first, down to the trusted key.
    pub levels: Vec<String>,
    /// The key on which its signature rests.
    pub rests_on: Option<LockKey>,
}

/// A key's trust over time, on the active branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLife {
    /// The key.
    pub key: LockKey,
    /// The chain, by its place.
    pub chain: usize,
    /// The AUM since which it was trusted.
    pub from: usize,
    /// The first AUM after which it was not.
    pub until: Option<usize>,
    /// Its votes at the end of that time.
    pub votes: u64,
    /// Its metadata then. Foreign text.
    pub meta: Vec<(String, String)>,
}

impl ChainStory {
    /// A chain from its AUMs, each after its parent. The active branch is found here.
    pub(crate) fn new(epoch: u32, assumed: bool, mut aums: Vec<AumStory>) -> Self {
        let by_hash: BTreeMap<AumHash, usize> =
            aums.iter().enumerate().map(|(at, aum)| (aum.aum.hash(), at)).collect();
        for at in 0..aums.len() {
            let parent =
                aums[at].aum.parent_hash().and_then(|parent| by_hash.get(&parent).copied());
            aums[at].parent = parent;
            if let Some(parent) = parent {
                aums[parent].children.push(at);
            }
        }
        let rank = |aums: &[AumStory], at: usize| {
            let aum = &aums[at];
            let removes = aum.aum.kind == AumKind::REMOVE_KEY;
            let lightness = u64::MAX - aum.weight;
            (aum.standing != AumStanding::Verified, lightness, !removes, aum.aum.hash())
        };
        for at in 0..aums.len() {
            let mut children = std::mem::take(&mut aums[at].children);
            children.sort_by_key(|child| rank(&aums, *child));
            aums[at].children = children;
        }
        let mut head = 0;
        if let Some(root) = aums.first_mut() {
            root.active = true;
        }
        while let Some(&best) = aums.get(head).and_then(|aum| aum.children.first()) {
            if aums[best].standing != AumStanding::Verified {
                break;
            }
            head = best;
            aums[head].active = true;
        }
        let state = aums.first().and_then(|root| root.aum.state.as_ref());
        let state_id = state.map(State::state_id).unwrap_or_default();
        let began = aums.first().map(|root| root.entry);
        ChainStory { epoch, state_id, assumed, aums, head, began, ended: None, by_hash }
    }

    /// The place of an AUM.
    pub fn find(&self, hash: &AumHash) -> Option<usize> {
        self.by_hash.get(hash).copied()
    }

    /// The places from the root to an AUM, both included.
    pub fn path(&self, to: usize) -> Vec<usize> {
        let mut path = vec![to];
        let mut at = to;
        while let Some(parent) = self.aums[at].parent {
            at = parent;
            path.push(at);
        }
        path.reverse();
        path
    }

    /// The state after an AUM that was verified.
    pub fn state_at(&self, at: usize) -> Option<State> {
        if self.aums[at].standing != AumStanding::Verified {
            return None;
        }
        // The last checkpoint before it carries a whole state.
        let path = self.path(at);
        let checkpoint = path.iter().rposition(|at| self.aums[*at].aum.checkpointed().is_some())?;
        let mut state = State::at_checkpoint(&self.aums[path[checkpoint]].aum)?;
        for at in &path[checkpoint + 1..] {
            state.apply(&self.aums[*at].aum).ok()?;
        }
        Some(state)
    }

    /// Forks: AUMs with several verified children.
    pub fn forks(&self) -> impl Iterator<Item = (usize, Vec<usize>)> + '_ {
        self.aums.iter().enumerate().filter_map(|(at, aum)| {
            let verified = |child: &&usize| self.aums[**child].standing == AumStanding::Verified;
            let children: Vec<usize> = aum.children.iter().filter(verified).copied().collect();
            (children.len() > 1).then_some((at, children))
        })
    }

    /// How many AUMs there are from one on, itself included.
    pub fn branch_size(&self, from: usize) -> usize {
        let (mut open, mut size) = (vec![from], 0);
        while let Some(at) = open.pop() {
            size += 1;
            open.extend(&self.aums[at].children);
        }
        size
    }

    /// Keys that branches added which lost, and the entries between which they were trusted: from
    /// where they were added to where the branch that won came, if it came later.
    pub fn undone_keys(&self) -> Vec<(LockKey, usize, usize)> {
        let beaten = |aum: &&AumStory| !aum.active && aum.standing == AumStanding::Verified;
        let added = self.aums.iter().filter(beaten).filter_map(|aum| {
            let key = aum.aum.key.as_ref()?.lock_key()?;
            let mut fork = aum.parent?;
            while !self.aums[fork].active {
                fork = self.aums[fork].parent?;
            }
            let winner = self.aums[fork].children.iter().find(|child| self.aums[**child].active)?;
            let until = self.aums[*winner].entry;
            (until > aum.entry).then_some((key, aum.entry, until))
        });
        added.collect()
    }

    /// Trusted keys that a checkpoint takes the trust from, against what came before it.
    pub fn dropped(&self, at: usize) -> Vec<LockKey> {
        let story = &self.aums[at];
        let before = story.parent.and_then(|parent| self.state_at(parent));
        let (Some(before), Some(after)) = (before, story.aum.checkpointed()) else {
            return Vec::new();
        };
        let keys = before.keys().iter().filter_map(|key| key.lock_key());
        keys.filter(|key| after.key(&key.0).is_none()).collect()
    }

    /// Times of trust in keys on the active branch.
    pub fn lives(&self, chain: usize) -> Vec<KeyLife> {
        let mut lives: Vec<KeyLife> = Vec::new();
        let mut open: BTreeMap<LockKey, usize> = BTreeMap::new();
        let mut state: Option<State> = None;
        for at in self.path(self.head) {
            let aum = &self.aums[at].aum;
            let next = match (&mut state, State::at_checkpoint(aum)) {
                (_, Some(new)) => Some(new),
                (Some(state), None) => state.apply(aum).is_ok().then(|| state.clone()),
                (None, None) => None,
            };
            let Some(next) = next else { continue };
            let keys = next.keys().iter().filter_map(|key| Some((key.lock_key()?, key)));
            let now: BTreeMap<LockKey, _> = keys.collect();
            open.retain(|key, life| {
                let stays = now.contains_key(key);
                if !stays {
                    lives[*life].until = Some(at);
                }
                stays
            });
            for (id, key) in now {
                let life = *open.entry(id).or_insert_with(|| {
                    lives.push(KeyLife {
                        key: id,
                        chain,
                        from: at,
                        until: None,
                        votes: key.votes,
                        meta: Vec::new(),
                    });
                    lives.len() - 1
                });
                lives[life].votes = key.votes;
                let meta = key.meta.iter().flat_map(|meta| &meta.0);
                lives[life].meta = meta.map(|(k, v)| (k.clone(), v.clone())).collect();
            }
            state = Some(next);
        }
        lives
    }
}

impl Chronicle {
    /// Where an AUM is: its chain and its place there, the latest chain first.
    pub fn find(&self, hash: &AumHash) -> Option<(usize, usize)> {
        let chains = self.chains.iter().enumerate().rev();
        chains.filter_map(|(chain, story)| Some((chain, story.find(hash)?))).next()
    }

    /// The signers of an AUM whose keys are keys.
    pub fn signers(aum: &Sealed) -> impl Iterator<Item = LockKey> + '_ {
        let ids = aum.signatures.iter().filter_map(|signature| signature.key_id.as_deref());
        ids.filter_map(|id| id.try_into().ok().map(LockKey))
    }

    /// Times of trust in keys, chain by chain.
    pub fn lives(&self) -> Vec<KeyLife> {
        self.chains.iter().enumerate().flat_map(|(i, chain)| chain.lives(i)).collect()
    }
}
