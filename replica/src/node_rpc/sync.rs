//! `bootstrap`, `sync/offer`, `sync/send`: how a lock begins and ends for a node, and the AUMs
//! between.

use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::{AumsAdded, Epoch, Event, records};
use ledger::ids::AumHash;
use ledger::limits::{EVENT_AUMS, OFFER_WALK};
use ledger::lock::signatures::{OneCore, Unverified, verify_all};
use ledger::lock::sync::{Offer, missing_page};
use ledger::lock::{Authority, Chain, ChainId, Sealed};
use ledger::rows::{Draft, Rows};
use ledger::{Failure, Fault, Refusal};

use super::bodies::{
    BootstrapAnswer, BootstrapRequest, HashText, SyncOfferAnswer, SyncOfferRequest, SyncSendAnswer,
    SyncSendRequest,
};
use super::{ANSWER_AUM_BYTES, ANSWER_AUMS, NotAnswered, caller};
use crate::go_json::Base64;
use crate::operations::Ground;

/// The genesis of the lock that is on, and the secret that ended the lock that the node has or, if
/// it names none, the one that ended last. The node takes what it needs.
pub fn bootstrap(
    ground: Ground<'_>,
    request: &BootstrapRequest,
) -> Result<BootstrapAnswer, NotAnswered> {
    caller(ground, request.node_key)?;
    let mut answer = BootstrapAnswer::default();
    if let Lifecycle::On(epoch) = ground.fold.lifecycle() {
        answer.genesis_aum = Some(Base64(genesis(ground.rows, epoch)?));
    }
    let ended = match (request.head, ground.fold.lifecycle()) {
        (Some(head), _) => epoch_of(ground, head)?,
        (None, Lifecycle::On(Epoch(now))) => now.checked_sub(1).map(Epoch),
        (None, lifecycle) => lifecycle.epoch(),
    };
    if let Some(epoch) = ended {
        answer.disablement_secret = secret(ground.rows, epoch)?.map(Base64);
    }
    if answer == BootstrapAnswer::default() {
        return Err(NotAnswered::Nothing("tailnet lock is off, and no lock with that head was on"));
    }
    Ok(answer)
}

/// The lock that has or had that AUM, the latest first.
pub(super) fn epoch_of(ground: Ground<'_>, aum: AumHash) -> Result<Option<Epoch>, Fault> {
    let last = ground.fold.epoch().map_or(0, |epoch| epoch.0);
    for number in (1..=last).rev() {
        if Chain::new(ground.rows, ChainId(number)).node(&aum)?.is_some() {
            return Ok(Some(Epoch(number)));
        }
    }
    Ok(None)
}

fn genesis(rows: &dyn Rows, epoch: Epoch) -> Result<Vec<u8>, Fault> {
    let missing = || Fault::new(format!("the genesis of epoch {epoch} is missing"));
    let entry = lifecycle::epoch(rows, epoch)?.ok_or_else(missing)?;
    let aum = Chain::new(rows, ChainId(epoch.0)).aum(&entry.genesis)?;
    Ok(aum.ok_or_else(missing)?.bytes().to_vec())
}

/// The secret that ended a lock, if it has ended.
fn secret(rows: &dyn Rows, epoch: Epoch) -> Result<Option<Vec<u8>>, Fault> {
    let Some(ended) = lifecycle::epoch(rows, epoch)?.and_then(|entry| entry.ended) else {
        return Ok(None);
    };
    let record = records::record(rows, ended)?;
    match record.as_ref().map(|record| &record.proposal().proposal().event) {
        Some(Event::LockDisabled(disablement)) => Ok(Some(disablement.secret.clone())),
        // A lock that was followed goes on elsewhere: nobody here knows a secret that ends it.
        Some(Event::AdoptionEnded) => Ok(None),
        _ => Err(Fault::new(format!("record {ended} should hold the end of epoch {epoch}"))),
    }
}

