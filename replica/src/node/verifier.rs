//! Checks signatures while the log is being synced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ledger::history::SignedProposal;
use ledger::lock::signatures::{Cores, Job, Unverified, Verified, verify_all};
use ledger::rows::raft::Position;
use ledger::{Fault, Refusal};

use crate::core::LogEntry;
use crate::core::applier::Checked;

type Verdicts = Vec<(Position, Result<Verified<SignedProposal>, Refusal>)>;

/// A thread that checks the entries of each write ahead of their commitment.
#[derive(Debug)]
pub(super) struct Verifier {
    entries: Sender<Vec<LogEntry>>,
    verdicts: Receiver<Verdicts>,
    under_way: usize,
    checked: BTreeMap<(u64, u64), Result<Verified<SignedProposal>, Refusal>>,
}

impl Verifier {
    pub(super) fn start() -> Result<Self, Fault> {
        let (entries, to_check) = channel::<Vec<LogEntry>>();
        let (tell, verdicts) = channel();
        let cores = Threads::all();
        thread::Builder::new()
            .name("signatures".into())
            .spawn(move || {
                for entries in to_check {
                    if tell.send(check(entries, &cores)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| Fault::from_error("start the signatures' thread", e))?;
        Ok(Verifier { entries, verdicts, under_way: 0, checked: BTreeMap::new() })
    }

    /// Starts to check entries that are about to be written.
    pub(super) fn ahead(&mut self, entries: &[LogEntry]) -> Result<(), Fault> {
        let entries: Vec<_> = entries.iter().filter(|e| !e.data.is_empty()).cloned().collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.entries.send(entries).map_err(|_| ended())?;
        self.under_way += 1;
        Ok(())
    }

    /// What the check of an entry came to. Checks it now if nobody has, as after a restart.
    pub(super) fn take(&mut self, entry: &LogEntry) -> Result<Checked, Fault> {
        if entry.data.is_empty() {
            return Ok(None);
        }
        let place = (entry.position.index, entry.position.term);
        while self.under_way > 0 && !self.checked.contains_key(&place) {
            let verdicts = self.verdicts.recv().map_err(|_| ended())?;
            self.under_way -= 1;
            for (at, verdict) in verdicts {
                self.checked.insert((at.index, at.term), verdict);
            }
        }
        if let Some(verdict) = self.checked.remove(&place) {
            return Ok(Some(verdict));
        }
        let verdict = check(vec![entry.clone()], &Threads::all()).pop().map(|(_, verdict)| verdict);
        Ok(verdict)
    }

    /// Forgets entries up to `applied`: those that other ones replaced.
    pub(super) fn forget(&mut self, applied: u64) {
        self.checked.retain(|(index, _), _| *index > applied);
    }
}

fn ended() -> Fault {
    Fault::new("the signatures' thread has ended")
}

fn check(entries: Vec<LogEntry>, cores: &dyn Cores) -> Verdicts {
    let mut positions = Vec::with_capacity(entries.len());
    let mut proposals = Vec::with_capacity(entries.len());
    let mut verdicts = Verdicts::with_capacity(entries.len());
    for entry in entries {
        match SignedProposal::decode(&entry.data) {
            Ok(proposal) => {
                positions.push(entry.position);
                proposals.push(Unverified::new(proposal));
            }
            Err(refusal) => verdicts.push((entry.position, Err(refusal))),
        }
    }
    verdicts.extend(positions.into_iter().zip(verify_all(proposals, cores)));
    verdicts
}

/// As many threads as the machine has cores, for as long as there is something to do.
#[derive(Debug, Clone, Copy)]
struct Threads {
    count: usize,
}

impl Threads {
    fn all() -> Self {
        Threads { count: thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Cores for Threads {
    fn count(&self) -> usize {
        self.count
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        let threads = self.count.min(jobs.len());
        let jobs = Mutex::new(VecDeque::from(jobs));
        let work = || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                match job {
                    Some(job) => job(),
                    None => break,
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            own();
            work();
        });
    }
}
