//! Numbers that look random and are the same in every run.

/// Draws numbers. The seed must not be 0.
pub struct Dice(pub u64);

impl Dice {
    /// The next number, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
