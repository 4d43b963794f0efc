//! `adopt`: the history of a lock that exists elsewhere, what the server of a followed lock shows,
//! and the nodes of its tailnet.

use std::collections::BTreeSet;

use ledger::Failure;
use ledger::history::adoption::{self, Adoption};
use ledger::history::lifecycle::Lifecycle;
use ledger::history::roster::{self, Node};
use ledger::history::{
    AdoptionBegun, ChangedNode, Epoch, Event, EventRefusal, Foreign, ForeignReason, NewNode,
    Observed, is_name,
};
use ledger::ids::{AumHash, LockKey, NodeKey};
use ledger::limits::{NAME_BYTES, OBSERVED_BYTES};
use ledger::lock::node_keys::{NodeKeySignature, authorize};
use ledger::lock::signatures::{Unverified, verify_one};
use ledger::lock::{Authority, Chain, ChainId, Sealed};
use ledger::rows::Draft;

use super::{Ground, NotPlanned};

/// Names of the same beginning that are tried for a node.
const NAMES: usize = 1000;

/// Plans the beginning. `None` if it has been made: an adoption is resumed by asking for the same.
pub fn begin(ground: Ground<'_>, order: &AdoptionBegun) -> Result<Option<Event>, NotPlanned> {
    let lifecycle = ground.fold.lifecycle();
    match adoption::current(ground.rows, lifecycle)? {
        Some(found) if is(&found, order) => Ok(None),
        Some(Adoption { adopted: None, epoch, .. }) => {
            Err(NotPlanned::Refused(EventRefusal::AdoptionUnderWay(epoch).into()))
        }
        _ if lifecycle.is_on() => Err(NotPlanned::LockOn),
        _ => Ok(Some(Event::AdoptionBegun(Box::new(order.clone())))),
    }
}

fn is(adoption: &Adoption, order: &AdoptionBegun) -> bool {
    let Adoption { root, head, aums, followed, .. } = *adoption;
    (root, head, aums, followed) == (order.root.hash(), order.head, order.aums, order.followed)
}

/// Plans to bring AUMs in, each after its parent: those that are not on record yet. `None` if all
/// are.
pub fn aums(ground: Ground<'_>, aums: &[Sealed]) -> Result<Option<Event>, NotPlanned> {
    let adoption = current(ground)?;
    let chain = Chain::new(ground.rows, ChainId(adoption.epoch.0));
    let mut new = Vec::new();
    for aum in aums {
        if chain.node(&aum.hash())?.is_none() {
            new.push(aum.clone());
        }
    }
    Ok((!new.is_empty()).then_some(Event::AumsAdopted(new)))
}

fn current(ground: Ground<'_>) -> Result<Adoption, NotPlanned> {
    let current = adoption::current(ground.rows, ground.fold.lifecycle())?;
    current.ok_or_else(|| NotPlanned::Refused(EventRefusal::NoAdoption.into()))
}

/// Refuses what only the server of a followed lock decides.
pub fn decided_here(ground: Ground<'_>) -> Result<(), NotPlanned> {
    let Lifecycle::On(epoch) = ground.fold.lifecycle() else { return Ok(()) };
    match adoption::of(ground.rows, epoch)? {
        Some(adoption) if adoption.followed => Err(NotPlanned::Followed(epoch)),
        _ => Ok(()),
    }
}

/// Which of these AUMs are not on record in that epoch, in their order.
pub fn unknown(
    ground: Ground<'_>,
    epoch: Epoch,
    aums: &[AumHash],
) -> Result<Vec<AumHash>, NotPlanned> {
    let chain = Chain::new(ground.rows, ChainId(epoch.0));
    let mut unknown = Vec::new();
    for hash in aums {
        if chain.node(hash)?.is_none() {
            unknown.push(*hash);
        }
    }
    Ok(unknown)
}

/// What a server shows of a followed lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The head; none if it has no lock.
    pub head: Option<AumHash>,
    /// AUMs below it that may be new here, each after its parent, as they came.
    pub aums: Vec<Vec<u8>>,
    /// Whether more AUMs follow before anything can be said of the head.
    pub more: bool,
}

/// The next thing to record of what a server shows; to be asked again until there is none. AUMs
/// that keep the rules are taken in first, as far as they go; then the head is judged.
pub fn observe(ground: Ground<'_>, shown: &Shown) -> Result<Option<Event>, NotPlanned> {
    let adoption = current(ground)?;
    let authority = ground.authority()?;
    if !adoption.followed {
        return Err(NotPlanned::Refused(EventRefusal::NoAdoption.into()));
    }
    let news = |observed: Observed| {
        let (head, alarm) = adoption::judge(ground.rows, authority, &observed)?;
        let known = adoption.seen.is_some_and(|seen| (seen.head, seen.alarm) == (head, alarm));
        Ok((!known).then_some(Event::LockObserved(observed)))
    };
    let Some(head) = shown.head else { return news(Observed::Off) };
    let foreign = |why, bytes: &[u8]| {
        let evidence = bytes.iter().take(OBSERVED_BYTES).copied().collect();
        news(Observed::Foreign(Foreign { head, why, evidence }))
    };
    let mut rows = Draft::on(ground.rows);
    let mut trial = authority.clone();
    let mut new = Vec::new();
    for bytes in &shown.aums {
        match taken(&mut rows, &mut trial, bytes)? {
            Ok(Some(aum)) => new.push(aum),
            Ok(None) => {}
            Err(_) if !new.is_empty() => break,
            Err(why) => return foreign(why, bytes),
        }
    }
    if !new.is_empty() {
        return Ok(Some(Event::AumsAdopted(new)));
    }
    if shown.more {
        return Ok(None);
    }
    if authority.chain(ground.rows).node(&head)?.is_some() {
        return news(Observed::Head(head));
    }
    // None of the AUMs that it shows is what it calls its head.
    let last = shown.aums.last().map(Vec::as_slice).unwrap_or_default();
    foreign(ForeignReason::BreaksRules, last)
}

