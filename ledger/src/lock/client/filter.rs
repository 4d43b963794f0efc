//! Whom a node lets in (spec 8.6).

use super::Client;
use crate::Refusal;
use crate::ids::NodeKey;
use crate::lock::node_keys::{NodeKeySignature, Rotation, authorize, obsolete_keys};
use crate::lock::signatures::{Cores, Verified, decode_and_verify};

/// Another node, as a server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its node key.
    pub node_key: NodeKey,
    /// Its node-key signature in CBOR, if there is one.
    pub signature: Option<Vec<u8>>,
}

/// Whether a node is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// There is no lock, or it is set aside here.
    NotAsked,
    /// Its signature holds.
    Signed,
    /// Out: nobody has signed it.
    NoSignature,
    /// Out: its signature does not hold.
    Refused(Refusal),
    /// Out: a rotation has replaced its key.
    Obsolete,
}

impl Admission {
    /// Whether it is let in.
    pub fn is_in(&self) -> bool {
        matches!(self, Admission::NotAsked | Admission::Signed)
    }
}

/// Judges peers, all of them at once: whether a key is obsolete only the others can show.
pub fn judge(client: &Client, peers: &[Peer], cores: &dyn Cores) -> Vec<Admission> {
    let Some(authority) = client.enforced() else {
        return vec![Admission::NotAsked; peers.len()];
    };
    let signatures: Vec<&Vec<u8>> = peers.iter().flat_map(|peer| &peer.signature).collect();
    let decode = |bytes: &&Vec<u8>| Ok(NodeKeySignature::decode(bytes)?);
    let mut verified = decode_and_verify(&signatures, decode, cores).into_iter();
    let mut rotations: Vec<(NodeKey, Rotation)> = Vec::new();
    let mut admissions: Vec<Admission> = Vec::with_capacity(peers.len());
    for peer in peers {
        let checked: Option<Result<Verified<NodeKeySignature>, Refusal>> =
            peer.signature.as_ref().and_then(|_| verified.next());
        let authorized = checked.map(|checked| {
            checked.and_then(|checked| authorize(&checked, peer.node_key, authority.state()))
        });
        admissions.push(match authorized {
            None => Admission::NoSignature,
            Some(Err(refusal)) => Admission::Refused(refusal),
            Some(Ok(authorization)) => {
                rotations.extend(authorization.rotation.map(|rotation| (peer.node_key, rotation)));
                Admission::Signed
            }
        });
    }
    let obsolete = obsolete_keys(rotations.iter().map(|(key, rotation)| (*key, rotation)));
    if planted!(LetReplacedIn) {
        return admissions;
    }
    for (peer, admission) in peers.iter().zip(&mut admissions) {
        if admission.is_in() && obsolete.contains(&peer.node_key) {
            *admission = Admission::Obsolete;
        }
    }
    admissions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::node_keys::{NotAuthorized, resign, sign_direct};
    use crate::lock::signatures::{OneCore, Signer};
    use crate::rows::{Draft, Memory};
    use crate::testing::{genesis, key, node_key};

    fn peer(byte: u8, signature: Option<NodeKeySignature>) -> Peer {
        let signature = signature.map(|signature| signature.to_cbor());
        Peer { node_key: node_key(byte), signature }
    }

    #[test]
    fn only_whom_a_trusted_key_has_signed_gets_in() {
        let mut rows = Memory::new();
        let mut client = Client::open(&rows).unwrap();
        let first = sign_direct(&key(1), node_key(1), Some(key(5).public())).unwrap();
        let peers = [
            peer(1, Some(first.clone())),
            peer(2, Some(sign_direct(&key(1), node_key(2), None).unwrap())),
            peer(3, Some(sign_direct(&key(9), node_key(3), None).unwrap())),
            peer(4, None),
            // The signature of another node.
            peer(5, Some(sign_direct(&key(1), node_key(2), None).unwrap())),
            // The first one's next key, which makes the first obsolete.
            peer(6, Some(resign(&key(5), node_key(6), &first).unwrap())),
            Peer { node_key: node_key(7), signature: Some(vec![0xff; 40]) },
        ];
        assert_eq!(judge(&client, &peers, &OneCore), vec![Admission::NotAsked; 7]);

        let mut draft = Draft::on(&rows);
        client.bootstrap(&mut draft, &genesis(1, &[(&key(1), 1)])).unwrap();
        let changes = draft.finish();
        rows.apply(changes);
        let mut admissions = judge(&client, &peers, &OneCore);
        assert!(matches!(admissions.pop(), Some(Admission::Refused(Refusal::Malformed(_)))));
        assert_eq!(
            admissions,
            [
                Admission::Obsolete,
                Admission::Signed,
                Admission::Refused(NotAuthorized::Untrusted.into()),
                Admission::NoSignature,
                Admission::Refused(NotAuthorized::OtherNodeKey.into()),
                Admission::Signed,
            ]
        );
        let mut draft = Draft::on(&rows);
        client.local_disable(&mut draft).unwrap();
        assert!(judge(&client, &peers, &OneCore).iter().all(Admission::is_in));
    }
}
