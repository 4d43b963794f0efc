//! What the thief does with the keys that it has, and what must come of it.

use ledger::Refusal;
use ledger::history::{Event, EventRefusal, RevocationOpened, RevocationWithdrawn, cosigning};
use ledger::ids::{AumHash, SigHash};
use ledger::limits::{FINAL_AFTER, KEY_AUMS, REVOCATIONS_OF_ACTOR, REVOCATIONS_OF_KEY};
use ledger::lock::{AumKind, Key, Sealed};

use super::sides::Side;
use super::{THIEF, THIEFS, Town, War, submit};
use crate::actors::keys;
use crate::actors::ledger::Outcome;
use crate::invariants::broken;
use crate::invariants::{Result, unexpected};
use crate::world::Random;

/// Hashes that the thief tries for a smaller one.
const GRINDS: u64 = 200;

/// What the thief does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// It signs a node of its own.
    SignNode,
    /// It adds a key, which may sign for it from then on.
    AddKey,
    /// It adds several keys with many votes, each signed by the one before.
    Sybils,
    /// It gives its key the most votes.
    RaiseVotes,
    /// It removes an honest key.
    RemoveHonest,
    /// It removes all honest keys, one after the other.
    RemoveAll,
    /// It replaces all keys, and maybe the disablement values, by a checkpoint.
    Rewrite,
    /// It signs a checkpoint of what was so earlier.
    Restate,
    /// It forks where one of its keys was trusted.
    ForkBack,
    /// It revokes all honest keys from somewhere further back.
    Usurp,
    /// It revokes one honest key from somewhere further back, and keeps the others.
    UsurpOne,
    /// It signs as much as it takes to make things final.
    Grab,
    /// It signs many AUMs.
    Flood,
    /// It opens revocations of honest keys until no more can wait, and withdraws others'.
    Crowd,
}

pub(super) const MOVES: [Move; 14] = [
    Move::SignNode,
    Move::AddKey,
    Move::Sybils,
    Move::RaiseVotes,
    Move::RemoveHonest,
    Move::RemoveAll,
    Move::Rewrite,
    Move::Restate,
    Move::ForkBack,
    Move::Usurp,
    Move::UsurpOne,
    Move::Grab,
    Move::Flood,
    Move::Crowd,
];

impl War {
    /// The thief uses the keys that it has, all of them at once.
    pub(super) fn steal(&mut self, town: &mut Town<'_>, what: Move, draw: u64) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let mut random = Random::new(draw, "thief");
        let signers = self.stolen_trusted(town, &head);
        match what {
            Move::ForkBack => return self.fork_back(town, head, &mut random),
            Move::Usurp | Move::UsurpOne => return self.usurp(town, what, &mut random),
            _ => {}
        }
        let Some(signer) = signers.first().copied() else { return Ok(()) };
        let own = random.between(THIEFS.start as u64, THIEFS.end as u64 - 1) as usize;
        let own = Key::ed25519(keys::public(own), 1);
        let aum = |kind, fill: &dyn Fn(&mut ledger::lock::Aum)| {
            vec![keys::aum(kind, head, &signers, fill)]
        };
        let aums = match what {
            Move::SignNode => return self.join(town, signer),
            Move::Crowd => return self.crowd(town, &signers, &mut random),
            Move::AddKey => aum(AumKind::ADD_KEY, &|aum| aum.key = Some(own.clone())),
            Move::Sybils => sybils(head, signer, &mut random),
            Move::RaiseVotes => aum(AumKind::UPDATE_KEY, &|aum| {
                aum.key_id = Some(keys::id(signer));
                aum.votes = Some(4096);
            }),
            Move::RemoveHonest | Move::RemoveAll => {
                let mut honest = self.trusted(town, &head);
                if what == Move::RemoveHonest {
                    honest.truncate(1);
                }
                removals(head, &signers, &honest)
            }
            Move::Rewrite => {
                let Some(mut state) = town.truth.state(&head).cloned() else { return Ok(()) };
                state.last_aum = None;
                if random.chance(700) {
                    state.keys = Some(vec![own.clone()]);
                }
                if random.chance(500) {
                    state.disablement_values = Some(vec![Some([0x66; 32].to_vec())]);
                }
                town.count("checkpoint attack");
                aum(AumKind::CHECKPOINT, &|aum| aum.state = Some(state.clone()))
            }
            Move::Restate => {
                let then = random.pick(&town.truth.line(&head));
                let Some(mut state) = town.truth.state(&then).cloned() else { return Ok(()) };
                state.last_aum = None;
                town.count("old state restated");
                aum(AumKind::CHECKPOINT, &|aum| aum.state = Some(state.clone()))
            }
            Move::Grab => {
                let mut aums = Vec::new();
                for signer in &signers {
                    let at = aums.last().map_or(head, Sealed::hash);
                    aums.extend(notes(at, *signer, FINAL_AFTER, random.any()));
                }
                aums
            }
            Move::Flood => notes(head, signer, random.between(5, 60) as usize, random.any()),
            Move::ForkBack | Move::Usurp | Move::UsurpOne => Vec::new(),
        };
        if what == Move::Rewrite || what == Move::Restate {
            return self.try_one(town, aums);
        }
        submit(town, aums)
    }

