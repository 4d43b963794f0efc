//! Small worlds, exhaustively: within the bounds nothing is left to chance.
//!
//! Three keys with one or two votes each, the third of them stolen; up to 4 AUMs after the genesis
//! (5 in `small-5`), anywhere, each of them one of a menu: what honest holders do alone or
//! together, and what the thief does. Every set of AUMs that this allows is a state. Of each it is
//! checked
//!
//! - that the head and the state at it are what the rules say;
//! - that whatever two AUMs came last, they could have come in the other order: then all orders
//!   lead to the same rows, since any order is turned into any other by swapping neighbours;
//! - that AUMs which the rules refuse are refused;
//! - of states up to [`SPLIT`] AUMs, that two nodes which have any two parts of it, each with the
//!   parents that it needs, agree after they have told each other.
//!
//! A part of this world is one way to give out the votes.

use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::AumHash;
use ledger::lock::client::CHAIN;
use ledger::lock::signatures::{Unverified, Verified, verify_one};
use ledger::lock::sync::{missing_aums, offer};
use ledger::lock::{AumKind, Authority, Key, Sealed, State};
use ledger::rows::{Draft, Memory, Rows, tables};
use ledger::{Failure, Fault};

use super::{Ran, World};
use crate::actors::keys;
use crate::invariants::truth::Truth;
use crate::invariants::{Result, unexpected};
use crate::invariants::{broken, head_is_where_the_rules_lead, only_what_the_rules_admit};
use crate::world::Tally;
use crate::world::{Kept, Trace};

/// This world, with up to 4 AUMs after the genesis: a part for each way to give out the votes.
pub const WORLD: World = World { name: "small", run: run::<4>, parts: Some(8) };
/// The same with up to 5, which takes some minutes: run only where it is asked for.
pub const LARGER: World = World { name: "small-5", run: run::<5>, parts: Some(8) };

/// AUMs of a state that is split between two nodes, at most.
pub const SPLIT: usize = 2;

/// Whose key is stolen. 0 and 1 are honest.
const STOLEN: usize = 2;

