//! Random trees of valid AUMs, and nodes that hold them.

use ledger::Failure;
use ledger::ids::AumHash;
use ledger::lock::signatures::{PrivateKey, Signer, Unverified, Verified, verify_one};
use ledger::lock::{
    Aum, AumKind, AumSignature, Authority, Chain, ChainId, Informed, Key, Sealed, State,
};
use ledger::rows::{Draft, Memory};
use proptest::prelude::*;

use crate::model::Model;

const CHAIN: ChainId = ChainId(7);
pub const KEYS: u8 = 5;

pub fn key(n: u8) -> PrivateKey {
    PrivateKey::from_seed(&[n + 1; 32])
}

pub fn id(n: u8) -> Vec<u8> {
    key(n).public().0.to_vec()
}

/// One AUM to try: on which one before it, what, about which key, by which signers.
#[derive(Debug, Clone)]
pub struct Step {
    /// How far back from the newest its parent is; mostly 0, so that chains grow.
    back: prop::sample::Index,
    straight: bool,
    what: u8,
    about: u8,
    signers: u8,
    votes: u64,
}

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<prop::sample::Index>(), 0..10u8, 0..12u8, 0..KEYS, 1..32u8, 1..4u64);
    let step = step.prop_map(|(back, straight, what, about, signers, votes)| Step {
        back,
        straight: straight > 2,
        what,
        about,
        signers,
        votes,
    });
    prop::collection::vec(step, 1..most)
}

pub fn signed(mut aum: Aum, signers: impl IntoIterator<Item = u8>) -> Sealed {
    let message = aum.sig_hash();
    for n in signers {
        aum.signatures.push(AumSignature {
            key_id: Some(id(n)),
            signature: Some(key(n).sign(&message.0).to_vec()),
        });
    }
    Sealed::new(aum)
}

pub fn genesis() -> Sealed {
    let mut aum = Aum::new(AumKind::CHECKPOINT, None);
    aum.state = Some(State {
        last_aum: None,
        disablement_values: Some(vec![Some(vec![9; 32])]),
        keys: Some((0..3).map(|n| Key::ed25519(key(n).public(), 1 + u64::from(n))).collect()),
        state_id1: 1,
        state_id2: 2,
    });
    signed(aum, [0])
}

/// The AUMs of the steps that are valid where they stand, ancestors first.
pub fn tree(steps: &[Step]) -> Vec<Sealed> {
    let mut aums = vec![genesis()];
    let mut states = vec![State::at_checkpoint(&aums[0]).unwrap()];
    for step in steps {
        let newest = aums.len() - 1;
        let parent = if step.straight { newest } else { step.back.index(aums.len()) };
        let state = &states[parent];
        let mut aum = Aum::new(AumKind::NO_OP, Some(aums[parent].hash()));
        match step.what {
            0..=2 => {
                aum.kind = AumKind::ADD_KEY;
                aum.key = Some(Key::ed25519(key(step.about).public(), step.votes));
            }
            3..=5 => {
                aum.kind = AumKind::REMOVE_KEY;
                aum.key_id = Some(id(step.about));
            }
            6 => {
                aum.kind = AumKind::UPDATE_KEY;
                aum.key_id = Some(id(step.about));
                aum.votes = Some(step.votes);
            }
            7 => {
                aum.kind = AumKind::CHECKPOINT;
                let mut checkpoint = state.clone();
                checkpoint.last_aum = None;
                // Not always honest: it may drop a key.
                let keys = checkpoint.keys.as_mut().unwrap();
                if step.votes == 1 && keys.len() > 1 {
                    keys.remove(0);
                }
                aum.state = Some(checkpoint);
            }
            _ => aum.key_id = Some(vec![step.about, step.what]),
        }
        let trusted = |n: &u8| step.signers & 1 << n != 0 && state.key(&id(*n)).is_some();
        let aum = signed(aum, (0..KEYS).filter(trusted));
        let mut after = state.clone();
        let known = aums.iter().any(|other| other.hash() == aum.hash());
        if !known && state.admits(&aum).is_ok() && after.apply(&aum).is_ok() {
            aums.push(aum);
            states.push(after);
        }
    }
    aums
}

pub fn verified(aum: &Sealed) -> Verified<Sealed> {
    verify_one(Unverified::new(aum.clone())).unwrap()
}

/// A client node.
#[derive(Debug, Clone)]
pub struct Node {
    pub rows: Memory,
    pub authority: Authority,
}

impl Node {
    pub fn new(first: &Sealed) -> Self {
        let mut rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let authority = Authority::bootstrap(&mut draft, CHAIN, &verified(first)).unwrap();
        let changes = draft.finish();
        rows.apply(changes);
        Node { rows, authority }
    }

    pub fn inform(&mut self, batch: &[Sealed]) -> Result<Informed, Failure> {
        let batch: Vec<_> = batch.iter().map(verified).collect();
        let mut draft = Draft::on(&self.rows);
        let informed = self.authority.inform(&mut draft, &batch);
        let changes = draft.finish();
        assert!(informed.is_ok() || changes.is_empty());
        self.rows.apply(changes);
        informed
    }

    pub fn chain(&self) -> Chain<'_> {
        self.authority.chain(&self.rows)
    }

    pub fn stored(&self) -> Vec<AumHash> {
        self.chain().nodes().unwrap().map(|row| row.unwrap().0).collect()
    }

    /// Everything that an authority says, and what it says after opening again.
    pub fn check_reopened(&self) {
        let again = Authority::open(&self.rows, CHAIN).unwrap().unwrap();
        assert_eq!(again.head(), self.authority.head());
        assert_eq!(again.state(), self.authority.state());
        assert_eq!(again.oldest(), self.authority.oldest());
    }

    pub fn check_against(&self, model: &Model) {
        assert_eq!(self.authority.head(), model.head());
        assert_eq!(*self.authority.state(), model.state_at(&model.head()));
        assert_eq!(self.stored(), model.aums.keys().copied().collect::<Vec<_>>());
        self.check_reopened();
    }
}
