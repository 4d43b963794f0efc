//! Stolen keys: a thief has some of the trusted keys and uses all that the rules leave to it;
//! whoever has the others revokes them.
//!
//! What must happen follows from votes alone, and is stated here where it is expected. At the fork
//! point F let W be the votes of the honest signers and S those of the stolen keys:
//!
//! - The revocation becomes active if W is more than the weight of every sibling at F. On a tie a
//!   RemoveKey wins, otherwise the smaller hash, which can be ground.
//! - It stays active whatever the thief does later if W > S, and if at no AUM further back a stolen
//!   key was trusted with at least the votes that the AUM after it has: there the thief can fork
//!   all the same (W5).
//! - A thief with S > W takes the lock back. Then only disabling helps, and a new lock. While the
//!   rules let one key replace the disablement values by a checkpoint (W4), even that is lost if
//!   the thief thinks of it; each node can still set the lock aside.

use std::collections::BTreeSet;
use std::fmt;

use ledger::history::{
    AumsAdded, ChangeReason, Disablement, Event, EventRefusal, Initialization, NewNode,
    NodeSignature, roster,
};
use ledger::ids::AumHash;
use ledger::lock::compaction::Options;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::revocation::{NotRevoked, cosign, examine, generate};
use ledger::lock::{Aum, AumKind, Authority, Key, Sealed, State};
use ledger::{Failure, Refusal};

use super::{Ran, World};
use crate::actors::keys;
use crate::actors::ledger::{MEMBER, Outcome};
use crate::actors::tailnet::{LEDGER, Result, Tailnet, unexpected};
use crate::invariants::{self, Won, broken};
use crate::world::clock::{HOUR, SECOND};
use crate::world::disk::Durable;
use crate::world::{Kept, Mix, Ms, Plan, Random, Step, Trace, Trouble};

/// This world.
pub const WORLD: World = World { name: "revocation", run, parts: None };

/// Nodes that ask the ledger.
const NODES: usize = 4;
/// Keys that the honest side may add later.
const SPARES: std::ops::Range<usize> = 10..16;
/// Keys that the thief makes.
const THIEFS: std::ops::Range<usize> = 30..40;
/// Hashes that the thief tries for a smaller one.
const GRINDS: u64 = 200;

/// What the thief does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    SignNode,
    AddKey,
    RaiseVotes,
    RemoveHonest,
    Rewrite,
    ForkBack,
    Flood,
}

const MOVES: [Move; 7] = [
    Move::SignNode,
    Move::AddKey,
    Move::RaiseVotes,
    Move::RemoveHonest,
    Move::Rewrite,
    Move::ForkBack,
    Move::Flood,
];

/// What people do.
#[derive(Debug, Clone)]
enum Act {
    /// A key of the first ones is added, which was not in the genesis.
    Enrol(usize, u64),
    /// An honest holder changes something.
    Honest(u64),
    /// An honest holder signs a node that joins.
    Join,
    /// The thief does something.
    Thief(Move, u64),
    /// The honest side revokes everything that is not its own; the thief may come in between.
    Revoke(u64),
    /// The thief answers as well as it can.
    Counter(u64),
    /// A node asks the ledger.
    Visit(usize),
    /// A node deletes old AUMs.
    Compact(usize),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Enrol(holder, votes) => write!(f, "key {holder} is added with {votes} votes"),
            Act::Honest(_) => f.write_str("an honest holder changes something"),
            Act::Join => f.write_str("a node joins and is signed"),
            Act::Thief(what, _) => write!(f, "the thief: {what:?}"),
            Act::Revoke(_) => f.write_str("the honest side revokes"),
            Act::Counter(_) => f.write_str("the thief answers"),
            Act::Visit(n) => write!(f, "node {n} asks the ledger"),
            Act::Compact(n) => write!(f, "node {n} compacts"),
        }
    }
}

/// A seed's plan and who has which key.
struct Scenario {
    plan: Plan<Act>,
    genesis: Vec<(usize, u64)>,
    stolen: BTreeSet<usize>,
}

