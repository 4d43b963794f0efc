//! A group of replicas: the production core, log, recovery, loop and applier, each on a machine
//! with a disk, a clock and a network of its own, and the people who ask them.

mod calm;
mod clients;
mod copies;
mod keeping;
mod links;
mod looking;
mod members;
mod site;
mod store;
pub(crate) mod troubles;

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledger::history::{Event, Founder, ReplicaId};
use replica::core::WindowLimits;
use replica::disk::recovery::{Fresh, StartError, recover_at};
use replica::node::Portions;
use replica::node::testing::{Machine, Surroundings};
use replica::peers::{Event as LinkEvent, Kind};

use self::clients::Clients;
use self::looking::Looking;
use self::site::{Part, Site};
use crate::invariants::Result;
use crate::invariants::broken;
use crate::world::Tally;
use crate::world::clock::{Agenda, SECOND};
use crate::world::{Mix, Ms, Network, Plan, ProcessId, Random, Step, Trace};

pub(crate) use self::clients::Want;
pub(crate) use self::keeping::Nobody;
pub(crate) use self::site::first_member;
pub use self::store::{DataDir, StoreView};

/// Virtual time between two ticks of a replica.
const TICK: Ms = 50;
/// The cluster of every seed.
const CLUSTER: ledger::history::ClusterId = ledger::history::ClusterId([0x67; 16]);

/// What is due at some time.
#[derive(Debug)]
enum Due<A> {
    Step(Step<A>),
    Ticks(ProcessId, u64),
    Arrives { from: ProcessId, to: ProcessId, boots: (u64, u64), kind: Kind, body: Vec<u8> },
    Starts(ProcessId),
    HasSpace(ProcessId),
    AsksAgain(usize),
    AsksToJoin(ProcessId),
    Approves(ReplicaId),
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group<A, T> {
    agenda: Agenda<Due<A>>,
    clock: Arc<AtomicU64>,
    network: Network,
    mix: Mix,
    random: Random,
    trace: T,
    seed: u64,
    /// When the last step is done.
    end: Ms,
    window: WindowLimits,
    portions: Portions,
    sites: Vec<Site>,
    clients: Clients,
    looking: Looking,
    /// How often what happened.
    pub(crate) tally: Tally,
    /// What may still be wrong with processes and ways.
    faulty: bool,
    /// Members of whom a part of the promises was lost, until the group goes on without them.
    lost: BTreeSet<ReplicaId>,
    /// Machines with a flipped bit, until they have shown what it has cost.
    suspects: BTreeSet<ProcessId>,
    leaders: BTreeMap<u64, ReplicaId>,
    /// A machine whose disk lasts.
    lasting: Option<ProcessId>,
}

impl<A: std::fmt::Display, T: BorrowMut<Trace>> Group<A, T> {
    /// So many machines, of which the first founds a group; nothing goes wrong yet.
    pub(crate) fn new(plan: Plan<A>, machines: usize, rules: u32, mut trace: T) -> Result<Self> {
        let Plan { seed, mix, steps } = plan;
        let mut random = Random::new(seed, "group");
        let (base, clock) = (Instant::now(), Arc::<AtomicU64>::default());
        let keep = random.between(2, 12);
        let window = WindowLimits {
            keep_entries: keep,
            cut_entries: (keep + random.between(1, 12)) as usize,
            cut_bytes: random.pick(&[4_000, 20_000, 32 << 20]),
        };
        let portions = Portions {
            message_bytes: 512 << 10,
            message_records: random.between(1, 6) as usize,
            request_bytes: random.pick(&[2_000, 8_000, 8 << 20]),
        };
        let begins = format_args!("seed {seed}: {machines} machines, {window:?}, {mix}");
        trace.borrow_mut().say(0, begins);
        let sites =
            (0..machines).map(|id| Site::new(seed, id, &mix, base, &clock, rules)).collect();
        let mut agenda = Agenda::default();
        let end = steps.last().map_or(0, |(at, _)| *at);
        for (at, step) in steps {
            agenda.plan(at, Due::Step(step));
        }
        let mut group = Group {
            agenda,
            clock,
            network: Network::new(seed, Mix::none()),
            mix,
            random,
            trace,
            seed,
            end,
            window,
            portions,
            sites,
            clients: Clients::default(),
            looking: Looking::default(),
            tally: Tally::new(),
            faulty: false,
            lost: BTreeSet::new(),
            suspects: BTreeSet::new(),
            leaders: BTreeMap::new(),
            lasting: None,
        };
        group.found()?;
        Ok(group)
    }

