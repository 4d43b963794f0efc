//! What holders of keys sign in a life: the beginning, changes, nodes; and who is let in by it.

use ledger::history::{AumsAdded, Event, Initialization, NodeSignature, roster};
use ledger::ids::LockKey;
use ledger::lock::builder::{Change, UpdateBuilder};
use ledger::lock::client::Peer;
use ledger::lock::node_keys::{NodeKeySignature, reissue, sign_direct};
use ledger::lock::{Authority, State};

use super::{NODES, Town};
use crate::actors::keys;
use crate::actors::ledger::{MEMBER, Outcome};
use crate::invariants::{self, broken};
use crate::invariants::{Result, unexpected};
use crate::world::Random;

pub(super) fn genesis(
    lock: u64,
    keys: &[(usize, u64)],
    secret: usize,
) -> Result<ledger::lock::Sealed> {
    let state: State = keys::state(lock, keys, secret);
    let genesis = Authority::genesis(state, keys::private(MEMBER));
    genesis.map_err(|why| broken("a_lock_begins", why.to_string()))
}

/// The event that begins a lock, with a signature for every node of the roster.
pub(super) fn initialization(town: &mut Town<'_>, genesis: ledger::lock::Sealed) -> Result<Event> {
    let mut signatures = Vec::new();
    for node in roster::list(town.ledger.process.disk.inspect()).map_err(unexpected)? {
        let signature = direct(MEMBER, node.node_key, node.lock_key)?;
        town.truth.made_for_node(&signature);
        signatures.push(NodeSignature { node: node.id, signature });
    }
    let init = Initialization { genesis, signatures, labels: Vec::new(), brought_by: None };
    Ok(Event::LockInitialized(Box::new(init)))
}

pub(super) fn direct(
    signer: usize,
    node_key: ledger::ids::NodeKey,
    wrapping: Option<LockKey>,
) -> Result<NodeKeySignature> {
    let signature = sign_direct(keys::private(signer), node_key, wrapping);
    signature.map_err(|why| broken("nodes_can_be_signed", why.to_string()))
}

/// Some holder whom the lock trusts.
pub(super) fn trusted(town: &Town<'_>, draw: u64) -> Option<usize> {
    let state = town.ledger.authority()?.state();
    let holders: Vec<usize> =
        state.keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    (!holders.is_empty()).then(|| Random::new(draw, "who").pick(&holders))
}

/// A change of the trusted keys, signed by one of them; `gone` is the holder whose nodes another
/// one signs anew.
pub(super) fn change(
    town: &mut Town<'_>,
    draw: u64,
    what: Change,
    gone: Option<usize>,
) -> Result<()> {
    let Some(authority) = town.ledger.authority() else { return Ok(()) };
    let keys: Vec<usize> =
        authority.state().keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    let others: Vec<usize> = keys.into_iter().filter(|holder| Some(*holder) != gone).collect();
    if others.is_empty() {
        return Ok(());
    }
    let signer = Random::new(draw, "signer").pick(&others);
    let rows = town.ledger.process.disk.inspect();
    let builder = UpdateBuilder::new(rows, authority, Some(keys::private(signer)));
    let mut builder = builder.map_err(unexpected)?;
    if builder.change(what).is_err() {
        return Ok(());
    }
    let mut signatures = Vec::new();
    if let Some(gone) = gone {
        for id in roster::signed_by(rows, keys::public(gone)).map_err(unexpected)? {
            let node = roster::node(rows, id).map_err(unexpected)?;
            let Some((old, lock_key)) =
                node.and_then(|node| Some((node.signature?, node.lock_key)))
            else {
                continue;
            };
            let signature = reissue(keys::private(signer), &old, lock_key)
                .map_err(|why| broken("nodes_can_be_signed", why.to_string()))?;
            signatures.push(NodeSignature { node: id, signature });
        }
    }
    let Ok(aums) = builder.finish() else { return Ok(()) };
    for aum in &aums {
        town.truth.made(aum);
    }
    for item in &signatures {
        town.truth.made_for_node(&item.signature);
    }
    let resigned = !signatures.is_empty();
    let added = AumsAdded { aums, fork: false, signatures, reason: None, note: None };
    if let Some(Outcome::Recorded(_)) = town.propose(Event::AumsAdded(added))? {
        town.count("keys changed");
        if resigned {
            town.count("nodes signed anew");
        }
    }
    Ok(())
}

/// Whom a node lets in: of those that it was told of, with the latest of the replaced ones beside
/// them; and as the ledger's roster has it if the node stands where the ledger stands.
pub(super) fn admission(town: &Town<'_>, n: usize, former: &[Peer]) -> Result<()> {
    let node = &town.nodes[n];
    let Some(client) = &node.client else { return Ok(()) };
    let name = &node.process.name;
    let latest = former.iter().rev().take(NODES);
    let peers: Vec<Peer> = node.peers.iter().chain(latest).cloned().collect();
    invariants::only_the_signed_get_in(&town.truth, name, client, &peers)?;
    if client.head().is_some() && client.head() == town.ledger.head() {
        let rows = town.ledger.process.disk.inspect();
        invariants::roster_and_nodes_agree(&town.truth, name, client, rows)?;
    }
    Ok(())
}
