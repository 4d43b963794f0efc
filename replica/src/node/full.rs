//! A replica whose disk fails, is full, or damaged: it acknowledges nothing more and lets another one
//! lead.
//!
//! Whatever failed to be written leaves the core with a write that is never reported as done, so
//! that the core itself withholds all that must not be said before. A disk without space is waited
//! for: reads are answered from what can be read, and marked as stale, until there is room again.
//! Then the database is opened anew, as after a crash, since nobody knows what the failed write has
//! left; everything that was acknowledged is in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use ledger::history::{Fold, KnownRules, ReplicaId};
use ledger::rows::Rows;
use ledger::{Ailment, Fault};

use super::handle::Command;
use super::kept::Kept;
use super::mend::{self, Mended};
use super::run::{HAND_OVER, Loop, TICK};
use super::{GroupView, View};
use crate::core::{Core, Input, Output, PeerMessage, ReadId, Role};
use crate::disk::recovery::{Recovered, StartError};
use crate::disk::rocks::{Rocks, Watched};
use crate::disk::{ROWS_DIR, space};
use crate::peers::{Event, Message};

/// Between two looks whether there is room again.
const LOOK: Duration = Duration::from_secs(1);
/// How often what is there is opened for reading while somebody may still be writing beside it.
const READ_TRIES: u32 = 20;
/// How often the database cannot be opened for another reason than a lack of space: somebody may
/// still be reading from it as it was.
const OPEN_TRIES: u32 = 30;

/// What came of waiting.
enum Waited {
    /// The database is open again.
    Opened(Box<Recovered>),
    /// The replica is to stop.
    Stopped,
}

/// What a command means to a replica that writes nothing.
enum Heard {
    Raft(ReplicaId, PeerMessage),
    Nothing,
}

/// Turns the loop until it ends, through as many full disks as there are. `open` recovers the data
/// directory `dir`, and `again` makes a loop of it.
pub(super) fn live(
    mut work: Loop<Rocks>,
    dir: &Path,
    known: KnownRules,
    open: impl Fn() -> Result<Recovered, StartError>,
    again: impl Fn(Kept, Recovered) -> Result<Loop<Rocks>, StartError>,
) -> Result<(), Fault> {
    loop {
        let Err(fault) = work.run() else { return Ok(()) };
        tracing::error!(%fault, "nothing more is acknowledged");
        // Whoever reads from a disk that hangs may take long to end.
        let scrub = work.scrub.take();
        let (mut kept, core, disk) = work.set_down();
        // One that is on an older copy may not say anything more.
        if fault.ailment() != Ailment::RolledBack {
            kept.let_lead(core);
        }
        drop(scrub);
        // Nobody holds the database any more but those who read from the views.
        let old = disk.watched();
        drop(disk);
        let waited = match fault.ailment() {
            Ailment::NoSpace => kept.wait_for_space(dir, known, &fault, &open)?,
            Ailment::Damaged => match kept.mend(dir, known, &fault, &old) {
                Ok(true) => kept.reopen(&open, || Ok(true))?,
                Ok(false) => Waited::Stopped,
                Err(why) => {
                    let what = format!("{fault}; and it cannot be mended");
                    return Err(Fault::from_error(what, why).of(Ailment::Damaged));
                }
            },
            Ailment::RolledBack | Ailment::Unknown => return Err(fault),
        };
        match waited {
            Waited::Opened(recovered) => work = again(kept, *recovered).map_err(as_fault)?,
            Waited::Stopped => return Ok(()),
        }
    }
}

fn as_fault(error: StartError) -> Fault {
    match error {
        StartError::Fault(fault) => fault,
        other => Fault::from_error("open the data directory again", other),
    }
}

