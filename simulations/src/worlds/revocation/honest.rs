//! What the honest side does: it goes on, it revokes, and where it has no votes left it begins anew.

use std::collections::BTreeSet;

use ledger::history::{
    AumsAdded, ChangeReason, Disablement, Event, EventRefusal, RevocationSigned, cosigning,
};
use ledger::ids::{AumHash, LockKey};
use ledger::limits::FINAL_AFTER;
use ledger::lock::revocation::{NotRevoked, cosign, examine, generate};
use ledger::lock::signatures::Signer;
use ledger::lock::{Aum, AumKind, Authority, Key, Sealed};
use ledger::{Failure, Refusal};

use super::sides::Side;
use super::thief::{MOVES, notes, open};
use super::{Act, NODES, SPARES, Town, War, submit};
use crate::actors::keys;
use crate::actors::ledger::{MEMBER, Outcome};
use crate::invariants::{self, Won, broken};
use crate::invariants::{Result, unexpected};
use crate::world::Random;
use crate::world::disk::Durable;

/// How an AUM of some kind is filled in.
type Fill = Box<dyn Fn(&mut Aum)>;

impl War {
    /// An honest holder changes something at the head.
    pub(super) fn change(&mut self, town: &mut Town<'_>, head: AumHash, draw: u64) -> Result<()> {
        let mut random = Random::new(draw, "honest");
        let honest = self.trusted(town, &head);
        let spare = random.between(SPARES.start as u64, SPARES.end as u64 - 1) as usize;
        let key = Key::ed25519(keys::public(spare), 1);
        let known = honest.contains(&spare);
        if honest.is_empty() {
            return Ok(());
        }
        let (signer, other) = (random.pick(&honest), random.pick(&honest));
        let (kind, fill): (AumKind, Fill) = match random.below(10) {
            0..4 if !known => (AumKind::ADD_KEY, Box::new(move |aum| aum.key = Some(key.clone()))),
            4..6 => {
                let votes = random.between(1, 3);
                let fill = move |aum: &mut Aum| {
                    (aum.key_id, aum.votes) = (Some(keys::id(other)), Some(votes));
                };
                (AumKind::UPDATE_KEY, Box::new(fill))
            }
            6 if other != signer && honest.len() > 2 => {
                let fill = move |aum: &mut Aum| aum.key_id = Some(keys::id(other));
                (AumKind::REMOVE_KEY, Box::new(fill))
            }
            7 if self.stolen_trusted(town, &head).len() > 1 => {
                // A holder does not trust another one any more, rightly so.
                let gone = random.pick(&self.stolen_trusted(town, &head));
                (AumKind::REMOVE_KEY, Box::new(move |aum| aum.key_id = Some(keys::id(gone))))
            }
            _ => return submit(town, notes(head, signer, 1, random.any())),
        };
        submit(town, vec![keys::aum(kind, head, &[signer], fill)])
    }

    /// A key of the first ones is added, by any holder: whoever is robbed later is honest yet.
    pub(super) fn enrol(
        &mut self,
        town: &mut Town<'_>,
        head: AumHash,
        holder: usize,
        votes: u64,
    ) -> Result<()> {
        let all = [Side::Honest, Side::Thief].map(|side| self.side(town, &head, side)).concat();
        let Some(signer) = all.get(holder % all.len().max(1)).copied() else { return Ok(()) };
        let key = Key::ed25519(keys::public(holder), votes);
        let aum = keys::aum(AumKind::ADD_KEY, head, &[signer], |aum| aum.key = Some(key));
        submit(town, vec![aum])
    }

    /// Some honest holders sign on, so that what is below becomes final.
    pub(super) fn go_on(&mut self, town: &mut Town<'_>, head: AumHash, draw: u64) -> Result<()> {
        let mut random = Random::new(draw, "go on");
        let mut honest = self.trusted(town, &head);
        random.shuffle(&mut honest);
        let number = random.between(1, honest.len().max(1) as u64) as usize;
        let mut aums: Vec<Sealed> = Vec::new();
        for holder in honest.into_iter().take(number) {
            let at = aums.last().map_or(head, Sealed::hash);
            let times = random.between(FINAL_AFTER as u64 - 1, FINAL_AFTER as u64 + 2);
            aums.extend(notes(at, holder, times as usize, random.any()));
        }
        submit(town, aums)
    }