    fn found(&mut self) -> Result<()> {
        self.start(0)?;
        let site = &self.sites[0];
        let founder =
            Founder { id: ReplicaId(1), member_key: site.public, details: site.details() };
        self.want(Want::at(0, "group-created", Event::GroupCreated(founder)))
    }

    /// The time.
    pub(crate) fn now(&self) -> Ms {
        self.agenda.now()
    }

    /// Notes what happens.
    pub(crate) fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.borrow_mut().say(self.agenda.now(), what);
    }

    /// Counts something that happens.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// From now on things go wrong.
    pub(crate) fn trouble_begins(&mut self) {
        self.faulty = true;
        self.network = Network::new(self.seed, self.mix.clone());
    }

    /// Runs until that time.
    pub(crate) fn run(
        &mut self,
        until: Ms,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        while let Some(due) = self.agenda.next_until(until) {
            self.clock.store(self.agenda.now(), Ordering::Relaxed);
            match due {
                Due::Step(Step::Act(what)) => {
                    self.say(format_args!("{what}"));
                    act(self, &what)?;
                }
                Due::Step(Step::Trouble(trouble)) => self.trouble(trouble)?,
                Due::Ticks(who, boot) => self.ticks(who, boot)?,
                Due::Arrives { from, to, boots, kind, body } => {
                    self.arrives((from, to), boots, kind, body)?;
                }
                Due::Starts(who) => {
                    self.sites[who].starting = false;
                    self.start(who)?;
                }
                Due::HasSpace(who) => {
                    self.sites[who].full = false;
                    self.sites[who].disk.set_full(false);
                }
                Due::AsksAgain(place) => self.ask(place)?,
                Due::AsksToJoin(who) => self.ask_to_join(who)?,
                Due::Approves(member) => self.approve(member)?,
            }
        }
        self.agenda.pass(until);
        self.clock.store(self.agenda.now(), Ordering::Relaxed);
        Ok(())
    }

    /// Runs until the last step is done.
    pub(crate) fn run_plan(
        &mut self,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        let end = self.end;
        self.run(end, act)
    }

    /// A replica's clock ticks.
    fn ticks(&mut self, who: ProcessId, boot: u64) -> Result<()> {
        let now = self.now();
        let site = &mut self.sites[who];
        if site.boot != boot || site.machine.is_none() {
            return Ok(());
        }
        if site.stalled_until > now {
            self.agenda.plan(site.stalled_until, Due::Ticks(who, boot));
            return Ok(());
        }
        site.ticks += 1;
        let check_links = site.ticks.is_multiple_of(4);
        self.agenda.plan(now + TICK, Due::Ticks(who, boot));
        if check_links {
            self.check_links(who)?;
        }
        self.turn(who, Machine::tick)
    }

    /// Lets a replica do something, and sees what comes of it. A fault ends it.
    fn turn<R: Default>(
        &mut self,
        who: ProcessId,
        does: impl FnOnce(&mut Machine<DataDir>) -> std::result::Result<R, ledger::Fault>,
    ) -> Result<R> {
        let Some(machine) = &mut self.sites[who].machine else { return Ok(R::default()) };
        let did = does(machine);
        self.send_all(who)?;
        self.look(who)?;
        self.answers(who)?;
        match did {
            Ok(value) => Ok(value),
            Err(fault) => {
                self.stopped(who, &fault)?;
                Ok(R::default())
            }
        }
    }

    /// A replica has stopped by itself.
    fn stopped(&mut self, who: ProcessId, fault: &ledger::Fault) -> Result<()> {
        let text = fault.to_string();
        self.say(format_args!("machine {who}: the replica stops: {text}"));
        if site_is_set_back(&self.sites[who], &text) {
            self.count("older copy noticed");
            self.crash(who, SECOND)?;
            return self.give_up(who);
        }
        // Only what happens to its disk may stop it.
        if !is_the_disks(&text) {
            return Err(broken(
                "replicas_stop_only_for_their_disks",
                format!("machine {who}: {text}"),
            ));
        }
        self.crash(who, SECOND)
    }

