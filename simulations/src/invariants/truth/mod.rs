//! What is true in a world, whatever its nodes believe: who has signed what, and the lock's rules
//! once more, as short as the spec has them (spec 3.4, 4, 5.1, 5.2, 8.2).
//!
//! Nothing here uses the ledger's rules, rows or cryptography, only its formats: a signature holds
//! if its key's holder has made it, and the holders say so here. So a fault in the rules that all
//! nodes share is seen all the same.

mod door;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::{AumHash, NodeKey};
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use ledger::lock::{AumKind, Sealed, State};

pub use self::door::{Comes, Door, Shut};

/// An AUM, and what the rules say of it where it stands.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The AUM.
    pub aum: Sealed,
    /// The state after it, or why it is refused.
    pub after: Result<State, String>,
    /// The votes of its signers at its parent.
    pub weight: u64,
    /// AUMs below it.
    pub height: u64,
}

/// A signature that a holder made: by which key, over what, and the signature itself.
type Made = (Vec<u8>, [u8; 32], Vec<u8>);

/// What is true.
#[derive(Debug, Default)]
pub struct Truth {
    made: BTreeSet<Made>,
    judged: BTreeMap<AumHash, Judged>,
    revealed: BTreeSet<Vec<u8>>,
}

impl Truth {
    /// The holders of the keys on it have made this AUM.
    pub fn made(&mut self, aum: &Sealed) {
        for signature in &aum.signatures {
            self.made.insert((
                signature.key_id.clone().unwrap_or_default(),
                aum.sig_hash().0,
                signature.signature.clone().unwrap_or_default(),
            ));
        }
        self.judge(aum);
    }

    /// The holders of the keys on it have made this node-key signature.
    pub fn made_for_node(&mut self, signature: &NodeKeySignature) {
        for level in levels(signature) {
            let signer = signer(level).unwrap_or_default().to_vec();
            self.made.insert((signer, level.sig_hash().0, level.signature.clone()));
        }
    }

    /// The operator has revealed a disablement secret, whose value this is.
    pub fn revealed(&mut self, value: [u8; 32]) {
        self.revealed.insert(value.to_vec());
    }

    /// Whether a secret of the state has been revealed.
    pub fn may_end(&self, state: &State) -> bool {
        state.disablement_values().any(|value| self.revealed.contains(value))
    }

    /// What the rules say of an AUM. Its parent must have been judged before, if it has one.
    pub fn judge(&mut self, aum: &Sealed) -> &Judged {
        let hash = aum.hash();
        if !self.judged.contains_key(&hash) {
            let (after, weight) = match self.follow(aum) {
                Ok((state, weight)) => (Ok(state), weight),
                Err(why) => (Err(why), 0),
            };
            let height = aum.parent_hash().map_or(0, |parent| self.height(&parent) + 1);
            self.judged.insert(hash, Judged { aum: aum.clone(), after, weight, height });
        }
        &self.judged[&hash]
    }

    /// What was judged of that AUM.
    pub fn of(&self, hash: &AumHash) -> Option<&Judged> {
        self.judged.get(hash)
    }

    /// The state after an AUM, if it is a valid one.
    pub fn state(&self, hash: &AumHash) -> Option<&State> {
        self.judged.get(hash).and_then(|judged| judged.after.as_ref().ok())
    }

    /// The parent of an AUM.
    pub fn parent(&self, hash: &AumHash) -> Option<AumHash> {
        self.judged.get(hash).and_then(|judged| judged.aum.parent_hash())
    }

    /// How many AUMs are below one.
    pub fn height(&self, hash: &AumHash) -> u64 {
        self.judged.get(hash).map_or(0, |judged| judged.height)
    }

    /// From an AUM back to the genesis.
    pub fn line(&self, hash: &AumHash) -> Vec<AumHash> {
        let mut line = vec![*hash];
        let mut at = *hash;
        while let Some(parent) = self.parent(&at) {
            line.push(parent);
            at = parent;
        }
        line
    }

    /// The place of an AUM among its siblings: the least is preferred (spec 5.2).
    pub fn preference(&self, hash: &AumHash) -> (Reverse<u64>, bool, AumHash) {
        let judged = self.judged.get(hash);
        let weight = judged.map_or(0, |judged| judged.weight);
        let keeps = judged.is_none_or(|judged| judged.aum.kind != AumKind::REMOVE_KEY);
        (Reverse(weight), keeps, *hash)
    }

