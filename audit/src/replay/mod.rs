//! Replaying AUMs by the rules, from nothing but their bytes.
//!
//! Every AUM present gets a [`Standing`]. An AUM is verified when its signatures hold and the
//! state at its parent admits it (spec 3.4) and can apply it (spec 4); that state is computed here,
//! never read. What nobody can judge, because what came before is not there, is unrooted.

mod judging;
mod links;

use std::cmp::Reverse;

use ledger::Refusal;
use ledger::ids::AumHash;
use ledger::lock::signatures::{Claim, Signed, Unverified, verify_beside};
use ledger::lock::{AumKind, Sealed, State};

use self::judging::{Judged, judge};
use self::links::{Known, Links};
use crate::cores::AllCores;
use crate::source::{Found, Place};

/// What was made of one AUM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Everything about it holds, as seen from a root.
    Verified {
        /// The root that it was verified from, by its place in [`Replayed::roots`].
        root: usize,
        /// AUMs between it and that root.
        height: u64,
        /// Its weight at its parent (spec 5.1).
        weight: u64,
    },
    /// It breaks a rule.
    Rejected(Refusal),
    /// It is built on one that breaks a rule.
    OnRejected,
    /// What came before it is missing, so nothing can be said but that its signatures hold.
    Unrooted,
}

/// One AUM of the source.
#[derive(Debug)]
pub struct Node {
    /// The AUM.
    pub aum: Sealed,
    /// Where it was found first.
    pub place: Place,
    /// What was made of it.
    pub standing: Standing,
    /// AUMs present that name it as their parent, in the order of their hashes.
    pub children: Vec<usize>,
    /// The node of its parent, if present.
    pub parent: Option<usize>,
    /// For a checkpoint whose parent is verified: how its state differs from the one there.
    pub departs: Option<Departure>,
}

/// How a checkpoint's state differs from the state at its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// Keys that were trusted and no longer are.
    pub removed: usize,
    /// Keys that were not trusted.
    pub added: usize,
    /// Keys whose votes or metadata differ, or whose order does.
    pub changed: usize,
    /// Whether the disablement values differ.
    pub disablement: bool,
}

/// An AUM that a chain begins with here.
#[derive(Debug)]
pub struct Root {
    /// Its node.
    pub node: usize,
    /// Whether something came before it that is not known here.
    pub assumed: bool,
    /// The end of its active branch (spec 5.4).
    pub head: usize,
    /// The state there.
    pub state: State,
    /// AUMs on the active branch, both ends included.
    pub length: u64,
}

/// All AUMs of a source, judged.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Every AUM once.
    pub nodes: Vec<Node>,
    /// Where chains begin.
    pub roots: Vec<Root>,
    known: Known,
}

impl Replayed {
    /// The node of an AUM.
    pub fn find(&self, hash: AumHash) -> Option<usize> {
        self.known.find(hash)
    }

    /// The verified children of a node, in the order of their hashes.
    pub fn verified_children(&self, node: usize) -> impl Iterator<Item = (usize, u64)> {
        verified(&self.nodes[node].children, |child| &self.nodes[child].standing)
    }

    /// The child that the active branch goes on with (spec 5.2).
    pub fn active_child(&self, node: usize) -> Option<usize> {
        self.verified_children(node).min_by_key(|child| self.rank(*child)).map(|(child, _)| child)
    }

    /// A node of that weight among its siblings: the least is preferred (spec 5.2).
    pub(crate) fn rank(&self, (node, weight): (usize, u64)) -> impl Ord + use<> {
        rank(&self.nodes[node].aum, weight)
    }

    /// How many AUMs stand so.
    pub fn count(&self, standing: impl Fn(&Standing) -> bool) -> usize {
        self.nodes.iter().filter(|node| standing(&node.standing)).count()
    }

    /// The root whose chain holds the AUM.
    pub fn root_of(&self, hash: AumHash) -> Option<usize> {
        match self.nodes[self.find(hash)?].standing {
            Standing::Verified { root, .. } => Some(root),
            _ => None,
        }
    }

    /// The state after an AUM of the root's chain that was verified.
    pub fn state_at(&self, root: usize, hash: AumHash) -> Option<State> {
        if self.root_of(hash)? != root {
            return None;
        }
        let mut path = Vec::new();
        let mut at = Some(self.find(hash)?);
        while let Some(node) = at {
            path.push(node);
            // A checkpoint carries a whole state.
            if self.nodes[node].aum.checkpointed().is_some() {
                break;
            }
            at = self.nodes[node].parent;
        }
        let mut state = State::at_checkpoint(&self.nodes[path.pop()?].aum)?;
        for node in path.into_iter().rev() {
            state.apply(&self.nodes[node].aum).ok()?;
        }
        Some(state)
    }