    /// Generates, cosigns and finishes a revocation of everything that is not honest, as
    /// `lock revoke-keys` does.
    pub(super) fn revoke(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        let mut random = Random::new(draw, "revoke");
        if town.door.is_some() && random.chance(500) {
            return self.come_back(town, &mut random);
        }
        let Some(authority) = town.ledger.authority() else { return Ok(()) };
        let head = authority.head();
        let line = town.truth.line(&head);
        let listed = self.listed(town, &line);
        let ids: Vec<Vec<u8>> = listed.iter().cloned().collect();
        let rows = town.ledger.process.disk.inspect();
        let our = keys::public(MEMBER);
        let aum = match generate(rows, authority, &ids, &our, None) {
            Ok(aum) => {
                let examined = examine(rows, authority, &aum);
                if let Err(Failure::Refused(Refusal::NotRevoked(NotRevoked::InForce))) = examined {
                    return Ok(());
                }
                if let Err(Failure::Refused(why)) = examined {
                    let name = "what_is_generated_can_be_cosigned";
                    return Err(broken(name, why.to_string()));
                }
                aum
            }
            Err(Failure::Refused(Refusal::NotRevoked(NotRevoked::NotTrusted))) => return Ok(()),
            Err(Failure::Refused(Refusal::NotRevoked(NotRevoked::AllKeys))) => {
                // The thief has replaced all keys: what is to be trusted again is what was.
                town.count("revoked by hand");
                let fits = |hash: &&AumHash| self.stolen_trusted(town, hash).is_empty();
                let oldest = line.last().copied().unwrap_or(head);
                let point = line.iter().find(fits).copied().unwrap_or(oldest);
                let Some(mut state) = town.truth.state(&point).cloned() else { return Ok(()) };
                state.last_aum = None;
                let keys = state.keys.get_or_insert_default();
                keys.retain(|key| key.id().is_some_and(|id| !listed.contains(id)));
                let mut aum = Aum::new(AumKind::CHECKPOINT, Some(point));
                aum.state = Some(state);
                aum
            }
            Err(Failure::Refused(why)) => {
                return Err(broken("a_revocation_is_generated", why.to_string()));
            }
            Err(Failure::Fault(fault)) => return Err(unexpected(fault)),
        };
        let Some(fork_point) = aum.parent_hash() else { return Ok(()) };
        let mut signers = self.trusted(town, &fork_point);
        if random.chance(300) {
            // Not everybody is there to cosign.
            signers.truncate(random.between(1, 2) as usize);
        }
        let revocation = match random.chance(300) {
            true => self.cosigned_on_record(town, aum, &signers)?,
            false => cosigned(aum, &signers)?,
        };
        let Some(revocation) = revocation else { return Ok(()) };
        town.truth.made(&revocation);
        if random.chance(300) {
            let what = random.pick(&MOVES);
            town.say(format_args!("meanwhile the thief: {what:?}"));
            self.steal(town, what, random.any())?;
            self.look(town)?;
        }
        self.finish(town, &revocation, fork_point, &signers, listed)
    }

    /// Everything that the thief has, or that was added by it, wherever it is trusted.
    fn listed(&self, town: &Town<'_>, line: &[AumHash]) -> BTreeSet<Vec<u8>> {
        let ids = |hash| self.stolen_trusted(town, hash).into_iter().map(keys::id);
        line.iter().flat_map(ids).collect()
    }