impl Kept {
    /// Has another replica lead, if this one does: it takes a second at most. Nothing is written.
    fn let_lead(&mut self, mut core: Core) {
        let status = core.status();
        if status.role != Role::Leader || status.group.voters.len() < 2 {
            return;
        }
        let since = Instant::now();
        let mut next_tick = since + TICK;
        let mut inputs = vec![Input::HandOver(None)];
        loop {
            let mut out = Vec::new();
            core.step(std::mem::take(&mut inputs), &mut out);
            for output in out {
                match output {
                    Output::Send(to, message) => self.reach.send(to, Message::Raft(message)),
                    Output::Yields(term, to) => self.reach.yields(term, to),
                    _ => {}
                }
            }
            if core.leads().1 != Some(self.id) {
                tracing::info!("another replica leads from now on");
                return;
            }
            let now = Instant::now();
            if now.saturating_duration_since(since) >= HAND_OVER {
                tracing::warn!("no other replica could be made to lead");
                return;
            }
            if now >= next_tick {
                next_tick = now + TICK;
                // A transfer is given up when somebody is late.
                inputs.extend([Input::Tick, Input::HandOver(None)]);
                continue;
            }
            match self.commands.recv_timeout(next_tick - now) {
                Ok(command) => {
                    if let Heard::Raft(from, message) = self.hear(command) {
                        inputs.push(Input::FromPeer(from, message));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Answers from what can be read until there is room, and opens the database again.
    fn wait_for_space(
        &mut self,
        dir: &Path,
        known: KnownRules,
        fault: &Fault,
        open: impl Fn() -> Result<Recovered, StartError>,
    ) -> Result<Waited, Fault> {
        self.take_no_part(|group| group.full = Some(fault.to_string()));
        tracing::error!(
            needed_bytes = space::needed_bytes(dir),
            "the disk is full: make room below {}; reads are stale until then",
            dir.display()
        );
        self.read_only(&dir.join(ROWS_DIR), known)?;
        self.reopen(open, || Ok(space::free_bytes(dir)? >= space::needed_bytes(dir)))
    }

    /// Makes the database anew from what is sound in it. Fails where this replica cannot stay who it
    /// is. Says whether there was time for it before it is to stop.
    fn mend(
        &mut self,
        dir: &Path,
        known: KnownRules,
        fault: &Fault,
        old: &Watched,
    ) -> Result<bool, Fault> {
        self.take_no_part(|group| group.mending = Some(fault.to_string()));
        tracing::error!("the database is damaged: it is made anew from what is sound in it");
        // Until that is done, reads go on in it; it tidies up no more files meanwhile.
        let sound = Rocks::open_damaged(&dir.join(ROWS_DIR))?;
        let reading = sound.watched();
        let (applied, fold) = {
            let view = self.tells.views.borrow();
            (view.applied(), view.fold().clone())
        };
        self.tells.views.send_replace(Arc::new(View::new(applied, fold, Box::new(sound))));
        if !self.wait_until(|| old.is_closed()) {
            return Ok(false);
        }
        let mended = thread::scope(|scope| {
            let work = scope.spawn(|| mend::mend(dir, known));
            self.wait_until(|| work.is_finished());
            work.join().unwrap_or_else(|_| Err(Fault::new("mending the database: a bug")))
        });
        let Mended { kept, missing } = mended?;
        tracing::warn!(kept, missing, "the database is made anew; what is missing is fetched");
        self.read_only(&dir.join(mend::MADE_DIR), known)?;
        // Nobody may look for a file by its name while the one takes the other's place.
        if self.wait_until(|| reading.is_closed()) {
            mend::finish(dir)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes commands until something is so. Says whether it is, or this replica is to stop before.
    fn wait_until(&mut self, is_so: impl Fn() -> bool) -> bool {
        loop {
            if is_so() {
                return true;
            }
            if self.stopping.is_some() {
                return false;
            }
            match self.commands.recv_timeout(TICK) {
                Ok(command) => drop(self.hear(command)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return is_so(),
            }
        }
    }

    /// Nobody is answered any more but by what can be read.
    fn take_no_part(&mut self, say: impl FnOnce(&mut GroupView)) {
        // Before anybody hears that a read or a change comes to nothing.
        self.tells.group.send_modify(|group| {
            let mut now = (**group).clone();
            say(&mut now);
            *group = Arc::new(now);
        });
        self.proposals.forget_all();
        self.reach.librarian = None;
    }

    /// Opens the database for writing as soon as it may be.
    fn reopen(
        &mut self,
        open: impl Fn() -> Result<Recovered, StartError>,
        may: impl Fn() -> Result<bool, Fault>,
    ) -> Result<Waited, Fault> {
        let (mut next_look, mut tries) = (Instant::now() + TICK, 0);
        loop {
            let now = Instant::now();
            if self.stopping.is_some() {
                return Ok(Waited::Stopped);
            }
            if now >= next_look {
                next_look = now + LOOK;
                if may()? {
                    match open() {
                        Ok(recovered) => return Ok(Waited::Opened(Box::new(recovered))),
                        Err(error) => {
                            tracing::warn!(%error, "the database cannot be opened again yet");
                            let fault = as_fault(error);
                            if fault.ailment() != Ailment::NoSpace {
                                tries += 1;
                            }
                            if tries >= OPEN_TRIES {
                                return Err(fault);
                            }
                        }
                    }
                }
            }
            match self.commands.recv_timeout(next_look.saturating_duration_since(now)) {
                Ok(command) => drop(self.hear(command)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Waited::Stopped),
            }
        }
    }

    /// Lets everybody read from the database there as it is on the disk. Nothing holds it open for
    /// writing then, once those who are reading at the moment have done so.
    fn read_only(&mut self, rows: &Path, known: KnownRules) -> Result<(), Fault> {
        let mut tries = 0;
        let rows = loop {
            tries += 1;
            match Rocks::open_read_only(rows) {
                Ok(rows) => break rows,
                // What is being written beside it while it ends may be half there.
                Err(error) if tries < READ_TRIES => {
                    tracing::debug!(%error, "cannot be read yet");
                    thread::sleep(TICK);
                }
                Err(error) => return Err(error),
            }
        };
        let fold = Fold::open_knowing(&rows, known)?;
        let applied = self.tells.views.borrow().applied();
        let rows: Box<dyn Rows + Send + Sync> = Box::new(rows);
        self.tells.views.send_replace(Arc::new(View::new(applied, fold, rows)));
        Ok(())
    }

    /// Takes a command while nothing can be written.
    fn hear(&mut self, command: Command) -> Heard {
        match command {
            // Its asker hears that the outcome is unknown.
            Command::Submit { .. } | Command::HandOver(_) => {}
            // It comes again.
            Command::Introduced { .. } => {}
            // It waits until the database is open again, unless its asker is content with less.
            Command::Read { reply } => {
                self.reading.retain(|_, reply| !reply.is_closed());
                self.next_read += 1;
                self.reading.insert(ReadId(self.next_read), reply);
            }
            Command::Answer { reply } => drop(reply.send(())),
            Command::Linked(links) => self.reach.links = Some(links),
            Command::Stop => self.stopping = Some(Instant::now()),
            Command::Link(event) => match event {
                Event::Message(received) => {
                    let from = received.from;
                    match received.message {
                        Message::Raft(message) => return Heard::Raft(from, message),
                        Message::RecordsWanted { request, from: first, .. } => {
                            self.reach.send(from, Message::RecordsEnd { request, next: first });
                        }
                        _ => {}
                    }
                }
                event => self.reach.changed(&event, self.ticks),
            },
        }
        Heard::Nothing
    }
}
