//! Work for all cores, though this crate starts no threads.

/// Inputs of one share, at least: fewer are not worth being handed out.
const LEAST: usize = 64;

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
    let shares = shares(inputs.len(), LEAST, usize::MAX, cores.count());
    let work = |inputs: &[B]| inputs.iter().map(&work).collect();
    joined(on_shares(inputs, shares, &mut || (), work, cores))
}

/// The answers of all shares, one after the other.
pub(super) fn joined<R>(shares: Vec<Vec<R>>) -> Vec<R> {
    let mut all = Vec::with_capacity(shares.iter().map(Vec::len).sum());
    for mut share in shares {
        all.append(&mut share);
    }
    all
}

/// Cuts the inputs into shares of these sizes, and does the same to each on all cores, beside the
/// caller's own work.
pub(super) fn on_shares<'i, B: Sync, R: Send>(
    mut inputs: &'i [B],
    sizes: Vec<usize>,
    own: &mut dyn FnMut(),
    work: impl Fn(&'i [B]) -> R + Sync,
    cores: &dyn Cores,
) -> Vec<R> {
    let work = &work;
    let mut answers: Vec<Option<R>> = Vec::new();
    answers.resize_with(sizes.len(), || None);
    let mut jobs: Vec<Job<'_>> = Vec::with_capacity(sizes.len());
    for (size, answer) in sizes.into_iter().zip(&mut answers) {
        let (share, rest) = inputs.split_at(size.min(inputs.len()));
        inputs = rest;
        jobs.push(Box::new(move || *answer = Some(work(share))));
    }
    cores.run_beside(own, jobs);
    answers.into_iter().flatten().collect()
}

/// Sizes of shares, of `least` to `most` items: large ones first, which are cheaper, and smaller
/// ones towards the end, so that no core waits long for another: each is one core's part of what
/// is left.
pub(super) fn shares(items: usize, least: usize, most: usize, cores: usize) -> Vec<usize> {
    let mut left = items;
    let mut sizes = Vec::new();
    while left > 0 {
        let size = left.div_ceil(cores.max(1)).max(least).min(most).min(left);
        sizes.push(size);
        left -= size;
    }
    sizes
}