    /// Everybody signs a revocation that waits on record.
    fn cosigned_on_record(
        &mut self,
        town: &mut Town<'_>,
        aum: Aum,
        signers: &[usize],
    ) -> Result<Option<Sealed>> {
        let Some((first, rest)) = signers.split_first() else { return Ok(None) };
        let opened = keys::signed(aum, &[*first]);
        let id = opened.sig_hash();
        town.truth.made(&opened);
        match open(town, opened)? {
            Some(true) => town.count("revocation waits"),
            Some(false) if town.door.is_some() && self.waiting < super::HONEST_WAITING => {
                let what = "no room for the first revocations of the honest side";
                return Err(broken("a_thief_leaves_room_for_revocations", what));
            }
            _ => return Ok(None),
        }
        self.waiting += 1;
        for signer in rest {
            let key: LockKey = keys::public(*signer);
            let signatures = vec![(key, keys::private(*signer).sign(&id.0))];
            town.propose(Event::RevocationSigned(RevocationSigned { revocation: id, signatures }))?;
        }
        let waits = cosigning::pending(town.ledger.process.disk.inspect(), id);
        Ok(waits.map_err(unexpected)?.map(|waits| waits.opened.aum))
    }

    /// The honest side looks for an AUM from which it can revoke all that is the thief's. Where it
    /// had more votes when the thief began, it must find one.
    pub(super) fn come_back(&mut self, town: &mut Town<'_>, random: &mut Random) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let line = town.truth.line(&head);
        let (mut candidates, mut must) = (Vec::new(), false);
        // From where they had more votes once, but lost that before the thief acted alone.
        let mut in_vain = Vec::new();
        for point in &line {
            let Some(aum) = self.sweep(town, *point, Side::Honest) else { continue };
            let foretold = self.foretold(town, *point, Side::Honest);
            if foretold == Some(false) {
                continue;
            }
            town.truth.made(&aum);
            let admitted = self.expected(town, &aum);
            if foretold == Some(true) && !admitted {
                let what = format!("from {point}, with more votes than the thief");
                return Err(broken("honest_votes_come_back", what));
            }
            must |= foretold == Some(true);
            if admitted {
                candidates.push((*point, aum));
            } else {
                in_vain.push((*point, aum));
            }
        }
        // Of its own, so that what follows is the same with it and without.
        let mut hope = Random::new(line.len() as u64, "in vain");
        if !in_vain.is_empty() {
            let (point, aum) = hope.pick(&in_vain);
            let signers = self.trusted(town, &point);
            town.count("tried in vain to come back");
            self.finish(town, &aum, point, &signers, self.listed(town, &line))?;
        }
        if candidates.is_empty() {
            town.count(if must { "must come back" } else { "no way back" });
            return Ok(());
        }
        // Mostly from the earliest, so that nothing of the thief's is left.
        let place = match random.chance(600) {
            true => candidates.len() - 1,
            false => random.place(candidates.len()),
        };
        let (point, aum) = candidates.swap_remove(place);
        let signers = self.trusted(town, &point);
        let listed = self.listed(town, &line);
        town.count("came back");
        self.finish(town, &aum, point, &signers, listed)
    }

