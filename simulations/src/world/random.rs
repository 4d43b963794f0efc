//! Chance: ChaCha with 8 rounds, the same on every machine.
//!
//! Each purpose draws from a stream of its own, so that leaving one step out of a scenario does not
//! change what all later ones draw.

use blake2s_simd::State;
use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of chance.
#[derive(Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of that name in that seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        let mut hash = State::new();
        hash.update(&seed.to_be_bytes());
        hash.update(stream.as_bytes());
        Random(ChaCha8Rng::from_seed(*hash.finalize().as_array()))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, all of them equally likely; 0 if `n` is.
    pub fn below(&mut self, n: u64) -> u64 {
        // Lemire's multiplication: what falls into the uneven rest is drawn again.
        let rest = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let wide = u128::from(self.any()) * u128::from(n);
            if wide as u64 >= rest {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A place in a list of that length.
    pub fn place(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Yes in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of several. The list must not be empty.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.place(from.len())].clone()
    }

    /// Puts a list into any order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.place(end + 1));
        }
    }

    /// 32 bytes: a seed of a key or a secret.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What seeds were found with must mean the same for ever.
    #[test]
    fn a_seed_is_the_same_everywhere() {
        let mut random = Random::new(7, "example");
        let drawn: Vec<u64> = (0..6).map(|_| random.below(1000)).collect();
        assert_eq!(drawn, [500, 289, 726, 67, 659, 578]);
        assert_ne!(Random::new(7, "example").any(), Random::new(7, "other").any());
        assert_ne!(Random::new(7, "example").any(), Random::new(8, "example").any());
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut random = Random::new(1, "bounds");
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert!((0..1000).all(|_| (5..=6).contains(&random.between(5, 6))));
        let mut list: Vec<u32> = (0..50).collect();
        random.shuffle(&mut list);
        assert_ne!(list, (0..50).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
    }
}
