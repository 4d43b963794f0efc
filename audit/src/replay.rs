//! Replaying AUMs by the rules, from nothing but their bytes.
//!
//! Every AUM present gets a [`Standing`]. An AUM is verified when its signatures hold and the
//! state at its parent admits it (spec 3.4) and can apply it (spec 4); that state is computed here,
//! never read. What nobody can judge, because what came before is not there, is unrooted.

use std::collections::BTreeMap;

use ledger::Refusal;
use ledger::ids::AumHash;
use ledger::lock::signatures::{Claim, Signed, Unverified, verify_all};
use ledger::lock::{Aum, AumKind, Sealed, State};

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
    by_hash: BTreeMap<AumHash, usize>,
}

impl Replayed {
    /// The node of an AUM.
    pub fn find(&self, hash: AumHash) -> Option<usize> {
        self.by_hash.get(&hash).copied()
    }

    /// The verified children of a node, in the order of their hashes.
    pub fn verified_children(&self, node: usize) -> impl Iterator<Item = (usize, u64)> {
        self.nodes[node].children.iter().filter_map(|&child| match self.nodes[child].standing {
            Standing::Verified { weight, .. } => Some((child, weight)),
            _ => None,
        })
    }

    /// The child that the active branch goes on with (spec 5.2).
    pub fn active_child(&self, node: usize) -> Option<usize> {
        self.verified_children(node).min_by_key(|child| self.rank(*child)).map(|(child, _)| child)
    }

    /// A node of that weight among its siblings: the least is preferred (spec 5.2).
    pub(crate) fn rank(&self, (node, weight): (usize, u64)) -> impl Ord + use<> {
        let aum = &self.nodes[node].aum;
        let removes = aum.kind == AumKind::REMOVE_KEY;
        (std::cmp::Reverse(weight), std::cmp::Reverse(removes), aum.hash())
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

/// An AUM whose signatures are to be checked, left where it is.
struct Borrowed<'a>(&'a Sealed);

impl Signed for Borrowed<'_> {
    fn claims(&self, out: &mut Vec<Claim>) -> Result<(), Refusal> {
        self.0.claims(out)
    }
}

/// Judges every readable AUM. Takes no more memory than a small multiple of the AUMs' and of one
/// state per open branch.
pub fn replay(found: Vec<Found>) -> Replayed {
    let mut replayed = gather(found);
    let signatures = {
        let items = replayed.nodes.iter().map(|node| Unverified::new(Borrowed(&node.aum)));
        verify_all(items.collect(), &AllCores)
    };
    let broken: Vec<Option<Refusal>> = signatures.into_iter().map(Result::err).collect();
    for (node, refusal) in replayed.nodes.iter_mut().zip(broken) {
        if let Some(refusal) = refusal {
            node.standing = Standing::Rejected(refusal);
        }
    }
    let starts: Vec<usize> =
        (0..replayed.nodes.len()).filter(|&node| replayed.nodes[node].parent.is_none()).collect();
    for start in starts {
        replayed.judge_from(start);
    }
    for root in 0..replayed.roots.len() {
        replayed.walk_active(root);
    }
    replayed
}

/// Each AUM once, linked to its parent and children.
fn gather(found: Vec<Found>) -> Replayed {
    let mut replayed = Replayed::default();
    for found in found {
        let Ok(aum) = found.aum else { continue };
        let next = replayed.nodes.len();
        if *replayed.by_hash.entry(aum.hash()).or_insert(next) != next {
            continue;
        }
        replayed.nodes.push(Node {
            aum,
            place: found.place,
            standing: Standing::Unrooted,
            children: Vec::new(),
            parent: None,
            departs: None,
        });
    }
    let by_hash: Vec<(AumHash, usize)> = replayed.by_hash.iter().map(|(h, n)| (*h, *n)).collect();
    for (_, node) in by_hash {
        let parent = replayed.nodes[node].aum.parent_hash().and_then(|hash| replayed.find(hash));
        replayed.nodes[node].parent = parent;
        if let Some(parent) = parent {
            replayed.nodes[parent].children.push(node);
        }
    }
    replayed
}

