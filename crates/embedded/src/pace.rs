//! When the next sync may begin: at once after a quiet time, and then one an interval, so that each carries what came
//! meanwhile. Knows time, not what is written.

use std::time::{Duration, Instant};

/// A pace of syncs, the scarce thing: under load it pays to let more come for each.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    burst: f64,
    /// Syncs that may begin at once; grows by one an interval, up to `burst`.
    allowance: f64,
    counted: Instant,
}

impl Pace {
    /// One sync every `interval`, and up to `burst` (at least one) that follow each other at once after a quiet time. An
    /// interval of zero never waits.
    pub fn new(interval: Duration, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Pace { interval, burst, allowance: burst, counted: Instant::now() }
    }

    /// How long the next sync has to wait; zero if it may begin.
    pub fn wait(&mut self) -> Duration {
        let interval = self.interval.as_secs_f64();
        if interval == 0.0 {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let grown = self.allowance + (now - self.counted).as_secs_f64() / interval;
        (self.allowance, self.counted) = (grown.min(self.burst), now);
        self.interval.mul_f64((1.0 - self.allowance).clamp(0.0, 1.0))
    }

    /// Notes that a sync begins.
    pub fn took(&mut self) {
        self.allowance -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_burst_goes_at_once_and_what_follows_waits_for_its_turn() {
        let mut pace = Pace::new(LONG, 3);
        for _ in 0..3 {
            assert_eq!(pace.wait(), Duration::ZERO);
            pace.took();
        }
        assert!(pace.wait() > LONG.mul_f64(0.9));
    }

    #[test]
    fn without_an_interval_nothing_waits() {
        let mut pace = Pace::new(Duration::ZERO, 1);
        for _ in 0..10 {
            assert_eq!(pace.wait(), Duration::ZERO);
            pace.took();
        }
    }

    #[test]
    fn a_burst_of_none_is_one() {
        let mut pace = Pace::new(LONG, 0);
        assert_eq!(pace.wait(), Duration::ZERO);
    }
}
