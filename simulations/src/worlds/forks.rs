//! Fork resolution: nodes with trusted keys sign on their own copies of the chain, concurrently
//! and anywhere, and sync in any order with one another and with the ledger.
//!
//! Some nodes begin at later checkpoints, some delete old AUMs. When nothing goes wrong any more,
//! all must stand where the ledger stands.

use std::fmt;

use ledger::history::{Event, Initialization};
use ledger::ids::AumHash;
use ledger::lock::builder::UpdateBuilder;
use ledger::lock::compaction::Options;
use ledger::lock::{Aum, AumKind, Authority, Key, Meta, Sealed, State};

use super::{Ran, World};
use crate::actors::client::ClientNode;
use crate::actors::keys;
use crate::actors::ledger::Outcome;
use crate::actors::tailnet::{KeptBy, LEDGER, Tailnet};
use crate::invariants::broken;
use crate::invariants::{Result, unexpected};
use crate::world::clock::{DAY, SECOND};
use crate::world::{Kept, Mix, Ms, Plan, ProcessId, Random, Step, Trace, Trouble};

/// This world.
pub const WORLD: World = World { name: "forks", run, parts: None };
/// The same with a group of machines that keeps the ledger.
pub const OF_A_GROUP: World = World { name: "group-forks", run: run_of_a_group, parts: None };

/// What its people do. Each carries a number that its own choices are drawn from.
#[derive(Debug, Clone)]
enum Act {
    /// A node asks a server.
    Sync(usize, ProcessId),
    /// The holder of a node's key changes something at the node's head.
    Sign(usize, u64),
    /// The holder signs something on top of an earlier AUM.
    Fork(usize, u64),
    /// A node deletes old AUMs.
    Compact(usize, u64),
    /// A node begins anew at a checkpoint that it copies from another node.
    Copy(usize, usize),
    /// A node begins anew.
    Wipe(usize),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Sync(n, LEDGER) => write!(f, "node {n} asks the ledger"),
            Act::Sync(n, server) => write!(f, "node {n} asks node {}", server - 1),
            Act::Sign(n, _) => write!(f, "node {n} signs at its head"),
            Act::Fork(n, _) => write!(f, "node {n} signs further back"),
            Act::Compact(n, _) => write!(f, "node {n} compacts"),
            Act::Copy(n, from) => write!(f, "node {n} begins at a checkpoint of node {from}"),
            Act::Wipe(n) => write!(f, "node {n} begins anew"),
        }
    }
}

/// A seed's plan, and its first keys with their votes.
struct Scenario {
    plan: Plan<Act>,
    keys: Vec<(usize, u64)>,
    nodes: usize,
}

fn scenario(seed: u64) -> Scenario {
    let mut random = Random::new(seed, "forks");
    let nodes = random.between(3, 7) as usize;
    let trusted = random.between(2, nodes as u64) as usize;
    let equal = random.chance(400);
    let keys = (0..trusted).map(|n| (n, if equal { 1 } else { random.between(1, 3) })).collect();
    let mix = Mix::drawn(&mut random);
    let mut at: Ms = 0;
    let mut steps: Vec<(Ms, Step<Act>)> = Vec::new();
    for n in 0..nodes {
        if random.chance(800) {
            steps.push((n as Ms * 10, Step::Act(Act::Sync(n, LEDGER))));
        }
    }
    for _ in 0..random.between(30, 140) {
        at += random.between(1, 25) * SECOND;
        if random.chance(20) {
            at += random.between(1, 30) * DAY;
        }
        if random.chance(250) {
            let trouble = Trouble::drawn(&mix, &mut random, nodes + 1, 120 * SECOND);
            steps.extend(trouble.map(|trouble| (at, Step::Trouble(trouble))));
            continue;
        }
        let n = random.place(nodes);
        let other = (n + 1 + random.place(nodes - 1)) % nodes;
        let act = match random.below(100) {
            0..35 => Act::Sync(n, LEDGER),
            35..55 => Act::Sync(n, other + 1),
            55..79 => Act::Sign(n, random.any()),
            79..90 => Act::Fork(n, random.any()),
            90..96 => Act::Compact(n, random.any()),
            96..98 => Act::Copy(n, other),
            _ => Act::Wipe(n),
        };
        steps.push((at, Step::Act(act)));
    }
    Scenario { plan: Plan { seed, mix, steps }, keys, nodes }
}

fn run(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    run_kept_by(super::one_member(seed), seed, kept, trace)
}

fn run_of_a_group(seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    run_kept_by(super::machines(seed), seed, kept, trace)
}