/// What is known of an AUM's parent while descending.
#[derive(Clone)]
enum Before {
    /// Nothing: it is missing or unrooted itself.
    Unknown,
    /// It was rejected, or built on what was.
    Rejected,
    /// It was verified, with this state after it.
    State { root: usize, height: u64, state: State },
}

impl Replayed {
    /// Judges an AUM without a parent present, and everything built on it.
    fn judge_from(&mut self, start: usize) {
        let mut open = vec![(start, Before::Unknown)];
        while let Some((node, before)) = open.pop() {
            let after = self.judge(node, before);
            let children = self.nodes[node].children.clone();
            let mut after = Some(after);
            for (i, &child) in children.iter().enumerate() {
                // The state moves on with the last child; only forks copy it.
                let last = i + 1 == children.len();
                let before = if last { after.take() } else { after.clone() };
                open.push((child, before.unwrap_or(Before::Unknown)));
            }
        }
    }

    fn judge(&mut self, node: usize, before: Before) -> Before {
        if let Standing::Rejected(_) = self.nodes[node].standing {
            return Before::Rejected;
        }
        let (standing, after) = match before {
            Before::Rejected => (Standing::OnRejected, Before::Rejected),
            Before::Unknown => self.judge_root(node),
            Before::State { root, height, state } => {
                let aum = &self.nodes[node].aum;
                let departs = aum.state.as_ref().map(|new| departure(&state, new));
                let mut after = state;
                let verdict = after.admits(aum).and_then(|weight| {
                    after.apply(aum)?;
                    Ok(weight)
                });
                match verdict {
                    Ok(weight) => {
                        self.nodes[node].departs = departs.filter(|d| *d != Departure::NONE);
                        let height = height + 1;
                        let state = Before::State { root, height, state: after };
                        (Standing::Verified { root, height, weight }, state)
                    }
                    Err(refusal) => (Standing::Rejected(refusal), Before::Rejected),
                }
            }
        };
        self.nodes[node].standing = standing;
        after
    }

    /// Judges an AUM before which nothing is known: a checkpoint that its own state admits is a
    /// root, as for a client that starts from it (spec 5.4).
    fn judge_root(&mut self, node: usize) -> (Standing, Before) {
        let aum = &self.nodes[node].aum;
        if let Err(invalid) = aum.check() {
            return (Standing::Rejected(invalid.into()), Before::Rejected);
        }
        let unknown = |aum: &Aum, refusal| match aum.parent {
            Some(_) => (Standing::Unrooted, Before::Unknown),
            None => (Standing::Rejected(refusal), Before::Rejected),
        };
        let Some(state) = State::at_checkpoint(aum).filter(|_| aum.kind == AumKind::CHECKPOINT)
        else {
            return unknown(aum, ledger::lock::NotAdmitted::NoParent.into());
        };
        match state.admits_bootstrap(aum) {
            Ok(weight) => {
                let root = self.roots.len();
                let assumed = aum.parent.is_some();
                let head = node;
                self.roots.push(Root { node, assumed, head, state: state.clone(), length: 1 });
                let after = Before::State { root, height: 0, state };
                (Standing::Verified { root, height: 0, weight }, after)
            }
            Err(refusal) => unknown(aum, refusal),
        }
    }

    /// Follows fork resolution from a root to the head, and computes the state there.
    fn walk_active(&mut self, root: usize) {
        let mut state = std::mem::take(&mut self.roots[root].state);
        let mut head = self.roots[root].node;
        let mut length = 1;
        while let Some(child) = self.active_child(head) {
            // It was applied when it was judged.
            let _ = state.apply(&self.nodes[child].aum);
            head = child;
            length += 1;
        }
        let root = &mut self.roots[root];
        (root.head, root.state, root.length) = (head, state, length);
    }
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
