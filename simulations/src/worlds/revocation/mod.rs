//! Stolen keys: a thief has some of the trusted keys and uses all that the rules leave to it;
//! whoever has the others revokes them. Half of the ledgers have a door (docs/door.md) from the
//! beginning, some get it later, some never.
//!
//! What must happen follows from votes, and is stated here where it is expected. At an AUM x of
//! the line let H(x) be the votes of the honest keys and S(x) those of the thief's; F is where
//! something forks off, and c the AUM that follows F on the line.
//!
//! | what | without the door | with it |
//! | --- | --- | --- |
//! | the thief forks at F | wins if S(F) is more than the weight of c; on a tie a RemoveKey wins, otherwise the smaller hash, which can be ground (W5) | refused |
//! | the thief replaces keys or disablement values by a checkpoint | done, with one vote (W4) | refused |
//! | the thief restates an old state | done | refused, unless nothing has changed or it is a revocation that outvotes |
//! | one side revokes the other from F, where S(F) and H(F) are its votes and the other's | wins as a fork does | refused without more votes at F; admitted with more, if the other side alone has signed c, and F is not before the final AUM |
//! | the same, where c is its own or shared | wins as a fork does | it must have more votes until the other side acts alone |
//! | the same, from before the final AUM | wins as a fork does | as above, and with most votes at the final AUM |
//! | many AUMs | free | `KEY_AUMS` a key |
//!
//! - Honest votes come back: if H(F) > S(F) at some F where the thief began alone, and F is not
//!   before the final AUM, a revocation from F is admitted, whatever the thief did since.
//! - The thief who has more votes takes the lock. Then only disabling helps, and a new lock. With
//!   the door that is always possible; without it the thief can replace the disablement values,
//!   and each node can still set the lock aside.

mod honest;
mod sides;
mod thief;

use std::collections::BTreeSet;
use std::fmt;

use ledger::history::{Event, Initialization, NewNode, NodeSignature, roster};
use ledger::ids::AumHash;
use ledger::lock::compaction::Options;
use ledger::lock::node_keys::sign_direct;
use ledger::lock::{Authority, Sealed};

use self::thief::{MOVES, Move};
use super::{Ran, World};
use crate::actors::OPERATOR;
use crate::actors::keys;
use crate::actors::ledger::{MEMBER, Outcome};
use crate::actors::tailnet::{KeptBy, LEDGER, Tailnet};
use crate::actors::wire::Answer;
use crate::invariants::{self, Won, broken};
use crate::invariants::{Result, unexpected};
use crate::world::clock::{HOUR, SECOND};
use crate::world::{Kept, Mix, Ms, Plan, Random, Step, Trace, Trouble};

/// This world.
pub const WORLD: World = World { name: "revocation", run, parts: None };
/// The same with a group of machines that keeps the ledger.
pub const OF_A_GROUP: World = World { name: "group-revocation", run: run_of_a_group, parts: None };

/// Nodes that ask the ledger.
const NODES: usize = 4;
/// Keys that the honest side may add later.
const SPARES: std::ops::Range<usize> = 10..16;
/// Keys that the thief makes.
const THIEFS: std::ops::Range<usize> = 30..40;
/// Who asks the ledger for the thief.
const THIEF: u32 = 666;
/// Revocations that the honest side lets wait at one time, at most.
const HONEST_WAITING: usize = 4;

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
    /// Honest holders go on signing.
    GoOn(u64),
    /// The thief signs as many AUMs as the door allows, and more.
    Spend(u64),
    /// The door opens.
    Door,
    /// The thief shows a node what the ledger does not take.
    Tell(usize),
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
            Act::GoOn(_) => f.write_str("honest holders go on"),
            Act::Spend(_) => f.write_str("the thief signs all that it may"),
            Act::Door => f.write_str("the ledger gets a door"),
            Act::Tell(n) => write!(f, "the thief tells node {n}"),
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
                n if n < thief + 22 => Act::GoOn(draw),
                n if n < thief + 28 => Act::Join,
                n if n < thief + 32 => Act::Compact(random.place(NODES)),
                n if thief > 0 && n < thief + 36 => Act::Tell(random.place(NODES)),
                _ => Act::Visit(random.place(NODES)),
            });
        }
    };
    some(&mut acts, &mut random, 12, 0);
    if random.chance(300) {
        acts.push(Act::Door);
    }
    some(&mut acts, &mut random, 8, 35);
    if random.chance(30) {
        acts.push(Act::Spend(random.any()));
    }
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
    /// AUMs of the thief's that the ledger may have refused.
    pocket: Vec<Sealed>,
    /// Revocations that the honest side has opened.
    waiting: usize,
    /// The lock has had a door since it began.
    door_since_init: bool,
    rogues: u64,
    lock: u64,
}