    /// Where the active branch of these AUMs ends, beginning at `oldest` (spec 5.4).
    pub fn active(&self, oldest: AumHash, stored: &BTreeSet<AumHash>) -> AumHash {
        let mut best: BTreeMap<AumHash, AumHash> = BTreeMap::new();
        for hash in stored {
            if let Some(parent) = self.parent(hash) {
                let child = best.entry(parent).or_insert(*hash);
                if self.preference(hash) < self.preference(child) {
                    *child = *hash;
                }
            }
        }
        let mut at = oldest;
        while let Some(next) = best.get(&at) {
            at = *next;
        }
        at
    }

    fn follow(&self, aum: &Sealed) -> Result<(State, u64), String> {
        aum.check().map_err(|why| why.to_string())?;
        let genesis = aum.parent.is_none();
        let before = match aum.parent_hash() {
            None if aum.kind == AumKind::CHECKPOINT => aum.state.as_ref(),
            None => None,
            Some(parent) => self.state(&parent),
        };
        let before = before.ok_or("it stands on nothing")?;
        if aum.signatures.is_empty() {
            return Err("nobody has signed it".into());
        }
        let mut votes = BTreeMap::new();
        for signature in &aum.signatures {
            let id = signature.key_id.clone().unwrap_or_default();
            let bytes = signature.signature.clone().unwrap_or_default();
            let key = before.keys().iter().find(|key| key.id() == Some(&id));
            votes.insert(id.clone(), key.ok_or("a signer is not trusted")?.votes);
            if !self.made.contains(&(id, aum.sig_hash().0, bytes)) {
                return Err("a signature was never made".into());
            }
        }
        let mut after = before.clone();
        let keys = after.keys.get_or_insert_default();
        let named = aum.key_id.as_deref();
        let place = keys.iter().position(|key| named.is_some() && key.id() == named);
        match aum.kind {
            AumKind::ADD_KEY => {
                let key = aum.key.clone().ok_or("no key")?;
                if keys.iter().any(|other| other.id() == key.id()) {
                    return Err("the key is trusted already".into());
                }
                keys.push(key);
            }
            AumKind::REMOVE_KEY => {
                let place = place.ok_or("the key is not trusted")?;
                if keys.len() == 1 {
                    return Err("it is the last key".into());
                }
                keys.remove(place);
            }
            AumKind::UPDATE_KEY => {
                let key = &mut keys[place.ok_or("the key is not trusted")?];
                key.votes = aum.votes.unwrap_or(key.votes);
                key.meta = aum.meta.clone().or(key.meta.take());
                key.check().map_err(|why| why.to_string())?;
            }
            AumKind::CHECKPOINT if !genesis => {
                let state = aum.state.clone().ok_or("no state")?;
                if state.state_id() != before.state_id() {
                    return Err("another lock".into());
                }
                after = state;
            }
            _ => {}
        }
        after.last_aum = Some(aum.hash());
        Ok((after, votes.values().sum()))
    }

    /// Whether a node-key signature lets a node key in under a state (spec 8.2): the key it rests
    /// on is trusted, it is for this node key, and every level was made by whoever had to.
    pub fn lets_in(&self, signature: &[u8], node_key: NodeKey, state: &State) -> bool {
        let Ok(signature) = NodeKeySignature::decode(signature) else { return false };
        let all = levels(&signature);
        let Some((root, rotations)) = all.split_last() else { return false };
        let trusted = state.keys().iter().any(|key| key.id() == Some(&root.key_id));
        let kinds = rotations.iter().all(|level| level.kind == SigKind::ROTATION)
            && (root.kind == SigKind::DIRECT
                || root.kind == SigKind::CREDENTIAL && !rotations.is_empty());
        let made = all.iter().all(|level| {
            let signer = signer(level).unwrap_or_default().to_vec();
            self.made.contains(&(signer, level.sig_hash().0, level.signature.clone()))
        });
        trusted && kinds && made && signature.pubkey == node_key.to_binary()
    }
}

/// A signature and what it nests, outermost first.
pub fn levels(signature: &NodeKeySignature) -> Vec<&NodeKeySignature> {
    let mut all = vec![signature];
    let mut at = signature;
    while let Some(nested) = at.nested.as_deref() {
        all.push(nested);
        at = nested;
    }
    all
}

/// The key that must have made this level: the one it names or, for a rotation, the nearest
/// wrapping key within.
fn signer(level: &NodeKeySignature) -> Option<&[u8]> {
    if level.kind != SigKind::ROTATION {
        return Some(&level.key_id);
    }
    let within = levels(level);
    within.into_iter().skip(1).map(|level| level.wrapping.as_slice()).find(|key| !key.is_empty())
}
