//! Whether a verified signature lets a node key in under a state (spec 8.2).

use super::{NodeKeySignature, SigKind};
use crate::Refusal;
use crate::ids::{LockKey, NodeKey};
use crate::lock::State;
use crate::lock::signatures::{Cores, Verified, decode_verify_and};

/// Why a node-key signature authorizes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthorized {
    /// A credential outside of a rotation.
    #[error("credential signatures cannot authorize nodes on their own")]
    Credential,
    /// It is for another node key.
    #[error("signature does not authorize nodeKey")]
    OtherNodeKey,
    /// A nested signature names no well-formed node key.
    #[error("nested pubkey: not \"np\" and 32 bytes")]
    NestedPubkey,
    /// Its signer is not trusted.
    #[error("key: key not found")]
    Untrusted,
    /// It names no signer.
    #[error("invalid signature: no keyID present")]
    NoKeyId,
    /// A rotation of nothing.
    #[error("invalid signature: rotation signature missing nested signature")]
    NoNested,
    /// A rotation of something that names no rotation key.
    #[error("missing rotation key")]
    NoWrappingKey,
    /// A rotation key that is not 32 bytes.
    #[error("bad rotation key length: {0}")]
    WrappingKeyLength(usize),
    /// A rotation key under which anybody can sign (spec 14.2, W15).
    #[error("the rotation key is zero or of small order: anybody could sign with it")]
    WeakWrappingKey,
    /// A direct or credential signature around another one.
    #[error("invalid signature: signatures of type {0} cannot nest another signature")]
    Nests(SigKind),
    /// A signature that is not 64 bytes.
    #[error("invalid signature")]
    Signature,
    /// An unknown kind.
    #[error("unhandled signature type: {0}")]
    Kind(SigKind),
    /// It rests on another key than the one that was asked about.
    #[error("got signature with keyID {got} from request for {asked}")]
    OtherKey {
        /// The key on which it rests.
        got: LockKey,
        /// The key that was asked about.
        asked: LockKey,
    },
}

/// How a node key was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The trusted key on which it rests.
    pub key: LockKey,
    /// What a rotation replaced; none for a direct signature.
    pub rotation: Option<Rotation>,
}

/// What a rotation replaced (spec 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The earlier node keys, newest first.
    pub previous: Vec<NodeKey>,
    /// The signature that everything rests on: direct or credential.
    pub initial: NodeKeySignature,
}

/// Whether the signature lets `node_key` in under `state`.
pub fn authorize(
    signature: &Verified<NodeKeySignature>,
    node_key: NodeKey,
    state: &State,
) -> Result<Authorization, Refusal> {
    let signature = signature.get();
    if signature.kind == SigKind::CREDENTIAL {
        return Err(NotAuthorized::Credential.into());
    }
    let key = signature.authorizing_key()?;
    if state.key(&key.0).is_none() {
        return Err(NotAuthorized::Untrusted.into());
    }
    if signature.pubkey != node_key.to_binary() {
        return Err(NotAuthorized::OtherNodeKey.into());
    }
    Ok(Authorization { key, rotation: rotation(signature)? })
}

/// Decodes the signatures of many node keys, verifies them, and answers of each what
/// [`authorize`] says, in the same order: all of it on all cores.
pub fn authorize_all<B: AsRef<[u8]> + Sync>(
    node_keys: &[(NodeKey, B)],
    state: &State,
    cores: &dyn Cores,
) -> Vec<Result<Authorization, Refusal>> {
    decode_verify_and(
        node_keys,
        |(_, signature)| Ok(NodeKeySignature::decode(signature.as_ref())?),
        |(node_key, _), signature| authorize(&signature, *node_key, state),
        cores,
    )
}

/// Checks a signature that somebody says rests on the key `asked` (spec 8.7). Returns the node
/// key that it lets in.
pub fn check_affected(
    signature: &Verified<NodeKeySignature>,
    asked: LockKey,
    state: &State,
) -> Result<NodeKey, Refusal> {
    let got = signature.get().authorizing_key()?;
    if got != asked {
        return Err(NotAuthorized::OtherKey { got, asked }.into());
    }
    let node_key = signature.get().node_key().ok_or(NotAuthorized::OtherNodeKey)?;
    authorize(signature, node_key, state)?;
    Ok(node_key)
}

/// What a rotation replaced, if the signature is one.
fn rotation(signature: &NodeKeySignature) -> Result<Option<Rotation>, NotAuthorized> {
    if signature.kind != SigKind::ROTATION {
        return Ok(None);
    }
    let mut previous = Vec::new();
    for level in signature.levels().skip(1) {
        // Only a credential may have no node key, but one that has it has a well-formed one.
        if level.kind != SigKind::CREDENTIAL || !level.pubkey.is_empty() {
            previous.push(level.node_key().ok_or(NotAuthorized::NestedPubkey)?);
        }
        if level.kind != SigKind::ROTATION {
            return Ok(Some(Rotation { previous, initial: level.clone() }));
        }
    }
    Err(NotAuthorized::NoNested)
}
