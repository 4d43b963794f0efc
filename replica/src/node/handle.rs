//! The one way in: submit an event, read, watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use ledger::Refusal;
use ledger::history::{
    Actor, ClusterId, Event, MemberKey, Proposal, RecordHash, ReplicaId, RequestId, SignedProposal,
    Who,
};
use ledger::lock::signatures::Signer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::surroundings::{Clock, SystemClock, Way};
use super::{GroupView, Supported, View};
use crate::core::Role;
use crate::peers::{Event as LinkEvent, Membership, Memory, Peer};
use crate::security_log::SecurityLog;

/// Records that may come before a proposal while it is on its way; later it is void.
const RECORDS_AHEAD: u64 = 16_384;
/// Bytes of proposals on their way, together.
pub(super) const QUEUE_BYTES: usize = 32 << 20;
/// Bytes that every proposal counts at least; keeps the number of proposals on their way below
/// [`RECORDS_AHEAD`].
const LEAST_BYTES: usize = 4 << 10;
/// Bytes that one permit of the queue stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// An event that somebody wants recorded.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What the asker calls the request; repeating it changes nothing.
    pub request: RequestId,
    /// Digest of the verb and its arguments as asked: the same request ID with another digest is
    /// refused.
    pub digest: [u8; 32],
    /// The place among the events of one request, from 0.
    pub part: u32,
    /// Who asked.
    pub who: Who,
    /// The asker's name, for people.
    pub name: String,
    /// The event.
    pub event: Event,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is recorded, durably.
    Applied {
        /// The record's index.
        index: u64,
        /// The record's hash.
        hash: RecordHash,
    },
    /// An earlier submission of the same request is recorded; this one changed nothing.
    Repeated {
        /// The first record's index.
        index: u64,
        /// The first record's hash.
        hash: RecordHash,
    },
    /// It is refused and left no trace.
    Refused(Refusal),
    /// It is not recorded: this machine's clock is too far from the leader's.
    ClockApart,
    /// Nobody can say: it may be recorded or not. Repeating the request is safe.
    Unknown,
}

/// The replica has stopped, or does not lead any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica has stopped")]
pub struct Stopped;

/// What the loop is asked to do.
pub(super) enum Command {
    Submit {
        data: Vec<u8>,
        reply: oneshot::Sender<Outcome>,
        permit: OwnedSemaphorePermit,
    },
    Read {
        reply: oneshot::Sender<()>,
    },
    /// Somebody wants to know whether the loop goes round.
    Answer {
        reply: oneshot::Sender<()>,
    },
    /// The links are there.
    Linked(Arc<dyn Way>),
    /// Something has happened on them.
    Link(LinkEvent),
    /// Somebody has shown to be a member, and says who the others are.
    Introduced {
        by: ReplicaId,
        /// The record behind which they are.
        record: u64,
        members: BTreeMap<ReplicaId, Peer>,
    },
    /// That member is to lead, or whichever is closest.
    HandOver(Option<ReplicaId>),
    Stop,
}

