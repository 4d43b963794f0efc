//! Signing with a lock key that the daemon does not hold: a draft says what is to be signed, the
//! key's holder signs it somewhere else, and the plan is made again with those signatures.
//!
//! The plan is the same as with the daemon's own key, so that nothing can be brought in this way
//! that could not be asked for directly. Where the lock has moved on, the plan asks for a
//! signature that was not given, and the draft has to be made anew.

use std::cell::Cell;
use std::collections::BTreeMap;

use ledger::Fault;
use ledger::history::{Event, ReplicaId};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::limits::{EVENT_AUMS, EVENT_SIGNATURES};
use ledger::lock::node_keys::{NodeKeySignature, SigKind};
use ledger::lock::signatures::{Signer, Unverified, verify_one};
use ledger::lock::{Aum, AumKind, AumSignature, Sealed, State};

use super::revoke::{self, cosign, generate};
use super::{Ground, NotPlanned, modify, nodes, sign};

/// What somebody asks for that another key than the daemon's is to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Other trusted keys.
    Modify(modify::Order),
    /// Node keys to let in, each with the key that may rotate it.
    Sign(Vec<(NodeKey, Option<LockKey>)>),
    /// Another node key for a node: by name, number or node key.
    Rotate(String, NodeKey),
    /// A revocation, from that fork point or the one that suits.
    Revoke(revoke::About, Option<AumHash>),
    /// A signature on a revocation that others have begun.
    Cosign(revoke::Which),
}

/// What a plan is made on besides the ground.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// The head when this was first asked, if it was asked before.
    head: Option<AumHash>,
    /// The replica that plans: it makes the node keys of its own machine itself.
    own: ReplicaId,
    /// The key that signs.
    signer: &'a dyn Signer,
}

/// Plans what was asked. `None`: nothing is to change.
fn plan(
    ground: Ground<'_>,
    asked: &Asked,
    context: Context<'_>,
) -> Result<Option<Event>, NotPlanned> {
    plan_for(ground, asked, context).map_err(|error| match error {
        // It is not this daemon's key.
        NotPlanned::SignerNotTrusted | NotPlanned::UpdaterNotTrusted => {
            NotPlanned::KeyNotTrusted(context.signer.public())
        }
        other => other,
    })
}

fn plan_for(
    ground: Ground<'_>,
    asked: &Asked,
    context: Context<'_>,
) -> Result<Option<Event>, NotPlanned> {
    let Context { head, own, signer } = context;
    match asked {
        Asked::Modify(order) => {
            let seen = head.map(|head| state_at(ground, head)).transpose()?;
            modify::plan(ground, order, seen.as_ref(), signer)
        }
        Asked::Sign(keys) => {
            let mut all = BTreeMap::new();
            for (node_key, rotation) in keys {
                let event = sign::plan(ground, *node_key, *rotation, signer)?;
                if let Event::NodeKeysSigned(signatures) = event {
                    all.extend(signatures.into_iter().map(|item| (item.node, item)));
                }
            }
            Ok((!all.is_empty()).then(|| Event::NodeKeysSigned(all.into_values().collect())))
        }
        Asked::Rotate(text, node_key) => {
            let node = ground.node(text)?;
            if node.member == Some(own) {
                return Err(NotPlanned::OwnNodeKey(node.id));
            }
            let state = ground.authority()?.state();
            let signature = nodes::rotation(&node, *node_key, signer, state)?;
            Ok(Some(nodes::rotate(&node, *node_key, Some(signature))))
        }
        Asked::Revoke(about, fork_from) => {
            Ok(generate::plan(ground, about, *fork_from, signer)?.event)
        }
        Asked::Cosign(which) => Ok(cosign::plan(ground, which, signer)?.event),
    }
}

fn state_at(ground: Ground<'_>, head: AumHash) -> Result<State, NotPlanned> {
    let state = ground.authority()?.chain(ground.rows).state_at(&head)?;
    state.ok_or(NotPlanned::SignedForAnotherLock)
}

/// A signer without a private key: its signatures are to be made elsewhere.
struct Blank(LockKey);

const NOT_SIGNED: [u8; 64] = [0; 64];

impl Signer for Blank {
    fn public(&self) -> LockKey {
        self.0
    }

    fn sign(&self, _: &[u8]) -> [u8; 64] {
        NOT_SIGNED
    }
}

/// Why something cannot be signed as a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDraft {
    /// There is nothing in it, or too much.
    #[error("it holds nothing to sign, or more than one record could")]
    Size,
    /// AUM `0`, counted from 1, breaks a rule.
    #[error("AUM {0}: {1}")]
    Aum(usize, String),
    /// Node-key signature `0`, counted from 1, breaks a rule.
    #[error("node-key signature {0}: {1}")]
    Signature(usize, &'static str),
    /// The signatures are not as many as there are places for them.
    #[error("it holds {got} signatures for {want} places")]
    Count {
        /// Signatures given.
        got: usize,
        /// Signatures wanted.
        want: usize,
    },
    /// Signature `0`, counted from 1, was not made by the key for what is in the draft.
    #[error("signature {0} does not hold: it was made by another key or for something else")]
    NotSigned(usize),
    /// It is another key's turn.
    #[error("it is to be signed by {want}, and this key is {got}")]
    OtherKey {
        /// The key that was asked for.
        want: LockKey,
        /// The key at hand.
        got: LockKey,
    },
}

