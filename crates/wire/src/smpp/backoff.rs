//! How long to wait before binding again. Knows rows of failures; draws no lots by itself.

use std::time::Duration;

/// Pauses that double from failure to failure, each shortened by chance, so that a supplier who comes back is not met by
/// all links at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after one failure more: between half and all of what its row of failures makes it. `random` is any number.
    pub fn failed(&mut self, random: u64) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        jittered(whole, random)
    }

    /// It went well for long enough.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Between half and all of a time.
pub(super) fn jittered(whole: Duration, random: u64) -> Duration {
    let thousandths = 500 + (random % 501) as u32;
    whole / 1000 * thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let pauses: Vec<u64> = (0..9).map(|_| backoff.failed(500).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.succeeded();
        assert_eq!(backoff.failed(0), Duration::from_millis(500));
        for random in 0..2000 {
            let pause = jittered(Duration::from_secs(2), random);
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&pause));
        }
    }
}