    /// A process is gone, and comes back after a while.
    pub(super) fn crash(&mut self, who: ProcessId, ms: Ms) -> Result<()> {
        let now = self.now();
        let site = &mut self.sites[who];
        if site.machine.take().is_none() {
            return Ok(());
        }
        site.disk.crash();
        site.links.clear();
        site.post.take();
        site.seen = site::Seen { records: 0, ..site::Seen::default() };
        if !site.starting {
            site.starting = true;
            self.agenda.plan(now + ms, Due::Starts(who));
        }
        self.clients_lose(who);
        Ok(())
    }

    /// A process starts, on what its disk holds.
    fn start(&mut self, who: ProcessId) -> Result<()> {
        let now = self.now();
        let site = &mut self.sites[who];
        if site.machine.is_some() {
            return Ok(());
        }
        let fresh = match &site.part {
            Part::Empty if who == 0 && site.life == 0 => Fresh::Founder(CLUSTER),
            Part::Empty | Part::Joining { .. } => return Ok(()),
            Part::LetIn(identity, peers) => Fresh::Joiner(*identity, peers.clone()),
            Part::Member => Fresh::Refused,
        };
        let reopened = site.disk.reopen();
        site.boot += 1;
        let surroundings = Surroundings {
            member: site.private.clone(),
            seed: self.seed ^ ((who as u64) << 32) ^ site.boot,
            window: self.window,
            portions: self.portions,
            clock: site.clock.clone(),
            way: site.post.clone(),
        };
        let started = recover_at(&site.disk, fresh)
            .and_then(|recovered| Machine::start(recovered, surroundings));
        match started {
            Ok(machine) => {
                site.replica = Some(machine.replica());
                site.part = Part::Member;
                let destroyed = site.destroyed;
                site.machine = Some(machine);
                let boot = site.boot;
                site.stalled_until = 0;
                self.say(format_args!("machine {who} starts"));
                if destroyed {
                    return Err(broken(
                        "an_old_identity_is_refused",
                        format!("machine {who} goes on"),
                    ));
                }
                if reopened.dropped > 0 && !reopened.lost_synced {
                    self.count("torn tail");
                }
                self.agenda.plan(now + 1, Due::Ticks(who, boot));
                self.turn(who, |_| Ok(()))
            }
            Err(error) => {
                self.say(format_args!("machine {who} does not start: {error}"));
                self.does_not_start(who, &error, reopened.lost_synced)
            }
        }
    }

    fn does_not_start(
        &mut self,
        who: ProcessId,
        error: &StartError,
        lost_synced: bool,
    ) -> Result<()> {
        let now = self.now();
        let site = &mut self.sites[who];
        if lost_synced || site.destroyed {
            site.destroyed = true;
            self.count("damage noticed");
            return self.give_up(who);
        }
        if is_the_disks(&error.to_string()) {
            site.starting = true;
            // A power cut is over by the next start.
            site.disk.crash();
            self.agenda.plan(now + SECOND, Due::Starts(who));
            return Ok(());
        }
        Err(broken("undamaged_replicas_start", format!("machine {who}: {error}")))
    }

    /// A frame arrives.
    fn arrives(
        &mut self,
        (from, to): (ProcessId, ProcessId),
        boots: (u64, u64),
        kind: Kind,
        body: Vec<u8>,
    ) -> Result<()> {
        let now = self.now();
        let site = &self.sites[to];
        let same = (self.sites[from].boot, site.boot) == boots;
        if !same || site.machine.is_none() {
            return Ok(());
        }
        if site.stalled_until > now {
            let due = Due::Arrives { from, to, boots, kind, body };
            self.agenda.plan(site.stalled_until, due);
            return Ok(());
        }
        let (Some(sender), Some(receiver)) = (self.sites[from].replica, site.replica) else {
            return Ok(());
        };
        let decoded = replica::peers::testing::message_of(kind, &body, sender, receiver);
        let message = match decoded {
            Some(Ok(message)) => message,
            other => {
                let what = format!("from machine {from} to machine {to}: {other:?}");
                return Err(broken("what_members_say_is_understood", what));
            }
        };
        let Some(received) = replica::peers::testing::received(sender, message) else {
            return Ok(());
        };
        self.turn(to, |machine| machine.link([LinkEvent::Message(received)]))
    }
}

/// Whether a replica that goes on with an older copy of its disk has been shown that it does.
fn site_is_set_back(site: &Site, fault: &str) -> bool {
    site.set_back && fault.contains("an older copy of the data directory was put back")
}

/// Whether a simulated disk has failed, and said so.
fn is_the_disks(fault: &str) -> bool {
    fault.contains("simulated disk") || fault.contains("power failed")
}
