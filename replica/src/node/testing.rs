//! A replica whose loop somebody else turns: no thread, no socket, no clock of its own. For
//! simulations.

use std::sync::Arc;

use ledger::history::{ReplicaId, RequestId, SignedProposal};
use ledger::lock::signatures::Signer;
use ledger::{Fault, Refusal};
use tokio::sync::oneshot;

use super::foresight::Foresight;
use super::handle::Command;
use super::introducing::{Letter, read_letter};
use super::librarian::{Librarian, Portions};
use super::run::Loop;
use super::start::{Around, prepare};
use super::surroundings::{Clock, Way};
use super::{GroupView, Handle, Outcome, Submission, Supported, View};
use crate::core::{Status, WindowLimits};
use crate::disk::recovery::{Recovered, StartError};
use crate::disk::watermark::Marks;
use crate::disk::{Batch, Disk, Durable};
use crate::peers::{Event, Head, Membership, Peer};
use crate::security_log::SecurityLog;

/// What the replica has around it.
pub struct Surroundings {
    /// Its member key.
    pub member: Arc<dyn Signer + Send + Sync>,
    /// Election timeouts are drawn from it.
    pub seed: u64,
    /// How much of the log it keeps.
    pub window: WindowLimits,
    /// How it parts records that others lack.
    pub portions: Portions,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its way to the others.
    pub way: Arc<dyn Way>,
}

/// A running replica. After the first fault it must not be asked anything any more.
pub struct Machine<D: Disk> {
    work: Loop<D>,
    handle: Handle,
}

impl<D: Disk> std::fmt::Debug for Machine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Who waits for an outcome, and the proposal as it was signed.
pub type Asked = (SignedProposal, oneshot::Receiver<Outcome>);

impl<D: Disk> Machine<D> {
    /// Starts on what was recovered.
    pub fn start<M: Marks + 'static>(
        recovered: Recovered<D, M>,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        let Surroundings { member, seed, window, portions, clock, way } = surroundings;
        let (foresight, security) = (Foresight::at_once(), Arc::new(SecurityLog::unwritten()));
        let supported = Supported::THIS_VERSION;
        let around = Around { supported, seed, window, foresight, clock, security };
        let (handle, mut work) = prepare(recovered, member, around)?;
        work.kept.reach.librarian = Some(Librarian::AtOnce(way.clone(), portions));
        work.kept.reach.links = Some(way);
        work.begin()?;
        Ok(Machine { work, handle })
    }

    /// A tick has passed: there are 20 in a second.
    pub fn tick(&mut self) -> Result<(), Fault> {
        let now = self.work.kept.clock.now();
        self.work.tick(now)?;
        self.work.keeper.write(Durable::Now)
    }

    /// Something has happened on the links. Those that come together share a sync.
    pub fn link(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), Fault> {
        let mut first = None;
        for event in events {
            match first {
                None => first = Some(Command::Link(event)),
                Some(_) => self.queue(Command::Link(event)),
            }
        }
        first.map_or(Ok(()), |first| self.work.gather(first))
    }

    fn queue(&self, command: Command) {
        // The other end is in the loop, which is here.
        let _ = self.handle.commands.send(command);
    }

    /// Submits an event, as [`Handle::submit`] does. `None`: there is no place for it now.
    pub fn submit(
        &mut self,
        submission: Submission,
    ) -> Result<Option<Result<Asked, Refusal>>, Fault> {
        let signed = match self.handle.sign_at(submission, self.work.kept.clock.wall_ms()) {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        let data = signed.bytes().to_vec();
        let Ok(permit) = self.handle.queue.clone().try_acquire_owned() else { return Ok(None) };
        let (reply, answer) = oneshot::channel();
        self.work.gather(Command::Submit { data, reply, permit })?;
        Ok(Some(Ok((signed, answer))))
    }

    /// Asks for a linearizable read, which is answered once [`Machine::view`] may be read.
    pub fn read(&mut self) -> Result<oneshot::Receiver<()>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.work.gather(Command::Read { reply })?;
        Ok(answer)
    }

    /// Asks that member to lead, or whichever is closest.
    pub fn hand_over(&mut self, to: Option<ReplicaId>) -> Result<(), Fault> {
        self.work.gather(Command::HandOver(to))
    }

    /// Writes down what it knows, as it does before it stops.
    pub fn settle(&mut self) -> Result<(), Fault> {
        self.work.disk.commit(Batch::new(), Durable::Now)?;
        self.work.keeper.write(Durable::Now)
    }

    /// The newest state that it has.
    pub fn view(&self) -> Arc<View> {
        self.handle.view()
    }

    /// How it sees its group.
    pub fn group(&self) -> Arc<GroupView> {
        self.handle.group()
    }

    /// Where its core stands now.
    pub fn status(&self) -> Status {
        self.work.core.status()
    }

    /// Whom it is linked to.
    pub fn membership(&self) -> Arc<Membership> {
        self.handle.membership()
    }

    /// What it remembers that another one had signed.
    pub fn remembers(&self, of: ReplicaId) -> Option<Head> {
        self.work.kept.reach.memory.head(of)
    }

    /// Somebody brings it a letter, as to [`Handle::introduced`]; says whether that was believed.
    pub fn visited(&mut self, by: ReplicaId, letter: &[Vec<u8>]) -> Result<bool, Fault> {
        let view = self.view();
        let Ok(Letter { members, record }) = read_letter(view.fold(), view.rows(), letter)? else {
            return Ok(false);
        };
        let believed = members.contains_key(&by) && self.group().lonely;
        if believed {
            let members =
                members.into_iter().map(|(id, key)| (id, Peer { key, address: None })).collect();
            self.work.gather(Command::Introduced { by, record, members })?;
        }
        Ok(believed)
    }

    /// Somebody whom it does not know has come for it.
    pub fn stranger_came(&self) {
        self.work.kept.reach.memory.stranger_came();
    }

    /// How many writes its log has synced.
    pub fn writes(&self) -> u64 {
        self.work.writes
    }

    /// The replica.
    pub fn replica(&self) -> ReplicaId {
        self.handle.replica()
    }

    /// Its incarnation.
    pub fn incarnation(&self) -> u64 {
        self.handle.incarnation()
    }

    /// The last of the records that it is fetching, while it is.
    pub fn fetching(&self) -> Option<u64> {
        self.work.fetching.as_ref().map(|fetching| fetching.target.record)
    }

    /// Whether that request's proposal still waits for an outcome here.
    pub fn waits(&self, request: &RequestId) -> bool {
        self.work.kept.proposals.waiting().any(|(_, data)| {
            SignedProposal::decode(data).is_ok_and(|signed| signed.proposal().request == *request)
        })
    }
}