    /// Sends one AUM; what becomes of it must be what the rules say.
    fn try_one(&mut self, town: &mut Town<'_>, aums: Vec<Sealed>) -> Result<()> {
        let [aum] = aums.as_slice() else { return submit(town, aums) };
        town.truth.made(aum);
        let (aum, expected) = (aum.hash(), self.expected(town, aum));
        self.pocket.extend(aums.clone());
        submit(town, aums)?;
        let Some(after) = town.ledger.head() else { return Ok(()) };
        let active = town.truth.line(&after).contains(&aum);
        // It may have been there before.
        if expected && !active {
            return Err(broken("votes_decide", format!("{aum} should be active")));
        }
        Ok(())
    }

    fn fork_back(&mut self, town: &mut Town<'_>, head: AumHash, random: &mut Random) -> Result<()> {
        let Some(point) = self.further_back(town, head, random) else { return Ok(()) };
        let aum = self.best_at(town, point, None, random);
        aum.map_or(Ok(()), |aum| self.try_one(town, vec![aum]))
    }

    /// An AUM of the line, below the head, at which a stolen key was trusted.
    fn further_back(&self, town: &Town<'_>, head: AumHash, random: &mut Random) -> Option<AumHash> {
        let line = town.truth.line(&head).into_iter().skip(1);
        let points: Vec<AumHash> =
            line.filter(|point| !self.stolen_trusted(town, point).is_empty()).collect();
        (!points.is_empty()).then(|| random.pick(&points))
    }

