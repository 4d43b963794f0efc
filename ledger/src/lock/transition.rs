//! What an AUM needs of the state at its parent, and what it does to it (spec 3.4, 4, 5.1).

use super::{Aum, AumKind, Invalid, Key, KeyKind, Sealed, State};
use crate::Refusal;
use crate::ids::{AumHash, LockKey};

/// Why an AUM is not admitted on top of a state, its cryptography apart (spec 3.4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// It has no parent.
    #[error("aum has no parent")]
    NoParent,
    /// The state has no last AUM.
    #[error("cannot check update parent hash against a state with no previous AUM")]
    NoLastAum,
    /// Its parent is another AUM than the state's last.
    #[error("aum with parent {parent} cannot be applied to a state at {at}")]
    OtherParent {
        /// The AUM's parent.
        parent: AumHash,
        /// The state's last AUM.
        at: AumHash,
    },
    /// It has no signature.
    #[error("unsigned AUM")]
    Unsigned,
    /// The signer at this place is not trusted.
    #[error("bad keyID on signature {index}: key not found: {key}")]
    UntrustedSigner {
        /// Place of the signature, from 0.
        index: usize,
        /// Its signer.
        key: LockKey,
    },
    /// It would leave no trusted key.
    #[error("cannot remove the last key in the state")]
    LastKey,
}

/// Why an AUM cannot be applied to a state (spec 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApplicable {
    /// Its parent is not, byte for byte, the state's last AUM.
    #[error("parent AUMHash mismatch")]
    ParentMismatch,
    /// Nothing to add.
    #[error("no key to add provided")]
    NoKey,
    /// The key to add is of a kind that has no key ID.
    #[error("unknown key kind: {0}")]
    KeyKind(KeyKind),
    /// The key to add is trusted already.
    #[error("key already exists")]
    KeyExists,
    /// The key to remove or update is not trusted.
    #[error("key not found")]
    KeyNotFound,
    /// The key would break its own rules after the update.
    #[error("updated key fails validation: {0}")]
    InvalidKey(#[source] Invalid),
    /// A checkpoint without a state.
    #[error("missing checkpoint state")]
    NoState,
    /// A checkpoint of another lock.
    #[error("checkpointed state has an incorrect stateID")]
    OtherLock,
}

impl State {
    /// Checks a verified AUM against the state at its parent: static form, parent, signers and
    /// the last key (spec 3.4 without the cryptography, which [`super::signatures::verify_all`] has done).
    /// Returns its weight (5.1).
    pub fn admits(&self, aum: &Sealed) -> Result<u64, Refusal> {
        aum.check()?;
        let parent = aum.parent_hash().ok_or(NotAdmitted::NoParent)?;
        let at = self.last_aum.ok_or(NotAdmitted::NoLastAum)?;
        if parent != at {
            return Err(NotAdmitted::OtherParent { parent, at }.into());
        }
        self.admits_signers(aum)
    }

    /// Checks the checkpoint that an authority begins with against its own state: as
    /// [`admits`](Self::admits), without the parent (spec 5.4).
    pub fn admits_bootstrap(&self, aum: &Sealed) -> Result<u64, Refusal> {
        aum.check()?;
        self.admits_signers(aum)
    }

    fn admits_signers(&self, aum: &Aum) -> Result<u64, Refusal> {
        if aum.signatures.is_empty() {
            return Err(NotAdmitted::Unsigned.into());
        }
        for (index, signature) in aum.signatures.iter().enumerate() {
            // The static rules hold, so the ID has 32 bytes.
            let id: [u8; 32] = signature
                .key_id
                .as_deref()
                .and_then(|id| id.try_into().ok())
                .ok_or(Invalid::SignatureShape(index))?;
            if index > 0 && planted!(TrustFirstSigner) {
                continue;
            }
            if self.key(&id).is_none() {
                let key = LockKey(id);
                return Err(NotAdmitted::UntrustedSigner { index, key }.into());
            }
        }
        if planted!(RemoveLastKey) {
            return Ok(self.weight(aum));
        }
        if aum.kind == AumKind::REMOVE_KEY
            && let [only] = self.keys()
            && only.id() == Some(aum.key_id.as_deref().unwrap_or_default())
        {
            return Err(NotAdmitted::LastKey.into());
        }
        Ok(self.weight(aum))
    }