/// Access to a running replica. Clones are the same access.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) views: watch::Receiver<Arc<View>>,
    pub(super) group: watch::Receiver<Arc<GroupView>>,
    pub(super) membership: watch::Receiver<Arc<Membership>>,
    pub(super) memory: Arc<Memory>,
    pub(super) queue: Arc<Semaphore>,
    /// Its only place is whoever's who brings a letter.
    pub(super) visits: Arc<Semaphore>,
    pub(super) member: Arc<dyn Signer + Send + Sync>,
    pub(super) cluster: ClusterId,
    pub(super) replica: ReplicaId,
    pub(super) incarnation: u64,
    pub(super) supported: Supported,
    pub(super) security: Arc<SecurityLog>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("cluster", &self.cluster)
            .field("replica", &self.replica)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// The cluster that this replica belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// This replica.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Whom this replica is linked to, and who else may connect.
    pub fn membership(&self) -> Arc<Membership> {
        self.membership.borrow().clone()
    }

    /// Whether that member has ever signed what it had reached: it has run, and may have promised
    /// something.
    pub fn has_run(&self, member: ReplicaId) -> bool {
        self.memory.head(member).is_some()
    }

    /// The place of whoever brings a letter.
    pub(crate) fn visits(&self) -> &Arc<Semaphore> {
        &self.visits
    }

    /// Somebody has shown to be the member `by`, and says who the members are behind a record: links
    /// are made to those whom this replica does not know, until it has that record itself.
    pub fn introduced(&self, by: ReplicaId, record: u64, members: BTreeMap<ReplicaId, Peer>) {
        let _ = self.commands.send(Command::Introduced { by, record, members });
    }

    /// The key with which this replica proposes, and by which its peers know it.
    pub fn member_key(&self) -> MemberKey {
        MemberKey(self.member.public().0)
    }

    /// What the program can do.
    pub fn supported(&self) -> Supported {
        self.supported
    }

    /// Whether this replica leads, and has lately heard of most of the voters. Somebody else may lead
    /// by now: nothing but speed may rest on it.
    pub fn leads_a_majority(&self) -> bool {
        let group = self.group.borrow();
        let voters = &group.raft.group.voters;
        let heard = voters.iter().filter(|id| group.raft.active.contains(&ReplicaId(**id)));
        group.raft.role == Role::Leader && heard.count() * 2 > voters.len()
    }

    /// Which life of the group this is, from 1: restoring and recovering begin a new one.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Signs an event as this member's proposal, and waits until it is recorded or refused. An
    /// answer other than [`Outcome::Unknown`] holds whatever happens afterwards. Waits for a
    /// place when too much is under way.
    pub async fn submit(&self, submission: Submission) -> Outcome {
        let signed = match self.sign(submission) {
            Ok(signed) => signed,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let data = signed.bytes().to_vec();
        let permits = data.len().clamp(LEAST_BYTES, QUEUE_BYTES).div_ceil(PERMIT_BYTES);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(permit) = self.queue.clone().acquire_many_owned(permits).await else {
            return Outcome::Unknown;
        };
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Submit { data, reply, permit }).is_err() {
            return Outcome::Unknown;
        }
        answer.await.unwrap_or(Outcome::Unknown)
    }

    fn sign(&self, submission: Submission) -> Result<SignedProposal, Refusal> {
        self.sign_at(submission, SystemClock.wall_ms())
    }

    /// Signs an event as proposed at that time.
    pub(super) fn sign_at(
        &self,
        submission: Submission,
        time_ms: u64,
    ) -> Result<SignedProposal, Refusal> {
        let Submission { request, digest, part, who, name, event } = submission;
        let next = self.views.borrow().fold().next_index();
        let request = if planted!(ResubmitAnew) {
            format!("{request}-{time_ms}").parse().unwrap_or(request)
        } else {
            request
        };
        let proposal = Proposal {
            cluster: self.cluster,
            incarnation: self.incarnation,
            last_index: next.saturating_add(RECORDS_AHEAD),
            request,
            digest,
            part,
            actor: Actor { member: self.replica, who, name },
            time_ms,
            event,
        };
        SignedProposal::sign(&proposal, &*self.member)
    }

    /// The newest state that this replica has. Another one may have a newer one.
    pub fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    /// A state that has everything in it that was acknowledged, anywhere, before this call. Waits
    /// for as long as nobody can say so.
    pub async fn read(&self) -> Result<Arc<View>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Read { reply }).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)?;
        Ok(self.view())
    }

    /// A state that has everything in it that was acknowledged, anywhere, before this call; or,
    /// if no majority confirms that within `patience`, or none can because this replica's disk is
    /// full or damaged, the newest one here, which may be stale.
    pub async fn read_within(&self, patience: Duration) -> Result<(Arc<View>, bool), Stopped> {
        let mut group = self.group.clone();
        tokio::select! {
            biased;
            read = tokio::time::timeout(patience, self.read()) => match read {
                Ok(view) => Ok((view?, false)),
                Err(_) => Ok((self.view(), true)),
            },
            Ok(_) = group.wait_for(|now| now.is_out_of_service()) => Ok((self.view(), true)),
        }
    }

    /// Waits until the replica's loop answers, which needs no other replica.
    pub async fn answers(&self) -> Result<(), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Answer { reply }).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Bytes of proposals that may still be handed in before others have to wait, and how many
    /// there may be together.
    pub fn queue_room(&self) -> (usize, usize) {
        (self.queue.available_permits() * PERMIT_BYTES, QUEUE_BYTES)
    }

    /// Where denied operations are written down.
    pub(crate) fn security(&self) -> &SecurityLog {
        &self.security
    }

    /// How this replica sees its group.
    pub fn group(&self) -> Arc<GroupView> {
        self.group.borrow().clone()
    }

    /// Every change of how this replica sees its group, or the newest of several.
    pub fn watch_group(&self) -> watch::Receiver<Arc<GroupView>> {
        self.group.clone()
    }

    /// Asks that member to lead, or whichever is closest, if this one does lead. What comes of it
    /// shows in [`Handle::group`].
    pub fn hand_over(&self, to: Option<ReplicaId>) -> Result<(), Stopped> {
        self.commands.send(Command::HandOver(to)).map_err(|_| Stopped)
    }

    /// Every new state, or the newest of several in quick succession.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }
}

/// The queue's permits.
pub(super) fn queue() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(QUEUE_BYTES / PERMIT_BYTES))
}
