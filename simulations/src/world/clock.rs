//! Virtual time: what is to happen, in order. Nothing here waits.

use std::collections::BTreeMap;

/// Virtual milliseconds since a world began.
pub type Ms = u64;

/// A second.
pub const SECOND: Ms = 1000;
/// A minute.
pub const MINUTE: Ms = 60 * SECOND;
/// An hour.
pub const HOUR: Ms = 60 * MINUTE;
/// A day.
pub const DAY: Ms = 24 * HOUR;

/// What is to happen. Of things due at one moment, that which was planned first happens first.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Ms,
    planned: u64,
    due: BTreeMap<(Ms, u64), T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Agenda { now: 0, planned: 0, due: BTreeMap::new() }
    }
}

impl<T> Agenda<T> {
    /// The time.
    pub fn now(&self) -> Ms {
        self.now
    }

    /// Plans something; what should have happened already happens next.
    pub fn plan(&mut self, at: Ms, what: T) {
        self.planned += 1;
        self.due.insert((at.max(self.now), self.planned), what);
    }

    /// The next thing that is due no later than `until`; the time moves on to it.
    pub fn next_until(&mut self, until: Ms) -> Option<T> {
        let ((at, _), _) = self.due.first_key_value()?;
        if *at > until {
            return None;
        }
        let ((at, _), what) = self.due.pop_first()?;
        self.now = at;
        Some(what)
    }

    /// Nothing is due before then: the time moves on to it.
    pub fn pass(&mut self, until: Ms) {
        self.now = self.now.max(until);
    }
}

/// The clock of one process, which somebody may have set wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalClock {
    ahead: i64,
}

/// What every world's time 0 is called on a right clock: some day in 2023, in milliseconds.
const EPOCH: u64 = 1_700_000_000_000;

impl LocalClock {
    /// What the clock shows: milliseconds since 1970.
    pub fn read(self, now: Ms) -> u64 {
        (EPOCH + now).saturating_add_signed(self.ahead)
    }

    /// The clock jumps.
    pub fn jump(&mut self, by: i64) {
        self.ahead = self.ahead.saturating_add(by);
    }

    /// Somebody sets the clock right.
    pub fn set_right(&mut self) {
        self.ahead = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_the_order_of_time_and_then_of_planning() {
        let mut agenda = Agenda::default();
        for (at, what) in [(5, "c"), (2, "a"), (5, "d"), (3, "b"), (9, "late")] {
            agenda.plan(at, what);
        }
        let mut seen = Vec::new();
        while let Some(what) = agenda.next_until(8) {
            seen.push((agenda.now(), what));
            if what == "c" {
                agenda.plan(1, "at once, but after what was planned");
            }
        }
        let expected = [(2, "a"), (3, "b"), (5, "c"), (5, "d")];
        assert_eq!(seen[..4], expected);
        assert_eq!(seen[4], (5, "at once, but after what was planned"));
        assert_eq!(agenda.next_until(100), Some("late"));
    }

    #[test]
    fn a_clock_may_stand_before_the_beginning_of_the_world() {
        let mut clock = LocalClock::default();
        clock.jump(-5000);
        assert_eq!(clock.read(1000), EPOCH - 4000);
        clock.set_right();
        assert_eq!(clock.read(1000), EPOCH + 1000);
    }
}