    /// A revocation of honest keys: from where the thief stands best, or from anywhere.
    fn usurp(&mut self, town: &mut Town<'_>, what: Move, random: &mut Random) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let best = town.truth.line(&head).into_iter().max_by_key(|at| {
            let (ours, theirs) =
                (self.stolen_votes(town, at), self.side_votes(town, at, Side::Honest));
            (ours > theirs, ours, std::cmp::Reverse(theirs))
        });
        let anywhere = self.further_back(town, head, random);
        let point = if random.chance(500) { best } else { anywhere.or(best) };
        let Some(point) = point else { return Ok(()) };
        if what == Move::Usurp {
            return self.usurp_at(town, point);
        }
        let signers = self.stolen_trusted(town, &point);
        let Some(mut state) = town.truth.state(&point).cloned() else { return Ok(()) };
        let honest = self.trusted(town, &point);
        if signers.is_empty() || honest.is_empty() {
            return Ok(());
        }
        let victim = keys::id(random.pick(&honest));
        if random.chance(300)
            && let Some(now) = town.truth.state(&head)
        {
            // The keys as they are now, but for the victim, as if nobody had lost anything.
            state = now.clone();
        }
        state.last_aum = None;
        let kept = state.keys.get_or_insert_default();
        kept.retain(|key| key.id() != Some(&victim));
        if kept.is_empty() {
            return Ok(());
        }
        town.count("the thief revokes one key");
        let fill = |aum: &mut ledger::lock::Aum| aum.state = Some(state);
        self.try_one(town, vec![keys::aum(AumKind::CHECKPOINT, point, &signers, fill)])
    }

    /// All honest keys are revoked from there, with all stolen votes.
    pub(super) fn usurp_at(&mut self, town: &mut Town<'_>, point: AumHash) -> Result<()> {
        let Some(aum) = self.sweep(town, point, Side::Thief) else { return Ok(()) };
        town.truth.made(&aum);
        let foretold = self.foretold(town, point, Side::Thief);
        let known = town.truth.line(&point).contains(&aum.hash());
        let before = town.ledger.recorded;
        self.pocket.push(aum.clone());
        let answer = super::send(town, vec![aum])?;
        let recorded = town.ledger.recorded > before;
        match foretold {
            // It may have been recorded earlier, or the ledger is down.
            Some(expected) if expected != recorded && answer && !known => {
                let (ours, theirs) =
                    (self.stolen_votes(town, &point), self.side_votes(town, &point, Side::Honest));
                let what = format!("the thief with {ours} to {theirs} votes: {expected} expected");
                Err(broken("votes_decide_at_the_door", what))
            }
            _ => {
                town.count(match recorded {
                    true => "the thief has revoked the honest keys",
                    false => "the thief has tried to revoke the honest keys",
                });
                Ok(())
            }
        }
    }

    /// As many AUMs of one key as may be, and one more.
    pub(super) fn spend(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let Some(signer) = self.stolen_trusted(town, &head).first().copied() else {
            return Ok(());
        };
        submit(town, notes(head, signer, KEY_AUMS as usize - 1, draw))?;
        for n in 1..3 {
            let Some(head) = town.ledger.head() else { return Ok(()) };
            submit(town, notes(head, signer, 1, draw + n))?;
        }
        Ok(())
    }

    /// Opens revocations with each of its keys until it is refused, which must be soon.
    fn crowd(&mut self, town: &mut Town<'_>, signers: &[usize], random: &mut Random) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let honest = self.trusted(town, &head);
        let (Some(victim), Some(state)) = (honest.first(), town.truth.state(&head).cloned()) else {
            return Ok(());
        };
        if state.keys().len() < 2 {
            return Ok(());
        }
        for n in 0..=REVOCATIONS_OF_KEY {
            for signer in signers {
                // Each is another one: it leaves out one key more, or signs another point.
                let Some(point) = town.truth.line(&head).get(n).copied() else { continue };
                let Some(mut state) = town.truth.state(&point).cloned() else { continue };
                state.last_aum = None;
                let kept = state.keys.get_or_insert_default();
                let gone = [keys::id(*victim), keys::id(*signer)];
                let gone = if n % 2 == 0 { &gone[..1] } else { &gone[..] };
                kept.retain(|key| key.id().is_some_and(|id| !gone.iter().any(|it| it == id)));
                let fill = |aum: &mut ledger::lock::Aum| aum.state = Some(state);
                let aum = keys::aum(AumKind::CHECKPOINT, point, &[*signer], fill);
                town.truth.made(&aum);
                town.ledger.uid = THIEF;
                let opened = open(town, aum);
                town.ledger.uid = super::OPERATOR;
                if opened? == Some(false) {
                    town.count("quota of revocations refused");
                }
            }
        }
        let rows = town.ledger.process.disk.inspect();
        let waiting = cosigning::list(rows).map_err(unexpected)?;
        let ours: Vec<SigHash> = waiting.iter().map(cosigning::Pending::id).collect();
        if town.door.is_some() && waiting.len() > REVOCATIONS_OF_ACTOR + super::HONEST_WAITING {
            let what = format!("{} revocations wait", waiting.len());
            return Err(broken("a_thief_leaves_room_for_revocations", what));
        }
        if random.chance(300)
            && let Some(revocation) = ours.first().copied()
        {
            let withdrawn = RevocationWithdrawn { revocation, note: None };
            town.propose(Event::RevocationWithdrawn(withdrawn))?;
        }
        Ok(())
    }

    /// The best that the thief can put on an AUM: all its votes there, and on a tie a RemoveKey, or
    /// a hash that is ground to be smaller than that of `than`.
    pub(super) fn best_at(
        &self,
        town: &Town<'_>,
        point: AumHash,
        than: Option<AumHash>,
        random: &mut Random,
    ) -> Option<Sealed> {
        let signers = self.stolen_trusted(town, &point);
        let state = town.truth.state(&point)?;
        if signers.is_empty() {
            return None;
        }
        let honest = self.trusted(town, &point);
        if let Some(victim) = honest.first()
            && state.keys().len() > 1
            && (than.is_some() || random.chance(500))
        {
            let id = keys::id(*victim);
            return Some(keys::aum(AumKind::REMOVE_KEY, point, &signers, |a| a.key_id = Some(id)));
        }
        let mut best: Option<Sealed> = None;
        for n in 0..GRINDS {
            let aum = keys::aum(AumKind::NO_OP, point, &signers, |aum| {
                aum.key_id = Some([n, random.any()].map(u64::to_be_bytes).concat());
            });
            if best.as_ref().is_none_or(|best| aum.hash() < best.hash()) {
                best = Some(aum);
            }
            let small = than.or(Some(AumHash([0x08; 32])));
            if best.as_ref().map(Sealed::hash) < small {
                break;
            }
        }
        best
    }

    /// The thief looks for an AUM where its votes beat what followed, the latest first, and forks
    /// there; then it revokes from there. If there is none it tries at the fork point of the
    /// honest revocation all the same.
    pub(super) fn counter(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        let Some(won) = self.won.clone() else { return Ok(()) };
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let mut random = Random::new(draw, "counter");
        let line = town.truth.line(&head);
        let from = line.iter().position(|hash| *hash == won.aum).unwrap_or(0);
        let mut tried: Option<(AumHash, AumHash)> = None;
        for pair in line[from..].windows(2) {
            let (child, point) = (pair[0], pair[1]);
            let weight = town.truth.of(&child).map_or(0, |judged| judged.weight);
            let stolen = self.stolen_votes(town, &point);
            if stolen > 0 && tried.is_none() {
                tried = Some((child, point));
            }
            if stolen > 0 && stolen >= weight {
                tried = Some((child, point));
                break;
            }
        }
        let Some((child, point)) = tried else {
            town.count("nothing to answer with");
            return Ok(());
        };
        let Some(aum) = self.best_at(town, point, Some(child), &mut random) else { return Ok(()) };
        if line.contains(&aum.hash()) {
            // It has signed just this before, and that is the line.
            return Ok(());
        }
        town.truth.made(&aum);
        let expected = self.expected(town, &aum);
        let hash = aum.hash();
        self.pocket.push(aum.clone());
        submit(town, vec![aum])?;
        let Some(after) = town.ledger.head() else { return Ok(()) };
        let active = town.truth.line(&after).contains(&hash);
        if active != expected {
            let (stolen, weight) = (
                self.stolen_votes(town, &point),
                town.truth.of(&child).map_or(0, |judged| judged.weight),
            );
            let what = format!("{stolen} stolen votes against {weight}: expected {expected}");
            return Err(broken("votes_decide", what));
        }
        town.count(if active {
            "the thief answered and won"
        } else {
            "the thief answered in vain"
        });
        if town.door.is_some() { self.usurp_at(town, point) } else { Ok(()) }
    }
}

