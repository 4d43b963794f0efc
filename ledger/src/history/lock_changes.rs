//! What the lock's events do: begin an epoch, add AUMs, sign nodes, end the epoch.

use std::collections::BTreeSet;

use super::effects::Step;
use super::event::{AumsAdded, BroughtGenesis, Disablement, Initialization, NodeSignature};
use super::lifecycle::{self, EpochEntry, Lifecycle, WaitingGenesis};
use super::members::Member;
use super::roster::Judge;
use super::{Epoch, EventRefusal, NodeId, SignedProposal, adoption, cosigning, door, roster, row};
use crate::ids::{AumHash, LockKey};
use crate::lock::signatures::Verified;
use crate::lock::{Authority, ChainId, Sealed, State};
use crate::rows::{Draft, tables};
use crate::{Failure, Fault};

/// Begins the next epoch (spec 5.4, and docs/ledger-format.md 5).
pub(super) fn initialize(
    step: &mut Step<'_>,
    lifecycle: Lifecycle,
    init: &Initialization,
    member: &Member,
    whole: &Verified<&SignedProposal>,
) -> Result<(Lifecycle, Authority), Failure> {
    let epoch = next_epoch(lifecycle)?;
    adoption::none_under_way(&step.rows, epoch)?;
    let genesis = &init.genesis;
    let key = match init.brought_by {
        None => member.details.lock_key.ok_or(EventRefusal::NoLockKey(member.id))?,
        Some(node) => {
            let waiting = lifecycle::waiting(&step.rows)?.map(|waiting| waiting.brought);
            let fits = |brought: &BroughtGenesis| {
                brought.node == node && brought.genesis.hash() == genesis.hash()
            };
            waiting.filter(fits).ok_or(EventRefusal::NoSuchGenesis { node })?.key
        }
    };
    let authority = begin(step, epoch, genesis, key, whole)?;
    let state = authority.state();
    same_roster(step, &init.signatures)?;
    let entry = EpochEntry {
        epoch,
        genesis: genesis.hash(),
        state_id: state.state_id(),
        began: step.index,
        ended: None,
    };
    lifecycle::put(&mut step.rows, &entry);
    step.lock_on(epoch, genesis.hash());
    step.aums(std::slice::from_ref(genesis), authority.head());
    let judge = Judge { state: Some(state), asks_for_auth_keys: None };
    roster::sign(step, judge, &init.signatures, whole)?;
    Ok((Lifecycle::On(epoch), authority))
}

/// A node's genesis waits until it has signed the nodes, or until another one takes its place.
pub(super) fn bring(
    step: &mut Step<'_>,
    lifecycle: Lifecycle,
    brought: &BroughtGenesis,
    whole: &Verified<&SignedProposal>,
) -> Result<(), Failure> {
    let epoch = next_epoch(lifecycle)?;
    adoption::none_under_way(&step.rows, epoch)?;
    if roster::node(&step.rows, brought.node)?.is_none() {
        return Err(EventRefusal::UnknownNode(brought.node).into());
    }
    // Judged as if the lock began, but nothing of it stays.
    let base = Draft::on(&step.rows);
    let mut trial = Step::new(&base, step.index);
    begin(&mut trial, epoch, &brought.genesis, brought.key, whole)?;
    let waiting = WaitingGenesis { brought: brought.clone(), record: step.index };
    lifecycle::wait(&mut step.rows, &waiting);
    step.genesis_waits(brought.node, brought.genesis.hash());
    Ok(())
}

pub(super) fn next_epoch(lifecycle: Lifecycle) -> Result<Epoch, EventRefusal> {
    match lifecycle {
        Lifecycle::On(epoch) => Err(EventRefusal::LockOn(epoch)),
        Lifecycle::Off => Ok(Epoch(1)),
        Lifecycle::Retired(last) => {
            let next = last.0.checked_add(1);
            Ok(Epoch(next.ok_or(EventRefusal::Shape("all epochs have been used"))?))
        }
    }
}

/// Begins an epoch's chain. `key` is that of whoever made the genesis.
fn begin(
    step: &mut Step<'_>,
    epoch: Epoch,
    genesis: &Sealed,
    key: LockKey,
    whole: &Verified<&SignedProposal>,
) -> Result<Authority, Failure> {
    if genesis.parent.is_some() {
        return Err(EventRefusal::GenesisParent.into());
    }
    let authority =
        Authority::bootstrap(&mut step.rows, ChainId(epoch.0), &whole.part(genesis.clone()))?;
    door::can_be_trusted(genesis, None)?;
    let state = authority.state();
    // A lock that does not trust whoever made it would lock its maker out at once.
    if state.key(&key.0).is_none() {
        return Err(EventRefusal::InitializerNotTrusted { key }.into());
    }
    if planted!(SpentStateId) {
        return Ok(authority);
    }
    if let Some(epoch) = lifecycle::by_state_id(&step.rows, state.state_id())? {
        return Err(EventRefusal::StateIdUsed(epoch).into());
    }
    Ok(authority)
}

/// Whether the signatures are for the nodes of the roster and their current keys, all of them:
/// a node that joined, left or changed its key meanwhile would be locked out by the genesis.
fn same_roster(step: &Step<'_>, signatures: &[NodeSignature]) -> Result<(), Failure> {
    let changed = |node: NodeId| EventRefusal::RosterChanged { node };
    let mut signed = signatures.iter();
    for node in roster::list(&step.rows)? {
        let item = signed.next().ok_or(changed(node.id))?;
        if item.node != node.id {
            return Err(changed(item.node.min(node.id)).into());
        }
        if item.signature.pubkey != node.node_key.to_binary() {
            return Err(changed(node.id).into());
        }
    }
    match signed.next() {
        Some(item) => Err(changed(item.node).into()),
        None => Ok(()),
    }
}

