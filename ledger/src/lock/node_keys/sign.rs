//! Making direct and credential signatures (spec 8.1, 12.5).

use super::{NodeKeySignature, SigKind};
use crate::ids::{LockKey, NodeKey};
use crate::lock::signatures::{Signer, is_weak};

/// Why a signature is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// A rotation key under which anybody could sign (spec 14.2, W15).
    #[error("the rotation key is zero or of small order: anybody could sign with it")]
    WeakWrappingKey,
    /// The signature to replace names no node key.
    #[error("the old signature is for no well-formed node key")]
    NoNodeKey,
    /// The signature to rotate is nested so deeply that nobody could decode the result.
    #[error("the old signature is nested too deeply to be rotated")]
    TooDeep,
    /// A wrapped auth key around something else than a credential.
    #[error("wrapped signature must be a credential, got {0}")]
    NotACredential(SigKind),
    /// A wrapped auth key whose private key is not 64 bytes.
    #[error("the private key of the wrapped auth key has {0} bytes, expected 64")]
    PrivateKeyLength(usize),
}

impl NodeKeySignature {
    /// Signs the signature hash and puts the signature in.
    pub(super) fn signed_by(mut self, signer: &dyn Signer) -> Self {
        self.signature = signer.sign(&self.sig_hash().0).to_vec();
        self
    }
}

/// Lets `node_key` in; `wrapping` may rotate it later. Without it the field is left out (the
/// original's command line sends zeros, which anybody can sign for: spec 14.2, W15).
pub fn sign_direct(
    signer: &dyn Signer,
    node_key: NodeKey,
    wrapping: Option<LockKey>,
) -> Result<NodeKeySignature, CannotSign> {
    if wrapping.is_some_and(|key| is_weak(&key)) {
        return Err(CannotSign::WeakWrappingKey);
    }
    Ok(NodeKeySignature {
        kind: SigKind::DIRECT,
        pubkey: node_key.to_binary().to_vec(),
        key_id: signer.public().0.to_vec(),
        signature: Vec::new(),
        nested: None,
        wrapping: wrapping.map(|key| key.0.to_vec()).unwrap_or_default(),
    }
    .signed_by(signer))
}

/// Delegates to `wrapping`, which may then let in any node key by a rotation.
pub fn sign_credential(
    signer: &dyn Signer,
    wrapping: LockKey,
) -> Result<NodeKeySignature, CannotSign> {
    if is_weak(&wrapping) {
        return Err(CannotSign::WeakWrappingKey);
    }
    Ok(NodeKeySignature {
        kind: SigKind::CREDENTIAL,
        pubkey: Vec::new(),
        key_id: signer.public().0.to_vec(),
        signature: Vec::new(),
        nested: None,
        wrapping: wrapping.0.to_vec(),
    }
    .signed_by(signer))
}

/// A direct signature by another trusted key in place of `old`, for the same node key: what
/// keeps a node in when its signer goes (spec 12.5).
///
/// The rotation key stays, unless nobody should have it: a weak one is dropped, and where a
/// credential is at the root, whose key any holder of the auth key has, the node's own lock key
/// takes its place.
pub fn reissue(
    signer: &dyn Signer,
    old: &NodeKeySignature,
    node_lock_key: Option<LockKey>,
) -> Result<NodeKeySignature, CannotSign> {
    let node_key = old.node_key().ok_or(CannotSign::NoNodeKey)?;
    let on_credential = old.levels().any(|level| level.kind == SigKind::CREDENTIAL);
    let kept = old.wrapping_key().and_then(|key| key.try_into().ok()).map(LockKey);
    let wrapping = if on_credential { node_lock_key } else { kept.filter(|key| !is_weak(key)) };
    sign_direct(signer, node_key, wrapping)
}
