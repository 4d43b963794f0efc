//! Locks from elsewhere: brought in whole, and some of them followed, whatever their server shows.

use std::collections::BTreeSet;

use ledger::history::{AdoptionBegun, Event, Fold, adoption};
use ledger::ids::AumHash;
use ledger::lock::{AumKind, Key, Sealed};

use super::signing::genesis;
use super::{HOLDERS, Life, Town};
use crate::actors::keys;
use crate::actors::ledger::{MEMBER, Outcome};
use crate::invariants::broken;
use crate::invariants::truth::{Door, Shut};
use crate::invariants::{Result, unexpected};
use crate::world::Random;

impl Life {
    /// A lock that somebody has made elsewhere becomes ours, or is followed.
    pub(super) fn adopt(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        if town.ledger.authority().is_some() {
            return Ok(());
        }
        let under_way = town.ledger.adoption().map_err(unexpected)?;
        if under_way.is_some() {
            return end(town);
        }
        let mut random = Random::new(draw, "adopt");
        let lock = self.locks + 1;
        let trusted = [(MEMBER, random.between(1, 2)), (1, 1), (2, 1)];
        let root = genesis(lock, &trusted, lock as usize)?;
        town.truth.made(&root);
        let mut aums: Vec<Sealed> = Vec::new();
        for holder in 3..3 + random.between(1, 4) as usize {
            let at = aums.last().map_or(root.hash(), Sealed::hash);
            let key = Key::ed25519(keys::public(holder), 1);
            aums.push(keys::aum(AumKind::ADD_KEY, at, &[MEMBER], |aum| aum.key = Some(key)));
        }
        aums.iter().for_each(|aum| town.truth.made(aum));
        let followed = random.chance(700);
        let begun = AdoptionBegun {
            head: aums.last().map_or(root.hash(), Sealed::hash),
            aums: 1 + aums.len() as u64,
            root,
            followed,
        };
        let began = town.propose(Event::AdoptionBegun(Box::new(begun)))?;
        if !matches!(began, Some(Outcome::Recorded(_))) {
            return Ok(());
        }
        let done = town.propose(Event::AumsAdopted(aums))?;
        match done {
            Some(Outcome::Recorded(_)) => {
                self.locks = lock;
                town.count(if followed { "followed" } else { "adopted" });
                Ok(())
            }
            Some(Outcome::Refused(why)) => Err(broken("a_lock_is_adopted", why.to_string())),
            // The ledger has failed: it is given up later.
            None => Ok(()),
        }
    }

    /// The server of the followed lock shows one AUM more. It is recorded whatever it is, and noted
    /// if the door would have refused what is now the head.
    pub(super) fn follow(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        let mut random = Random::new(draw, "follow");
        for _ in 0..random.between(2, 6) {
            self.shown_one(town, &mut random)?;
        }
        Ok(())
    }

    fn shown_one(&mut self, town: &mut Town<'_>, random: &mut Random) -> Result<()> {
        let (true, Some(head)) = (followed(town)?, town.ledger.head()) else { return Ok(()) };
        let Some(aum) = shown(town, head, random) else { return Ok(()) };
        town.truth.made(&aum);
        let Some(authority) = town.ledger.authority() else { return Ok(()) };
        let oldest = authority.oldest().hash;
        let nodes = authority.chain(town.ledger.process.disk.inspect()).nodes();
        let mut stored = BTreeSet::new();
        for node in nodes.map_err(unexpected)? {
            stored.insert(node.map_err(unexpected)?.0);
        }
        if !stored.insert(aum.hash()) {
            return Ok(());
        }
        let becomes_head = town.truth.active(oldest, &stored) == aum.hash();
        let judged = Door::new(oldest).judge(&town.truth, head, &aum, 0);
        let shut = judged.is_err_and(|why| why != Shut::Loses);
        let objects = becomes_head && shut && town.ledger.rules() >= Some(2);
        let objections = |town: &Town<'_>| {
            let adoption = town.ledger.adoption().map_err(unexpected)?;
            Ok(adoption.map_or(0, |adoption| adoption.objections))
        };
        let before: u64 = objections(town)?;
        match town.propose(Event::AumsAdopted(vec![aum]))? {
            Some(Outcome::Recorded(_)) => {}
            Some(Outcome::Refused(why)) => {
                return Err(broken("what_is_shown_is_recorded", why.to_string()));
            }
            None => return Ok(()),
        }
        let noted = objections(town)? - before;
        if noted != u64::from(objects) {
            let what = format!("{noted} objections, {judged:?}, becomes the head: {becomes_head}");
            return Err(broken("the_door_alarms", what));
        }
        town.count(if objects { "the door alarmed" } else { "went on elsewhere" });
        Ok(())
    }
}

/// What the server shows next: what a holder has signed at the head, or what a thief of one key
/// has signed further back, or in place of everything.
fn shown(town: &Town<'_>, head: AumHash, random: &mut Random) -> Option<Sealed> {
    let line = town.truth.line(&head);
    let point = if random.chance(500) { head } else { random.pick(&line) };
    let state = town.truth.state(&point)?;
    let holders: Vec<usize> =
        state.keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    if holders.is_empty() {
        return None;
    }
    let (signer, other) = (random.pick(&holders), random.pick(&holders));
    let note = random.any().to_be_bytes().to_vec();
    Some(match random.below(5) {
        0 if holders.len() > 2 => keys::aum(AumKind::REMOVE_KEY, point, &[signer], |aum| {
            aum.key_id = Some(keys::id(other));
        }),
        1 | 2 => {
            let mut state = state.clone();
            state.last_aum = None;
            let trusted = state.keys.get_or_insert_default();
            match random.below(3) {
                0 => *trusted = vec![Key::ed25519(keys::public(HOLDERS), 1)],
                1 if trusted.len() > 1 => trusted.retain(|key| key.id() != Some(&keys::id(other))),
                _ => {}
            }
            let all = random.chance(300);
            let signers: Vec<usize> = if all {
                holders.iter().copied().filter(|n| *n != other).collect()
            } else {
                vec![]
            };
            let signers = if signers.is_empty() { vec![signer] } else { signers };
            keys::aum(AumKind::CHECKPOINT, point, &signers, |aum| aum.state = Some(state))
        }
        _ => keys::aum(AumKind::NO_OP, point, &[signer], |aum| aum.key_id = Some(note)),
    })
}

/// Whether the lock that is on is decided elsewhere.
pub(super) fn followed(town: &Town<'_>) -> Result<bool> {
    if town.ledger.authority().is_none() {
        return Ok(false);
    }
    let adoption = town.ledger.adoption().map_err(unexpected)?;
    Ok(adoption.is_some_and(|adoption| adoption.followed))
}

/// Whether the last lock that was on was decided elsewhere.
pub(super) fn last_was_followed(town: &Town<'_>) -> Result<bool> {
    let Some(epoch) = town.ledger.fold.as_ref().and_then(Fold::epoch) else { return Ok(false) };
    let rows = town.ledger.process.disk.inspect();
    let adoption = adoption::of(rows, epoch).map_err(unexpected)?;
    Ok(adoption.is_some_and(|adoption| adoption.followed))
}

/// The following ends, or what was brought in so far is given up.
pub(super) fn end(town: &mut Town<'_>) -> Result<()> {
    match town.propose(Event::AdoptionEnded)? {
        Some(Outcome::Refused(why)) => Err(broken("an_adoption_can_end", why.to_string())),
        Some(Outcome::Recorded(_)) => {
            town.count("adoption ended");
            Ok(())
        }
        None => Ok(()),
    }
}
