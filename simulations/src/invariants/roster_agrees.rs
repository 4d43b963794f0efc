use ledger::history::roster;
use ledger::lock::client::{Admission, Client, Peer};
use ledger::rows::Rows;

use super::truth::Truth;
use super::{Broken, broken, faulty, only_the_signed_get_in};

/// A node that stands where the ledger stands lets in whom the ledger's roster calls signed, but
/// for keys that a rotation has replaced.
///
/// Reason: the ledger tells operators who is locked out; the nodes decide it. Source: spec 8.6;
/// docs/ledger-format.md on standings.
pub fn roster_and_nodes_agree(
    truth: &Truth,
    name: &str,
    client: &Client,
    ledger: &dyn Rows,
) -> Result<(), Broken> {
    const NAME: &str = "roster_and_nodes_agree";
    let nodes = roster::list(ledger).map_err(faulty(NAME))?;
    let peers: Vec<Peer> = nodes
        .iter()
        .map(|node| Peer {
            node_key: node.node_key,
            signature: node.signature.as_ref().map(|signature| signature.to_cbor()),
        })
        .collect();
    let admissions = only_the_signed_get_in(truth, name, client, &peers)?;
    for (node, admission) in nodes.iter().zip(admissions) {
        let agrees = match admission {
            Admission::Obsolete => node.standing.is_in(),
            Admission::NotAsked => true,
            ref other => other.is_in() == node.standing.is_in(),
        };
        if !agrees {
            let what = format!(
                "{name} says {admission:?} of {}, the roster {:?}",
                node.name, node.standing.reason
            );
            return Err(broken(NAME, what));
        }
    }
    Ok(())
}