fn run(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    run_kept_by(super::one_member(seed), seed, kept, trace)
}

fn run_of_a_group(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    run_kept_by(super::machines(seed), seed, kept, trace)
}

fn run_kept_by(keeper: KeptBy, seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    let Scenario { plan, genesis, stolen } = scenario(seed);
    super::run_plan(&plan, kept, |plan| {
        let mut town = Tailnet::new(plan, NODES, keeper, trace)?;
        town.say(format_args!("keys and votes {genesis:?}, stolen {stolen:?}"));
        let honest = (0..5).filter(|holder| !stolen.contains(holder)).chain(SPARES).collect();
        let mut war = War {
            honest,
            won: None,
            pocket: Vec::new(),
            waiting: 0,
            door_since_init: false,
            rogues: 0,
            lock: 0,
        };
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
            if town.door.is_some() {
                self.come_back(town, &mut Random::new(0, "come back"))?;
            }
            let stolen = |head: AumHash| !self.stolen_trusted(town, &head).is_empty();
            if town.ledger.head().is_some_and(stolen) && self.won.is_none() {
                self.begin_anew(town)?;
            }
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
        // At a moment at which nothing is wrong with the ledger: before everything, and when all is
        // calm.
        let (before, now) = (town.ledger.head(), town.now());
        let begun = town.ledger.propose(now, Event::LockInitialized(Box::new(init)));
        let begun = begun.map_err(unexpected)?;
        town.look_at_ledger(before)?;
        match begun {
            Outcome::Recorded(_) => {
                self.door_since_init = town.door.is_some();
                Ok(())
            }
            Outcome::Refused(why) => Err(broken("a_lock_begins", why.to_string())),
        }
    }

    fn act(&mut self, town: &mut Town<'_>, what: &Act) -> Result<()> {
        let Some(head) = town.ledger.head() else { return Ok(()) };
        match *what {
            Act::Enrol(holder, votes) => self.enrol(town, head, holder, votes),
            Act::Honest(draw) => self.change(town, head, draw),
            Act::GoOn(draw) => self.go_on(town, head, draw),
            Act::Spend(draw) => self.spend(town, draw),
            Act::Door => {
                if town.ledger.rules() == Some(1) {
                    town.on_ledger(|ledger, now| ledger.next_rules(now))?;
                    town.count("the door opened later");
                }
                Ok(())
            }
            Act::Tell(n) => self.tell(town, n),
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

    /// The thief shows a node AUMs of its own, whether the ledger took them or not.
    fn tell(&mut self, town: &mut Town<'_>, n: usize) -> Result<()> {
        let now = town.now();
        let refused: Vec<Sealed> = self
            .pocket
            .iter()
            .filter(|aum| {
                town.refused.contains_key(&aum.hash()) && town.truth.state(&aum.hash()).is_some()
            })
            .cloned()
            .collect();
        for aum in refused.into_iter().rev().take(3) {
            if town.nodes[n].process.is_up() && town.nodes[n].head().is_some() {
                let done = town.nodes[n].inform(now, vec![aum]);
                if town.did(n, done)?.is_ok() {
                    town.count("told what the door refused");
                }
            }
        }
        Ok(())
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
}

/// Somebody sends AUMs that he has made, as any node can.
fn submit(town: &mut Town<'_>, aums: Vec<Sealed>) -> Result<()> {
    send(town, aums).map(|_| ())
}

/// As [`submit`]; whether the ledger was there to answer.
fn send(town: &mut Town<'_>, aums: Vec<Sealed>) -> Result<bool> {
    for aum in &aums {
        town.truth.made(aum);
    }
    if aums.is_empty() {
        return Ok(true);
    }
    let answer: Option<Answer> = town.on_ledger(|ledger, now| ledger.send(now, aums))?;
    Ok(answer.is_some())
}