/// Opens a revocation; whether there was room for it, none if it is refused otherwise.
pub(super) fn open(town: &mut Town<'_>, aum: Sealed) -> Result<Option<bool>> {
    let opened = RevocationOpened { aum, keys: Vec::new(), reason: None, note: None };
    Ok(match town.propose(Event::RevocationOpened(Box::new(opened)))? {
        Some(Outcome::Recorded(_)) => Some(true),
        Some(Outcome::Refused(Refusal::Event(
            EventRefusal::RevocationsOfKey(_)
            | EventRefusal::RevocationsOfActor(_)
            | EventRefusal::TooManyRevocations,
        ))) => Some(false),
        _ => None,
    })
}

/// AUMs that change nothing, one on top of the other.
pub(super) fn notes(at: AumHash, signer: usize, number: usize, draw: u64) -> Vec<Sealed> {
    let mut aums: Vec<Sealed> = Vec::new();
    for n in 0..number as u64 {
        let parent = aums.last().map_or(at, Sealed::hash);
        aums.push(keys::aum(AumKind::NO_OP, parent, &[signer], |aum| {
            aum.key_id = Some([n, draw].map(u64::to_be_bytes).concat());
        }));
    }
    aums
}

/// Keys with many votes, each added by the one before.
fn sybils(head: AumHash, signer: usize, random: &mut Random) -> Vec<Sealed> {
    let mut all: Vec<usize> = THIEFS.collect();
    random.shuffle(&mut all);
    let (mut aums, mut by) = (Vec::<Sealed>::new(), signer);
    for holder in all.into_iter().take(random.between(2, 5) as usize) {
        let parent = aums.last().map_or(head, Sealed::hash);
        let key = Key::ed25519(keys::public(holder), 4096);
        aums.push(keys::aum(AumKind::ADD_KEY, parent, &[by], |aum| aum.key = Some(key)));
        by = holder;
    }
    aums
}

fn removals(head: AumHash, signers: &[usize], gone: &[usize]) -> Vec<Sealed> {
    let mut aums: Vec<Sealed> = Vec::new();
    for holder in gone {
        let parent = aums.last().map_or(head, Sealed::hash);
        let id = keys::id(*holder);
        aums.push(keys::aum(AumKind::REMOVE_KEY, parent, signers, |aum| aum.key_id = Some(id)));
    }
    aums
}
