//! Node keys that a later rotation replaced (spec 8.6).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Rotation, SigKind};
use crate::ids::NodeKey;

/// The node keys that are obsolete, given every accepted rotation with the node key it lets in.
///
/// Obsolete is what a rotation replaced. Beyond that, of all rotations that go back to direct
/// signatures with one rotation key only the longest counts; if two are the longest, nobody can
/// tell which is newer, and all of them are obsolete. Rotations of credentials are exempt from
/// that: one reusable auth key lets in many nodes. The order of the rotations does not matter.
pub fn obsolete_keys<'a>(
    rotations: impl IntoIterator<Item = (NodeKey, &'a Rotation)>,
) -> BTreeSet<NodeKey> {
    let mut replaced = BTreeSet::new();
    let mut by_wrapping_key: BTreeMap<&[u8], Vec<(NodeKey, usize)>> = BTreeMap::new();
    for (node_key, rotation) in rotations {
        replaced.extend(&rotation.previous);
        if rotation.initial.kind == SigKind::DIRECT {
            by_wrapping_key
                .entry(&rotation.initial.wrapping)
                .or_default()
                .push((node_key, rotation.previous.len()));
        }
    }
    let mut obsolete = replaced.clone();
    for mut group in by_wrapping_key.into_values() {
        group.retain(|(node_key, _)| !replaced.contains(node_key));
        group.sort_by_key(|(_, previous)| Reverse(*previous));
        let tie = matches!(group[..], [(_, first), (_, second), ..] if first == second);
        obsolete.extend(group.iter().skip(usize::from(!tie)).map(|(node_key, _)| *node_key));
    }
    obsolete
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LockKey;
    use crate::lock::node_keys::NodeKeySignature;

    fn key(n: u8) -> NodeKey {
        NodeKey([n; 32])
    }

    fn rotation(kind: SigKind, wrapping: u8, previous: &[u8]) -> Rotation {
        Rotation {
            previous: previous.iter().map(|n| key(*n)).collect(),
            initial: NodeKeySignature {
                kind,
                pubkey: Vec::new(),
                key_id: LockKey([1; 32]).0.to_vec(),
                signature: Vec::new(),
                nested: None,
                wrapping: vec![wrapping; 32],
            },
        }
    }

    fn obsolete(rotations: &[(u8, Rotation)]) -> Vec<u8> {
        let keys = obsolete_keys(rotations.iter().map(|(n, rotation)| (key(*n), rotation)));
        keys.into_iter().map(|key| key.0[0]).collect()
    }

    #[test]
    fn replaced_keys_and_shorter_chains_are_obsolete() {
        let direct = |previous: &[u8]| rotation(SigKind::DIRECT, 9, previous);
        assert_eq!(obsolete(&[(3, direct(&[2, 1]))]), [1, 2]);
        assert_eq!(obsolete(&[(3, direct(&[2, 1])), (4, direct(&[1]))]), [1, 2, 4]);
        assert_eq!(obsolete(&[(3, direct(&[1])), (4, direct(&[1]))]), [1, 3, 4]);
        // 4 is replaced, so it cannot tie with 3.
        assert_eq!(
            obsolete(&[(3, direct(&[1])), (4, direct(&[1])), (5, direct(&[4, 1]))]),
            [1, 3, 4]
        );
        let other = rotation(SigKind::DIRECT, 8, &[1]);
        assert_eq!(obsolete(&[(3, direct(&[1])), (4, other)]), [1]);
    }

    #[test]
    fn one_auth_key_lets_in_many_nodes() {
        let credential = || rotation(SigKind::CREDENTIAL, 9, &[]);
        assert_eq!(obsolete(&[(3, credential()), (4, credential())]), [0u8; 0]);
    }
}