/// Takes an AUM in on trial: none if it is known, or why it cannot be part of this lock.
fn taken(
    rows: &mut Draft<'_>,
    trial: &mut Authority,
    bytes: &[u8],
) -> Result<Result<Option<Sealed>, ForeignReason>, NotPlanned> {
    let Ok(aum) = Sealed::decode(bytes) else { return Ok(Err(ForeignReason::BreaksRules)) };
    let chain = trial.chain(&*rows);
    if chain.node(&aum.hash())?.is_some() {
        return Ok(Ok(None));
    }
    let Some(parent) = aum.parent_hash() else { return Ok(Err(ForeignReason::OtherLock)) };
    if chain.node(&parent)?.is_none() {
        let theirs = aum.state.as_ref().map(|state| state.state_id());
        let other = theirs.is_some_and(|id| id != trial.state().state_id());
        return Ok(Err(if other { ForeignReason::OtherLock } else { ForeignReason::Unconnected }));
    }
    let Ok(verified) = verify_one(Unverified::new(aum.clone())) else {
        return Ok(Err(ForeignReason::BreaksRules));
    };
    match trial.inform(rows, &[verified]) {
        Ok(_) => Ok(Ok(Some(aum))),
        Err(Failure::Refused(_)) => Ok(Err(ForeignReason::BreaksRules)),
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}

/// A node of the tailnet whose lock was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is called there; any text.
    pub name: String,
    /// Its node key.
    pub node_key: NodeKey,
    /// Its tailnet-lock key, if that is known.
    pub lock_key: Option<LockKey>,
    /// The signature that it has there.
    pub signature: Option<NodeKeySignature>,
    /// The node keys of others that are there under a name that begins alike ([`label`]).
    pub beside: BTreeSet<NodeKey>,
}

/// Plans to bring a node in as it is there; `None` if it is so already. A signature that the lock
/// does not accept is left out: the node is then locked out, and [`why_out`] says why.
///
/// A node is known by its node key or, if that is new, by its name. Where the name belongs to the
/// machine of a signing node, or to a node that is there beside it, `-2`, `-3` and so on are tried.
pub fn node(ground: Ground<'_>, member: &Member) -> Result<Option<Event>, NotPlanned> {
    let state = ground.authority()?.state();
    let signature = match &member.signature {
        Some(signature) if why_out(state, member).is_none() => Some(signature.clone()),
        _ => None,
    };
    if let Some(node) = roster::by_node_key(ground.rows, member.node_key)? {
        let new = signature.filter(|signature| node.signature.as_ref() != Some(signature));
        return Ok(new.map(|signature| change(&node, member, Some(signature))));
    }
    let base = label(&member.name);
    for n in 1..=NAMES {
        let name = numbered(&base, n);
        match roster::by_name(ground.rows, &name)? {
            Some(node) if node.member.is_some() || member.beside.contains(&node.node_key) => {}
            Some(node) => return Ok(Some(change(&node, member, signature))),
            None => {
                return Ok(Some(Event::NodeAdded(NewNode {
                    name,
                    node_key: member.node_key,
                    lock_key: member.lock_key,
                    own: false,
                    signature,
                    auth_key: None,
                })));
            }
        }
    }
    Err(NotPlanned::NotTaken(format!("no name is left for {:?}", member.name)))
}

fn change(node: &Node, member: &Member, signature: Option<NodeKeySignature>) -> Event {
    let lock_key = member.lock_key.or(node.lock_key);
    Event::NodeChanged(ChangedNode {
        node: node.id,
        node_key: member.node_key,
        lock_key,
        signature,
    })
}

/// Why the lock does not let a node in by the signature that it has; none if it does.
pub fn why_out(state: &ledger::lock::State, member: &Member) -> Option<String> {
    let Some(signature) = &member.signature else {
        return Some("it has no signature".to_owned());
    };
    match verify_one(Unverified::new(signature.clone())) {
        Ok(verified) => authorize(&verified, member.node_key, state).err(),
        Err(refusal) => Some(refusal),
    }
    .map(|refusal| refusal.to_string())
}

/// The first label of a DNS name, in the letters that a roster name may have; `node` if there are none.
pub fn label(name: &str) -> String {
    let first = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain: String =
        first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain: String = plain.trim_matches('-').chars().take(NAME_BYTES).collect();
    let plain = plain.trim_end_matches('-');
    if is_name(plain) { plain.to_owned() } else { "node".to_owned() }
}

/// The n-th name of that beginning.
fn numbered(base: &str, n: usize) -> String {
    if n == 1 {
        return base.to_owned();
    }
    let suffix = format!("-{n}");
    let kept = base.get(..base.len().min(NAME_BYTES - suffix.len())).unwrap_or_default();
    format!("{}{suffix}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn any_text_becomes_a_label() {
        let cases = [
            ("Bob's-Laptop.yak-bebop.ts.net.", "bob-s-laptop"),
            ("web", "web"),
            ("", "node"),
            ("-_-.x", "node"),
            ("ü-büro", "b-ro"),
        ];
        for (name, expected) in cases {
            assert_eq!(label(name), expected, "{name:?}");
        }
        let long = label(&"a".repeat(80));
        assert_eq!(long.len(), NAME_BYTES);
        assert_eq!(numbered(&long, 12), format!("{}-12", "a".repeat(60)));
        assert!(is_name(&numbered("a-b", 3)));
    }
}