/// What may be put on top of any AUM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// These holders change nothing.
    NoOp(&'static [usize]),
    /// These holders remove that one.
    Remove(&'static [usize], usize),
    /// The thief adds a key of its own.
    Add,
    /// The thief replaces all keys by its own.
    Rewrite,
    /// These holders revoke the stolen key by a checkpoint.
    Revoke(&'static [usize]),
}

/// Everything that may be put on top of an AUM.
const MENU: [Choice; 11] = [
    Choice::NoOp(&[0]),
    Choice::NoOp(&[1]),
    Choice::NoOp(&[STOLEN]),
    Choice::NoOp(&[0, 1]),
    Choice::Remove(&[0], 1),
    Choice::Remove(&[1], STOLEN),
    Choice::Remove(&[STOLEN], 0),
    Choice::Add,
    Choice::Rewrite,
    Choice::Revoke(&[0]),
    Choice::Revoke(&[0, 1]),
];

/// An AUM that may be added, and what may be added on top of it.
#[derive(Debug)]
struct Candidate {
    aum: Verified<Sealed>,
    hash: AumHash,
    above: Option<Vec<usize>>,
}

/// A node.
#[derive(Debug, Clone)]
struct Node {
    rows: Memory,
    authority: Authority,
}

/// The states of one way to give out the votes.
#[derive(Debug)]
struct Small<const AUMS: usize> {
    truth: Truth,
    candidates: Vec<Candidate>,
    tally: Tally,
}

fn run<const AUMS: usize>(part: u64, _: &Kept, trace: &mut Trace) -> Ran {
    let votes: Vec<(usize, u64)> = (0..3).map(|key| (key, 1 + (part >> key & 1))).collect();
    let mut small =
        Small::<AUMS> { truth: Truth::default(), candidates: Vec::new(), tally: Tally::new() };
    let broken = small.explore(&votes).err();
    trace.say(0, format_args!("votes {votes:?}: {:?}", small.tally));
    Ran { tally: small.tally, broken, time: 0, steps: Vec::new(), faults: Vec::new() }
}

impl<const AUMS: usize> Small<AUMS> {
    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn explore(&mut self, votes: &[(usize, u64)]) -> Result<()> {
        let genesis = keys::signed(
            {
                let mut aum = ledger::lock::Aum::new(AumKind::CHECKPOINT, None);
                aum.state = Some(keys::state(1, votes, 0));
                aum
            },
            &[0],
        );
        self.truth.made(&genesis);
        let node = begun(&genesis)?;
        let above = self.on_top(&node, genesis.hash())?;
        self.extend(&node, &mut vec![genesis.hash()], &above, 0)
    }

    /// Visits every state that has `set` and, of `addable`, only AUMs from place `from` on.
    /// `addable` is everything whose parent is in the set and that is not in it itself.
    fn extend(
        &mut self,
        node: &Node,
        set: &mut Vec<AumHash>,
        addable: &[usize],
        from: usize,
    ) -> Result<()> {
        self.count("states");
        let stored: BTreeSet<AumHash> = set.iter().copied().collect();
        head_is_where_the_rules_lead(&self.truth, "the node", &node.authority, &stored)?;
        if set.len() - 1 <= SPLIT {
            self.split(set)?;
        }
        if set.len() > AUMS {
            return Ok(());
        }
        // What was passed over is needed only for the pairs.
        let last = set.len() == AUMS;
        let first = if last { from } else { 0 };
        let next = addable[first..].iter().map(|n| self.with(node, *n));
        let next: Vec<Node> = next.collect::<Result<_>>()?;
        if !last {
            self.commute(&next, addable)?;
        }
        for place in from..addable.len() {
            let chosen = addable[place];
            let node = &next[place - first];
            let hash = self.candidates[chosen].hash;
            let above = if last { Vec::new() } else { self.above(node, chosen)? };
            let mut then = addable.to_vec();
            // What was passed over stays addable, in front of the places that are visited.
            then.remove(place);
            then.extend(above);
            set.push(hash);
            self.extend(node, set, &then, place)?;
            set.pop();
        }
        Ok(())
    }

    /// Any two AUMs that could come next can come in either order.
    fn commute(&mut self, next: &[Node], addable: &[usize]) -> Result<()> {
        for (one, x) in addable.iter().enumerate() {
            for (other, y) in addable.iter().enumerate().skip(one + 1) {
                let xy = self.with(&next[one], *y)?;
                let yx = self.with(&next[other], *x)?;
                if !same(&xy, &yx).map_err(unexpected)? {
                    let [x, y] = [x, y].map(|n| self.candidates[*n].hash);
                    let what = format!("{x} and {y} lead elsewhere in the other order");
                    return Err(broken("same_aums_same_head", what));
                }
                self.count("pairs in both orders");
            }
        }
        Ok(())
    }

    fn with(&self, node: &Node, candidate: usize) -> Result<Node> {
        let mut node = node.clone();
        let informed = inform(&mut node, std::slice::from_ref(&self.candidates[candidate].aum));
        match informed {
            Ok(()) => Ok(node),
            Err(why) => Err(broken("what_the_rules_admit_is_taken", why.to_string())),
        }
    }

    fn above(&mut self, node: &Node, candidate: usize) -> Result<Vec<usize>> {
        if let Some(above) = &self.candidates[candidate].above {
            return Ok(above.clone());
        }
        let above = self.on_top(node, self.candidates[candidate].hash)?;
        self.candidates[candidate].above = Some(above.clone());
        Ok(above)
    }

    /// What the menu allows on top of an AUM that the node has. What the rules refuse, the node
    /// must refuse.
    fn on_top(&mut self, node: &Node, parent: AumHash) -> Result<Vec<usize>> {
        let Some(state) = self.truth.state(&parent).cloned() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for choice in MENU {
            let aum = made(choice, &state, parent);
            self.truth.made(&aum);
            let verified = verified(&aum)?;
            if self.truth.judge(&aum).after.is_ok() {
                found.push(self.candidates.len());
                let hash = aum.hash();
                self.candidates.push(Candidate { aum: verified, hash, above: None });
            } else {
                self.count("refused by the rules");
                if inform(&mut node.clone(), &[verified]).is_ok() {
                    only_what_the_rules_admit(&mut self.truth, "the node", &[aum])?;
                }
            }
        }
        Ok(found)
    }

    /// Two nodes have any two parts of a state, and tell each other.
    fn split(&mut self, set: &[AumHash]) -> Result<()> {
        let by_hash: BTreeMap<AumHash, usize> =
            self.candidates.iter().enumerate().map(|(n, c)| (c.hash, n)).collect();
        let aums = &set[1..];
        let ways = 3_u32.pow(aums.len() as u32);
        for way in 0..ways {
            // For each AUM: only the first has it, only the second, or both.
            let has = |n: usize, second: bool| match way / 3_u32.pow(n as u32) % 3 {
                0 => !second,
                1 => second,
                _ => true,
            };
            let closed = |second: bool| {
                aums.iter().enumerate().filter(|(n, _)| has(*n, second)).all(|(_, hash)| {
                    let parent = self.truth.parent(hash);
                    let place = aums.iter().position(|other| Some(*other) == parent);
                    place.is_none_or(|place| has(place, second))
                })
            };
            if !closed(false) || !closed(true) {
                continue;
            }
            let part = |second: bool| -> Vec<&Verified<Sealed>> {
                let own = aums.iter().enumerate().filter(|(n, _)| has(*n, second));
                own.map(|(_, hash)| &self.candidates[by_hash[hash]].aum).collect()
            };
            self.meet(set[0], &part(false), &part(true), &by_hash)?;
            self.count("pairs of nodes");
        }
        Ok(())
    }

    fn meet(
        &self,
        genesis: AumHash,
        one: &[&Verified<Sealed>],
        other: &[&Verified<Sealed>],
        by_hash: &BTreeMap<AumHash, usize>,
    ) -> Result<()> {
        let genesis = self.truth.of(&genesis).map(|judged| judged.aum.clone());
        let Some(genesis) = genesis else { return Ok(()) };
        let mut nodes = Vec::new();
        for part in [one, other] {
            let mut node = begun(&genesis)?;
            let part: Vec<Verified<Sealed>> = part.iter().map(|aum| (*aum).clone()).collect();
            if !part.is_empty() {
                let informed = inform(&mut node, &part);
                informed.map_err(|why| broken("what_the_rules_admit_is_taken", why.to_string()))?;
            }
            nodes.push(node);
        }
        let heads = |nodes: &[Node]| (nodes[0].authority.head(), nodes[1].authority.head());
        // As many exchanges as there may be forks within forks.
        for _ in 0..=AUMS {
            let (a, b) = heads(&nodes);
            if a == b {
                return Ok(());
            }
            let [to_b, to_a] = [(0, 1), (1, 0)].map(|(from, to): (usize, usize)| {
                let theirs = offer(&nodes[to].rows, &nodes[to].authority)?;
                missing_aums(&nodes[from].rows, &nodes[from].authority, &theirs)
            });
            for (n, aums) in [(0, to_a), (1, to_b)] {
                let aums = aums.map_err(|why| broken("nodes_agree", why.to_string()))?;
                let known = |aum: &Sealed| self.candidates[by_hash[&aum.hash()]].aum.clone();
                let aums: Vec<_> = aums.iter().map(known).collect();
                if !aums.is_empty() {
                    let informed = inform(&mut nodes[n], &aums);
                    informed.map_err(|why| broken("nodes_agree", why.to_string()))?;
                }
            }
        }
        let (a, b) = heads(&nodes);
        if a == b {
            return Ok(());
        }
        Err(broken(
            "nodes_agree",
            format!("they have told each other all, and stay at {a} and {b}"),
        ))
    }
}

fn begun(genesis: &Sealed) -> Result<Node> {
    let mut rows = Memory::new();
    let mut draft = Draft::on(&rows);
    let authority = Authority::bootstrap(&mut draft, CHAIN, &verified(genesis)?);
    let authority = authority.map_err(|why| broken("a_lock_begins", why.to_string()))?;
    let changes = draft.finish();
    rows.apply(changes);
    Ok(Node { rows, authority })
}

fn made(choice: Choice, state: &State, parent: AumHash) -> Sealed {
    let checkpoint = |keys: Vec<Key>, signers: &[usize]| {
        let state = State { last_aum: None, keys: Some(keys), ..state.clone() };
        keys::aum(AumKind::CHECKPOINT, parent, signers, |aum| aum.state = Some(state))
    };
    match choice {
        Choice::NoOp(signers) => keys::aum(AumKind::NO_OP, parent, signers, |_| {}),
        Choice::Remove(signers, key) => {
            keys::aum(AumKind::REMOVE_KEY, parent, signers, |a| a.key_id = Some(keys::id(key)))
        }
        Choice::Add => keys::aum(AumKind::ADD_KEY, parent, &[STOLEN], |aum| {
            aum.key = Some(Key::ed25519(keys::public(STOLEN + 1), 2));
        }),
        Choice::Rewrite => checkpoint(vec![Key::ed25519(keys::public(STOLEN), 1)], &[STOLEN]),
        Choice::Revoke(signers) => {
            let stolen = keys::id(STOLEN);
            let left = state.keys().iter().filter(|key| key.id() != Some(&stolen));
            checkpoint(left.cloned().collect(), signers)
        }
    }
}

fn verified(aum: &Sealed) -> Result<Verified<Sealed>> {
    let verified = verify_one(Unverified::new(aum.clone()));
    verified.map_err(|why| broken("honest_signatures_hold", why.to_string()))
}

fn inform(node: &mut Node, batch: &[Verified<Sealed>]) -> std::result::Result<(), Failure> {
    let mut draft = Draft::on(&node.rows);
    node.authority.inform(&mut draft, batch)?;
    let changes = draft.finish();
    node.rows.apply(changes);
    Ok(())
}

/// Whether two nodes have the same rows and stand at the same place.
fn same(one: &Node, other: &Node) -> std::result::Result<bool, Fault> {
    if one.authority.head() != other.authority.head()
        || one.authority.state() != other.authority.state()
    {
        return Ok(false);
    }
    for table in tables::ALL {
        let mut a = one.rows.scan(*table, &[][..]..&[][..])?;
        let mut b = other.rows.scan(*table, &[][..]..&[][..])?;
        loop {
            match (a.next().transpose()?, b.next().transpose()?) {
                (None, None) => break,
                (x, y) if x == y => {}
                _ => return Ok(false),
            }
        }
    }
    Ok(true)
}
