use std::collections::BTreeSet;

use ledger::ids::NodeKey;
use ledger::lock::client::{Admission, Client, Peer, judge};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::OneCore;

use super::truth::{Truth, levels};
use super::{Broken, broken};

/// A node lets in whoever a trusted key has signed, and nobody else; while it has no lock, or has
/// set it aside, everybody.
///
/// Reason: this is what the lock is for. Source: spec 8.2, 8.6; design "locked out".
pub fn only_the_signed_get_in(
    truth: &Truth,
    name: &str,
    client: &Client,
    peers: &[Peer],
) -> Result<Vec<Admission>, Broken> {
    let admissions = judge(client, peers, &OneCore);
    let fail = |peer: &Peer, what: &str| {
        let key = NodeKey::to_string(&peer.node_key);
        Err(broken("only_the_signed_get_in", format!("{name} about {key}: {what}")))
    };
    let state = client.enforced().and_then(|authority| truth.state(&authority.head()));
    let mut replaced: BTreeSet<Vec<u8>> = BTreeSet::new();
    if let Some(state) = state {
        for peer in peers {
            let bytes = peer.signature.as_deref().unwrap_or_default();
            if truth.lets_in(bytes, peer.node_key, state)
                && let Ok(signature) = NodeKeySignature::decode(bytes)
            {
                let nested = levels(&signature).into_iter().skip(1);
                replaced.extend(nested.map(|level| level.pubkey.clone()));
            }
        }
    }
    for (peer, admission) in peers.iter().zip(&admissions) {
        let Some(state) = state else {
            match admission {
                Admission::NotAsked => continue,
                _ => return fail(peer, "there is no lock to judge by"),
            }
        };
        let bytes = peer.signature.as_deref().unwrap_or_default();
        let signed = truth.lets_in(bytes, peer.node_key, state);
        let obsolete = replaced.contains(&peer.node_key.to_binary()[..]);
        match admission {
            Admission::Signed if !signed => return fail(peer, "let in, though nobody signed it"),
            Admission::Signed if obsolete => return fail(peer, "let in, though it was replaced"),
            Admission::NotAsked => return fail(peer, "let in without being judged"),
            Admission::NoSignature | Admission::Refused(_) if signed => {
                return fail(peer, "kept out, though a trusted key has signed it");
            }
            _ => {}
        }
    }
    Ok(admissions)
}