/// Takes AUMs in, re-signs nodes, and lets in or locks out whom the change of trust concerns.
pub(super) fn add_aums(
    step: &mut Step<'_>,
    (rules, asks_for_auth_keys): (u32, Option<Lifecycle>),
    authority: &Authority,
    added: &AumsAdded,
    whole: &Verified<&SignedProposal>,
) -> Result<Authority, Failure> {
    unknown(step, authority, &added.aums)?;
    if !added.fork {
        one_chain(authority.head(), &added.aums)?;
    }
    let can_be_trusted =
        || added.aums.iter().try_for_each(|aum| door::can_be_trusted(aum, Some(authority.state())));
    let next = if rules >= door::SINCE_RULES && !planted!(SkipDoor) {
        can_be_trusted()?;
        door::take(step, authority, added, whole)?
    } else {
        let next = informed(step, authority, &added.aums, whole)?;
        can_be_trusted()?;
        next
    };
    let finished = cosigning::finished(step, &next, &added.aums)?;
    step.aums(&added.aums, next.head());
    finished.into_iter().for_each(|id| cosigning::remove(step, id));
    let judge = Judge { state: Some(next.state()), asks_for_auth_keys };
    roster::sign(step, judge, &added.signatures, whole)?;
    trust_moved(step, authority, &next, &added.aums)?;
    Ok(next)
}

/// Whether none of the AUMs is on record.
pub(super) fn unknown(
    step: &Step<'_>,
    authority: &Authority,
    aums: &[Sealed],
) -> Result<(), Failure> {
    let chain = authority.chain(&step.rows);
    for aum in aums {
        if chain.node(&aum.hash())?.is_some() {
            return Err(EventRefusal::AlreadyApplied.into());
        }
    }
    Ok(())
}

/// The authority once it has taken the AUMs in.
pub(super) fn informed(
    step: &mut Step<'_>,
    authority: &Authority,
    aums: &[Sealed],
    whole: &Verified<&SignedProposal>,
) -> Result<Authority, Failure> {
    let mut next = authority.clone();
    let batch: Vec<_> = aums.iter().map(|aum| whole.part(aum.clone())).collect();
    next.inform(&mut step.rows, &batch)?;
    Ok(next)
}

/// Lets in or locks out whom the change of trust from `authority` to `next` concerns.
pub(super) fn trust_moved(
    step: &mut Step<'_>,
    authority: &Authority,
    next: &Authority,
    aums: &[Sealed],
) -> Result<(), Failure> {
    let (before, after) = (trusted(authority.state()), trusted(next.state()));
    if planted!(KeepRemovedSigners) {
        return Ok(());
    }
    for key in before.difference(&after) {
        let aum = removed_by(step, next, aums, *key)?;
        roster::trust_changed(step, *key, Some(aum))?;
    }
    for key in after.difference(&before) {
        roster::trust_changed(step, *key, None)?;
    }
    Ok(())
}

/// Whether the AUMs follow the head one after the other.
fn one_chain(head: AumHash, aums: &[Sealed]) -> Result<(), EventRefusal> {
    let mut last = head;
    for (place, aum) in aums.iter().enumerate() {
        match aum.parent_hash() {
            Some(parent) if parent == last => {}
            Some(parent) if place == 0 => return Err(EventRefusal::StaleParent { parent, head }),
            _ => return Err(EventRefusal::NotOneChain(place)),
        }
        last = aum.hash();
    }
    Ok(())
}

fn trusted(state: &State) -> BTreeSet<LockKey> {
    state.keys().iter().filter_map(|key| key.lock_key()).collect()
}

/// The AUM since which the key is not trusted: the one on the active branch that took it away or,
/// if that branch never trusted it, the first of the event's AUMs that is on it.
fn removed_by(
    step: &Step<'_>,
    authority: &Authority,
    aums: &[Sealed],
    key: LockKey,
) -> Result<AumHash, Fault> {
    let (chain, head) = (authority.chain(&step.rows), authority.head_place());
    match chain.trust_below(&key.0, head.height, &head.hash)? {
        Some(change) if !change.trusted => return Ok(change.at.hash),
        _ => {}
    }
    for aum in aums {
        if chain.is_ancestor(&aum.hash(), &head.hash)? {
            return Ok(aum.hash());
        }
    }
    Ok(head.hash)
}

/// Ends the epoch with the secret of one of its disablement values.
pub(super) fn disable(
    step: &mut Step<'_>,
    epoch: Epoch,
    authority: &Authority,
    disablement: &Disablement,
) -> Result<Lifecycle, Failure> {
    let mut values = authority.state().disablement_values();
    if !values.any(|value| value == disablement.value) {
        return Err(EventRefusal::OtherDisablementValue.into());
    }
    let entry = lifecycle::epoch(&step.rows, epoch)?;
    let entry = entry.ok_or_else(|| row::missing(tables::EPOCHS, epoch))?;
    lifecycle::put(&mut step.rows, &EpochEntry { ended: Some(step.index), ..entry });
    door::finality::forget(&mut step.rows, epoch)?;
    step.lock_off(epoch);
    roster::unlock(step)?;
    Ok(Lifecycle::Retired(epoch))
}
