//! What a coordination server answers nodes from its rows.

use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::{Epoch, Event, Fold, records, roster};
use ledger::ids::AumHash;
use ledger::lock::client::{Bootstrap, Peer, Question, Reply, Told};
use ledger::lock::{Chain, ChainId};
use ledger::rows::Rows;
use ledger::{Failure, Fault};

use crate::actors::client;
use crate::actors::wire::{Answer, Ask};

/// What a node is answered to anything but what it sends.
pub(super) fn answered(rows: &dyn Rows, fold: &Fold, ask: &Ask) -> Result<Answer, Fault> {
    match ask {
        Ask::Map { head, node_key } => {
            let told = told(rows, fold, *head)?;
            let peers = roster::list(rows)?.into_iter();
            let peers = peers.filter(|node| node.node_key != *node_key).map(|node| Peer {
                node_key: node.node_key,
                signature: node.signature.map(|signature| signature.to_cbor()),
            });
            Ok(Answer::Map { told, peers: peers.collect() })
        }
        Ask::Round(Question::Bootstrap { head }) => {
            Ok(Answer::Round(Reply::Bootstrap(bootstrap(rows, fold, *head)?)))
        }
        Ask::Round(Question::Offer(theirs)) => {
            let Some(authority) = fold.authority() else { return Ok(Answer::Refused) };
            match client::offer(rows, authority, theirs) {
                Ok(answer) => Ok(answer),
                Err(Failure::Refused(_)) => Ok(Answer::Refused),
                Err(Failure::Fault(fault)) => Err(fault),
            }
        }
        Ask::Round(Question::Send { .. }) => Ok(Answer::Refused),
    }
}

/// The lock that has or had that AUM.
fn epoch_of(rows: &dyn Rows, fold: &Fold, aum: AumHash) -> Result<Option<Epoch>, Fault> {
    let last = fold.epoch().map_or(0, |epoch| epoch.0);
    for number in (1..=last).rev() {
        if Chain::new(rows, ChainId(number)).node(&aum)?.is_some() {
            return Ok(Some(Epoch(number)));
        }
    }
    Ok(None)
}

/// What a node is told that has `head`. One whose lock has ended while another began hears of
/// the end first.
fn told(rows: &dyn Rows, fold: &Fold, head: Option<AumHash>) -> Result<Told, Fault> {
    let (Some(authority), Lifecycle::On(now)) = (fold.authority(), fold.lifecycle()) else {
        return Ok(Told::Off);
    };
    if let Some(head) = head
        && epoch_of(rows, fold, head)?.is_some_and(|epoch| epoch != now)
    {
        return Ok(Told::Off);
    }
    Ok(Told::On(authority.head()))
}

/// How the lock that is on began, and how the one that the node has ended.
fn bootstrap(rows: &dyn Rows, fold: &Fold, head: Option<AumHash>) -> Result<Bootstrap, Fault> {
    let mut answer = Bootstrap::default();
    if let Lifecycle::On(epoch) = fold.lifecycle()
        && let Some(entry) = lifecycle::epoch(rows, epoch)?
    {
        answer.genesis = Chain::new(rows, ChainId(epoch.0)).aum(&entry.genesis)?;
    }
    let ended = match head {
        Some(head) => epoch_of(rows, fold, head)?,
        None => None,
    };
    if let Some(epoch) = ended
        && let Some(ended) = lifecycle::epoch(rows, epoch)?.and_then(|entry| entry.ended)
        && let Some(record) = records::record(rows, ended)?
        && let Event::LockDisabled(disablement) = &record.proposal().proposal().event
    {
        answer.secret = Some(disablement.secret.clone());
    }
    Ok(answer)
}
