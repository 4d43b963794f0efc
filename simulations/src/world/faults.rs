//! Which faults a seed has, and how many of each.

use std::fmt;

use super::Random;

/// A kind of fault. A scenario can be run without some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Messages are lost.
    Loss,
    /// Messages arrive twice.
    Duplication,
    /// Messages take long, and so overtake each other.
    Delay,
    /// Some ways are cut for a while, maybe in one direction only.
    Partition,
    /// Processes crash; what they had not synced is lost, whole or in part.
    Crash,
    /// Processes stand still for a while.
    Stall,
    /// Clocks jump.
    Clock,
    /// Disks fill up.
    Full,
    /// Bits on disks flip.
    Rot,
    /// Reads from disks fail.
    Read,
    /// The relay keeps messages back.
    Withhold,
    /// The relay gives old answers for new ones.
    Replay,
    /// The relay changes what it passes on.
    Tamper,
    /// The relay says that there is no lock, or invents secrets.
    Lie,
    /// The relay shows some nodes another history.
    Views,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 15] = [
        Fault::Loss,
        Fault::Duplication,
        Fault::Delay,
        Fault::Partition,
        Fault::Crash,
        Fault::Stall,
        Fault::Clock,
        Fault::Full,
        Fault::Rot,
        Fault::Read,
        Fault::Withhold,
        Fault::Replay,
        Fault::Tamper,
        Fault::Lie,
        Fault::Views,
    ];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Loss => "loss",
            Fault::Duplication => "duplication",
            Fault::Delay => "delay",
            Fault::Partition => "partition",
            Fault::Crash => "crash",
            Fault::Stall => "stall",
            Fault::Clock => "clock",
            Fault::Full => "full",
            Fault::Rot => "rot",
            Fault::Read => "read",
            Fault::Withhold => "withhold",
            Fault::Replay => "replay",
            Fault::Tamper => "tamper",
            Fault::Lie => "lie",
            Fault::Views => "views",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// How often each kind happens, in thousandths of the occasions that there are for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix([u64; Fault::ALL.len()]);

impl Mix {
    /// A mix of a seed's own: each kind is there or not, and rarely, now and then or often.
    pub fn drawn(random: &mut Random) -> Self {
        let mut rates = [0; Fault::ALL.len()];
        for rate in &mut rates {
            if random.chance(500) {
                *rate = random.pick(&[5, 20, 60, 150, 300]);
            }
        }
        Mix(rates)
    }

    /// Nothing goes wrong.
    pub fn none() -> Self {
        Mix([0; Fault::ALL.len()])
    }

    /// How often that kind happens.
    pub fn rate(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Whether it happens now.
    pub fn strikes(&self, fault: Fault, random: &mut Random) -> bool {
        random.chance(self.rate(fault))
    }

    /// The same without one kind.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.0[fault as usize] = 0;
        self
    }

    /// The kinds that it has.
    pub fn kinds(&self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(|fault| self.rate(*fault) > 0)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for fault in self.kinds() {
            let space = if first { "" } else { " " };
            write!(f, "{space}{} {}", fault.name(), self.rate(fault))?;
            first = false;
        }
        if first { f.write_str("no faults") } else { f.write_str(" (of a thousand)") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_place_and_name() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place);
            assert_eq!(Fault::named(fault.name()), Some(fault));
        }
        assert_eq!(Fault::named("weather"), None);
    }
}
