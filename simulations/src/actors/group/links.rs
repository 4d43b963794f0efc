//! Who is connected to whom, and what travels there.

use std::borrow::BorrowMut;

use ledger::history::{FIRST_RULES, KNOWN_RULES, ReplicaId, members};
use replica::node::letter;
use replica::node::testing::Machine;
use replica::peers::testing::{body_of, greeted, hello, message_of, misquoted, refused};
use replica::peers::{
    Event, Head, Kind, Local, Membership, Message, Peer, Program, Reason, Session, Versions,
};

use super::site::{Frame, Link, Site};
use super::store::DataDir;
use super::{CLUSTER, Due, Group};
use crate::invariants::{self, broken};
use crate::invariants::{Result, unexpected};
use crate::world::clock::SECOND;
use crate::world::{Fault, Ms, ProcessId, Trace};

/// How long nothing gets through before a connection counts as lost.
const SILENCE: Ms = 3 * SECOND;

/// What a peer comes to, for whoever wants to send to it.
enum Reached {
    Up(ProcessId, Box<(Session, [Option<Head>; 2])>),
    Removed,
    /// Does not know whoever wants to talk, but listens to a letter.
    Stranger(ProcessId, Vec<Vec<u8>>),
    Not,
}

impl Site {
    fn local(&self, incarnation: u64, replica: ReplicaId) -> Local {
        let one = Versions { least: 1, most: 1 };
        let rules =
            Versions { least: FIRST_RULES, most: self.rules.clamp(FIRST_RULES, KNOWN_RULES) };
        let program = Program { wire: one, rules, software: self.name.clone() };
        // Everybody here finds everybody by the key.
        Local { cluster: CLUSTER, incarnation, replica, address: None, program }
    }
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// A replica looks at its connections, and makes those that are missing.
    pub(super) fn check_links(&mut self, who: ProcessId) -> Result<()> {
        let now = self.now();
        let Some(machine) = &self.sites[who].machine else { return Ok(()) };
        let (own, membership) = (machine.replica(), machine.membership());
        let view = machine.view();
        // Whoever has only early records goes by what it was told when it was let in.
        if members::member(view.rows(), own).map_err(unexpected)?.is_some_and(|own| own.is_active())
        {
            // Whom it knows as waiting others may have approved since, and told it so.
            let newest = self.looking.newest.as_ref().unwrap_or(&view);
            invariants::who_waits_takes_no_part(newest.rows(), membership.members.keys())?;
        }
        let (mut events, mut shown) = (Vec::new(), Vec::new());
        let mut letters = Vec::new();
        let links = std::mem::take(&mut self.sites[who].links);
        let mut kept = std::collections::BTreeMap::new();
        for (peer, mut link) in links {
            let gone = !membership.members.contains_key(&peer);
            let other = &self.sites[link.to];
            let ended = other.boot != link.boot || other.machine.is_none();
            let cut =
                self.network.is_cut(now, who, link.to) || self.network.is_cut(now, link.to, who);
            link.silent_since = if cut { Some(link.silent_since.unwrap_or(now)) } else { None };
            let silent = link.silent_since.is_some_and(|since| since + SILENCE <= now);
            let shut_out = !cut && !ended && self.holder(link.to, who) != Some(own);
            if gone || ended || silent || shut_out {
                events.push(Event::Down(peer));
            } else {
                kept.insert(peer, link);
            }
        }
        for (peer, known) in &membership.members {
            if *peer == own || kept.contains_key(peer) {
                continue;
            }
            match self.reach(who, own, *peer, known)? {
                Reached::Up(to, met) => {
                    let (session, [theirs, ours]) = *met;
                    events.extend(theirs.map(|head| Event::Remembered(*peer, head)));
                    shown.extend(ours.map(|head| (to, head)));
                    let boot = self.sites[to].boot;
                    kept.insert(*peer, Link { to, boot, silent_since: None });
                    events.push(Event::Up(*peer, session));
                }
                Reached::Removed => {
                    events.push(Event::Unreachable(*peer, refused(Reason::Removed)));
                }
                Reached::Stranger(to, letter) => letters.push((to, letter)),
                Reached::Not => {}
            }
        }
        let site = &mut self.sites[who];
        site.post.set_up(kept.keys().copied().collect());
        site.links = kept;
        for (to, letter) in letters {
            if self.turn(to, |machine| machine.visited(own, &letter))? {
                self.count("let know by a letter");
            }
        }
        for (to, head) in shown {
            self.turn(to, |machine| machine.link([Event::Remembered(own, head)]))?;
        }
        if events.is_empty() {
            return Ok(());
        }
        self.turn(who, |machine| machine.link(events))
    }

    fn memberships(&self, of: ProcessId) -> Option<std::sync::Arc<Membership>> {
        self.sites[of].machine.as_ref().map(|machine| machine.membership())
    }

