//! The end of a world: nothing goes wrong any more, and everybody must come to agree.

use std::collections::BTreeSet;

use ledger::ids::AumHash;
use ledger::rows::Memory;

use super::{LEDGER, Tailnet};
use crate::actors::client::ClientNode;
use crate::invariants::{self, Result, Settled, unexpected};
use crate::world::clock::{HOUR, SECOND};
use crate::world::{Fault, Mix};

/// Rounds in which nodes that nothing disturbs come to agree, at most.
const ROUNDS: usize = 24;
impl<A: std::fmt::Display> Tailnet<'_, A> {
    /// Nothing goes wrong any more: everybody runs, all ways are open, the relay is honest, and
    /// all nodes ask the ledger until nothing new is said. Then everybody must agree.
    pub fn calm_down(&mut self, act: &mut dyn FnMut(&mut Self, &A) -> Result<()>) -> Result<()> {
        self.network.heal();
        self.relay.be_honest();
        let calmed = self.ledger.calm_group();
        self.ledger.broken()?;
        calmed.map_err(unexpected)?;
        for who in 0..=self.nodes.len() {
            let process = self.process(who);
            process.wake();
            process.clock.set_right();
            process.disk.heal();
            if who == LEDGER {
                self.ledger.suspect();
            }
            // Whoever cannot read or write any more starts again.
            self.crash(who, SECOND)?;
        }
        self.mix = Fault::ALL.into_iter().fold(self.mix.clone(), Mix::without);
        let soon = self.now() + HOUR;
        self.run(soon, act)?;
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        // Each round takes a page and gives one; several rounds bring up what lay on lost sides.
        for _ in 0..ROUNDS {
            self.random.shuffle(&mut order);
            let before = self.heads();
            for n in order.clone() {
                self.visit(n, LEDGER)?;
                let then = self.now() + SECOND * 60;
                self.run(then, act)?;
            }
            let agreed = self.nodes.iter().all(|node| node.head() == self.ledger.head());
            if agreed || self.heads() == before && self.idle(&order, act)? {
                break;
            }
        }
        let ledger = self.ledger.head();
        let line: BTreeSet<AumHash> =
            ledger.map(|head| self.truth.line(&head).into_iter().collect()).unwrap_or_default();
        let stranded = |node: &ClientNode| {
            let Some(authority) = node.authority() else { return false };
            let begins_elsewhere = node.begins_late && !line.contains(&authority.oldest().hash);
            // Its lock has ended, but on its side of a fork somebody had replaced the disablement
            // values: no secret that was revealed can tell it of the end.
            let ours = self.ledger.authority().map(|authority| authority.state().state_id());
            let has_ended = ours != Some(authority.state().state_id());
            let cannot_be_told = has_ended && !self.truth.may_end(authority.state());
            begins_elsewhere || cannot_be_told || self.stands_on_refused(node, &line)
        };
        invariants::all_agree_when_calm(
            ledger,
            self.nodes.iter().map(|node| Settled {
                name: &node.process.name,
                head: node.head(),
                stranded: stranded(node),
            }),
        )?;
        let lost: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].head() != ledger && stranded(&self.nodes[*n]))
            .collect();
        for n in lost {
            self.count("stranded, begun anew");
            self.wipe(n)?;
            for _ in 0..ROUNDS {
                self.visit(n, LEDGER)?;
                let then = self.now() + SECOND * 60;
                self.run(then, act)?;
                if self.nodes[n].head() == ledger {
                    break;
                }
            }
            let node = &self.nodes[n];
            let settled = Settled { name: &node.process.name, head: node.head(), stranded: false };
            invariants::all_agree_when_calm(ledger, [settled])?;
        }
        Ok(())
    }

    /// Whether a node stands on a branch that the door refuses, wherever it has it from: by itself,
    /// or together with what the node sends beside it, such as another branch from the same AUM.
    fn stands_on_refused(&self, node: &ClientNode, line: &BTreeSet<AumHash>) -> bool {
        let (Some(head), Some(door)) = (node.head(), &self.door) else { return false };
        let Some(ours) = self.ledger.head() else { return false };
        let theirs = self.truth.line(&head);
        let first = theirs.iter().rev().find(|hash| !line.contains(hash));
        let first = first.and_then(|hash| self.truth.of(hash));
        let record = self.ledger.fold.as_ref().map_or(0, ledger::history::Fold::next_index);
        first.is_some_and(|judged| {
            self.refused
                .get(&judged.aum.hash())
                .is_some_and(|sent| door.after(&self.truth, ours, sent, record).is_err())
        })
    }

    /// Whether another round changes nothing either: one may have given what the next one takes.
    fn idle(
        &mut self,
        order: &[usize],
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<bool> {
        let before = self.heads();
        for n in order {
            self.visit(*n, LEDGER)?;
            let then = self.now() + SECOND * 60;
            self.run(then, act)?;
        }
        Ok(self.heads() == before)
    }

    fn heads(&self) -> Vec<(Option<AumHash>, usize)> {
        let ledger = (self.ledger.head(), self.ledger.acknowledged.len());
        let nodes = self.seen.iter().map(|seen| (seen.head, seen.stored.len()));
        [ledger].into_iter().chain(nodes).collect()
    }

    /// What must hold of the ledger's history as a whole: it verifies, it can be folded again, and
    /// it cannot be changed unnoticed.
    pub fn audit(&mut self) -> Result<()> {
        let rows: &Memory = self.ledger.process.disk.inspect();
        let replayed = invariants::records_verify(rows)?;
        if let Some(fold) = &self.ledger.fold {
            invariants::fold_equals_rows(rows, fold, &replayed)?;
        }
        let records = &replayed.records;
        let tried =
            invariants::tampering_is_noticed(records, self.ledger.member(), &mut self.random)?;
        self.tally.entry("tampered with the records").and_modify(|n| *n += tried).or_insert(tried);
        Ok(())
    }
}