fn run_kept_by(keeper: KeptBy, seed: u64, kept: &Kept, trace: &mut Trace) -> Ran {
    let Scenario { plan, keys, nodes } = scenario(seed);
    super::run_plan(&plan, kept, |plan| {
        let mut tailnet = Tailnet::new(plan, nodes, keeper, trace)?;
        let begun = init(&mut tailnet, &keys);
        let lived = begun.and_then(|()| live(&mut tailnet));
        Ok((tailnet.tally.clone(), tailnet.now(), lived))
    })
}

fn init(tailnet: &mut Tailnet<'_, Act>, keys: &[(usize, u64)]) -> Result<()> {
    let genesis = Authority::genesis(keys::state(1, keys, 0), keys::private(0));
    let genesis = genesis.map_err(|why| broken("a_lock_begins", why.to_string()))?;
    tailnet.truth.made(&genesis);
    let init =
        Initialization { genesis, signatures: Vec::new(), labels: Vec::new(), brought_by: None };
    let event = Event::LockInitialized(Box::new(init));
    match tailnet.ledger.propose(0, event).map_err(unexpected)? {
        Outcome::Recorded(_) => tailnet.look_at_ledger(None),
        Outcome::Refused(why) => Err(broken("a_lock_begins", why.to_string())),
    }
}

fn live(tailnet: &mut Tailnet<'_, Act>) -> Result<()> {
    tailnet.run(Ms::MAX, &mut act)?;
    tailnet.calm_down(&mut act)?;
    tailnet.audit()
}

fn act(tailnet: &mut Tailnet<'_, Act>, what: &Act) -> Result<()> {
    let now = tailnet.now();
    match *what {
        Act::Sync(n, server) => tailnet.visit(n, server),
        Act::Sign(n, draw) => {
            let Some(aums) = at_head(&tailnet.nodes[n], n, draw)? else { return Ok(()) };
            made(tailnet, n, aums)
        }
        Act::Fork(n, draw) => {
            let Some(aum) = further_back(&tailnet.nodes[n], draw)? else { return Ok(()) };
            made(tailnet, n, vec![aum])
        }
        Act::Compact(n, draw) => {
            let mut random = Random::new(draw, "compact");
            let options = Options {
                min_chain: random.between(1, 4) as usize,
                min_age: random.pick(&[10, 600, 24 * 3600, 14 * 24 * 3600]),
            };
            let node = &mut tailnet.nodes[n];
            let Some(before) = node.authority().cloned() else { return Ok(()) };
            let done = node.compact(now, options);
            if tailnet.did_unseen(n, done)?.is_ok() {
                tailnet.look_at_compacted(n, &before)?;
            }
            Ok(())
        }
        Act::Copy(n, from) => {
            let Some(checkpoint) = last_checkpoint(&tailnet.nodes[from])? else { return Ok(()) };
            if !tailnet.nodes[n].process.is_up() {
                return Ok(());
            }
            tailnet.wipe(n)?;
            tailnet.count("begun at a later checkpoint");
            let done = tailnet.nodes[n].begin_at(now, &checkpoint);
            tailnet.did(n, done).map(|_| ())
        }
        Act::Wipe(n) if tailnet.nodes[n].process.is_up() => tailnet.wipe(n),
        Act::Wipe(_) => Ok(()),
    }
}

/// Somebody has made AUMs on a node.
fn made(tailnet: &mut Tailnet<'_, Act>, n: usize, aums: Vec<Sealed>) -> Result<()> {
    for aum in &aums {
        tailnet.truth.made(aum);
    }
    let now = tailnet.now();
    let done = tailnet.nodes[n].inform(now, aums);
    if let Err(refusal) = tailnet.did(n, done)? {
        tailnet.say(format_args!("node {n} does not take what was signed: {refusal}"));
    }
    Ok(())
}