fn scenario(seed: u64) -> Scenario {
    let mut random = Random::new(seed, "revocation");
    let mix = Mix::drawn(&mut random);
    let keys = random.between(2, 5) as usize;
    let equal = random.chance(400);
    let mut genesis = Vec::new();
    let mut acts = Vec::new();
    for holder in 0..keys {
        let votes = if equal { 1 } else { random.between(1, 3) };
        if holder == MEMBER || random.chance(500) {
            genesis.push((holder, votes));
        } else {
            acts.push(Act::Enrol(holder, votes));
        }
    }
    let mut others: Vec<usize> = (0..keys).filter(|holder| *holder != MEMBER).collect();
    random.shuffle(&mut others);
    let count = random.between(1, others.len() as u64) as usize;
    let stolen = others.into_iter().take(count).collect();

    let some = |acts: &mut Vec<Act>, random: &mut Random, most: u64, thief: u64| {
        for _ in 0..random.below(most + 1) {
            let draw = random.any();
            acts.push(match random.below(100) {
                n if n < thief => Act::Thief(random.pick(&MOVES), draw),
                n if n < thief + 15 => Act::Honest(draw),
                n if n < thief + 25 => Act::Join,
                n if n < thief + 30 => Act::Compact(random.place(NODES)),
                _ => Act::Visit(random.place(NODES)),
            });
        }
    };
    some(&mut acts, &mut random, 12, 0);
    some(&mut acts, &mut random, 8, 35);
    for _ in 0..random.between(1, 2) {
        acts.push(Act::Revoke(random.any()));
        some(&mut acts, &mut random, 6, 20);
        for _ in 0..random.below(3) {
            acts.push(Act::Counter(random.any()));
            some(&mut acts, &mut random, 4, 20);
        }
    }
    let mut at: Ms = 0;
    let mut steps = Vec::new();
    for act in acts {
        at += random.between(5, 600) * SECOND;
        if random.chance(200) {
            let trouble = Trouble::drawn(&mix, &mut random, NODES + 1, HOUR);
            // The ledger is there when it matters: what a race does is the thief's part.
            let trouble = trouble.filter(|trouble| {
                !matches!(trouble, Trouble::Crash(LEDGER, _) | Trouble::Fill(LEDGER, _))
            });
            steps.extend(trouble.map(|trouble| (at, Step::Trouble(trouble))));
        }
        steps.push((at, Step::Act(act)));
    }
    Scenario { plan: Plan { seed, mix, steps }, genesis, stolen }
}

type Town<'t> = Tailnet<'t, Act>;

/// The two sides.
#[derive(Debug)]
struct War {
    honest: BTreeSet<usize>,
    /// The revocation that is active.
    won: Option<Won>,
    rogues: u64,
    lock: u64,
}

fn run(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    let Scenario { plan, genesis, stolen } = scenario(seed);
    let rules = super::rules(seed);
    super::run_plan(&plan, kept, |plan| {
        let mut town = Tailnet::new(plan, NODES, rules, trace)?;
        town.say(format_args!("keys and votes {genesis:?}, stolen {stolen:?}"));
        let honest = (0..5).filter(|holder| !stolen.contains(holder)).chain(SPARES).collect();
        let mut war = War { honest, won: None, rogues: 0, lock: 0 };
        let lived = war.fight(&mut town, &genesis);
        Ok((town.tally.clone(), town.now(), lived))
    })
}

