//! Work for all cores, though this crate starts no threads.

/// Something to be done once, on whichever core.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs jobs, on as many cores as the caller has to give.
pub trait Cores {
    /// How many jobs run at once.
    fn count(&self) -> usize;

    /// Runs `own` where it was asked, and the jobs beside it and after it, those in front first.
    /// Everything has come to its end before this returns.
    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>);

    /// Runs every job to its end before it returns.
    fn run<'a>(&self, jobs: Vec<Job<'a>>) {
        self.run_beside(&mut || (), jobs);
    }
}

/// Runs everything where it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneCore;

impl Cores for OneCore {
    fn count(&self) -> usize {
        1
    }

    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>) {
        own();
        for job in jobs {
            job();
        }
    }
}

/// Does the same to each input, on all cores. The answers are in the order of the inputs.
pub fn each<B: Sync, R: Send>(
    inputs: &[B],
    work: impl Fn(&B) -> R + Sync,
    cores: &dyn Cores,
) -> Vec<R> {
    let work = |inputs: &[B]| inputs.iter().map(&work).collect();
    each_share(inputs, share_of(inputs.len(), usize::MAX, cores.count()), work, cores)
}

/// Does the same to each share of so many inputs, on all cores.
pub(super) fn each_share<B: Sync, R: Send>(
    inputs: &[B],
    share: usize,
    work: impl Fn(&[B]) -> Vec<R> + Sync,
    cores: &dyn Cores,
) -> Vec<R> {
    let mut answers: Vec<Vec<R>> = Vec::new();
    answers.resize_with(inputs.len().div_ceil(share), Vec::new);
    let work = &work;
    let jobs = inputs
        .chunks(share)
        .zip(&mut answers)
        .map(|(inputs, answers)| Box::new(move || *answers = work(inputs)) as Job<'_>)
        .collect();
    cores.run(jobs);
    let mut all = Vec::with_capacity(inputs.len());
    all.extend(answers.into_iter().flatten());
    all
}

/// Items of one job: as many jobs for each core as for every other, and each with at most `most`.
pub(super) fn share_of(items: usize, most: usize, cores: usize) -> usize {
    let cores = cores.max(1);
    let rounds = items.div_ceil(cores.saturating_mul(most)).max(1);
    items.div_ceil(cores * rounds).max(1)
}
