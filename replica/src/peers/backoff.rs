//! Pauses between tries to reach a peer.

use std::time::Duration;

/// Doubles from try to try, up to a most; each pause is between half and all of it, by chance, so
/// that members which lost each other at one moment do not all come back at one moment.
#[derive(Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Backoff { least, most, next: least }
    }

    /// The pause after another failure.
    pub(super) fn failed(&mut self, random: u64) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.most);
        spread(whole, random)
    }

    /// Begins anew after a connection that was worth its name.
    pub(super) fn reset(&mut self) {
        self.next = self.least;
    }
}

/// Between half of `whole` and all of it.
pub(super) fn spread(whole: Duration, random: u64) -> Duration {
    let half = whole / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half.saturating_add(Duration::from_nanos(random % nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_most_and_vary() {
        let (least, most) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(least, most);
        let mut whole = least;
        for random in [0, u64::MAX, 1 << 40, 7, 12_345_678, 0, u64::MAX, 3, 9] {
            let pause = backoff.failed(random);
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(most);
        }
        assert_eq!(whole, most);
        backoff.reset();
        assert!(backoff.failed(0) <= least);
        assert_ne!(spread(most, 1), spread(most, 2));
    }

    #[test]
    fn no_pause_at_all_is_no_error() {
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).failed(5), Duration::ZERO);
    }
}
