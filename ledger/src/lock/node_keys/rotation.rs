//! Rotating a node key by its rotation key (spec 8.3).

use super::sign::CannotSign;
use super::{NodeKeySignature, SigKind};
use crate::ids::NodeKey;
use crate::limits::{CBOR_DEPTH, ROTATION_KEYS_KEPT};
use crate::lock::signatures::Signer;

/// The signature for `node_key` on top of `old`, by the rotation key that `old` names. For the
/// same node key it is `old` itself.
///
/// As in the original nothing is verified here, and another signer than
/// [`NodeKeySignature::wrapping_key`] makes a rotation that authorizes nothing.
pub fn resign(
    signer: &dyn Signer,
    node_key: NodeKey,
    old: &NodeKeySignature,
) -> Result<NodeKeySignature, CannotSign> {
    if old.pubkey == node_key.to_binary() {
        return Ok(old.clone());
    }
    let new = rotate(signer, node_key.to_binary().to_vec(), trim(signer, old));
    if new.depth() > CBOR_DEPTH as usize {
        return Err(CannotSign::TooDeep);
    }
    Ok(new)
}

/// A rotation of `nested` to another node key.
pub(super) fn rotate(
    signer: &dyn Signer,
    pubkey: Vec<u8>,
    nested: NodeKeySignature,
) -> NodeKeySignature {
    NodeKeySignature {
        kind: SigKind::ROTATION,
        pubkey,
        key_id: Vec::new(),
        signature: Vec::new(),
        nested: Some(Box::new(nested)),
        wrapping: Vec::new(),
    }
    .signed_by(signer)
}

/// Makes room for one more level: a chain that fills all that a decoder accepts is built anew
/// from its initial signature and the newest node keys, all signed by the same key.
///
/// The original counts node keys, of which a credential has none, and so trims a chain on a
/// credential one step too late, when nobody can decode it any more (rule `credential-trim`).
/// This counts levels; on a direct signature that is the same.
fn trim(signer: &dyn Signer, old: &NodeKeySignature) -> NodeKeySignature {
    let chain = old.levels().take_while(|level| level.kind == SigKind::ROTATION).count();
    let Some(initial) = old.levels().nth(chain) else { return old.clone() };
    if chain == 0 || chain < ROTATION_KEYS_KEPT {
        return old.clone();
    }
    let newest: Vec<&[u8]> =
        old.levels().take(ROTATION_KEYS_KEPT - 1).map(|level| level.pubkey.as_slice()).collect();
    newest
        .into_iter()
        .rev()
        .fold(initial.clone(), |nested, pubkey| rotate(signer, pubkey.to_vec(), nested))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::node_keys::{sign_credential, sign_direct};
    use crate::lock::signatures::{PrivateKey, Unverified, verify_one};

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_seed(&[seed; 32])
    }

    /// Spec 8.3: the keys left of a chain of 16, newest first.
    #[test]
    fn a_full_chain_keeps_the_newest_and_the_first() {
        let mut chain = sign_direct(&key(1), NodeKey([0; 32]), Some(key(2).public())).unwrap();
        for n in 1..=16 {
            chain = resign(&key(2), NodeKey([n; 32]), &chain).unwrap();
        }
        let keys: Vec<u8> = chain.levels().skip(1).map(|level| level.pubkey[2]).collect();
        assert_eq!(keys, [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0]);
        assert_eq!(chain.pubkey[2], 16);
    }

    #[test]
    fn a_chain_on_a_credential_stays_decodable_and_valid() {
        let mut chain = sign_credential(&key(1), key(2).public()).unwrap();
        for n in 0..40 {
            chain = resign(&key(2), NodeKey([n; 32]), &chain).unwrap();
            assert_eq!(NodeKeySignature::decode(&chain.to_cbor()), Ok(chain.clone()));
            assert!(verify_one(Unverified::new(chain.clone())).is_ok());
        }
        assert_eq!(chain.depth(), 16);
    }

    #[test]
    fn the_same_node_key_needs_no_rotation() {
        let direct = sign_direct(&key(1), NodeKey([4; 32]), None).unwrap();
        assert_eq!(resign(&key(2), NodeKey([4; 32]), &direct), Ok(direct.clone()));
    }
}