    fn finish(
        &mut self,
        town: &mut Town<'_>,
        revocation: &Sealed,
        fork_point: AumHash,
        signers: &[usize],
        revoked: BTreeSet<Vec<u8>>,
    ) -> Result<()> {
        let Some(before) = town.ledger.authority().cloned() else { return Ok(()) };
        let expected = self.expected(town, revocation);
        let honest = Self::votes(town, &fork_point, signers);
        let line = town.truth.line(&before.head());
        let beaten = line.iter().find(|hash| town.truth.parent(hash) == Some(fork_point));
        let beaten = beaten.and_then(|hash| town.truth.of(hash));
        let against = beaten.map_or(0, |sibling| sibling.weight);
        let added = AumsAdded {
            aums: vec![revocation.clone()],
            fork: true,
            signatures: Vec::new(),
            reason: Some(ChangeReason::Compromised),
            note: None,
        };
        match town.propose(Event::AumsAdded(added))? {
            Some(Outcome::Recorded(_)) => {}
            Some(Outcome::Refused(Refusal::Event(EventRefusal::AlreadyApplied))) | None => {
                return Ok(());
            }
            Some(Outcome::Refused(why)) if expected => {
                return Err(broken("a_valid_revocation_is_recorded", why.to_string()));
            }
            Some(Outcome::Refused(Refusal::Event(EventRefusal::ForkLoses { .. }))) => {}
            Some(Outcome::Refused(_)) if town.door.is_some() => {}
            Some(Outcome::Refused(why)) => {
                return Err(broken("a_valid_revocation_is_recorded", why.to_string()));
            }
        }
        let Some(after) = town.ledger.authority() else { return Ok(()) };
        let active = town.truth.line(&after.head()).contains(&revocation.hash());
        if active != expected {
            let what = format!("{honest} votes against {against}: expected {expected}");
            return Err(broken("votes_decide", what));
        }
        if active {
            let (aum, stolen) = (revocation.hash(), self.stolen_votes(town, &fork_point));
            self.won = Some(Won { aum, fork_point, revoked });
            town.count("revocation won");
            town.say(format_args!("won: {honest} votes against {against}, stolen {stolen}"));
        } else {
            let pair = |authority: &Authority| (authority.head(), authority.state().clone());
            let (before, after) = (pair(&before), pair(after));
            invariants::a_losing_revocation_changes_nothing(
                (before.0, &before.1),
                (after.0, &after.1),
            )?;
            town.count("revocation lost");
        }
        Ok(())
    }

    /// Most votes are stolen: the lock is disabled, and another one begins with honest keys alone.
    pub(super) fn begin_anew(&mut self, town: &mut Town<'_>) -> Result<()> {
        let mut nothing = |_: &mut Town<'_>, _: &Act| Ok(());
        let Some(state) = town.ledger.authority().map(|a| a.state().clone()) else { return Ok(()) };
        let secret = self.lock as usize;
        let ours = state.disablement_values().any(|value| value == keys::value(secret));
        if !ours && self.door_since_init {
            let what = "the thief has replaced the disablement values";
            return Err(broken("the_door_keeps_the_secrets", what));
        }
        let event = Event::LockDisabled(Disablement {
            secret: keys::secret(secret).to_vec(),
            value: keys::value(secret),
        });
        let outcome = town.propose(event)?;
        match (outcome, ours) {
            (Some(Outcome::Recorded(_)), true) => town.truth.revealed(keys::value(secret)),
            (Some(Outcome::Refused(_)), false) => {
                town.count("the thief has replaced the secrets");
                for n in 0..NODES {
                    let now = town.now();
                    let done = town.nodes[n]
                        .change(now, Durable::Now, |client, draft| client.local_disable(draft));
                    let aside = town.did(n, done)?.is_ok();
                    let enforced = town.nodes[n].client.as_ref().and_then(|c| c.enforced());
                    if aside && enforced.is_some() {
                        let what = format!("node {n} goes on enforcing the thief's lock");
                        return Err(broken("a_node_can_set_the_lock_aside", what));
                    }
                }
                return Ok(());
            }
            (outcome, ours) => {
                let what = format!("value there: {ours}, {outcome:?}");
                return Err(broken("a_secret_ends_the_lock", what));
            }
        }
        self.init(town, &[(MEMBER, 1), (SPARES.start, 1)])?;
        town.calm_down(&mut nothing)?;
        town.count("majority stolen, began anew");
        let Some(head) = town.ledger.head() else { return Ok(()) };
        if !self.stolen_trusted(town, &head).is_empty() {
            return Err(broken("a_new_lock_trusts_honest_keys", "a stolen key is trusted"));
        }
        Ok(())
    }
}

/// A revocation signed by these holders, one after the other.
fn cosigned(aum: Aum, signers: &[usize]) -> Result<Option<Sealed>> {
    let Some((first, rest)) = signers.split_first() else { return Ok(None) };
    let mut revocation = keys::signed(aum, &[*first]);
    for signer in rest {
        let cosigned = cosign(revocation, keys::private(*signer));
        revocation = cosigned.map_err(|why| broken("honest_keys_cosign", why.to_string()))?;
    }
    Ok(Some(revocation))
}