    /// Whether the AUM is on the active branch of the root.
    pub fn is_active(&self, root: usize, hash: AumHash) -> bool {
        let mut at = Some(self.roots[root].node);
        while let Some(node) = at {
            if self.nodes[node].aum.hash() == hash {
                return true;
            }
            at = self.active_child(node);
        }
        false
    }
}

/// Those of some children that are verified, with their weights.
fn verified<'a>(
    children: &[usize],
    standing: impl Fn(usize) -> &'a Standing,
) -> impl Iterator<Item = (usize, u64)> {
    children.iter().filter_map(move |&child| match standing(child) {
        Standing::Verified { weight, .. } => Some((child, *weight)),
        _ => None,
    })
}

/// The least of siblings is the one that the active branch goes on with (spec 5.2).
fn rank(aum: &Sealed, weight: u64) -> impl Ord + use<> {
    let removes = aum.kind == AumKind::REMOVE_KEY;
    (Reverse(weight), Reverse(removes), aum.hash())
}

/// An AUM whose signatures are to be checked, left where it is.
struct Borrowed<'a>(&'a Sealed);

impl Signed for Borrowed<'_> {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        self.0.claims(out)
    }

    fn fixed_by(&self) -> Option<[u8; 32]> {
        self.0.fixed_by()
    }
}

/// Judges every readable AUM, on one core while the others check the signatures. Takes no more
/// memory than a small multiple of the AUMs' and of one state per open branch.
pub fn replay(found: Vec<Found>) -> Replayed {
    let aums: Vec<&Sealed> = found.iter().filter_map(|found| found.aum.as_ref().ok()).collect();
    let items = aums.iter().map(|aum| Unverified::new(Borrowed(aum))).collect();
    let follow = |broken: &[Option<Refusal>]| {
        let links = Links::among(&aums);
        let judged = judge(&aums, &links, broken);
        (links, judged)
    };
    let (links, judged) = match verify_beside(items, &AllCores, |_| follow(&[])) {
        Ok((_, followed)) => followed,
        // Some signatures do not hold, so what was built on them does not either.
        Err(verdicts) => follow(&verdicts.into_iter().map(Result::err).collect::<Vec<_>>()),
    };
    assemble(found, links, judged)
}

fn assemble(found: Vec<Found>, links: Links, judged: Judged) -> Replayed {
    let Links { first, parents, children, known } = links;
    let readable = found.into_iter().filter_map(|found| Some((found.aum.ok()?, found.place)));
    let mut first = first.into_iter().peekable();
    let once = readable.enumerate().filter(|(at, _)| first.next_if_eq(at).is_some());
    let nodes = once
        .zip(parents.into_iter().zip(children))
        .zip(judged.standings.into_iter().zip(judged.departs))
        .map(|(((_, (aum, place)), (parent, children)), (standing, departs))| Node {
            aum,
            place,
            standing,
            children,
            parent,
            departs,
        })
        .collect();
    Replayed { nodes, roots: judged.roots, known }
}

impl Departure {
    /// None at all.
    pub const NONE: Departure = Departure { removed: 0, added: 0, changed: 0, disablement: false };

    /// Whether the trusted keys differ.
    pub fn keys(&self) -> bool {
        (self.removed, self.added, self.changed) != (0, 0, 0)
    }
}

pub(crate) fn departure(before: &State, after: &State) -> Departure {
    let missing = |from: &State, other: &State| {
        from.keys().iter().filter(|key| key.id().is_none_or(|id| other.key(id).is_none())).count()
    };
    let removed = missing(before, after);
    let added = missing(after, before);
    let kept = |state: &State, other: &State| -> Vec<_> {
        let keys = state.keys().iter();
        keys.filter(|key| key.id().is_some_and(|id| other.key(id).is_some())).cloned().collect()
    };
    let changed = kept(before, after)
        .iter()
        .zip(&kept(after, before))
        .filter(|(before, after)| before != after)
        .count();
    let disablement = !before.disablement_values().eq(after.disablement_values());
    Departure { removed, added, changed, disablement }
}
