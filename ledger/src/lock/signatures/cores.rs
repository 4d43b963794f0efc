//! What callers lend to long checks: cores, though this crate starts no threads, and memory.

use super::familiar::FamiliarKeys;
use crate::limits::DISABLEMENT_VALUE_BYTES;
use crate::lock::disablement;

/// Inputs of one share, at least: fewer are not worth being handed out.
const LEAST: usize = 64;

/// Something to be done once, on whichever core.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs jobs, on as many cores as the caller has to give.
pub trait Cores: Sync {
    /// How many jobs run at once.
    fn count(&self) -> usize;

    /// Runs `own` where it was asked, and the jobs beside it and after it, those in front first.
    /// Everything has come to its end before this returns.
    fn run_beside<'a>(&self, own: &mut dyn FnMut(), jobs: Vec<Job<'a>>);

    /// Runs every job to its end before it returns.
    fn run<'a>(&self, jobs: Vec<Job<'a>>) {
        self.run_beside(&mut || (), jobs);
    }

    /// Where keys that sign again and again are remembered, for callers that check long histories.
    fn familiar(&self) -> Option<&FamiliarKeys> {
        None
    }

    /// The image of a disablement secret: one run of the KDF, unless the caller remembers it from
    /// an earlier one. Nobody who runs a lock does, since secrets are not to stay in memory; the
    /// simulations do, which ask for the same few thousands of times. Must be what
    /// [`disablement::image`] is: whoever answers anything else lets anybody end the lock.
    fn image(&self, secret: &[u8]) -> Option<[u8; DISABLEMENT_VALUE_BYTES]> {
        disablement::derive(secret)
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
    each_share(inputs, |inputs| inputs.iter().map(&work).collect(), cores)
}

/// [`each`] for what is done to many inputs at once with less effort than to one after the other.
pub fn each_share<B: Sync, R: Send>(
    inputs: &[B],
    work: impl Fn(&[B]) -> Vec<R> + Sync,
    cores: &dyn Cores,
) -> Vec<R> {
    let shares = shares(inputs.len(), LEAST, usize::MAX, cores.count());
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

/// As [`shares`], where the caller has work of its own that takes as long as `own` of the items.
/// If a share may be as large as one core's part of everything, each core gets a single one, and
/// the caller's own, the last, is smaller by that work: a share that is cut costs more in all, and
/// the caller would take the pieces anyway.
pub(super) fn shares_beside(
    items: usize,
    own: usize,
    (least, most): (usize, usize),
    cores: usize,
) -> Vec<usize> {
    let part = items.saturating_add(own).div_ceil(cores.max(1)).max(least);
    if part > most {
        return shares(items, least, most, cores);
    }
    let mut left = items;
    let mut sizes = Vec::new();
    while left > 0 {
        let size = part.min(left);
        sizes.push(size);
        left -= size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_the_caller_time_for_its_own_work() {
        for (items, own, cores, expected) in [
            (0, 0, 2, vec![]),
            (100, 5, 2, vec![100]),
            (2000, 100, 1, vec![2000]),
            (2000, 100, 2, vec![1050, 950]),
            (2000, 100, 3, vec![700, 700, 600]),
            (2000, 100, 64, vec![256, 256, 256, 256, 256, 256, 256, 208]),
            (2000, 100, 0, vec![2000]),
        ] {
            let sizes = shares_beside(items, own, (256, 4096), cores);
            assert_eq!(sizes, expected, "{items} and {own} on {cores}");
        }
        // Where a share has to be smaller than one core's part, they are cut as without own work.
        assert_eq!(shares_beside(9000, 450, (256, 4096), 2), shares(9000, 256, 4096, 2));
        assert_eq!(shares_beside(9000, 450, (256, 4096), 2).iter().sum::<usize>(), 9000);
    }
}
