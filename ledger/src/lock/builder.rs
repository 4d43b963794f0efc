//! Building updates: one AUM for each change that somebody asked for, and the checkpoints that
//! keep chains quick to read (spec 11).

use super::signatures::Signer;
use super::{Aum, AumKind, AumSignature, Authority, Key, Meta, Sealed, State};
use crate::ids::{AumHash, LockKey};
use crate::limits::{CHECKPOINT_EVERY, KEYS_WARNING, MAX_KEYS};
use crate::rows::Rows;
use crate::{Fault, Refusal};

/// One change, as somebody asked for it. It says the same on whatever head it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Trust a key.
    Add(Key),
    /// Trust the key with this ID no more.
    Remove(Vec<u8>),
    /// Give the key with this ID so many votes.
    Votes(Vec<u8>, u64),
    /// Replace all metadata of the key with this ID. The protocol cannot say "none".
    Meta(Vec<u8>, Meta),
}

impl Change {
    /// The key ID that the change is about; `None` for a key of a kind that has none.
    pub fn key_id(&self) -> Option<&[u8]> {
        match self {
            Change::Add(key) => key.id(),
            Change::Remove(id) | Change::Votes(id, _) | Change::Meta(id, _) => Some(id),
        }
    }
}

/// Why an update is not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBuilt {
    /// The key to add is trusted already.
    #[error("cannot add key {}: already exists", KeyId(.0))]
    Exists(Vec<u8>),
    /// No more keys fit.
    #[error(
        "cannot add key {}: maximum number of keys reached: the lock trusts {have} keys and a \
         checkpoint holds {MAX_KEYS}; remove keys that are no longer used first",
        KeyId(.id)
    )]
    Full {
        /// The key to add.
        id: Vec<u8>,
        /// Keys trusted now.
        have: usize,
    },
    /// The key to remove or update is not trusted.
    #[error("failed reading key {}: key not found", data_encoding::HEXLOWER.encode(.0))]
    NotFound(Vec<u8>),
    /// Empty metadata cannot be written down.
    #[error(
        "cannot clear the metadata of key {}: an update with no metadata reads as no update; \
         remove the key and add it again instead",
        KeyId(.0)
    )]
    EmptyMeta(Vec<u8>),
    /// The generated AUM breaks the static rules.
    #[error("generated update was invalid: {0}")]
    Invalid(#[source] Box<Refusal>),
    /// The generated AUM cannot be applied.
    #[error("update cannot be applied: {0}")]
    NotApplicable(#[source] Box<Refusal>),
}

/// Why an update that lost a race no longer means what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overtaken {
    /// It is another lock.
    #[error("the lock was initialized anew in the meantime")]
    OtherLock,
    /// The key to add was added by somebody else.
    #[error("key {} was added by somebody else in the meantime", KeyId(.0))]
    Added(Vec<u8>),
    /// The key to remove or update was removed by somebody else.
    #[error("key {} was removed by somebody else in the meantime", KeyId(.0))]
    Removed(Vec<u8>),
    /// The key to remove or update is not as it was.
    #[error("the votes or metadata of key {} were changed in the meantime", KeyId(.0))]
    Changed(Vec<u8>),
    /// The signer is no longer trusted.
    #[error("the signing key {0} is no longer trusted")]
    Signer(LockKey),
}

/// A key ID for people, of whatever length.
struct KeyId<'a>(&'a [u8]);

impl std::fmt::Display for KeyId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tlpub:{}", data_encoding::HEXLOWER.encode(self.0))
    }
}

/// How full the list of trusted keys is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Keys trusted.
    pub keys: usize,
    /// Keys that fit.
    pub max: usize,
}

impl Capacity {
    /// Whether it is time to remove unused keys: from 80 % on.
    pub fn warns(&self) -> bool {
        self.keys >= KEYS_WARNING
    }
}

/// How many keys a state trusts, and how many fit.
pub fn capacity(state: &State) -> Capacity {
    Capacity { keys: state.keys().len(), max: MAX_KEYS }
}

/// Whether changes that were asked for when the lock stood at `seen` still mean the same at
/// `now`, so that they may be built and signed again after a lost race: the keys that they name
/// are as they were, and the signer is still trusted.
pub fn still_means_the_same(
    changes: &[Change],
    seen: &State,
    now: &State,
    signer: Option<LockKey>,
) -> Result<(), Overtaken> {
    if seen.state_id() != now.state_id() {
        return Err(Overtaken::OtherLock);
    }
    for id in changes.iter().filter_map(Change::key_id) {
        match (seen.key(id), now.key(id)) {
            (before, after) if before == after => {}
            (None, _) => return Err(Overtaken::Added(id.to_vec())),
            (_, None) => return Err(Overtaken::Removed(id.to_vec())),
            _ => return Err(Overtaken::Changed(id.to_vec())),
        }
    }
    match signer {
        Some(signer) if now.key(&signer.0).is_none() => Err(Overtaken::Signer(signer)),
        _ => Ok(()),
    }
}

/// Builds one update on top of an authority's head.
pub struct UpdateBuilder<'a> {
    signer: Option<&'a dyn Signer>,
    head: AumHash,
    /// AUMs from the head back to the nearest checkpoint: 0 if the head is one.
    since_checkpoint: u64,
    signer_was_trusted: bool,
    state: State,
    built: Vec<Sealed>,
}

impl std::fmt::Debug for UpdateBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateBuilder")
            .field("head", &self.head)
            .field("built", &self.built.len())
            .finish_non_exhaustive()
    }
}