/// Our own offer, and what the node lacks. When that is more than fits, it gets the first of it,
/// informs its authority, and asks again.
pub fn offer(
    ground: Ground<'_>,
    request: &SyncOfferRequest,
) -> Result<SyncOfferAnswer, NotAnswered> {
    caller(ground, request.node_key)?;
    let authority = ground.authority()?;
    let ancestors = request.ancestors.as_deref().unwrap_or_default();
    if ancestors.len() as u64 > OFFER_WALK + 1 {
        return Err(NotAnswered::TooMuch("an offer names at most 1001 ancestors"));
    }
    let theirs = Offer {
        head: request.head,
        ancestors: ancestors.iter().map(|HashText(hash)| *hash).collect(),
    };
    let ours = ledger::lock::sync::offer(ground.rows, authority)?;
    let missing = missing_page(ground.rows, authority, &theirs, ANSWER_AUMS, ANSWER_AUM_BYTES)?;
    let missing: Vec<Base64> =
        missing.into_iter().map(|aum| Base64(aum.bytes().to_vec())).collect();
    Ok(SyncOfferAnswer {
        head: ours.head,
        ancestors: Some(ours.ancestors.into_iter().map(HashText).collect()),
        missing_aums: Some(missing).filter(|missing| !missing.is_empty()),
    })
}

/// Checks AUMs and plans to take in those that are new; none if all are known.
///
/// Somebody waits for an interactive call: then the AUMs must become the head, or nothing of them
/// is taken. So it is with every call once the door judges (docs/door.md). Under rules 1 the AUMs
/// of other calls may lose to others, and are stored all the same: nodes may have them.
pub fn send(ground: Ground<'_>, request: &SyncSendRequest) -> Result<Option<Event>, NotAnswered> {
    caller(ground, request.node_key)?;
    let authority = ground.authority()?;
    let chain = authority.chain(ground.rows);
    let mut new: Vec<Sealed> = Vec::new();
    let mut last = None;
    for (place, bytes) in request.missing_aums.iter().flatten().enumerate() {
        let aum = Sealed::decode(&bytes.0)
            .map_err(|why| NotAnswered::malformed(format!("update {place}"), why))?;
        last = Some(aum.hash());
        let known = chain.node(&aum.hash())?.is_some()
            || new.iter().any(|other| other.hash() == aum.hash());
        if !known {
            new.push(aum);
        }
        if new.len() > EVENT_AUMS {
            return Err(NotAnswered::TooMuch("at most 1024 new AUMs are taken at once"));
        }
    }
    let moved = || NotAnswered::Conflict("the head has changed, try again".into());
    let wanted = last.filter(|_| request.interactive);
    if new.is_empty() {
        return match wanted {
            Some(wanted) if wanted != authority.head() => Err(moved()),
            _ => Ok(None),
        };
    }
    let head_after = tried(ground, authority, &new)?;
    if wanted.is_some_and(|wanted| wanted != head_after) {
        return Err(moved());
    }
    let mut at = authority.head();
    let follows = new.iter().all(|aum| {
        let follows = aum.parent_hash() == Some(at);
        at = aum.hash();
        follows
    });
    Ok(Some(Event::AumsAdded(AumsAdded {
        aums: new,
        fork: !follows,
        signatures: Vec::new(),
        reason: None,
        note: None,
    })))
}

/// The head that the AUMs would lead to.
fn tried(
    ground: Ground<'_>,
    authority: &Authority,
    aums: &[Sealed],
) -> Result<AumHash, NotAnswered> {
    let bad = |why: Refusal| NotAnswered::malformed("the updates", why);
    let unverified = aums.iter().cloned().map(Unverified::new).collect();
    let verified = verify_all(unverified, &OneCore).into_iter().collect::<Result<Vec<_>, _>>();
    let verified = verified.map_err(bad)?;
    let mut draft = Draft::on(ground.rows);
    match authority.clone().inform(&mut draft, &verified) {
        Ok(informed) => Ok(informed.head_after),
        Err(Failure::Refused(why)) => Err(bad(why)),
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}

/// The answer once AUMs are taken in.
pub fn sent(ground: Ground<'_>) -> Result<SyncSendAnswer, NotAnswered> {
    Ok(SyncSendAnswer { head: ground.authority()?.head() })
}
