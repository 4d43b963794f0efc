//! The lock's rules once more, the slow way: every question is answered by walking and replaying.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ledger::ids::{AumHash, LockKey};
use ledger::lock::{AumKind, Sealed, State};

/// A set of AUMs that descend from one root.
#[derive(Debug, Clone)]
pub struct Model {
    pub root: AumHash,
    pub aums: BTreeMap<AumHash, Sealed>,
}

impl Model {
    pub fn new(aums: &[Sealed]) -> Self {
        let all = aums.iter().map(|aum| (aum.hash(), aum.clone())).collect();
        Model { root: aums[0].hash(), aums: all }
    }

    /// From the AUM down to the root.
    pub fn line(&self, hash: &AumHash) -> Vec<AumHash> {
        let mut line = vec![*hash];
        while *line.last().unwrap() != self.root {
            line.push(self.aums[line.last().unwrap()].parent_hash().unwrap());
        }
        line
    }

    /// Every AUM from the root on applied, checkpoints too.
    pub fn state_at(&self, hash: &AumHash) -> State {
        let line = self.line(hash);
        let mut state = State::at_checkpoint(&self.aums[&self.root]).unwrap();
        for hash in line.iter().rev().skip(1) {
            state.apply(&self.aums[hash]).unwrap();
        }
        state
    }

    pub fn weight(&self, aum: &Sealed) -> u64 {
        let state = self.state_at(&aum.parent_hash().unwrap());
        let mut seen = Vec::new();
        let mut weight = 0;
        for signature in &aum.signatures {
            let id = signature.key_id.clone().unwrap();
            if !seen.contains(&id) {
                weight += state.key(&id).map_or(0, |key| key.votes);
                seen.push(id);
            }
        }
        weight
    }

    pub fn children(&self, parent: &AumHash) -> Vec<AumHash> {
        let mut children: Vec<&Sealed> =
            self.aums.values().filter(|aum| aum.parent_hash() == Some(*parent)).collect();
        children.sort_by_key(|aum| {
            (Reverse(self.weight(aum)), aum.kind != AumKind::REMOVE_KEY, aum.hash())
        });
        children.iter().map(|aum| aum.hash()).collect()
    }

    pub fn head(&self) -> AumHash {
        let mut head = self.root;
        while let Some(next) = self.children(&head).first() {
            head = *next;
        }
        head
    }

    /// The step-by-step search of spec 10.
    pub fn fork_point(&self, keys: &[Vec<u8>], our: &LockKey) -> AumHash {
        let line = self.line(&self.head());
        let fits = |hash: &&AumHash| {
            let state = self.state_at(hash);
            keys.iter().all(|key| state.key(key).is_none()) && state.key(&our.0).is_some()
        };
        *line.iter().find(fits).unwrap_or(&self.root)
    }

    pub fn checkpoints_below(&self, hash: &AumHash, within: usize) -> Vec<AumHash> {
        let line = self.line(hash);
        let looked_at = line.iter().take(within).filter(|hash| **hash != self.root);
        let mut found: Vec<AumHash> =
            looked_at.filter(|h| self.aums[h].kind == AumKind::CHECKPOINT).copied().collect();
        found.push(self.root);
        found
    }
}