impl<'a> UpdateBuilder<'a> {
    /// Starts an update. Without a signer the AUMs are left unsigned, for somebody else to sign.
    /// One read.
    pub fn new(
        rows: &dyn Rows,
        authority: &Authority,
        signer: Option<&'a dyn Signer>,
    ) -> Result<Self, Fault> {
        let head = authority.head_place();
        let node = authority.chain(rows).known(&head.hash)?;
        let since_checkpoint = match node.checkpoint {
            _ if node.kind == AumKind::CHECKPOINT => 0,
            // A pointer to one that compaction deleted; the oldest AUM is itself a checkpoint.
            Some(checkpoint) => {
                let from = checkpoint.height.max(authority.oldest().height);
                head.height.saturating_sub(from)
            }
            None => head.height.saturating_sub(authority.oldest().height),
        };
        let state = authority.state().clone();
        Ok(UpdateBuilder {
            signer,
            head: head.hash,
            since_checkpoint,
            signer_was_trusted: signer.is_some_and(|s| state.key(&s.public().0).is_some()),
            state,
            built: Vec::new(),
        })
    }

    /// The state after what has been built.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Builds one change. A refused one leaves the builder as it was.
    pub fn change(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::Add(key) => self.add_key(key),
            Change::Remove(id) => self.remove_key(&id),
            Change::Votes(id, votes) => self.set_votes(&id, votes),
            Change::Meta(id, meta) => self.set_meta(&id, meta),
        }
    }

    /// Trusts a key. Refused from 512 keys on, although AUMs themselves could go further: no
    /// checkpoint could then be written until keys are removed.
    pub fn add_key(&mut self, key: Key) -> Result<(), Refusal> {
        if let Some(id) = key.id() {
            if self.state.key(id).is_some() {
                return Err(NotBuilt::Exists(id.to_vec()).into());
            }
            let have = self.state.keys().len();
            if have >= MAX_KEYS {
                return Err(NotBuilt::Full { id: id.to_vec(), have }.into());
            }
        }
        self.build(AumKind::ADD_KEY, |aum| aum.key = Some(key))
    }

    /// Stops trusting a key. That it is not the last one is checked when the update is taken.
    pub fn remove_key(&mut self, id: &[u8]) -> Result<(), Refusal> {
        self.trusted(id)?;
        self.build(AumKind::REMOVE_KEY, |aum| aum.key_id = Some(id.to_vec()))
    }

    /// Changes a key's votes.
    pub fn set_votes(&mut self, id: &[u8], votes: u64) -> Result<(), Refusal> {
        self.trusted(id)?;
        self.build(AumKind::UPDATE_KEY, |aum| {
            aum.key_id = Some(id.to_vec());
            aum.votes = Some(votes);
        })
    }

    /// Replaces a key's metadata. Not by none (rule `empty-meta`): on the wire that would be no
    /// update at all, and every client would refuse it.
    pub fn set_meta(&mut self, id: &[u8], meta: Meta) -> Result<(), Refusal> {
        self.trusted(id)?;
        if meta.0.is_empty() {
            return Err(NotBuilt::EmptyMeta(id.to_vec()).into());
        }
        self.build(AumKind::UPDATE_KEY, |aum| {
            aum.key_id = Some(id.to_vec());
            aum.meta = Some(meta);
        })
    }

    fn trusted(&self, id: &[u8]) -> Result<(), NotBuilt> {
        match self.state.key(id) {
            Some(_) => Ok(()),
            None => Err(NotBuilt::NotFound(id.to_vec())),
        }
    }

    fn build(&mut self, kind: AumKind, fill: impl FnOnce(&mut Aum)) -> Result<(), Refusal> {
        let parent = self.built.last().map_or(self.head, Sealed::hash);
        let mut aum = Aum::new(kind, Some(parent));
        fill(&mut aum);
        if let Some(signer) = self.signer {
            aum.signatures.push(sign(&aum, signer));
        }
        let aum = Sealed::new(aum);
        aum.check().map_err(|e| NotBuilt::Invalid(Box::new(e.into())))?;
        self.state.apply(&aum).map_err(|e| NotBuilt::NotApplicable(Box::new(e)))?;
        self.built.push(aum);
        Ok(())
    }

    /// The AUMs, oldest first, with a checkpoint at the end if one is due: when neither the update
    /// nor the last 50 AUMs together with it hold one (spec 11). An update without changes can
    /// thus consist of a checkpoint.
    ///
    /// A checkpoint that nobody would take is left for a later update to add (rule
    /// `checkpoint-deferred`), since removing must always work: when the signer has just removed
    /// itself, who could only sign a checkpoint that no longer trusts it; and while more keys are
    /// trusted than a checkpoint holds, which foreign updates can bring about. Each later update
    /// finds that one is due, so the first that can adds it.
    pub fn finish(mut self) -> Result<Vec<Sealed>, Refusal> {
        let built = self.built.len() as u64;
        let due = built + self.since_checkpoint >= CHECKPOINT_EVERY as u64;
        let left = |s: &&dyn Signer| self.state.key(&s.public().0).is_none();
        let deferred = self.state.keys().len() > MAX_KEYS
            || self.signer_was_trusted
                && self.signer.as_ref().is_some_and(left)
                && !self.state.keys().is_empty();
        if due && !deferred {
            let mut state = self.state.clone();
            state.last_aum = None;
            self.build(AumKind::CHECKPOINT, |aum| aum.state = Some(state))?;
        }
        Ok(self.built)
    }
}

/// A signature of `signer` on an AUM.
pub(super) fn sign(aum: &Aum, signer: &dyn Signer) -> AumSignature {
    AumSignature {
        key_id: Some(signer.public().0.to_vec()),
        signature: Some(signer.sign(&aum.sig_hash().0).to_vec()),
    }
}