impl War {
    fn fight(&mut self, town: &mut Town<'_>, genesis: &[(usize, u64)]) -> Result<()> {
        self.init(town, genesis)?;
        let mut act = |town: &mut Town<'_>, what: &Act| {
            if town.ledger.process.is_up() && town.ledger.authority().is_some() {
                self.act(town, what)?;
                self.look(town)?;
            }
            Ok(())
        };
        town.run(Ms::MAX, &mut act)?;
        town.calm_down(&mut act)?;
        self.look(town)?;
        if let Some(head) = town.ledger.head()
            && !self.stolen_trusted(town, &head).is_empty()
            && self.won.is_none()
        {
            self.begin_anew(town)?;
        }
        town.audit()
    }

    fn init(&mut self, town: &mut Town<'_>, keys: &[(usize, u64)]) -> Result<()> {
        self.lock += 1;
        let state = keys::state(self.lock, keys, self.lock as usize);
        let genesis = Authority::genesis(state, keys::private(MEMBER));
        let genesis = genesis.map_err(|why| broken("a_lock_begins", why.to_string()))?;
        town.truth.made(&genesis);
        let mut signatures = Vec::new();
        for node in roster::list(town.ledger.process.disk.inspect()).map_err(unexpected)? {
            let signature = sign_direct(keys::private(MEMBER), node.node_key, node.lock_key)
                .map_err(|why| broken("nodes_can_be_signed", why.to_string()))?;
            town.truth.made_for_node(&signature);
            signatures.push(NodeSignature { node: node.id, signature });
        }
        let init = Initialization { genesis, signatures, labels: Vec::new(), brought_by: None };
        match town.propose(Event::LockInitialized(Box::new(init)))? {
            Some(Outcome::Recorded(_)) => Ok(()),
            other => Err(broken("a_lock_begins", format!("{other:?}"))),
        }
    }

    fn act(&mut self, town: &mut Town<'_>, what: &Act) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        match *what {
            Act::Enrol(holder, votes) => {
                let key = Key::ed25519(keys::public(holder), votes);
                self.honest_aum(town, head, AumKind::ADD_KEY, |aum| aum.key = Some(key))
            }
            Act::Honest(draw) => {
                let mut random = Random::new(draw, "honest");
                let spare = random.between(SPARES.start as u64, SPARES.end as u64 - 1) as usize;
                let key = Key::ed25519(keys::public(spare), 1);
                let known =
                    town.truth.state(&head).is_some_and(|s| s.key(&keys::id(spare)).is_some());
                if random.chance(400) && !known {
                    return self.honest_aum(town, head, AumKind::ADD_KEY, |a| a.key = Some(key));
                }
                let note = random.any().to_be_bytes().to_vec();
                self.honest_aum(town, head, AumKind::NO_OP, |aum| aum.key_id = Some(note))
            }
            Act::Join => match self.trusted(town, &head).first() {
                Some(signer) => self.join(town, *signer),
                None => Ok(()),
            },
            Act::Thief(what, draw) => self.steal(town, what, draw),
            Act::Revoke(draw) => self.revoke(town, draw),
            Act::Counter(draw) => self.counter(town, draw),
            Act::Visit(n) => town.visit(n, LEDGER),
            Act::Compact(n) => {
                let now = town.now();
                let node = &mut town.nodes[n];
                let Some(before) = node.authority().cloned() else { return Ok(()) };
                let done = node.compact(now, Options { min_chain: 3, min_age: 60 });
                if town.did_unseen(n, done)?.is_ok() {
                    town.look_at_compacted(n, &before)?;
                }
                Ok(())
            }
        }
    }

    /// What must hold while a revocation is active.
    fn look(&mut self, town: &mut Town<'_>) -> Result<()> {
        let (Some(won), Some(head)) = (&self.won, town.ledger.head()) else { return Ok(()) };
        if !town.truth.line(&head).contains(&won.aum) {
            // It was legal, or the head would not have moved; what must have made it so is votes.
            let sides = town.truth.line(&head);
            let (outvoted, honest) = self.outvoted(town, &sides, won.aum);
            if outvoted < honest {
                let what = format!("{outvoted} stolen votes have beaten {honest} honest ones");
                return Err(broken("votes_decide", what));
            }
            town.count("revocation undone");
            self.won = None;
            return Ok(());
        }
        let nodes = roster::list(town.ledger.process.disk.inspect()).map_err(unexpected)?;
        let check = invariants::revoked_keys_are_powerless;
        check(&town.truth, "the ledger", head, None, won, &nodes)?;
        for node in &town.nodes {
            if node.head() == Some(head) {
                let name = &node.process.name;
                check(&town.truth, name, head, node.client.as_ref(), won, &nodes)?;
            }
        }
        Ok(())
    }

    /// Where the active line left the one that ends in `lost`: the stolen votes there, and the
    /// weight of the side that lost.
    fn outvoted(&self, town: &Town<'_>, line: &[AumHash], lost: AumHash) -> (u64, u64) {
        let old = town.truth.line(&lost);
        let fork = old.iter().find(|hash| line.contains(hash));
        let below = |hash: &&AumHash| town.truth.parent(hash).as_ref() == fork;
        let weight = old.iter().find(below).and_then(|hash| town.truth.of(hash));
        let stolen = fork.map_or(0, |fork| self.stolen_votes(town, fork));
        (stolen, weight.map_or(0, |judged| judged.weight))
    }

    fn is_honest(&self, id: &[u8]) -> bool {
        keys::holder(id).is_some_and(|holder| self.honest.contains(&holder))
    }

    /// The holders on one side whom the state after an AUM trusts.
    fn side(&self, town: &Town<'_>, at: &AumHash, honest: bool) -> Vec<usize> {
        let keys = town.truth.state(at).map(State::keys).unwrap_or_default();
        let ids = keys.iter().filter_map(|key| key.id());
        ids.filter(|id| self.is_honest(id) == honest).filter_map(keys::holder).collect()
    }

    fn trusted(&self, town: &Town<'_>, at: &AumHash) -> Vec<usize> {
        self.side(town, at, true)
    }

    fn stolen_trusted(&self, town: &Town<'_>, at: &AumHash) -> Vec<usize> {
        self.side(town, at, false)
    }

    fn votes(town: &Town<'_>, at: &AumHash, holders: &[usize]) -> u64 {
        let state = town.truth.state(at);
        let votes = |holder: &usize| Some(state?.key(&keys::id(*holder))?.votes);
        holders.iter().filter_map(votes).sum()
    }

    fn stolen_votes(&self, town: &Town<'_>, at: &AumHash) -> u64 {
        Self::votes(town, at, &self.stolen_trusted(town, at))
    }

    /// One honest holder, whom the head trusts, signs something there.
    fn honest_aum(
        &mut self,
        town: &mut Town<'_>,
        head: AumHash,
        kind: AumKind,
        fill: impl FnOnce(&mut Aum),
    ) -> Result<()> {
        let Some(signer) = self.trusted(town, &head).first().copied() else { return Ok(()) };
        let aum = keys::aum(kind, head, &[signer], fill);
        submit(town, vec![aum])
    }

    fn join(&mut self, town: &mut Town<'_>, signer: usize) -> Result<()> {
        self.rogues += 1;
        let node_key = keys::node_key(NODES + 1, self.rogues);
        let signature = sign_direct(keys::private(signer), node_key, None)
            .map_err(|why| broken("nodes_can_be_signed", why.to_string()))?;
        town.truth.made_for_node(&signature);
        let event = Event::NodeAdded(NewNode {
            name: format!("node-{}", self.rogues),
            node_key,
            lock_key: None,
            own: false,
            signature: Some(signature),
            auth_key: None,
        });
        town.propose(event).map(|_| ())
    }

    /// The thief uses the keys that it has, all of them at once.
    fn steal(&mut self, town: &mut Town<'_>, what: Move, draw: u64) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        let mut random = Random::new(draw, "thief");
        let signers = self.stolen_trusted(town, &head);
        if what == Move::ForkBack {
            let line = town.truth.line(&head);
            let points: Vec<AumHash> = line
                .into_iter()
                .skip(1)
                .filter(|point| !self.stolen_trusted(town, point).is_empty())
                .collect();
            if points.is_empty() {
                return Ok(());
            }
            let point = random.pick(&points);
            let aum = self.best_at(town, point, None, &mut random);
            return aum.map_or(Ok(()), |aum| submit(town, vec![aum]));
        }
        let Some(signer) = signers.first().copied() else { return Ok(()) };
        let own = random.between(THIEFS.start as u64, THIEFS.end as u64 - 1) as usize;
        let own = Key::ed25519(keys::public(own), 1);
        let aum = |kind, fill: &dyn Fn(&mut Aum)| keys::aum(kind, head, &signers, fill);
        let aums = match what {
            Move::SignNode => return self.join(town, signer),
            Move::AddKey => vec![aum(AumKind::ADD_KEY, &|aum| aum.key = Some(own.clone()))],
            Move::RaiseVotes => vec![aum(AumKind::UPDATE_KEY, &|aum| {
                aum.key_id = Some(keys::id(signer));
                aum.votes = Some(4096);
            })],
            Move::RemoveHonest => match self.trusted(town, &head).first() {
                Some(honest) => {
                    vec![aum(AumKind::REMOVE_KEY, &|aum| aum.key_id = Some(keys::id(*honest)))]
                }
                None => return Ok(()),
            },
            Move::Rewrite => {
                let Some(mut state) = town.truth.state(&head).cloned() else { return Ok(()) };
                state.last_aum = None;
                state.keys = Some(vec![own.clone()]);
                if random.chance(400) {
                    state.disablement_values = Some(vec![Some([0x66; 32].to_vec())]);
                }
                town.count("checkpoint attack");
                vec![aum(AumKind::CHECKPOINT, &|aum| aum.state = Some(state.clone()))]
            }
            Move::Flood => {
                let mut aums: Vec<Sealed> = Vec::new();
                for n in 0..random.between(5, 60) {
                    let parent = aums.last().map_or(head, Sealed::hash);
                    aums.push(keys::aum(AumKind::NO_OP, parent, &[signer], |aum| {
                        aum.key_id = Some(n.to_be_bytes().to_vec());
                    }));
                }
                aums
            }
            Move::ForkBack => return Ok(()),
        };
        submit(town, aums)
    }

    /// The best that the thief can put on an AUM: all its votes there, and on a tie a RemoveKey, or
    /// a hash that is ground to be smaller than that of `than`.
    fn best_at(
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

    /// Generates, cosigns and finishes a revocation of everything that is not honest.
    fn revoke(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
        let mut random = Random::new(draw, "revoke");
        let Some(authority) = town.ledger.authority() else { return Ok(()) };
        let head = authority.head();
        let line = town.truth.line(&head);
        // Everything that the thief has, or that was added by it, wherever it is trusted.
        let mut listed: BTreeSet<Vec<u8>> = BTreeSet::new();
        for hash in &line {
            listed.extend(self.stolen_trusted(town, hash).into_iter().map(keys::id));
        }
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
        let Some((first, rest)) = signers.split_first() else { return Ok(()) };
        let mut revocation = keys::signed(aum, &[*first]);
        for signer in rest {
            let cosigned = cosign(revocation, keys::private(*signer));
            revocation = cosigned.map_err(|why| broken("honest_keys_cosign", why.to_string()))?;
        }
        town.truth.made(&revocation);
        if random.chance(300) {
            let what = random.pick(&MOVES);
            town.say(format_args!("meanwhile the thief: {what:?}"));
            self.steal(town, what, random.any())?;
            self.look(town)?;
        }
        self.finish(town, &revocation, fork_point, &signers, listed)
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
        let line = town.truth.line(&before.head());
        let honest = Self::votes(town, &fork_point, signers);
        let beaten = line.iter().find(|hash| town.truth.parent(hash) == Some(fork_point));
        let beaten = beaten.and_then(|hash| town.truth.of(hash)).cloned();
        let expected = match &beaten {
            _ if !line.contains(&fork_point) => false,
            None => true,
            Some(sibling) if honest != sibling.weight => honest > sibling.weight,
            Some(sibling) if sibling.aum.kind == AumKind::REMOVE_KEY => false,
            Some(sibling) => revocation.hash() < sibling.aum.hash(),
        };
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
            Some(Outcome::Refused(why)) => {
                return Err(broken("a_valid_revocation_is_recorded", why.to_string()));
            }
        }
        let Some(after) = town.ledger.authority() else { return Ok(()) };
        let active = town.truth.line(&after.head()).contains(&revocation.hash());
        let against = beaten.map_or(0, |sibling| sibling.weight);
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

    /// The thief looks for an AUM where its votes beat what followed, the latest first, and forks
    /// there. If there is none it tries at the revocation's fork point all the same.
    fn counter(&mut self, town: &mut Town<'_>, draw: u64) -> Result<()> {
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
        let (stolen, honest) = (
            self.stolen_votes(town, &point),
            town.truth.of(&child).map_or(0, |judged| judged.weight),
        );
        let removes = |kind: AumKind| kind == AumKind::REMOVE_KEY;
        let kept = town.truth.of(&child).is_some_and(|judged| removes(judged.aum.kind));
        let expected = match stolen.cmp(&honest) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal if removes(aum.kind) != kept => removes(aum.kind),
            std::cmp::Ordering::Equal => aum.hash() < child,
        };
        let hash = aum.hash();
        submit(town, vec![aum])?;
        let Some(after) = town.ledger.head() else { return Ok(()) };
        let active = town.truth.line(&after).contains(&hash);
        if active != expected {
            let what = format!("{stolen} stolen votes against {honest}: expected {expected}");
            return Err(broken("votes_decide", what));
        }
        town.count(if active {
            "the thief answered and won"
        } else {
            "the thief answered in vain"
        });
        Ok(())
    }

    /// Most votes are stolen: the lock is disabled, and another one begins with honest keys alone.
    fn begin_anew(&mut self, town: &mut Town<'_>) -> Result<()> {
        let mut nothing = |_: &mut Town<'_>, _: &Act| Ok(());
        let Some(state) = town.ledger.authority().map(|a| a.state().clone()) else { return Ok(()) };
        let secret = self.lock as usize;
        let ours = state.disablement_values().any(|value| value == keys::value(secret));
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

/// Somebody sends AUMs that he has made, as any node can.
fn submit(town: &mut Town<'_>, aums: Vec<Sealed>) -> Result<()> {
    for aum in &aums {
        town.truth.made(aum);
    }
    town.on_ledger(|ledger, now| ledger.send(now, aums)).map(|_| ())
}
