//! Checking signatures on all cores.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use ledger::lock::signatures::{Cores, Job};

/// Runs the ledger's jobs on as many threads as the machine has cores, while the caller waits.
#[derive(Debug, Clone, Copy)]
pub struct AllCores;

impl Cores for AllCores {
    fn count(&self) -> usize {
        thread::available_parallelism().map_or(1, NonZero::get)
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        let workers = self.count().min(jobs.len());
        let jobs = Mutex::new(VecDeque::from(jobs));
        let work = || {
            loop {
                // A panic in a job ends the scope; a poisoned list holds no half-done job.
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                match job {
                    Some(job) => job(),
                    None => return,
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            own();
            work();
        });
    }
}
