//! What is looked at after each thing that happens: the invariants of one node, of the ledger, and
//! of all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ledger::history::Fold;
use ledger::history::door::finality::final_point;
use ledger::ids::AumHash;
use ledger::lock::{Authority, Sealed};

use super::{Seen, Tailnet, short};
use crate::actors::client::hashes;
use crate::actors::ledger::{Heard, Outcome};
use crate::invariants::truth::{Door, Shut};
use crate::invariants::{
    self, Holding, Move, broken, ending_needs_a_secret, head_is_where_the_rules_lead,
    head_moves_by_the_rules, only_what_the_rules_admit,
};
use crate::invariants::{Result, unexpected};

impl<A: std::fmt::Display> Tailnet<'_, A> {
    /// The ledger may have recorded something: whatever must hold of it is checked.
    pub fn look_at_ledger(&mut self, before: Option<AumHash>) -> Result<()> {
        const NAME: &str = "the ledger";
        for line in self.ledger.lines() {
            self.say(format_args!("    {line}"));
        }
        for what in std::mem::take(&mut self.ledger.happened) {
            self.count(what);
        }
        for said in std::mem::take(&mut self.ledger.on_worn_disk) {
            invariants::damage_is_never_served(said)?;
            self.count("answered on a worn disk");
        }
        self.look_at_records()?;
        for heard in std::mem::take(&mut self.ledger.heard) {
            self.look_at_door(heard)?;
        }
        let records = self.ledger.acknowledged.len();
        let after = self.ledger.head();
        let Some(authority) = self.ledger.authority() else { return Ok(()) };
        if std::mem::replace(&mut self.ledger_records, records) == records {
            return Ok(());
        }
        let chain = authority.chain(self.ledger.process.disk.inspect());
        let mut nodes = Vec::new();
        for node in chain.nodes().map_err(unexpected)? {
            nodes.push(node.map_err(unexpected)?);
        }
        nodes.sort_by_key(|(hash, node)| (node.height, *hash));
        let stored: BTreeSet<AumHash> = nodes.iter().map(|(hash, _)| *hash).collect();
        if stored == self.ledger_stored {
            return Ok(());
        }
        let mut new = Vec::new();
        for hash in stored.difference(&self.ledger_stored) {
            new.extend(chain.aum(hash).map_err(unexpected)?);
        }
        let new = in_order(&new, &self.ledger_stored);
        only_what_the_rules_admit(&mut self.truth, NAME, &new)?;
        head_is_where_the_rules_lead(&self.truth, NAME, authority, &stored)?;
        let began = !self.ledger_stored.is_subset(&stored);
        self.ledger_stored = stored;
        match (before, after) {
            (Some(before), Some(after)) if !began => {
                match head_moves_by_the_rules(&self.truth, NAME, before, after)? {
                    Move::Fork => self.count("fork won"),
                    Move::Stays => self.count("fork lost"),
                    Move::Forward => {}
                }
            }
            _ => {}
        }
        if before != after {
            self.say(format_args!("the ledger is at {}", short(after)));
        }
        Ok(())
    }

    /// Somebody who sees nothing but the records comes to the same with each of them; and now and
    /// then to the same rows.
    fn look_at_records(&mut self) -> Result<()> {
        let rows = self.ledger.process.disk.inspect();
        if !self.replayed.follow(rows)? {
            return Ok(());
        }
        let Some(fold) = &self.ledger.fold else { return Ok(()) };
        invariants::fold_equals_replay(fold, &self.replayed)?;
        if self.random_audit.chance(60) {
            invariants::fold_equals_rows(rows, fold, &self.replayed)?;
            self.count("audited on the way");
        }
        Ok(())
    }

    /// The ledger was asked something: its door has judged as it must.
    fn look_at_door(&mut self, heard: Heard) -> Result<()> {
        let (head, aums, outcome) = match heard {
            Heard::DoorBegan(oldest) => {
                self.door = Some(Door::new(oldest));
                return Ok(());
            }
            Heard::NoDoor => {
                self.door = None;
                return Ok(());
            }
            Heard::Aums(head, aums, outcome) => (head, aums, outcome),
        };
        for aum in &aums {
            // What stands on nothing is no business of anybody's yet.
            if aum.parent_hash().is_none_or(|parent| self.truth.of(&parent).is_some()) {
                self.truth.judge(aum);
            }
        }
        let recorded = match &outcome {
            Outcome::Recorded(record) => Ok(*record),
            Outcome::Refused(why) => {
                let stored = &self.ledger_stored;
                let new = aums.iter().map(Sealed::hash).filter(|hash| !stored.contains(hash));
                let all: Rc<[Sealed]> = aums.clone().into();
                self.refused.extend(new.map(|hash| (hash, all.clone())));
                Err(why)
            }
        };
        let Some(door) = &self.door else { return Ok(()) };
        let next = self.ledger.fold.as_ref().map_or(0, Fold::next_index);
        let record = recorded.unwrap_or(next);
        let after = door.after(&self.truth, head, &aums, record);
        let expected = after.as_ref().map(|_| ()).map_err(|why| *why);
        invariants::the_door_judges_by_its_rules(expected, recorded)?;
        if let Err(why) = expected {
            self.count(match why {
                Shut::Invalid => "AUMs against the rules refused",
                Shut::Leaves => "fork refused at the door",
                Shut::NoRevocation(_) => "checkpoint attack refused",
                Shut::Outvoted => "revocation outvoted at the door",
                Shut::Final => "refused below the final AUM",
                Shut::Spent => "quota refused",
                Shut::Loses => "fork lost at the door",
            });
        }
        if let (Ok(after), Ok(_)) = (after, recorded) {
            self.door_moved(after, &aums)?;
        }
        Ok(())
    }

    /// AUMs have come through the door: the final AUM may be another one.
    fn door_moved(&mut self, after: Door, aums: &[Sealed]) -> Result<()> {
        let Some(before) = self.door.replace(after.clone()) else { return Ok(()) };
        let Some(authority) = self.ledger.authority() else { return Ok(()) };
        let rows = self.ledger.process.disk.inspect();
        let point = final_point(rows, authority).map_err(unexpected)?;
        if point.at.hash != after.final_at {
            let (is, should) = (point.at.hash, after.final_at);
            return Err(broken("the_final_aum_is_the_rules", format!("{is}, not {should}")));
        }
        let head = authority.head();
        // Only the last step of several can be seen from outside.
        if aums.len() == 1 {
            invariants::final_needs_most_votes(&self.truth, before.final_at, after.final_at, head)?;
        }
        if before.final_at != after.final_at {
            let line = self.truth.line(&head);
            let forced = !line.contains(&before.final_at);
            self.count(if forced { "forced past finality" } else { "an AUM became final" });
            self.say(format_args!("final: {}", short(Some(after.final_at))));
        }
        Ok(())
    }

    /// A node has woken up: what it has is taken as it is, but must follow the rules.
    pub(super) fn look_anew(&mut self, n: usize) -> Result<()> {
        self.seen[n] = Seen::default();
        self.look(n)
    }

    /// A node was wiped, by somebody who knows that it can never follow, or that it must begin
    /// anew.
    pub fn wipe(&mut self, n: usize) -> Result<()> {
        let node = &mut self.nodes[n];
        node.process.disk.wipe();
        node.visit = None;
        node.begins_late = false;
        node.process.crash();
        node.start().map_err(unexpected)?;
        self.seen[n] = Seen::default();
        Ok(())
    }

    /// What a node has may have changed: whatever must hold of one node is checked.
    pub fn look(&mut self, n: usize) -> Result<()> {
        let node = &self.nodes[n];
        let Some(client) = &node.client else { return Ok(()) };
        let seen = &self.seen[n];
        let name = node.process.name.clone();
        let Some(authority) = client.authority() else {
            if let Some(state) = &seen.state {
                ending_needs_a_secret(&self.truth, &name, state)?;
                let now = self.ledger.authority().map(|authority| authority.state().state_id());
                if now.is_some_and(|now| now != state.state_id()) {
                    // It was away while its lock ended and another began.
                    self.count("missed disable healed");
                }
                self.count("lock ended");
                self.say(format_args!("{name} has ended its lock"));
                self.seen[n] = Seen::default();
            }
            return Ok(());
        };
        let (head, oldest) = (authority.head(), authority.oldest().hash);
        let rows = node.process.disk.inspect();
        let aums = node.stored().map_err(unexpected)?;
        if seen.head == Some(head) && seen.stored.len() == aums.len() {
            return Ok(());
        }
        let stored = hashes(&aums);
        let new = in_order(&aums, &seen.stored);
        only_what_the_rules_admit(&mut self.truth, &name, &new)?;
        head_is_where_the_rules_lead(&self.truth, &name, authority, &stored)?;
        invariants::a_node_wakes_as_it_was(&name, client, rows)?;
        let moved = match seen.head {
            Some(before) => head_moves_by_the_rules(&self.truth, &name, before, head)?,
            None => Move::Forward,
        };
        let state = Some(authority.state().clone());
        let line: BTreeSet<AumHash> = self.truth.line(&head).into_iter().collect();
        let lost = new.iter().any(|aum| !line.contains(&aum.hash()));
        self.seen[n] = Seen { head: Some(head), state, stored, oldest: Some(oldest) };
        if moved == Move::Fork {
            self.count("fork won");
        } else if lost {
            self.count("fork lost");
        }
        self.say(format_args!("{name} is at {} with {} AUMs", short(Some(head)), aums.len()));
        self.same_heads()
    }

    fn same_heads(&self) -> Result<()> {
        let holdings = self.seen.iter().zip(&self.nodes).filter_map(|(seen, node)| {
            Some(Holding {
                name: &node.process.name,
                oldest: seen.oldest?,
                stored: &seen.stored,
                head: seen.head?,
            })
        });
        invariants::same_aums_same_head(holdings)
    }

    /// A node has compacted its chain, from what `before` was.
    pub fn look_at_compacted(&mut self, n: usize, before: &Authority) -> Result<()> {
        let node = &self.nodes[n];
        let Some(after) = node.authority() else { return Ok(()) };
        let aums = node.stored().map_err(unexpected)?;
        let left = hashes(&aums);
        let name = &node.process.name;
        invariants::compaction_keeps_the_head(&self.truth, name, before, after, &left)?;
        if left.len() < self.seen[n].stored.len() {
            self.count("compacted");
        }
        self.look(n)
    }
}

/// The AUMs that are not in `known`, each after its parent.
fn in_order(aums: &[Sealed], known: &BTreeSet<AumHash>) -> Vec<Sealed> {
    let mut new: BTreeMap<AumHash, &Sealed> = BTreeMap::new();
    for aum in aums {
        if !known.contains(&aum.hash()) {
            new.insert(aum.hash(), aum);
        }
    }
    let mut ordered = Vec::new();
    while let Some((hash, _)) = new.first_key_value() {
        let mut path = vec![*hash];
        while let Some(parent) = path.last().and_then(|hash| new.get(hash)?.parent_hash())
            && new.contains_key(&parent)
        {
            path.push(parent);
        }
        ordered.extend(path.iter().rev().filter_map(|hash| new.remove(hash)).cloned());
    }
    ordered
}
