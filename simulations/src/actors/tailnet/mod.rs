//! A tailnet: a ledger, nodes, the relay between them, and the faults of a seed. The worlds let
//! people act on it; here messages travel, processes crash, and what must hold is checked.

mod calm;
mod looking;
mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use ledger::Fault as LedgerFault;
use ledger::history::Event;
use ledger::ids::AumHash;
use ledger::lock::{Sealed, State};

use super::client::ClientNode;
use super::group::Group;
use super::keys;
use super::ledger::{Keeper, Ledger, Mended, Outcome};
use super::relay::Relay;
use crate::invariants::truth::{Door, Truth};
use crate::invariants::{self, Replayed, Result, unexpected};
use crate::world::clock::{Agenda, MINUTE, SECOND};
use crate::world::{
    Mix, Ms, Network, Plan, Process, ProcessId, Random, Step, Tally, Trace, Trouble,
};

/// The ledger's number among the processes. Node `n` is process `n + 1`.
pub const LEDGER: ProcessId = 0;

/// Who keeps the ledger of a tailnet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeptBy {
    /// One member, which begins under these rules.
    One {
        /// The rules.
        rules: u32,
    },
    /// A group of so many machines, under the newest rules.
    Machines(usize),
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptBy::One { rules } => write!(f, "rules {rules}"),
            KeptBy::Machines(machines) => write!(f, "a ledger of {machines} machines"),
        }
    }
}

/// What is due at some time.
#[derive(Debug)]
enum Due<A> {
    Step(Step<A>),
    Arrives { from: ProcessId, to: ProcessId, bytes: Vec<u8>, is_ask: bool },
    Starts(ProcessId),
    IsMended,
    HasSpace(ProcessId),
}

/// A tailnet.
#[derive(Debug)]
pub struct Tailnet<'t, A> {
    agenda: Agenda<Due<A>>,
    network: Network,
    relay: Relay,
    mix: Mix,
    random: Random,
    trace: &'t mut Trace,
    /// The ledger.
    pub ledger: Ledger,
    /// The nodes.
    pub nodes: Vec<ClientNode>,
    /// What is true.
    pub truth: Truth,
    /// What has happened how often.
    pub tally: Tally,
    /// The door of the lock that is on, if it has one.
    pub door: Option<Door>,
    /// AUMs of events that the ledger has refused, with all AUMs of the last such event.
    pub refused: BTreeMap<AumHash, Rc<[Sealed]>>,
    seen: Vec<Seen>,
    ledger_stored: BTreeSet<AumHash>,
    ledger_records: usize,
    /// The ledger's records as somebody replays them who sees nothing else.
    replayed: Replayed,
    /// When all rows are compared.
    random_audit: Random,
}

/// What a node had when it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    head: Option<AumHash>,
    state: Option<State>,
    stored: BTreeSet<AumHash>,
    oldest: Option<AumHash>,
}

impl<'t, A: std::fmt::Display> Tailnet<'t, A> {
    /// A ledger without a lock, and so many nodes that know nothing.
    pub(crate) fn new(
        plan: Plan<A>,
        nodes: usize,
        keeper: KeptBy,
        trace: &'t mut Trace,
    ) -> Result<Self> {
        let Plan { seed, mix, steps } = plan;
        let process =
            |id: ProcessId, name: String, mix: &Mix| Process::new(seed, id, name, mix.clone());
        trace.say(0, format_args!("seed {seed}: {nodes} nodes, {keeper}, {mix}"));
        let (keeper, own) = match keeper {
            KeptBy::One { rules } => (Keeper::Alone { rules }, mix.clone()),
            KeptBy::Machines(machines) => {
                let group = Group::keeping(seed, mix.clone(), machines, Trace::new(true))?;
                // What goes wrong with disks does so in the group.
                (Keeper::Group(Box::new(group)), Mix::none())
            }
        };
        let ledger = Ledger::found(process(LEDGER, "ledger".into(), &own), keeper);
        let ledger = ledger.map_err(unexpected)?;
        let mut all = Vec::new();
        for n in 0..nodes {
            let process = process(n + 1, format!("node {n}"), &mix);
            all.push(ClientNode::new(process, keys::node_key(n, 0)).map_err(unexpected)?);
        }
        let mut agenda = Agenda::default();
        for (at, step) in steps {
            agenda.plan(at, Due::Step(step));
        }
        Ok(Tailnet {
            agenda,
            network: Network::new(seed, mix.clone()),
            relay: Relay::new(seed, mix.clone()),
            mix,
            random: Random::new(seed, "tailnet"),
            trace,
            ledger,
            seen: (0..nodes).map(|_| Seen::default()).collect(),
            door: None,
            refused: BTreeMap::new(),
            ledger_stored: BTreeSet::new(),
            ledger_records: 0,
            replayed: Replayed::default(),
            random_audit: Random::new(seed, "audit"),
            nodes: all,
            truth: Truth::default(),
            tally: Tally::new(),
        })
    }

