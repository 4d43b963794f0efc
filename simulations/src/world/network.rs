//! The network: what becomes of a message on its way.

use super::clock::Ms;
use super::{Fault, Mix, Random};

/// A process, by its number.
pub type ProcessId = usize;

/// The ways between processes. Each message travels by itself, so that delay reorders.
#[derive(Debug)]
pub struct Network {
    mix: Mix,
    random: Random,
    cuts: Vec<Cut>,
}

/// A way that nothing passes for a while. The way back is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    from: ProcessId,
    to: ProcessId,
    until: Ms,
}

impl Network {
    /// All ways open.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Network { mix, random: Random::new(seed, "network"), cuts: Vec::new() }
    }

    /// When a message arrives: never, once, or twice.
    pub fn arrivals(&mut self, now: Ms, from: ProcessId, to: ProcessId) -> Vec<Ms> {
        self.cuts.retain(|cut| cut.until > now);
        let cut = self.cuts.iter().any(|cut| (cut.from, cut.to) == (from, to));
        let mut copies = 1;
        if self.mix.strikes(Fault::Duplication, &mut self.random) {
            copies += 1;
        }
        if self.mix.strikes(Fault::Loss, &mut self.random) || cut {
            copies = 0;
        }
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            let slow = self.mix.strikes(Fault::Delay, &mut self.random);
            let most = if slow { 8_000 } else { 40 };
            arrivals.push(now + self.random.between(1, most));
        }
        arrivals
    }

    /// Whether the way from one to the other is cut.
    pub fn is_cut(&self, now: Ms, from: ProcessId, to: ProcessId) -> bool {
        self.cuts.iter().any(|cut| cut.until > now && (cut.from, cut.to) == (from, to))
    }

    /// Cuts the way from one to the other.
    pub fn cut(&mut self, from: ProcessId, to: ProcessId, until: Ms) {
        self.cuts.push(Cut { from, to, until });
    }

    /// Opens all ways and makes them good.
    pub fn heal(&mut self) {
        self.cuts.clear();
        for fault in [Fault::Loss, Fault::Duplication, Fault::Delay] {
            self.mix = self.mix.clone().without(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let calm = Fault::ALL.into_iter().fold(Mix::drawn(&mut Random::new(0, "")), Mix::without);
        let mut network = Network::new(1, calm);
        network.cut(1, 2, 50);
        assert!(network.arrivals(0, 1, 2).is_empty());
        assert_eq!(network.arrivals(0, 2, 1).len(), 1);
        assert_eq!(network.arrivals(50, 1, 2).len(), 1);
    }
}
