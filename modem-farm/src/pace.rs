//! How fast a link and a SIM may send. Knows rates; must not know messages.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};

/// A limit shared by all that send on the same thing.
pub(crate) type Limiter = Arc<DefaultDirectRateLimiter>;

/// All limits one link is under. A segment passes when each of them has let it pass.
pub(crate) struct Pace {
    limiters: Vec<Limiter>,
    passed: usize,
}

/// A limit of so many segments a minute, evenly: networks dislike bursts. 0 is no limit.
pub(crate) fn per_minute(segments: u32) -> Option<Limiter> {
    let segments = NonZeroU32::new(segments)?;
    Some(Arc::new(DefaultDirectRateLimiter::direct(Quota::per_minute(segments).allow_burst(NonZeroU32::MIN))))
}

/// A limit of so many segments a second. 0 is no limit.
pub(crate) fn per_second(segments: u32) -> Option<Limiter> {
    Some(Arc::new(DefaultDirectRateLimiter::direct(Quota::per_second(NonZeroU32::new(segments)?))))
}

impl Pace {
    pub(crate) fn new(limiters: impl IntoIterator<Item = Limiter>) -> Self {
        Self { limiters: limiters.into_iter().collect(), passed: 0 }
    }

    /// Lets one segment pass, or says how long to wait. What one limit has let pass is not asked of it again.
    pub(crate) fn try_pass(&mut self) -> Result<(), Duration> {
        while let Some(limiter) = self.limiters.get(self.passed) {
            limiter.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))?;
            self.passed += 1;
        }
        self.passed = 0;
        Ok(())
    }

    /// Waits until one segment may pass. Can be cancelled and called again.
    pub(crate) async fn pass(&mut self) {
        while let Err(wait) = self.try_pass() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_lets_everything_pass() {
        let mut pace = Pace::new(per_minute(0).into_iter().chain(per_second(0)));
        assert!((0..1000).all(|_| pace.try_pass().is_ok()));
    }

    #[test]
    fn the_strictest_limit_counts_and_no_other_is_used_up_by_waiting() {
        let (wide, narrow) = (per_second(1000).unwrap(), per_minute(10).unwrap());
        let mut pace = Pace::new([wide.clone(), narrow]);
        assert_eq!(pace.try_pass(), Ok(()));
        for _ in 0..2000 {
            let wait = pace.try_pass().expect_err("the second waits six seconds");
            assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
        }
        assert!(wide.check().is_ok());
    }

    #[test]
    fn two_links_share_a_sims_limit() {
        let sim = per_minute(10).unwrap();
        let (mut first, mut second) = (Pace::new([sim.clone()]), Pace::new([sim]));
        assert!(first.try_pass().is_ok());
        assert!(second.try_pass().is_err());
    }
}
