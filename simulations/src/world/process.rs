//! Processes: up, down, or standing still, each with a disk and a clock of its own.

use super::clock::{LocalClock, Ms};
use super::disk::{Reopened, SimDisk};
use super::{Mix, ProcessId};

/// What a process has besides its memory.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub id: ProcessId,
    /// Its name in the trace.
    pub name: String,
    /// Its disk.
    pub disk: SimDisk,
    /// Its clock.
    pub clock: LocalClock,
    up: bool,
    stalled_until: Ms,
}

impl Process {
    /// A process that runs, with an empty disk.
    pub fn new(seed: u64, id: ProcessId, name: String, mix: Mix) -> Self {
        let disk = SimDisk::new(seed, &name, mix);
        Process { id, name, disk, clock: LocalClock::default(), up: true, stalled_until: 0 }
    }

    /// Whether it runs; it may stand still all the same.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Until when it stands still, if it does.
    pub fn stalled(&self, now: Ms) -> Option<Ms> {
        (self.stalled_until > now).then_some(self.stalled_until)
    }

    /// It stands still until then. What arrives waits.
    pub fn stall(&mut self, until: Ms) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// It goes on.
    pub fn wake(&mut self) {
        self.stalled_until = 0;
    }

    /// It is gone; its memory is the caller's to drop.
    pub fn crash(&mut self) {
        self.up = false;
        self.disk.crash();
    }

    /// It starts again from what its disk holds.
    pub fn start(&mut self) -> Reopened {
        self.up = true;
        self.disk.reopen()
    }
}
