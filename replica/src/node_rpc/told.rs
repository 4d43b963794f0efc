//! What each node is told the lock is, and what it says that it has applied.

use ledger::Fault;
use ledger::history::acknowledgements::{self, Acknowledgement};
use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::roster::{self, Node};
use ledger::history::{Acknowledged, Applied, Epoch, Event, NodeId};
use ledger::ids::AumHash;

use super::bodies::{MapAnswer, MapNode, MapRequest, TkaInfo};
use super::sync::epoch_of;
use super::{NotAnswered, caller};
use crate::go_json::Base64;
use crate::operations::Ground;

/// What a node is told that has applied `head`, or has no lock (control-protocol 4.8, 6.3).
///
/// A node that missed the end of its lock while another one began cannot get from one to the
/// other: it is told first that its own has ended, and of the new one when it has ended that.
pub fn info(ground: Ground<'_>, head: Option<AumHash>) -> Result<TkaInfo, Fault> {
    let disabled = TkaInfo { head: None, disabled: true };
    let (Some(authority), Lifecycle::On(now)) = (ground.fold.authority(), ground.fold.lifecycle())
    else {
        return Ok(disabled);
    };
    if let Some(head) = head
        && epoch_of(ground, head)?.is_some_and(|epoch| epoch != now)
    {
        return Ok(disabled);
    }
    Ok(TkaInfo { head: Some(authority.head()), disabled: false })
}

/// What of a node's view of the network concerns the lock.
pub fn map(ground: Ground<'_>, request: &MapRequest) -> Result<MapAnswer, NotAnswered> {
    let own = caller(ground, request.node_key)?;
    let peers = roster::list(ground.rows)?;
    let peers: Vec<MapNode> = peers.iter().filter(|node| node.id != own.id).map(map_node).collect();
    Ok(MapAnswer {
        node: map_node(&own),
        peers: Some(peers).filter(|peers| !peers.is_empty()),
        tka_info: info(ground, request.tka_head)?,
    })
}

fn map_node(node: &Node) -> MapNode {
    MapNode {
        id: node.id.0,
        stable_id: node.stable_id(),
        name: node.name.clone(),
        key: node.node_key,
        key_signature: node.signature.as_ref().map(|signature| Base64(signature.to_cbor())),
    }
}

/// The next thing to record of what a node says it has applied; to be asked again until there is
/// none. A head that was never recorded says nothing of our locks.
///
/// A node that has another lock, or none, has ended every earlier lock that it was known to have;
/// and one that never said anything and has no lock has nothing left of the one that ended last.
pub fn acknowledgement(
    ground: Ground<'_>,
    request: &MapRequest,
) -> Result<Option<Event>, NotAnswered> {
    let node = caller(ground, request.node_key)?.id;
    let head_epoch = match request.tka_head {
        Some(head) => match epoch_of(ground, head)? {
            Some(epoch) => Some((epoch, head)),
            None => return Ok(None),
        },
        None => None,
    };
    let said = acknowledgements::by_node(ground.rows, node)?;
    if let Some(ended) = has_ended(ground, &said, head_epoch.map(|(epoch, _)| epoch))? {
        return Ok(Some(acknowledged(node, ended, Applied::Disabled)));
    }
    let Some((epoch, head)) = head_epoch else { return Ok(None) };
    let applied = Applied::Head(head);
    let known = said.iter().any(|said| said.epoch == epoch && said.applied == applied);
    Ok((!known).then(|| acknowledged(node, epoch, applied)))
}

/// A lock that has ended and that the node, having the lock of `now` or none, must have ended too.
fn has_ended(
    ground: Ground<'_>,
    said: &[Acknowledgement],
    now: Option<Epoch>,
) -> Result<Option<Epoch>, Fault> {
    for said in said {
        let left = now != Some(said.epoch) && said.applied != Applied::Disabled;
        if left && lifecycle::epoch(ground.rows, said.epoch)?.is_some_and(|e| e.ended.is_some()) {
            return Ok(Some(said.epoch));
        }
    }
    match (ground.fold.lifecycle(), now) {
        (Lifecycle::Retired(last), None) if said.iter().all(|said| said.epoch != last) => {
            Ok(Some(last))
        }
        _ => Ok(None),
    }
}

fn acknowledged(node: NodeId, epoch: Epoch, applied: Applied) -> Event {
    Event::NodeAcknowledged(Acknowledged { node, epoch, applied })
}