    /// Whose key `who` has, to machine `of`.
    fn holder(&self, of: ProcessId, who: ProcessId) -> Option<ReplicaId> {
        self.memberships(of)?.holder(self.sites[who].public)
    }

    fn reach(
        &self,
        who: ProcessId,
        own: ReplicaId,
        peer: ReplicaId,
        known: &Peer,
    ) -> Result<Reached> {
        let now = self.now();
        let other = self.sites.iter().find(|site| site.public == known.key && site.id != who);
        let Some(other) = other.filter(|other| other.is_awake(now)) else {
            return Ok(Reached::Not);
        };
        if self.network.is_cut(now, who, other.id) || self.network.is_cut(now, other.id, who) {
            return Ok(Reached::Not);
        }
        let (Some(ours), Some(theirs)) = (&self.sites[who].machine, &other.machine) else {
            return Ok(Reached::Not);
        };
        let membership = theirs.membership();
        let key = self.sites[who].public;
        if membership.removed.contains_key(&key) {
            return Ok(Reached::Removed);
        }
        let Some(we) = membership.holder(key) else {
            theirs.stranger_came();
            let letter = visitable(ours, theirs)?;
            return Ok(letter.map_or(Reached::Not, |letter| Reached::Stranger(other.id, letter)));
        };
        let our_local = self.sites[who].local(ours.incarnation(), own);
        let their_local = other.local(theirs.incarnation(), theirs.replica());
        // As whoever lives on after a restoration elsewhere would say it.
        let mut elsewhere = our_local.clone();
        elsewhere.incarnation += 1;
        if greeted(&their_local, we, &hello(&elsewhere, peer, None)).is_ok() {
            let what = format!("machine {} talks with another incarnation", other.id);
            return Err(broken("only_this_incarnation_gets_in", what));
        }
        let heard = greeted(&their_local, we, &hello(&our_local, peer, ours.remembers(peer)));
        let answer = greeted(&our_local, peer, &hello(&their_local, we, theirs.remembers(we)));
        Ok(match (heard, answer) {
            (Ok(heard), Ok(met)) => {
                let shown = [met.remembered, heard.remembered];
                Reached::Up(other.id, Box::new((met.session, shown)))
            }
            _ => Reached::Not,
        })
    }

    /// What a liar makes of its frames: its snapshots may point to another record.
    fn quoted(
        &mut self,
        (who, peer): (ProcessId, ReplicaId),
        to: ProcessId,
        kind: Kind,
        body: Vec<u8>,
    ) -> Vec<u8> {
        let Some(own) = self.sites[who].replica else { return body };
        if kind != Kind::Raft {
            return body;
        }
        let Some(Ok(message)) = message_of(kind, &body, own, peer) else { return body };
        // Whoever gets entries goes on by them, and not by what a snapshot says.
        if let Message::Raft(raft) = &message {
            for entry in &raft.0.entries {
                self.looking.lies.remove(&(to, entry.index));
                self.looking.honest.insert((to, entry.index));
            }
        }
        let Some((index, _)) = misquoted(&message, 0) else { return body };
        if self.faulty && self.mix.strikes(Fault::Lie, &mut self.random) {
            let how = self.random.below(6);
            if let Some((index, lie)) = misquoted(&message, how)
                && let Ok((_, body)) = body_of(&lie)
            {
                self.count("snapshot misquoted");
                if !self.looking.honest.contains(&(to, index)) {
                    self.looking.lies.insert((to, index));
                }
                return body;
            }
        }
        self.looking.lies.remove(&(to, index));
        self.looking.honest.insert((to, index));
        body
    }

    /// What a replica has sent goes on its way.
    pub(super) fn send_all(&mut self, who: ProcessId) -> Result<()> {
        let now = self.now();
        let frames: Vec<Frame> = self.sites[who].post.take();
        for (peer, kind, body) in frames {
            let Some(link) = self.sites[who].links.get(&peer).copied() else { continue };
            self.look_at_promises((who, link.to), peer, kind, &body)?;
            let boots = (self.sites[who].boot, link.boot);
            let body = self.quoted((who, peer), link.to, kind, body);
            for at in self.network.arrivals(now, who, link.to) {
                let body = body.clone();
                self.agenda.plan(at, Due::Arrives { from: who, to: link.to, boots, kind, body });
            }
        }
        Ok(())
    }
}

/// The letter with which a member gets known to another one that lets strangers speak.
fn visitable(ours: &Machine<DataDir>, theirs: &Machine<DataDir>) -> Result<Option<Vec<Vec<u8>>>> {
    let (here, there) = (ours.view(), theirs.view());
    let Some(last) = there.fold().next_index().checked_sub(1) else { return Ok(None) };
    if !theirs.group().lonely || ours.incarnation() != theirs.incarnation() {
        return Ok(None);
    }
    letter(here.rows(), last).map_err(unexpected)
}
