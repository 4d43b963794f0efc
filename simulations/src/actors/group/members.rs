//! Who is in the group: machines that are invited, join, change their roles, are put out or
//! replaced, and disks that are lost.

use std::borrow::BorrowMut;

use ledger::history::members::{self, Member, Standing};
use ledger::history::{
    Event, InvitationKey, Invited, MemberFingerprint, ReplicaId, Role, RoleChange,
};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::rows::raft::{Identity, Neighbour};
use ledger::testing::joined;
use replica::core::Role as RaftRole;
use replica::node::introduced;

use super::clients::{Done, Want};
use super::site::Part;
use super::{CLUSTER, Due, Group};
use crate::invariants::broken;
use crate::invariants::{Result, unexpected};
use crate::world::clock::{MINUTE, SECOND};
use crate::world::{ProcessId, Trace};

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// The members on record, as the newest replica has them.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let Some(view) = &self.looking.newest else { return Ok(Vec::new()) };
        members::live(view.rows()).map_err(unexpected)
    }

    /// The machine that is that member.
    fn site_of(&self, member: &Member) -> Option<ProcessId> {
        let site = self.sites.iter().find(|site| site.public == member.member_key)?;
        Some(site.id)
    }

    /// Machines with nothing on their disks.
    pub(crate) fn empty(&self) -> Vec<ProcessId> {
        let empty = self.sites.iter().filter(|site| site.part == Part::Empty);
        empty.map(|site| site.id).collect()
    }

    fn invitation_key(&self, who: ProcessId) -> PrivateKey {
        ledger::testing::invitation_key(self.sites[who].key_seed())
    }

    /// Somebody invites a machine that is in nobody's group, by name or without.
    pub(crate) fn invite(&mut self, who: ProcessId, named: bool, short: bool) -> Result<()> {
        let now = self.now();
        if self.sites[who].part != Part::Empty {
            return Ok(());
        }
        let key = InvitationKey(self.invitation_key(who).public().0);
        let fingerprint: MemberFingerprint = self.sites[who].public.fingerprint();
        let until = if short { SECOND } else { 60 * MINUTE };
        let expires_ms = 1_700_000_000_000 + now + until;
        let invited = Invited { key, expires_ms, named: named.then_some(fingerprint) };
        let request = format!("invite-{}", self.sites[who].key_seed());
        self.sites[who].part = Part::Joining { invitation: key, since: now };
        let host = self.random.place(self.sites.len());
        self.agenda.plan(now + 200, Due::AsksToJoin(who));
        self.want(Want::at(host, request, Event::MemberInvited(invited)).must())
    }

    /// A machine asks some member to be let in.
    pub(super) fn ask_to_join(&mut self, who: ProcessId) -> Result<()> {
        let now = self.now();
        let Part::Joining { .. } = self.sites[who].part else { return Ok(()) };
        self.agenda.plan(now + 300, Due::AsksToJoin(who));
        let seed = self.sites[who].key_seed();
        match self.clients.done(&format!("invite-{seed}")) {
            Some(Done::Recorded(_)) => {}
            Some(_) => {
                self.sites[who].part = Part::Empty;
                return Ok(());
            }
            None => return Ok(()),
        }
        let hosts: Vec<ProcessId> =
            self.sites.iter().filter(|site| site.is_awake(now)).map(|site| site.id).collect();
        if hosts.is_empty() {
            return Ok(());
        }
        let host = self.random.pick(&hosts);
        let Some(machine) = &self.sites[host].machine else { return Ok(()) };
        let (view, incarnation) = (machine.view(), machine.incarnation());
        let public = self.sites[who].public;
        let request = format!("join-{seed}");
        let Some(member) = members::by_member_key(view.rows(), public).map_err(unexpected)? else {
            return match self.clients.done(&request) {
                // The host has not heard of it yet.
                Some(Done::Recorded(_)) => Ok(()),
                Some(Done::Refused | Done::Unknown) => {
                    // Too late: it needs another invitation.
                    self.begin_anew(who);
                    Ok(())
                }
                None if self.clients.is_asked(&request) => Ok(()),
                None => {
                    let secret = self.invitation_key(who);
                    let details = self.sites[who].details();
                    let private = self.sites[who].private.clone();
                    let joined = joined((CLUSTER, incarnation), &secret, &private, details);
                    self.want(Want::at(host, request, Event::MemberJoined(Box::new(joined))))
                }
            };
        };
        match member.standing {
            Standing::Pending => {
                let at = self.soon(2 * SECOND);
                self.agenda.plan(at, Due::Approves(member.id));
            }
            Standing::Learner | Standing::Voter => {
                let peers = introduced(view.rows()).map_err(unexpected)?;
                let peers = peers.into_iter().map(|(id, peer)| Neighbour {
                    replica: id.0,
                    key: peer.key.0,
                    address: peer.address,
                });
                let identity = Identity { cluster: CLUSTER.0, replica: member.id.0, incarnation };
                self.sites[who].part = Part::LetIn(identity, peers.collect());
                self.say(format_args!("machine {who} is let in as replica {}", member.id));
                self.start(who)?;
            }
            Standing::Removed(_) => self.begin_anew(who),
        }
        Ok(())
    }

    /// Somebody approves a member that waits.
    pub(super) fn approve(&mut self, member: ReplicaId) -> Result<()> {
        let request = format!("approve-{member}");
        if self.clients.is_asked(&request) {
            return Ok(());
        }
        let host = self.random.place(self.sites.len());
        self.want(Want::at(host, request, Event::MemberApproved(member)).must())
    }

    /// Its disk is emptied, and it has other keys from now on.
    pub(super) fn begin_anew(&mut self, who: ProcessId) {
        let site = &mut self.sites[who];
        site.machine = None;
        site.links.clear();
        site.boot += 1;
        site.seen = super::site::Seen::default();
        site.begin_anew();
        self.suspects.remove(&who);
        self.clients_lose(who);
    }

    /// A machine cannot go on as who it was: its operator puts the old member out, and lets the
    /// machine join anew.
    pub(super) fn give_up(&mut self, who: ProcessId) -> Result<()> {
        let member = self.sites[who].replica;
        self.begin_anew(who);
        self.count("replaced");
        if let Some(member) = member {
            self.lost.insert(member);
            let host = self.random.place(self.sites.len());
            let request = format!("remove-{member}");
            if !self.clients.is_asked(&request) {
                self.want(Want::at(host, request, Event::MemberRemoved(member)).must())?;
            }
        }
        self.invite(who, true, false)
    }

    /// Whether the group is what the records say, nothing is under way, and it goes on without a
    /// voter that it has.
    pub(super) fn may_do_without(&self, who: ProcessId) -> bool {
        if !self.lost.is_empty() || !self.suspects.is_empty() || self.changing() {
            return false;
        }
        let leads = |machine: &&replica::node::testing::Machine<super::DataDir>| {
            machine.status().role == RaftRole::Leader
        };
        let machines = self.sites.iter().filter_map(|site| site.machine.as_ref());
        let Some(leader) = machines.filter(leads).max_by_key(|machine| machine.status().term)
        else {
            return false;
        };
        let conf = leader.status().group;
        let Some(view) = &self.looking.newest else { return false };
        if crate::invariants::the_group_follows_the_records(view.rows(), &conf).is_err() {
            return false;
        }
        let id = self.sites[who].replica;
        let votes = |id: Option<ReplicaId>| id.is_some_and(|id| conf.voters.contains(&id.0));
        // A replica counts votes by the group that it has applied: the others must have come to this
        // one, or they elect nobody by the one before.
        let others = self.sites.iter().filter(|site| site.id != who && votes(site.replica));
        let have = |site: &&super::Site| {
            site.machine.as_ref().is_some_and(|machine| machine.status().group == conf)
        };
        !votes(id) || others.filter(have).count() * 2 > conf.voters.len()
    }

    /// Whether a change of the members has been asked for whose outcome is not known.
    fn changing(&self) -> bool {
        self.clients.ops.iter().any(|op| op.done.is_none() && op.changes_members())
    }

    /// A machine loses its database; the small files beside it are still there.
    pub(crate) fn lose_disk(&mut self, who: ProcessId) -> Result<()> {
        if self.sites[who].part != Part::Member || !self.may_do_without(who) {
            return Ok(());
        }
        if let Some(member) = self.sites[who].replica {
            self.lost.insert(member);
        }
        self.count("disk lost");
        self.crash(who, SECOND)?;
        let site = &mut self.sites[who];
        site.destroyed = true;
        site.disk.wipe(false);
        if !site.starting {
            site.starting = true;
            let at = self.now() + SECOND;
            self.agenda.plan(at, Due::Starts(who));
        }
        Ok(())
    }

    /// A member is put out.
    pub(crate) fn remove(&mut self, draw: u64) -> Result<()> {
        let Some((member, who)) = self.dispensable(draw)? else { return Ok(()) };
        let host = draw as usize % self.sites.len();
        let request = format!("remove-{}", member.id);
        if self.clients.is_asked(&request) {
            return Ok(());
        }
        self.say(format_args!("machine {who} is to leave"));
        self.want(Want::at(host, request, Event::MemberRemoved(member.id)).must())
    }

    /// A member without which the group still has a majority, and its machine.
    fn dispensable(&self, draw: u64) -> Result<Option<(Member, ProcessId)>> {
        let all = self.members()?;
        let voters = all.iter().filter(|member| member.standing == Standing::Voter).count();
        let active: Vec<&Member> = all.iter().filter(|member| member.is_active()).collect();
        if active.is_empty() {
            return Ok(None);
        }
        let member = active[draw as usize % active.len()];
        let Some(who) = self.site_of(member) else { return Ok(None) };
        let spare = member.standing != Standing::Voter || voters > 2;
        Ok((spare && self.may_do_without(who)).then(|| (member.clone(), who)))
    }

    /// Members change their roles: one is demoted, and all learners become voters perhaps.
    pub(crate) fn change_roles(&mut self, draw: u64) -> Result<()> {
        let learners: Vec<ReplicaId> = self
            .members()?
            .into_iter()
            .filter(|member| member.standing == Standing::Learner)
            .map(|member| member.id)
            .collect();
        let host = draw as usize % self.sites.len();
        let demoted = self.dispensable(draw >> 8)?;
        if let Some((member, _)) = demoted
            && member.standing == Standing::Voter
        {
            let change = RoleChange { member: member.id, role: Role::Learner };
            let request = format!("demote-{draw:016x}");
            self.want(Want::at(host, request, Event::MemberRoleChanged(change)).must())?;
        }
        if draw.is_multiple_of(3) && !learners.is_empty() {
            return Ok(());
        }
        for member in learners {
            let change = RoleChange { member, role: Role::Voter };
            let request = format!("promote-{member}-{draw:016x}");
            self.want(Want::at(host, request, Event::MemberRoleChanged(change)).must())?;
        }
        Ok(())
    }

    /// A machine whose replica knows that it was removed is emptied by its operator.
    pub(crate) fn clear_removed(&mut self) -> Result<()> {
        let all = self.members()?;
        for who in 0..self.sites.len() {
            let site = &self.sites[who];
            let Some(id) = site.replica else { continue };
            if site.part != Part::Member || all.iter().any(|member| member.id == id) {
                continue;
            }
            self.count("removed machine emptied");
            self.begin_anew(who);
        }
        Ok(())
    }

    /// A machine that did not hear what had become of its wish to join has begun anew; its operator
    /// puts out whoever it would have been.
    pub(super) fn put_out_who_never_came(&mut self) -> Result<()> {
        let mut members = self.members()?;
        members.retain(|member| self.site_of(member).is_none());
        for member in members {
            let request = format!("remove-{}", member.id);
            if self.clients.is_asked(&request) {
                continue;
            }
            self.count("a member that never came removed");
            let host = self.random.place(self.sites.len());
            self.want(Want::at(host, request, Event::MemberRemoved(member.id)).must())?;
        }
        Ok(())
    }

    /// A machine gets a program that knows the next rules, and says so.
    pub(crate) fn upgrade(&mut self, who: ProcessId, draw: u64) -> Result<()> {
        let rules = ledger::history::KNOWN_RULES;
        self.sites[who].rules = rules;
        if self.sites[who].machine.is_none() {
            return Ok(());
        }
        self.crash(who, 100)?;
        let details = self.sites[who].details();
        let request = format!("upgrade-{draw:016x}");
        self.want(Want::at(who, request, Event::MemberChanged(details)).its_own())
    }

    /// Somebody wants the next rules to be active.
    pub(crate) fn activate(&mut self, draw: u64) -> Result<()> {
        let rules = ledger::history::KNOWN_RULES;
        let host = draw as usize % self.sites.len();
        self.want(Want::at(host, format!("rules-{draw:016x}"), Event::RulesActivated(rules)))
    }

    /// Another member is to lead.
    pub(crate) fn hand_over(&mut self, who: ProcessId) -> Result<()> {
        if !self.sites[who].is_awake(self.now()) {
            return Ok(());
        }
        self.count("asked to hand over");
        self.turn(who, |machine| machine.hand_over(None))
    }

    /// The first machines have joined one after the other, with nothing going wrong.
    pub(crate) fn grow_to(
        &mut self,
        machines: usize,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        self.bring_up_to_date(act)?;
        for who in 1..machines {
            self.invite(who, !who.is_multiple_of(3), false)?;
        }
        for _ in 0..400 {
            let until = self.now() + 100;
            self.run(until, act)?;
            let voters = self.members()?.iter().filter(|m| m.standing == Standing::Voter).count();
            let here = |site: &super::Site| {
                site.machine
                    .as_ref()
                    .is_some_and(|machine| machine.status().group.voters.len() == machines)
            };
            if voters == machines && self.sites[..machines].iter().all(here) {
                return Ok(());
            }
        }
        Err(broken(
            "the_group_makes_progress",
            format!("{machines} machines do not become a group: {}", self.stands(machines)),
        ))
    }

    /// A ledger of one machine that began with older rules, which know no other members, gets a newer
    /// program and the newest rules. So do the machines that are to join it.
    fn bring_up_to_date(&mut self, act: &mut dyn FnMut(&mut Self, &A) -> Result<()>) -> Result<()> {
        let newest = ledger::history::KNOWN_RULES;
        if self.sites[0].rules >= newest {
            return Ok(());
        }
        for site in &mut self.sites[1..] {
            site.rules = newest;
        }
        let upgraded = |group: &Self| -> Result<bool> {
            Ok(group.members()?.iter().all(|member| member.details.rules == newest))
        };
        // Its first record has to be there before it can say so.
        self.until(act, |group| Ok(!group.members()?.is_empty()))?;
        self.upgrade(0, 0)?;
        self.until(act, upgraded)?;
        self.activate(0)?;
        self.until(act, |group| {
            let view = group.looking.newest.as_ref();
            Ok(view.is_some_and(|view| view.fold().rules() == newest))
        })
    }

    /// Goes on until it is so, for a bounded time.
    fn until(
        &mut self,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
        is_so: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..400 {
            if is_so(self)? {
                return Ok(());
            }
            let until = self.now() + 100;
            self.run(until, act)?;
        }
        Err(broken(
            "the_group_makes_progress",
            format!("one machine does not get there: {}", self.stands(1)),
        ))
    }

    /// Where each of them stands, in a line.
    pub(super) fn stands(&self, machines: usize) -> String {
        let one = |site: &super::Site| match &site.machine {
            Some(machine) => {
                let (status, view) = (machine.status(), machine.view());
                format!(
                    "{:?} term {} leader {:?} committed {} applied {} records {} voters {:?} \
                     outgoing {:?} learners {:?} fetching {:?}",
                    status.role,
                    status.term,
                    status.leader,
                    status.committed,
                    view.applied(),
                    view.fold().next_index(),
                    status.group.voters,
                    status.group.voters_outgoing,
                    status.group.learners,
                    machine.fetching()
                )
            }
            None => "down".to_owned(),
        };
        self.sites[..machines].iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