/// What one key is to sign, checked: only what a plan makes, and for that key.
///
/// An AUM's hash covers its signatures, so the parent of an AUM that follows an unsigned one is
/// not known yet: in a draft it is the hash of the AUM before it as it stands there, without a
/// signature. Node-key signatures are whole but for the levels that are to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    signer: LockKey,
    aums: Vec<Sealed>,
    signatures: Vec<NodeKeySignature>,
}

impl Draft {
    /// Plans what was asked, to be signed by `signer`. `None`: nothing is to change.
    pub fn plan(
        ground: Ground<'_>,
        asked: &Asked,
        signer: LockKey,
        own: ReplicaId,
        head: Option<AumHash>,
    ) -> Result<Option<Draft>, NotPlanned> {
        let context = Context { head, own, signer: &Blank(signer) };
        let Some(event) = plan(ground, asked, context)? else { return Ok(None) };
        let revocation = revoke::checkpoint(ground, &event)?;
        let mut aums: Vec<Sealed> = Vec::new();
        for aum in event.aums().iter().chain(&revocation) {
            let mut aum = aum.clone().into_aum();
            aum.signatures.clear();
            if let Some(last) = aums.last() {
                aum.parent = Some(last.hash().0.to_vec());
            }
            aums.push(Sealed::new(aum));
        }
        let signatures = event.signatures().into_iter().map(without_blanks).collect();
        let draft = Draft::new(signer, aums, signatures);
        draft
            .map(Some)
            .map_err(|bad| Fault::from_error("drafting what is to be signed", bad).into())
    }

    /// A draft from elsewhere.
    pub fn new(
        signer: LockKey,
        aums: Vec<Sealed>,
        signatures: Vec<NodeKeySignature>,
    ) -> Result<Draft, BadDraft> {
        let empty = aums.is_empty() && signatures.is_empty();
        if empty || aums.len() > EVENT_AUMS || signatures.len() > EVENT_SIGNATURES {
            return Err(BadDraft::Size);
        }
        let mut before = None;
        for (place, aum) in (1..).zip(&aums) {
            check_aum(aum, before).map_err(|what| BadDraft::Aum(place, what))?;
            before = Some(aum.hash());
        }
        for (place, signature) in (1..).zip(&signatures) {
            check_signature(signature, signer).map_err(|what| BadDraft::Signature(place, what))?;
        }
        Ok(Draft { signer, aums, signatures })
    }

    /// The key that is to sign.
    pub fn signer(&self) -> LockKey {
        self.signer
    }

    /// The AUMs, each on top of the one before.
    pub fn aums(&self) -> &[Sealed] {
        &self.aums
    }

    /// The node-key signatures.
    pub fn signatures(&self) -> &[NodeKeySignature] {
        &self.signatures
    }

    /// Signs everything: AUMs first, then node-key signatures, each from the innermost level.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<[u8; 64]>, BadDraft> {
        let (want, got) = (self.signer, signer.public());
        if want != got {
            return Err(BadDraft::OtherKey { want, got });
        }
        let mut made = Vec::new();
        self.fill(|message| {
            made.push(signer.sign(message));
            made.last().copied()
        });
        Ok(made)
    }

    /// The signatures that somebody made, checked one by one.
    pub fn signed(&self, made: &[[u8; 64]]) -> Result<Presigned, BadDraft> {
        let mut given = made.iter().copied();
        let mut places = 0;
        let mut by_message = BTreeMap::new();
        let (aums, signatures) = self.fill(|message| {
            places += 1;
            let signature = given.next()?;
            by_message.insert(message.to_vec(), signature);
            Some(signature)
        });
        if places != made.len() {
            return Err(BadDraft::Count { got: made.len(), want: places });
        }
        let mut place = 0;
        for aum in aums {
            place += 1;
            verify_one(Unverified::new(aum)).map_err(|_| BadDraft::NotSigned(place))?;
        }
        for (draft, signature) in self.signatures.iter().zip(signatures) {
            place += draft.levels().filter(|level| level.signature.is_empty()).count();
            verify_one(Unverified::new(signature)).map_err(|_| BadDraft::NotSigned(place))?;
        }
        Ok(Presigned { signer: self.signer, by_message })
    }

    /// Puts signatures into every place, and links the AUMs. Where none is given the place stays
    /// as it is.
    fn fill(
        &self,
        mut sign: impl FnMut(&[u8]) -> Option<[u8; 64]>,
    ) -> (Vec<Sealed>, Vec<NodeKeySignature>) {
        let mut aums: Vec<Sealed> = Vec::with_capacity(self.aums.len());
        for aum in &self.aums {
            let mut aum = aum.clone().into_aum();
            if let Some(last) = aums.last() {
                aum.parent = Some(last.hash().0.to_vec());
            }
            if let Some(signature) = sign(&aum.sig_hash().0) {
                aum.signatures.push(AumSignature {
                    key_id: Some(self.signer.0.to_vec()),
                    signature: Some(signature.to_vec()),
                });
            }
            aums.push(Sealed::new(aum));
        }
        let signatures = self.signatures.iter().map(|item| fill_levels(item, &mut sign)).collect();
        (aums, signatures)
    }
}

