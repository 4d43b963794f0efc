//! A machine with a replica: its disk, its clock, its keys, and the loop while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger::history::{InvitationKey, MemberDetails, MemberKey, ReplicaId};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::rows::raft::{Identity, Neighbour};
use ledger::testing::{member_details, member_key};
use replica::node::testing::Machine;
use replica::node::{Clock, Way};
use replica::peers::testing::body_of;
use replica::peers::{Kind, Message, SendError};

use super::store::{DataDir, DiskCopy};
use crate::actors::keys;
use crate::world::clock::LocalClock;
use crate::world::{Mix, Ms, ProcessId};

/// The clocks of one machine.
#[derive(Debug)]
pub(super) struct SiteClock {
    base: Instant,
    now: Arc<AtomicU64>,
    pub(super) local: Mutex<LocalClock>,
}

impl Clock for SiteClock {
    fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.now.load(Ordering::Relaxed))
    }

    fn wall_ms(&self) -> u64 {
        let local = *self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.read(self.now.load(Ordering::Relaxed))
    }
}

/// What a replica wants sent, as frames.
pub(super) type Frame = (ReplicaId, Kind, Vec<u8>);

/// The way out of a machine.
#[derive(Debug, Default)]
pub(super) struct Post {
    frames: Mutex<Vec<Frame>>,
    up: Mutex<Vec<ReplicaId>>,
}

impl Post {
    pub(super) fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_up(&self, up: Vec<ReplicaId>) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = up;
    }
}

impl Way for Post {
    fn send(&self, to: ReplicaId, message: Message) -> Result<(), SendError> {
        if !self.up.lock().unwrap_or_else(PoisonError::into_inner).contains(&to) {
            return Err(SendError::Down);
        }
        if let Ok((kind, body)) = body_of(&message) {
            let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
            frames.push((to, kind, body));
        }
        Ok(())
    }
}

/// A connection to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) to: ProcessId,
    /// Which of the peer's starts it belongs to.
    pub(super) boot: u64,
    /// Since when nothing gets through.
    pub(super) silent_since: Option<Ms>,
}

/// What a machine is to the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing lies on its disk.
    Empty,
    /// It wants to join by that invitation, of which it has the secret.
    Joining { invitation: InvitationKey, since: Ms },
    /// It was let in under this identity, and starts for the first time.
    LetIn(Identity, Vec<Neighbour>),
    /// It has a replica on its disk.
    Member,
}

/// A machine.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) id: ProcessId,
    pub(super) name: String,
    pub(super) disk: DataDir,
    pub(super) clock: Arc<SiteClock>,
    pub(super) post: Arc<Post>,
    pub(super) machine: Option<Machine<DataDir>>,
    pub(super) part: Part,
    pub(super) replica: Option<ReplicaId>,
    /// Its member key, and the public half.
    pub(super) private: Arc<PrivateKey>,
    pub(super) public: MemberKey,
    /// How often it has begun anew, with new keys.
    pub(super) life: u8,
    /// How often it has started.
    pub(super) boot: u64,
    pub(super) rules: u32,
    pub(super) stalled_until: Ms,
    /// Whether a start is planned.
    pub(super) starting: bool,
    pub(super) full: bool,
    /// What it had promised is lost: it must not come back as who it was.
    pub(super) destroyed: bool,
    /// A copy of its disk, whose it is, and how often its log had been synced.
    pub(super) copy: Option<(ReplicaId, u64, DiskCopy)>,
    /// Its disk is an older copy, and it has not noticed yet.
    pub(super) set_back: bool,
    pub(super) links: BTreeMap<ReplicaId, Link>,
    pub(super) ticks: u64,
    pub(super) seen: Seen,
}

/// What the machine had when it was last looked at.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) applied: u64,
    pub(super) records: u64,
    pub(super) fetching: bool,
    pub(super) joint: bool,
    pub(super) group: Option<ledger::rows::raft::Group>,
}

/// The member key of the machine that founds a group.
pub(crate) fn first_member() -> PrivateKey {
    member_key(100)
}

impl Site {
    pub(super) fn new(
        seed: u64,
        id: ProcessId,
        mix: &Mix,
        base: Instant,
        now: &Arc<AtomicU64>,
        rules: u32,
    ) -> Self {
        let name = format!("machine {id}");
        let private = Arc::new(member_key(100 + id as u8 * 16));
        let public = MemberKey(private.public().0);
        Site {
            id,
            private,
            public,
            disk: DataDir::new(seed, &name, mix),
            name,
            clock: Arc::new(SiteClock { base, now: now.clone(), local: Mutex::default() }),
            post: Arc::default(),
            machine: None,
            part: Part::Empty,
            replica: None,
            life: 0,
            boot: 0,
            rules,
            stalled_until: 0,
            starting: false,
            full: false,
            destroyed: false,
            copy: None,
            set_back: false,
            links: BTreeMap::new(),
            ticks: 0,
            seen: Seen::default(),
        }
    }

    /// The number from which its keys are made in this life.
    pub(super) fn key_seed(&self) -> u8 {
        100 + self.id as u8 * 16 + self.life
    }

    /// It begins anew, with other keys and nothing on its disk.
    pub(super) fn begin_anew(&mut self) {
        self.disk.wipe(true);
        self.life += 1;
        self.private = Arc::new(member_key(self.key_seed()));
        self.public = MemberKey(self.private.public().0);
        (self.part, self.replica, self.destroyed) = (Part::Empty, None, false);
        (self.copy, self.set_back) = (None, false);
    }

    /// The holder whose lock key it has in this life.
    pub(super) fn holder(&self) -> usize {
        self.id * 6 + usize::from(self.life) % 6
    }

    /// What it says of itself.
    pub(super) fn details(&self) -> MemberDetails {
        let lock_key = Some(keys::public(self.holder()));
        // Everybody here finds everybody by the key; rules 1 know no addresses.
        MemberDetails {
            rules: self.rules,
            lock_key,
            address: None,
            ..member_details(self.key_seed())
        }
    }

    /// Whether it can act at that time.
    pub(super) fn is_awake(&self, now: Ms) -> bool {
        self.machine.is_some() && self.stalled_until <= now
    }

    /// Its clock jumps.
    pub(super) fn jump(&self, by: i64) {
        self.clock.local.lock().unwrap_or_else(PoisonError::into_inner).jump(by);
    }

    /// Its clock is right again.
    pub(super) fn set_clock_right(&self) {
        self.clock.local.lock().unwrap_or_else(PoisonError::into_inner).set_right();
    }
}