/// What holder `n` signs at the head of its node, if it is trusted there.
fn at_head(node: &ClientNode, n: usize, draw: u64) -> Result<Option<Vec<Sealed>>> {
    let Some(authority) = node.authority() else { return Ok(None) };
    if authority.state().key(&keys::id(n)).is_none() {
        return Ok(None);
    }
    let mut random = Random::new(draw, "sign");
    if random.chance(150) {
        // Long before the builder would: only what stands on a checkpoint can be compacted.
        let mut state = authority.state().clone();
        state.last_aum = None;
        let fill = |aum: &mut Aum| aum.state = Some(state);
        let checkpoint = keys::aum(AumKind::CHECKPOINT, authority.head(), &[n], fill);
        return Ok(Some(vec![checkpoint]));
    }
    let rows = node.process.disk.inspect();
    let builder = UpdateBuilder::new(rows, authority, Some(keys::private(n)));
    let mut builder = builder.map_err(unexpected)?;
    for _ in 0..random.between(1, 3) {
        let about = random.pick(builder.state().keys());
        let id = about.id().unwrap_or_default().to_vec();
        let new = Key::ed25519(keys::public(random.place(keys::LOCK_KEYS)), random.between(1, 3));
        // What makes no sense is refused, and left out.
        let _ = match random.below(10) {
            0..4 => builder.add_key(new),
            4..6 if builder.state().keys().len() > 2 => builder.remove_key(&id),
            6..8 => builder.set_votes(&id, random.between(1, 4)),
            _ => {
                let meta = [("note".to_owned(), random.below(1000).to_string())];
                builder.set_meta(&id, Meta(meta.into_iter().collect()))
            }
        };
    }
    Ok(builder.finish().ok().filter(|aums| !aums.is_empty()))
}

/// What some holders sign together on top of an earlier AUM that the node still has.
fn further_back(node: &ClientNode, draw: u64) -> Result<Option<Sealed>> {
    let Some(authority) = node.authority() else { return Ok(None) };
    let mut random = Random::new(draw, "fork");
    let chain = authority.chain(node.process.disk.inspect());
    let back = random.below(12) as usize;
    let mut line = chain.back_from(authority.head()).take(back + 1);
    let mut parent = None;
    for aum in &mut line {
        parent = Some(aum.map_err(unexpected)?.hash());
    }
    let Some(parent) = parent else { return Ok(None) };
    let Some(state) = chain.state_at(&parent).map_err(unexpected)? else { return Ok(None) };
    Ok(any_aum(&mut random, &state, parent))
}

/// An AUM of any kind on top of a state, signed by any of those whom it trusts.
fn any_aum(random: &mut Random, state: &State, parent: AumHash) -> Option<Sealed> {
    let mut holders: Vec<usize> =
        state.keys().iter().filter_map(|key| keys::holder(key.id()?)).collect();
    random.shuffle(&mut holders);
    holders.truncate(random.between(1, 3) as usize);
    if holders.is_empty() {
        return None;
    }
    let about = random.pick(state.keys());
    let id = about.id().unwrap_or_default().to_vec();
    let new = Key::ed25519(keys::public(random.place(keys::LOCK_KEYS)), random.between(1, 3));
    Some(match random.below(6) {
        0 => keys::aum(AumKind::ADD_KEY, parent, &holders, |aum| aum.key = Some(new)),
        1 => keys::aum(AumKind::REMOVE_KEY, parent, &holders, |aum| aum.key_id = Some(id)),
        2 => keys::aum(AumKind::UPDATE_KEY, parent, &holders, |aum| {
            aum.key_id = Some(id);
            aum.votes = Some(random.between(1, 4));
        }),
        3 => {
            let mut state = state.clone();
            state.last_aum = None;
            let keys = state.keys.get_or_insert_default();
            match random.below(3) {
                // Not always the sum of what came before.
                0 if keys.len() > 1 => {
                    keys.remove(random.place(keys.len()));
                }
                1 if !keys.iter().any(|key| key.id() == new.id()) => keys.push(new),
                _ => {}
            }
            if random.chance(150) {
                // One of another lock: that is refused everywhere.
                state.state_id1 += 1;
            }
            keys::aum(AumKind::CHECKPOINT, parent, &holders, |aum| aum.state = Some(state))
        }
        _ => keys::aum(AumKind::NO_OP, parent, &holders, |aum| {
            aum.key_id = Some(random.any().to_be_bytes().to_vec());
        }),
    })
}

/// The newest checkpoint on a node's active branch.
fn last_checkpoint(node: &ClientNode) -> Result<Option<Sealed>> {
    let Some(authority) = node.authority() else { return Ok(None) };
    let chain = authority.chain(node.process.disk.inspect());
    for aum in chain.back_from(authority.head()) {
        let aum = aum.map_err(unexpected)?;
        // One that its own state trusts: nobody can begin with another.
        let own = aum.state.as_ref().is_some_and(|state| {
            let mut signers = aum.signatures.iter().flat_map(|s| &s.key_id);
            signers.all(|id| state.key(id).is_some())
        });
        if aum.kind == AumKind::CHECKPOINT && own {
            return Ok(Some(aum));
        }
    }
    Ok(None)
}
