use std::collections::BTreeSet;

use ledger::history::roster;
use ledger::ids::AumHash;
use ledger::lock::client::{Client, Peer, judge};
use ledger::lock::node_keys::NodeKeySignature;
use ledger::lock::signatures::OneCore;

use super::truth::Truth;
use super::{Broken, broken};

/// A revocation that is active.
#[derive(Debug, Clone)]
pub struct Won {
    /// The checkpoint.
    pub aum: AumHash,
    /// Where it forks off.
    pub fork_point: AumHash,
    /// The IDs of the keys that it has revoked.
    pub revoked: BTreeSet<Vec<u8>>,
}

/// After a won revocation, none of what only revoked keys have signed since its fork point is
/// active, and no node that only they have signed is let in: neither by the ledger's roster nor
/// by a node.
///
/// Reason: this is what a revocation is for. Holds for every node that is fed through the ledger
/// and was not compacted past the fork point. Source: spec 10, issue.
pub fn revoked_keys_are_powerless(
    truth: &Truth,
    name: &str,
    head: AumHash,
    client: Option<&Client>,
    won: &Won,
    nodes: &[roster::Node],
) -> Result<(), Broken> {
    const NAME: &str = "revoked_keys_are_powerless";
    for hash in truth.line(&head) {
        if hash == won.fork_point {
            break;
        }
        let signers = truth.of(&hash).map(|judged| &judged.aum.signatures);
        let mut signers = signers.into_iter().flatten().flat_map(|s| &s.key_id);
        if signers.all(|id| won.revoked.contains(id)) {
            let what = format!("{name} has {hash} active, which only revoked keys have signed");
            return Err(broken(NAME, what));
        }
    }
    let rests_on_revoked = |signature: &NodeKeySignature| {
        signature.authorizing_key().is_ok_and(|key| won.revoked.contains(&key.0[..]))
    };
    let theirs: Vec<&roster::Node> =
        nodes.iter().filter(|node| node.signature.as_ref().is_some_and(rests_on_revoked)).collect();
    let let_in: Vec<bool> = match client {
        None => theirs.iter().map(|node| node.standing.is_in()).collect(),
        Some(client) if client.enforced().is_none() => Vec::new(),
        Some(client) => {
            let peers = theirs.iter().map(|node| Peer {
                node_key: node.node_key,
                signature: node.signature.as_ref().map(NodeKeySignature::to_cbor),
            });
            let admissions = judge(client, &peers.collect::<Vec<_>>(), &OneCore);
            admissions.iter().map(ledger::lock::client::Admission::is_in).collect()
        }
    };
    match theirs.iter().zip(let_in).find(|(_, is_in)| *is_in) {
        Some((node, _)) => {
            let what = format!("{name} lets in {}, which only a revoked key signed", node.name);
            Err(broken(NAME, what))
        }
        None => Ok(()),
    }
}