/// Signs the levels without a signature from the innermost outwards. The decoder bounds the depth.
fn fill_levels(
    signature: &NodeKeySignature,
    sign: &mut impl FnMut(&[u8]) -> Option<[u8; 64]>,
) -> NodeKeySignature {
    let mut filled = signature.clone();
    filled.nested = signature.nested.as_deref().map(|nested| Box::new(fill_levels(nested, sign)));
    if filled.signature.is_empty()
        && let Some(made) = sign(&filled.sig_hash().0)
    {
        filled.signature = made.to_vec();
    }
    filled
}

/// The signature without what a [`Blank`] signer put in.
fn without_blanks(signature: &NodeKeySignature) -> NodeKeySignature {
    let mut bare = signature.clone();
    bare.nested = signature.nested.as_deref().map(|nested| Box::new(without_blanks(nested)));
    if bare.signature == NOT_SIGNED {
        bare.signature.clear();
    }
    bare
}

fn check_aum(aum: &Sealed, before: Option<AumHash>) -> Result<(), String> {
    aum.check().map_err(|invalid| invalid.to_string())?;
    let plain: &Aum = aum;
    if !plain.signatures.is_empty() {
        return Err("it is signed already".to_owned());
    }
    let parent = plain.parent.as_deref().and_then(|parent| <[u8; 32]>::try_from(parent).ok());
    let Some(parent) = parent else { return Err("it follows no AUM".to_owned()) };
    if before.is_some_and(|before| before.0 != parent) {
        return Err("it does not follow the one before".to_owned());
    }
    let known = [AumKind::ADD_KEY, AumKind::REMOVE_KEY, AumKind::UPDATE_KEY, AumKind::CHECKPOINT];
    if known.contains(&plain.kind) { Ok(()) } else { Err(format!("it is a {}", plain.kind)) }
}

/// Whether it lets in a node key, and each level that is not signed is this key's to sign.
fn check_signature(signature: &NodeKeySignature, signer: LockKey) -> Result<(), &'static str> {
    if signature.node_key().is_none() {
        return Err("it lets in no node key");
    }
    if !signature.signature.is_empty() {
        return Err("it is signed already");
    }
    let mut signed = false;
    for level in signature.levels() {
        if !level.signature.is_empty() {
            signed = true;
            continue;
        }
        if signed {
            return Err("it lacks a signature below one that is there");
        }
        let by = match (level.kind, &level.nested) {
            (SigKind::DIRECT, None) => level.key_id.as_slice(),
            (SigKind::ROTATION, Some(nested)) => nested.wrapping_key().unwrap_or_default(),
            _ => return Err("it is neither a direct signature nor a rotation"),
        };
        if by != signer.0 {
            return Err("it is another key's to sign");
        }
    }
    Ok(())
}

/// Signatures that were made elsewhere, by what they sign. All of them hold.
#[derive(Debug)]
pub struct Presigned {
    signer: LockKey,
    by_message: BTreeMap<Vec<u8>, [u8; 64]>,
}

/// Gives the signatures out, and notices when one is asked for that nobody made.
struct Given<'a> {
    signatures: &'a Presigned,
    missed: Cell<bool>,
}

impl Signer for Given<'_> {
    fn public(&self) -> LockKey {
        self.signatures.signer
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let found = self.signatures.by_message.get(message);
        if found.is_none() {
            self.missed.set(true);
        }
        found.copied().unwrap_or(NOT_SIGNED)
    }
}

impl Presigned {
    /// Plans what was asked once more, with these signatures.
    pub fn plan(
        &self,
        ground: Ground<'_>,
        asked: &Asked,
        own: ReplicaId,
        head: AumHash,
    ) -> Result<Option<Event>, NotPlanned> {
        let given = Given { signatures: self, missed: Cell::new(false) };
        let event = plan(ground, asked, Context { head: Some(head), own, signer: &given })?;
        if given.missed.get() { Err(NotPlanned::SignedForAnotherState) } else { Ok(event) }
    }
}

impl From<BadDraft> for NotPlanned {
    fn from(bad: BadDraft) -> Self {
        NotPlanned::BadDraft(bad)
    }
}
