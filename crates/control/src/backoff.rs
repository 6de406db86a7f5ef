//! How long to wait before the next try. Knows no clock and no connection.

use std::time::Duration;

use rand::Rng as _;

/// Waits that double from `first` to `max`, each drawn between half of that and the whole, so that farms which lost a
/// router together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from `first` up to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Backoff { first, max, next: first }
    }

    /// How long to wait this time.
    pub fn wait(&mut self) -> Duration {
        let whole = self.next.min(self.max);
        self.next = (whole * 2).min(self.max);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Begins again: the last try went well.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_begin_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        for whole in [100, 200, 350, 350] {
            let wait = backoff.wait();
            assert!(wait >= ms(whole) / 2 && wait <= ms(whole), "{wait:?} of {whole}");
        }
        backoff.reset();
        assert!(backoff.wait() <= ms(100));
    }
}
