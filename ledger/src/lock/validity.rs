//! Static rules: what can be said of a key, a state or an AUM without any other (spec 3.1-3.3).
//!
//! The order of the checks is the original's, so that the first complaint is the same.

use super::{Aum, AumKind, Key, KeyKind, State};
use crate::limits::{
    DISABLEMENT_VALUE_BYTES, MAX_DISABLEMENT_VALUES, MAX_KEY_META_BYTES, MAX_KEYS, MAX_VOTES,
};

/// A broken static rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Votes above 4096.
    #[error("excessive key weight: {0} > {MAX_VOTES}")]
    ExcessiveVotes(u64),
    /// Votes of zero.
    #[error("key votes must be non-zero")]
    ZeroVotes,
    /// Metadata above 512 bytes.
    #[error("key metadata too big ({0} > {MAX_KEY_META_BYTES})")]
    MetaTooBig(usize),
    /// A kind of key that cannot sign.
    #[error("unrecognized key kind: {0}")]
    KeyKind(KeyKind),
    /// A parent of no bytes.
    #[error("absent parent must be represented by a nil slice")]
    EmptyParent,
    /// Signature `0` does not have the right lengths.
    #[error("signature {0} has missing keyID or malformed signature")]
    SignatureShape(usize),
    /// A rule of a checkpoint's state.
    #[error("checkpoint state: {0}")]
    State(#[from] InvalidState),
    /// A field that this kind needs is missing.
    #[error("{0}")]
    Missing(&'static str),
    /// A field that this kind must not have.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// A broken rule of a checkpoint's state (spec 3.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidState {
    /// A last AUM hash.
    #[error("cannot specify a parent AUM")]
    Parent,
    /// No disablement value.
    #[error("at least one disablement secret required")]
    NoDisablement,
    /// More than 32 disablement values.
    #[error("too many disablement values ({0}, max {MAX_DISABLEMENT_VALUES})")]
    TooManyDisablements(usize),
    /// A disablement value that is not 32 bytes.
    #[error("disablement[{index}]: invalid length (got {got}, want {DISABLEMENT_VALUE_BYTES})")]
    DisablementLength {
        /// Position in the list.
        index: usize,
        /// Its length in bytes.
        got: usize,
    },
    /// The same disablement value twice.
    #[error("disablement[{0}]: duplicates disablement[{1}]")]
    DisablementTwice(usize, usize),
    /// No key.
    #[error("at least one key is required")]
    NoKeys,
    /// More than 512 keys.
    #[error("too many keys ({0}, max {MAX_KEYS})")]
    TooManyKeys(usize),
    /// A key that breaks its own rules.
    #[error("key[{0}]: {1}")]
    Key(usize, Box<Invalid>),
    /// The same key ID twice.
    #[error("key[{0}]: duplicates key[{1}]")]
    KeyTwice(usize, usize),
}

impl Key {
    /// Checks a key by itself (spec 3.1).
    pub fn check(&self) -> Result<(), Invalid> {
        if self.votes > MAX_VOTES {
            return Err(Invalid::ExcessiveVotes(self.votes));
        }
        if self.votes == 0 {
            return Err(Invalid::ZeroVotes);
        }
        match self.meta.as_ref().map_or(0, |meta| meta.bytes()) {
            0..=MAX_KEY_META_BYTES => {}
            bytes => return Err(Invalid::MetaTooBig(bytes)),
        }
        if self.kind != KeyKind::ED25519 {
            return Err(Invalid::KeyKind(self.kind));
        }
        Ok(())
    }
}

impl State {
    /// Checks a state as a checkpoint carries it (spec 3.3).
    pub fn check(&self) -> Result<(), InvalidState> {
        if self.last_aum.is_some() {
            return Err(InvalidState::Parent);
        }
        let values: Vec<&[u8]> = self.disablement_values().collect();
        match values.len() {
            0 => return Err(InvalidState::NoDisablement),
            1..=MAX_DISABLEMENT_VALUES => {}
            n => return Err(InvalidState::TooManyDisablements(n)),
        }
        for (i, value) in values.iter().enumerate() {
            if value.len() != DISABLEMENT_VALUE_BYTES {
                return Err(InvalidState::DisablementLength { index: i, got: value.len() });
            }
            if let Some(j) = (0..values.len()).find(|&j| j != i && values[j] == *value) {
                return Err(InvalidState::DisablementTwice(i, j));
            }
        }
        match self.keys().len() {
            0 => return Err(InvalidState::NoKeys),
            1..=MAX_KEYS => {}
            n => return Err(InvalidState::TooManyKeys(n)),
        }
        for (i, key) in self.keys().iter().enumerate() {
            key.check().map_err(|e| InvalidState::Key(i, Box::new(e)))?;
            if let Some(j) =
                (0..self.keys().len()).find(|&j| j != i && self.keys()[j].id() == key.id())
            {
                return Err(InvalidState::KeyTwice(i, j));
            }
        }
        Ok(())
    }
}

impl Aum {
    /// Checks an AUM by itself (spec 3.2): nothing about its signers or parent.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(key) = &self.key {
            key.check()?;
        }
        if self.parent.as_ref().is_some_and(|parent| parent.is_empty()) {
            return Err(Invalid::EmptyParent);
        }
        for (i, signature) in self.signatures.iter().enumerate() {
            let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
            if len(&signature.key_id) != 32 || len(&signature.signature) != 64 {
                return Err(Invalid::SignatureShape(i));
            }
        }
        if let Some(state) = &self.state {
            state.check()?;
        }
        self.check_fields()
    }

    fn check_fields(&self) -> Result<(), Invalid> {
        let [key, key_id, state, votes, meta] = [
            self.key.is_some(),
            self.key_id.is_some(),
            self.state.is_some(),
            self.votes.is_some(),
            self.meta.is_some(),
        ];
        let names_key = self.key_id.as_ref().is_some_and(|id| !id.is_empty());
        let need = |ok, what| if ok { Ok(()) } else { Err(Invalid::Missing(what)) };
        let only = |ok, what| if ok { Ok(()) } else { Err(Invalid::Unexpected(what)) };
        match self.kind {
            AumKind::ADD_KEY => {
                need(key, "AddKey AUMs must contain a key")?;
                only(!(key_id || state || votes || meta), "AddKey AUMs may only specify a Key")
            }
            AumKind::REMOVE_KEY => {
                need(names_key, "RemoveKey AUMs must specify a key ID")?;
                only(!(key || state || votes || meta), "RemoveKey AUMs may only specify a KeyID")
            }
            AumKind::UPDATE_KEY => {
                need(names_key, "UpdateKey AUMs must specify a key ID")?;
                need(
                    votes || meta,
                    "UpdateKey AUMs must contain an update to votes or key metadata",
                )?;
                only(!(key || state), "UpdateKey AUMs may only specify KeyID, Votes, and Meta")
            }
            AumKind::CHECKPOINT => {
                need(state, "Checkpoint AUMs must specify the state")?;
                only(!(key_id || key || votes || meta), "Checkpoint AUMs may only specify State")
            }
            // The original lets everything pass that it does not know (spec 3.2).
            _ => Ok(()),
        }
    }
}
