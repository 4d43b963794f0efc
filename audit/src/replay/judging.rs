//! Judging AUMs one after the other, each by the state at its parent.

use ledger::Refusal;
use ledger::lock::{Aum, Sealed, State};

use super::links::Links;
use super::{Departure, Root, Standing, departure, rank, verified};

/// What was made of every node.
pub(super) struct Judged {
    pub(super) standings: Vec<Standing>,
    pub(super) departs: Vec<Option<Departure>>,
    pub(super) roots: Vec<Root>,
}

/// Judges every node among the AUMs that were found. `broken` says of each of those what is wrong
/// with its signatures; none of them is if it says nothing.
pub(super) fn judge(aums: &[&Sealed], links: &Links, broken: &[Option<Refusal>]) -> Judged {
    let standing = |at: &usize| match broken.get(*at).and_then(Option::as_ref) {
        Some(refusal) => Standing::Rejected(refusal.clone()),
        None => Standing::Unrooted,
    };
    let mut judging = Judging {
        aums,
        links,
        judged: Judged {
            standings: links.first.iter().map(standing).collect(),
            departs: vec![None; links.first.len()],
            roots: Vec::new(),
        },
        tip: None,
    };
    for (node, parent) in links.parents.iter().enumerate() {
        if parent.is_none() {
            judging.from(node);
        }
    }
    judging.judged
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

struct Judging<'a> {
    aums: &'a [&'a Sealed],
    links: &'a Links,
    judged: Judged,
    /// The AUM that was judged last among those on which nothing is built, and the state after it.
    tip: Option<(usize, State)>,
}

impl<'a> Judging<'a> {
    fn aum(&self, node: usize) -> &'a Sealed {
        self.aums[self.links.first[node]]
    }

    /// Judges an AUM without a parent present, and everything built on it.
    fn from(&mut self, start: usize) {
        let root = self.judged.roots.len();
        let mut open = vec![(start, Before::Unknown)];
        while let Some((node, before)) = open.pop() {
            let mut after = Some(self.judge(node, before));
            let links = self.links;
            let children = &links.children[node];
            for (i, &child) in children.iter().enumerate() {
                // The state moves on with the last child; only forks copy it.
                let last = i + 1 == children.len();
                let before = if last { after.take() } else { after.clone() };
                open.push((child, before.unwrap_or(Before::Unknown)));
            }
            if let Some(Before::State { state, .. }) = after {
                self.tip = Some((node, state));
            }
        }
        for root in root..self.judged.roots.len() {
            self.walk_active(root);
        }
    }

    fn judge(&mut self, node: usize, before: Before) -> Before {
        if let Standing::Rejected(_) = self.judged.standings[node] {
            return Before::Rejected;
        }
        let (standing, after) = match before {
            Before::Rejected => (Standing::OnRejected, Before::Rejected),
            Before::Unknown => self.judge_root(node),
            Before::State { root, height, state } => {
                let aum = self.aum(node);
                let departs = aum.checkpointed().map(|new| departure(&state, new));
                let mut after = state;
                let verdict = after.admits(aum).and_then(|weight| {
                    after.apply(aum)?;
                    Ok(weight)
                });
                match verdict {
                    Ok(weight) => {
                        self.judged.departs[node] = departs.filter(|d| *d != Departure::NONE);
                        let height = height + 1;
                        let state = Before::State { root, height, state: after };
                        (Standing::Verified { root, height, weight }, state)
                    }
                    Err(refusal) => (Standing::Rejected(refusal), Before::Rejected),
                }
            }
        };
        self.judged.standings[node] = standing;
        after
    }

    /// Judges an AUM before which nothing is known: a checkpoint that its own state admits is a
    /// root, as for a client that starts from it (spec 5.4).
    fn judge_root(&mut self, node: usize) -> (Standing, Before) {
        let aum = self.aum(node);
        if let Err(invalid) = aum.check() {
            return (Standing::Rejected(invalid.into()), Before::Rejected);
        }
        let unknown = |aum: &Aum, refusal| match aum.parent {
            Some(_) => (Standing::Unrooted, Before::Unknown),
            None => (Standing::Rejected(refusal), Before::Rejected),
        };
        let Some(state) = State::at_checkpoint(aum) else {
            return unknown(aum, ledger::lock::NotAdmitted::NoParent.into());
        };
        match state.admits_bootstrap(aum) {
            Ok(weight) => {
                let root = self.judged.roots.len();
                let assumed = aum.parent.is_some();
                let head = node;
                self.judged.roots.push(Root {
                    node,
                    assumed,
                    head,
                    state: state.clone(),
                    length: 1,
                });
                let after = Before::State { root, height: 0, state };
                (Standing::Verified { root, height: 0, weight }, after)
            }
            Err(refusal) => unknown(aum, refusal),
        }
    }

    /// Follows fork resolution from a root to the head, and finds the state there.
    fn walk_active(&mut self, root: usize) {
        let mut active = vec![self.judged.roots[root].node];
        let mut at = active[0];
        while let Some(child) = self.active_child(at) {
            at = child;
            active.push(at);
        }
        let mut state = match &self.tip {
            Some((tip, state)) if *tip == at => state.clone(),
            _ => self.judged.roots[root].state.clone(),
        };
        if state.last_aum != Some(self.aum(at).hash()) {
            for &node in &active[1..] {
                // It was applied when it was judged.
                let _ = state.apply(self.aum(node));
            }
        }
        let root = &mut self.judged.roots[root];
        (root.head, root.state, root.length) = (at, state, active.len() as u64);
    }

    fn active_child(&self, node: usize) -> Option<usize> {
        let children = verified(&self.links.children[node], |child| &self.judged.standings[child]);
        children
            .min_by_key(|(child, weight)| rank(self.aum(*child), *weight))
            .map(|(child, _)| child)
    }
}