    /// The AUM's weight in this state: the votes of its distinct trusted signers (spec 5.1).
    /// Assumes nothing about the signatures.
    pub fn weight(&self, aum: &Aum) -> u64 {
        let mut signers: Vec<&[u8]> =
            aum.signatures.iter().filter_map(|signature| signature.key_id.as_deref()).collect();
        if planted!(ForgetSignature) {
            signers.truncate(1);
        }
        signers.sort_unstable();
        signers.dedup();
        if planted!(IgnoreVotes) {
            return signers.iter().filter(|id| self.key(id).is_some()).count() as u64;
        }
        signers
            .into_iter()
            .filter_map(|id| self.key(id))
            .fold(0, |weight, key| weight.saturating_add(key.votes))
    }

    /// The state that a checkpoint begins with when nothing before it is known (spec 4). None of an
    /// AUM of another kind: it may have a state as well, which says nothing.
    pub fn at_checkpoint(aum: &Sealed) -> Option<State> {
        let mut state = aum.checkpointed()?.clone();
        state.last_aum = Some(aum.hash());
        Some(state)
    }

    /// Applies an AUM (spec 4). A refusal leaves the state as it was.
    pub fn apply(&mut self, aum: &Sealed) -> Result<(), Refusal> {
        if let Some(last) = &self.last_aum
            && aum.parent.as_deref() != Some(&last.0)
        {
            return Err(NotApplicable::ParentMismatch.into());
        }
        match aum.kind {
            AumKind::ADD_KEY => self.add_key(aum)?,
            AumKind::UPDATE_KEY => self.update_key(aum)?,
            AumKind::REMOVE_KEY => {
                let at = self.position(aum)?;
                if let Some(keys) = &mut self.keys {
                    keys.remove(at);
                }
            }
            AumKind::CHECKPOINT => {
                let state = aum.state.as_ref().ok_or(NotApplicable::NoState)?;
                if state.state_id() != self.state_id() && !planted!(OtherLocksCheckpoint) {
                    return Err(NotApplicable::OtherLock.into());
                }
                *self = state.clone();
            }
            _ => {}
        }
        self.last_aum = Some(aum.hash());
        Ok(())
    }

    fn add_key(&mut self, aum: &Aum) -> Result<(), NotApplicable> {
        let key = aum.key.as_ref().ok_or(NotApplicable::NoKey)?;
        let id = key.id().ok_or(NotApplicable::KeyKind(key.kind))?;
        if self.key(id).is_some() {
            return Err(NotApplicable::KeyExists);
        }
        self.keys.get_or_insert_default().push(key.clone());
        Ok(())
    }

    fn update_key(&mut self, aum: &Aum) -> Result<(), NotApplicable> {
        let at = self.position(aum)?;
        let key = &self.keys()[at];
        let updated = Key {
            kind: key.kind,
            votes: aum.votes.unwrap_or(key.votes),
            public: key.public.clone(),
            meta: aum.meta.as_ref().or(key.meta.as_ref()).cloned(),
        };
        updated.check().map_err(NotApplicable::InvalidKey)?;
        let keys = self.keys.get_or_insert_default();
        // A state that no rule has checked may hold the key twice; the update reaches every copy.
        for copy in keys[at + 1..].iter_mut().filter(|key| key.id() == updated.id()) {
            *copy = updated.clone();
        }
        keys[at] = updated;
        Ok(())
    }

    /// Where the key that the AUM names stands.
    fn position(&self, aum: &Aum) -> Result<usize, NotApplicable> {
        let id = aum.key_id.as_deref().unwrap_or_default();
        self.keys().iter().position(|key| key.id() == Some(id)).ok_or(NotApplicable::KeyNotFound)
    }
}
