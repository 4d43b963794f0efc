//! The random numbers of a batch, drawn from what is in it.

use blake2::{Blake2b512, Digest};
use rand_core::{TryCryptoRng, TryRng};

/// The blinding factors of one batch, drawn from a hash over everything in it.
///
/// A batch checks one random combination of all its equations. It is sound as long as the
/// factors cannot be known before keys, messages and signatures are fixed: then a batch with an
/// invalid signature passes with probability 2^-128 or so. A hash over all of them gives exactly
/// that (the Fiat-Shamir argument: whoever changes anything in the batch draws all factors anew),
/// so a forger has to try about 2^128 batches. A hash that fixes keys, messages and signatures may
/// stand for them: two contents with one BLAKE2s-256 take about 2^128 attempts as well. Fresh
/// randomness would be no safer, and would make the verdict depend on something other than the
/// input. Which factor meets which signature does not matter, nor does the order in which the batch
/// walks its keys.
pub(super) struct Blinders {
    seed: [u8; 64],
    block: [u8; 64],
    used: usize,
    counter: u64,
}

/// What goes into a batch, hashed as it goes.
pub(super) struct Transcript(Blake2b512);

impl Transcript {
    pub(super) fn new() -> Self {
        Transcript(Blake2b512::new_with_prefix(b"lockstep batch blinders 2"))
    }

    /// Adds a signature.
    pub(super) fn add(&mut self, key: &[u8; 32], signature: &[u8; 64], message: &[u8]) {
        self.0.update([0]);
        self.0.update(key);
        self.0.update(signature);
        self.0.update((message.len() as u64).to_le_bytes());
        self.0.update(message);
    }

    /// Adds all signatures that the hash fixes, and what they sign.
    pub(super) fn add_all_of(&mut self, hash: &[u8; 32]) {
        self.0.update([1]);
        self.0.update(hash);
    }

    pub(super) fn blinders(self) -> Blinders {
        Blinders { seed: self.0.finalize().into(), block: [0; 64], used: 64, counter: 0 }
    }
}

impl TryRng for Blinders {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, mut out: &mut [u8]) -> Result<(), Self::Error> {
        while !out.is_empty() {
            if self.used == self.block.len() {
                let mut hash = Blake2b512::new_with_prefix(self.seed);
                hash.update(self.counter.to_le_bytes());
                self.block = hash.finalize().into();
                self.used = 0;
                self.counter += 1;
            }
            let len = out.len().min(self.block.len() - self.used);
            let (now, later) = out.split_at_mut(len);
            now.copy_from_slice(&self.block[self.used..self.used + len]);
            self.used += len;
            out = later;
        }
        Ok(())
    }
}

impl TryCryptoRng for Blinders {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everything_that_goes_in_changes_the_factors() {
        let factor = |fill: &dyn Fn(&mut Transcript)| {
            let mut transcript = Transcript::new();
            fill(&mut transcript);
            let mut factor = [0; 16];
            let Ok(()) = transcript.blinders().try_fill_bytes(&mut factor);
            factor
        };
        // The same bytes, cut in other places or meant otherwise, are something else.
        let as_hashes = |t: &mut Transcript| (0..4).for_each(|_| t.add_all_of(&[1; 32]));
        let fills: [&dyn Fn(&mut Transcript); 10] = [
            &|_| (),
            &|t| t.add(&[1; 32], &[1; 64], &[1; 32]),
            &|t| t.add(&[2; 32], &[1; 64], &[1; 32]),
            &|t| t.add(&[1; 32], &[2; 64], &[1; 32]),
            &|t| t.add(&[1; 32], &[1; 64], &[2; 32]),
            &|t| t.add(&[1; 32], &[1; 64], &[1; 31]),
            &|t| t.add_all_of(&[1; 32]),
            &|t| t.add_all_of(&[2; 32]),
            &|t| [1, 2].into_iter().for_each(|n| t.add_all_of(&[n; 32])),
            &as_hashes,
        ];
        let factors: BTreeSet<_> = fills.iter().map(|fill| factor(fill)).collect();
        assert_eq!(factors.len(), fills.len());
        assert_eq!(factor(fills[1]), factor(fills[1]));
    }
}