    /// The time.
    pub fn now(&self) -> Ms {
        self.agenda.now()
    }

    /// Notes what happens.
    pub fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.say(self.agenda.now(), what);
    }

    /// Counts something that happens.
    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Runs until that time, or to the end of everything that is planned.
    pub fn run(
        &mut self,
        until: Ms,
        act: &mut dyn FnMut(&mut Self, &A) -> Result<()>,
    ) -> Result<()> {
        while let Some(due) = self.agenda.next_until(until) {
            match due {
                Due::Step(Step::Act(what)) => {
                    self.trace.say(self.agenda.now(), format_args!("{what}"));
                    act(self, &what)?;
                }
                Due::Step(Step::Trouble(trouble)) => self.trouble(trouble)?,
                Due::Arrives { from, to, bytes, is_ask } => {
                    self.arrives(from, to, bytes, is_ask)?;
                }
                Due::Starts(who) => self.start(who)?,
                Due::IsMended => self.mend()?,
                Due::HasSpace(who) => self.process(who).disk.set_full(false),
            }
        }
        Ok(())
    }

    fn process(&mut self, who: ProcessId) -> &mut Process {
        match who.checked_sub(1) {
            None => &mut self.ledger.process,
            Some(n) => &mut self.nodes[n].process,
        }
    }

    fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        let now = self.now();
        self.say(format_args!("{trouble}"));
        if trouble.process() == LEDGER && self.group_takes(&trouble)? {
            return Ok(());
        }
        match trouble {
            Trouble::Crash(who, ms) => self.crash(who, ms),
            Trouble::Stall(who, ms) => {
                self.process(who).stall(now + ms);
                Ok(())
            }
            Trouble::Jump(who, by) => {
                self.process(who).clock.jump(by);
                Ok(())
            }
            Trouble::Cut(from, to, ms) => {
                self.network.cut(from, to, now + ms);
                Ok(())
            }
            Trouble::Fill(who, ms) => {
                self.process(who).disk.set_full(true);
                self.agenda.plan(now + ms, Due::HasSpace(who));
                Ok(())
            }
        }
    }

    /// A process crashes, and comes back after a while.
    pub fn crash(&mut self, who: ProcessId, ms: Ms) -> Result<()> {
        if !self.process(who).is_up() {
            return Ok(());
        }
        match who.checked_sub(1) {
            None => self.ledger.crash(),
            Some(n) => self.nodes[n].crash(),
        }
        self.count("crash");
        let back = self.now() + ms.max(SECOND);
        self.agenda.plan(back, Due::Starts(who));
        Ok(())
    }

    fn start(&mut self, who: ProcessId) -> Result<()> {
        if self.process(who).is_up() {
            return Ok(());
        }
        if self.process(who).disk.rot() {
            self.count("bit rot");
        }
        match who.checked_sub(1) {
            None => {
                if let Err(fault) = self.ledger.start() {
                    return self.refuses_to_start(&fault);
                }
                let rows = self.ledger.process.disk.inspect();
                invariants::acknowledged_records_stay(rows, &self.ledger.acknowledged)?;
            }
            Some(n) => {
                self.nodes[n].start().map_err(unexpected)?;
                // What was lost with the crash is no move of the head.
                self.look_anew(n)?;
            }
        }
        let name = self.process(who).name.clone();
        let head = if who == LEDGER { self.ledger.head() } else { self.nodes[who - 1].head() };
        self.say(format_args!("{name} starts at {}", short(head)));
        Ok(())
    }

    /// The ledger does not go on with what is on its disk. Its operator is called.
    fn refuses_to_start(&mut self, fault: &LedgerFault) -> Result<()> {
        if !self.ledger.process.disk.has_rotted() {
            return Err(unexpected(LedgerFault::new(format!("a sound disk, but {fault}"))));
        }
        self.say(format_args!("the ledger does not start: {fault}"));
        self.count("the ledger did not start on a damaged disk");
        let mended = self.now() + self.random.between(1, 10) * MINUTE;
        self.agenda.plan(mended, Due::IsMended);
        Ok(())
    }

    /// The operator has mended the ledger's disk; it starts.
    fn mend(&mut self) -> Result<()> {
        let how = self.ledger.mend().map_err(unexpected)?;
        self.say(format_args!("the ledger is mended: {how:?}"));
        self.count(match how {
            Mended::Refolded => "the ledger was folded anew",
            Mended::Restored => "the ledger was restored from a copy",
        });
        self.start(LEDGER)
    }

    /// The ledger's disk is used.
    fn wears(&mut self) {
        if self.ledger.process.disk.wear() {
            self.count("bit rot at the ledger");
        }
    }

    /// Whether the machines of the group that keeps the ledger have that trouble.
    fn group_takes(&mut self, trouble: &Trouble) -> Result<bool> {
        let takes = self.ledger.group_takes(trouble);
        self.ledger.broken()?;
        takes.map_err(unexpected)
    }

    /// A fault of its own disk ends a process; it comes back.
    fn failed(&mut self, who: ProcessId, fault: &LedgerFault) -> Result<()> {
        self.ledger.broken()?;
        let name = self.process(who).name.clone();
        self.say(format_args!("{name} fails: {fault}"));
        self.count("disk fault");
        if who == LEDGER {
            self.ledger.suspect();
        }
        self.process(who).disk.set_full(false);
        self.crash(who, 10 * SECOND)
    }

    /// Somebody has the ledger record an event: none if it is down, or fails. What came of it is
    /// looked at.
    pub fn propose(&mut self, event: Event) -> Result<Option<Outcome>> {
        self.on_ledger(|ledger, now| ledger.propose(now, event))
    }

    /// Somebody does something on the ledger itself; none if it is down, or fails.
    pub fn on_ledger<T>(
        &mut self,
        f: impl FnOnce(&mut Ledger, Ms) -> std::result::Result<T, LedgerFault>,
    ) -> Result<Option<T>> {
        let now = self.now();
        if !self.ledger.process.is_up() {
            return Ok(None);
        }
        let before = self.ledger.head();
        self.wears();
        match f(&mut self.ledger, now) {
            Ok(done) => {
                self.look_at_ledger(before)?;
                Ok(Some(done))
            }
            Err(fault) => {
                self.failed(LEDGER, &fault)?;
                Ok(None)
            }
        }
    }

    /// Something was done on a node itself: what it may have changed is looked at. A fault of its
    /// disk ends the node.
    pub fn did<T>(
        &mut self,
        n: usize,
        done: std::result::Result<T, ledger::Failure>,
    ) -> Result<std::result::Result<T, ledger::Refusal>> {
        let done = self.did_unseen(n, done)?;
        self.look(n)?;
        Ok(done)
    }

    /// As [`did`](Self::did), for what is looked at in a way of its own.
    pub fn did_unseen<T>(
        &mut self,
        n: usize,
        done: std::result::Result<T, ledger::Failure>,
    ) -> Result<std::result::Result<T, ledger::Refusal>> {
        match done {
            Ok(done) => Ok(Ok(done)),
            Err(ledger::Failure::Refused(refusal)) => Ok(Err(refusal)),
            Err(ledger::Failure::Fault(fault)) => {
                self.failed(n + 1, &fault)?;
                Ok(Err(ledger::lock::client::NotTold::LockOff.into()))
            }
        }
    }
}

/// A head for people.
pub fn short(head: Option<AumHash>) -> String {
    head.map_or("no lock".into(), |head| head.to_string()[..8].to_owned())
}
